//! What a run asks of a sink: the reference in memory answers it, and the chain. Commands that look at a job
//! or tidy it up ask a [`Chain`](crate::chain::Chain) for more; nobody asks for a kind of table.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use crate::model::checkpoint::{Checkpoint, PartitionState, Restored};
use crate::model::commit::{Begin, Commit, CommitId, StagedFile};
use crate::model::error::Error;
use crate::model::limit::{Exceeded, RejectLimit};
use crate::model::position::{LeaderEpoch, TopicPartition};
use crate::model::restore::{Plan, Restore};

/// How many checkpoints back a commit's own outcome can still be told. It only
/// makes [`Outcome::Unknown`] rarer.
pub const HISTORY: usize = 64;

/// The first checkpoint of a chain.
#[derive(Clone, Debug, Default)]
pub struct Genesis {
    pub cluster_id: Option<String>,
    /// Every known partition with its resolved start (`start == next`, no rows).
    pub partitions: std::collections::BTreeMap<TopicPartition, PartitionState>,
    /// Of those partitions that do not begin at the start of anything, but at a savepoint's positions.
    pub epochs: std::collections::BTreeMap<TopicPartition, LeaderEpoch>,
    pub pinned: Value,
    /// `mode: overwrite`: the tables' existing files are retracted; what a job has committed only where the
    /// sink was told to accept that. Folder names relative to the sink's URL.
    pub overwrite_tables: Vec<String>,
    /// What the chain is restored from, when it begins at a savepoint's positions.
    pub restored: Option<Restored>,
    /// The chain's incarnation is above this one, that of the savepoint: its writers cannot extend the chain.
    pub after_incarnation: u32,
}

/// What became of a commit. Each carries the newest state, from which the caller goes on.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// In force.
    Committed(Arc<Checkpoint>),
    /// Not in force, and never will be: somebody else has moved one of its partitions.
    Fenced(Arc<Checkpoint>),
    /// Overtaken, and too late to tell by whom: go on as after a restart.
    Unknown(Arc<Checkpoint>),
    /// Not sent: with its rejects the job would be past its error limit.
    TooManyRejects { exceeded: Exceeded, newest: Arc<Checkpoint> },
}

/// A finished upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// A staged file that is being written. Dropping it leaves nothing that anybody
/// could mistake for a finished file.
#[async_trait]
pub trait Upload: fmt::Debug + Send {
    /// Takes the next bytes; may wait until earlier ones are on their way.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;
    /// Bytes of memory that it keeps until they are enough to be sent on.
    fn held(&self) -> usize;
    /// Durable when it returns.
    async fn finish(self: Box<Self>) -> Result<Uploaded, Error>;
}

/// What a collection removed (or, on a dry run, would remove).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    /// Attempts whose staged leftovers went.
    pub attempts: Vec<CommitId>,
    /// Checkpoints past retention.
    pub checkpoints: Vec<u64>,
    /// Staged folders without `begin.json`: reported, never removed.
    pub unjudged: Vec<String>,
    /// What stays staged.
    pub staged: StagedTotal,
}

/// What lies staged: of attempts under way, of commits that are not visible yet,
/// and left by processes that have died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StagedTotal {
    pub bytes: u64,
    pub attempts: u64,
}

#[async_trait]
pub trait Sink: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// The newest checkpoint, or none where no chain has begun.
    ///
    /// Errors: `Refused` when there is no chain but files of this job; `Corrupt` when a checkpoint does not
    /// read; `Config` when it has a newer format.
    async fn load(&self) -> Result<Option<Arc<Checkpoint>>, Error>;

    /// Begins the chain, or loads it where somebody else was first.
    async fn begin_chain(&self, genesis: Genesis) -> Result<Arc<Checkpoint>, Error>;

    /// Announces an attempt. Must have returned before the attempt's first file is staged.
    async fn begin(&self, begin: &Begin) -> Result<(), Error>;

    /// Opens a staged file of an attempt.
    async fn stage(&self, id: &CommitId, name: &str) -> Result<Box<dyn Upload>, Error>;

    /// The atomic step. `base` is any state accepted before; `limit` the job's error limit, judged on the
    /// state that the commit lands on. Repeats itself until the outcome is known, or an error stops it; after
    /// an error the outcome is unknown, and the caller goes on from [`Sink::load`].
    async fn commit(
        &self,
        base: Arc<Checkpoint>,
        commit: Arc<Commit>,
        limit: Option<RejectLimit>,
    ) -> Result<Outcome, Error>;

    /// Restores a kept state, by [`RestoreChoice::KeepSink`] or [`RestoreChoice::Rollback`],
    /// and returns the newest state, in which that is done. A rollback takes back every commit
    /// after the kept state: at once for positions and for whoever commits; readers stop to
    /// see its files as [`Sink::publish`] erases them. Repeats itself until the outcome is
    /// known; after an error it is unknown, and the same call again finds out and goes on.
    ///
    /// Errors: `Refused` when the kept state is not one that the chain in force has passed, or when a file
    /// that is to be taken back has been moved away. Then nothing is changed.
    ///
    /// [`RestoreChoice::KeepSink`]: crate::model::checkpoint::RestoreChoice::KeepSink
    /// [`RestoreChoice::Rollback`]: crate::model::checkpoint::RestoreChoice::Rollback
    async fn restore(&self, restore: &Restore) -> Result<Arc<Checkpoint>, Error>;

    /// What a rollback to a kept state would take back now. Changes nothing.
    ///
    /// Errors: as those of [`Sink::restore`], but for files that have been moved away: they are listed.
    async fn plan_rollback(&self, target: &Checkpoint) -> Result<Plan, Error>;

    /// Makes the files of `ids`, which `state` lists as unpublished, visible. If `state`
    /// has anything retracted, that is erased instead, and nothing is published: the
    /// answer is false then, and the call is to be repeated with a state that has dropped
    /// it. What is done is dropped from the chain by the next commit or [`Sink::settle`].
    async fn publish(&self, state: &Checkpoint, ids: &[CommitId]) -> Result<bool, Error>;

    /// The body of a commit in force; none when it was taken back.
    async fn read_commit(&self, id: &CommitId) -> Result<Option<Commit>, Error>;

    /// A part of a file of a commit, once that is visible. The range lies within its size.
    async fn read_visible(&self, file: &StagedFile, range: Range<u64>) -> Result<Option<Bytes>, Error>;

    /// Notes that the rejects of `id`, which `state` lists as unsent, are in their topic. The next commit or
    /// [`Sink::settle`] drops it from the chain.
    fn note_sent(&self, state: &Checkpoint, id: &CommitId);

    /// Stores a checkpoint that only drops what [`Sink::publish`] or [`Sink::note_sent`] has finished.
    /// Returns the newest state; when it was overtaken, what is finished stays remembered for the next time.
    async fn settle(&self, base: Arc<Checkpoint>) -> Result<Arc<Checkpoint>, Error>;

    /// Stores a checkpoint whose [`Checkpoint::pinned`] also has what `additions` has: objects are merged,
    /// anything else that is pinned stays as it is. Repeats itself until the newest state has all of it,
    /// whoever pinned it, and returns that state: the caller goes on by what is pinned there, which may
    /// differ from what it asked for. After an error the same call again finds out.
    async fn pin(&self, base: Arc<Checkpoint>, additions: &Value) -> Result<Arc<Checkpoint>, Error>;

    /// Whether something is finished that no checkpoint has dropped yet.
    fn has_finished(&self) -> bool;

    /// Removes the staged files of an attempt that was never sent to [`Sink::commit`], or was fenced.
    async fn discard(&self, id: &CommitId) -> Result<(), Error>;

    /// What lies staged of the job now, whoever has staged it.
    async fn staged(&self) -> Result<StagedTotal, Error> {
        Ok(StagedTotal::default())
    }

    /// Removes leftovers that can never commit, and checkpoints past retention.
    async fn collect(&self, state: &Checkpoint, dry_run: bool) -> Result<Collected, Error>;
}
