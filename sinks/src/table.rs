//! What differs between kinds of tables: how commits in force become visible to
//! readers, and how they are taken back.
//!
//! The guarantee: a commit is in force by its checkpoint alone; a table only follows the chain. Every call
//! can be repeated, by anybody, at any time, however late, and what it has done is durable when it returns.
//! So a helper, a zombie and the rightful publisher may all try at once: the table is changed once.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::commit::{Commit, CommitId, FinalName, StagedFile};
use crate::model::error::Error;
use crate::store::Entry;

/// How far a table has followed the chain, as the table itself says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// The table holds no counter: each file's own place says whether it is visible. A
    /// change expects nothing.
    #[default]
    ByFile,
    /// It shows what the chain `chain` has in force of it as of checkpoint `n`. A
    /// change applies only on exactly this.
    Counter {
        chain: String,
        n: u64,
        /// `n` once more, in what a user's own restore of the table takes back together with the rows.
        stamp: u64,
        /// What the table calls this state of itself: a log version, a snapshot.
        version: String,
    },
}

/// What belongs to one table of a commit.
#[derive(Debug)]
pub struct Part<'a> {
    pub commit: &'a CommitId,
    pub files: Vec<Staged<'a>>,
    /// Nobody is known to have tried to make it visible before. A hint, which spares a look.
    pub is_fresh: bool,
}

/// A file of a commit.
#[derive(Debug)]
pub struct Staged<'a> {
    pub file: &'a StagedFile,
    /// Where it is staged, or was, in the store of staged files.
    pub path: String,
}

/// What is to happen to one table, in this order; where the table has transactions, in one.
#[derive(Debug, Default)]
pub struct Change<'a> {
    /// Commits that were taken back; a table that never had one of them is as done as
    /// one that has it no more.
    pub retract: Vec<Part<'a>>,
    /// Files of others, from [`Table::prepare`].
    pub clear: Vec<String>,
    /// Commits in force, in the order of the chain.
    pub publish: Vec<Part<'a>>,
    /// The checkpoint that the table has caught up with afterwards.
    pub to: u64,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The table shows it.
    Done,
    /// The answer says nothing: the change may be there, or come, or never have been.
    /// Look again; what was staged must stay as it is.
    Unknown,
    /// The file of this path is neither staged nor visible: lost, or published by somebody else, dropped from
    /// the chain and used since. Only the newest state tells. Other files may be visible by now.
    Missing(String),
}

/// A file in a table of the job, or among its rejects, as readers find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibleFile {
    /// Relative to the sink's URL; it begins with the table's name.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What its name says, or none for a file of others.
    pub name: Option<FinalName>,
}

impl From<Entry> for VisibleFile {
    fn from(entry: Entry) -> Self {
        Self { name: FinalName::of_path(&entry.path), path: entry.path, bytes: entry.size }
    }
}

/// What of the tables an inventory is to have.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// What is visible in the tables that the job names today, without what a dot in front hides.
    Job,
    /// All that lies in any table that may be the job's, hidden files among it: in
    /// those that it could name, and in these.
    Everything(&'a BTreeSet<String>),
    /// Of these files of commits those that are visible.
    Files(&'a [&'a StagedFile]),
}

/// All tables of one kind that a job writes. See the module.
///
/// Errors of kind `Retry` say nothing about whether a call had its effect.
#[async_trait]
pub trait Table: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Proves that what is to be written can become visible: in the tables that the job
    /// names, or, before it is sent, all of `commit`. Once the commit is in force it
    /// would be too late to refuse. Leaves nothing behind.
    ///
    /// Errors: `Config`, naming what the table cannot do or does not allow.
    async fn probe(&self, commit: Option<&Commit>) -> Result<(), Error>;

    /// What `mode: overwrite` is to clear from `tables` before the job's first commit
    /// becomes visible. Changes nothing: the chain's first checkpoint lists it as
    /// retracted, and whoever publishes next takes it out.
    async fn prepare(&self, tables: &[String]) -> Result<Vec<VisibleFile>, Error>;

    /// How far a table has followed the chain. To be asked after the chain was loaded, never before: a faster
    /// publisher would look like a user who has restored the table.
    async fn look(&self, table: &str) -> Result<Seen, Error>;

    /// Applies a change to a table that `seen` is true of. What the change takes out can never come back, not
    /// even by an earlier call that is late; nothing else is touched.
    ///
    /// Errors: `Corrupt`, where something else lies in the place of a file.
    async fn apply(&self, table: &str, seen: &Seen, change: &Change<'_>) -> Result<Applied, Error>;

    /// What readers see now.
    async fn inventory(&self, scope: Scope<'_>) -> Result<Vec<VisibleFile>, Error>;

    /// The bytes of a visible file, by its path in an inventory; all of them, or a range within its size.
    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, Error>;

    /// How long a call that nobody waits for any more may still take effect: none,
    /// where changes are transactions.
    fn longest_late(&self) -> Duration {
        Duration::ZERO
    }
}
