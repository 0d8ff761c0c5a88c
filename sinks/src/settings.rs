//! What a sink is told when it is opened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::store::Retries;

/// The most checkpoints that are kept, so that a listing of them is one page of any store.
pub const MAX_RETAINED: u64 = 900;

/// Which folders of the URL hold this job's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    /// These, by name.
    Named(Vec<String>),
    /// Any whose name is a topic's between these: the records say which, as with `{topic}`.
    ByTopic { prefix: String, suffix: String },
}

impl Tables {
    /// A table for each topic, of its name.
    pub(crate) fn of_topics() -> Self {
        Self::ByTopic { prefix: String::new(), suffix: String::new() }
    }
}

/// How a job's tables are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableKind {
    /// Parquet files in folders.
    #[default]
    Files,
}

/// Where the time comes from. It decides nothing but what is kept for how long.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// See the module.
#[derive(Clone)]
pub struct SinkSettings {
    /// The job's name: a folder below `_tidegate`.
    pub job: String,
    /// Where the tables lie.
    pub url: String,
    /// Where checkpoints and commits lie; `None`: `<url>/_tidegate/<job>`.
    pub state_url: Option<String>,
    /// Of the stores at both URLs. May hold secrets, so `Debug` does not show them.
    pub options: BTreeMap<String, String>,
    pub retries: Retries,
    pub kind: TableKind,
    pub tables: Tables,
    /// Checkpoints kept at least; at least 1, at most [`MAX_RETAINED`].
    pub retained: u64,
    /// And kept at least this long, as long as they are not more than [`MAX_RETAINED`].
    pub retained_for: Duration,
    /// The longest time for which a server may still be executing a copy: before that, what was taken back is
    /// not erased. Of no matter where files are renamed.
    pub copy_grace: Duration,
    /// After which a commit gives up, its outcome unknown.
    pub checkpoint_timeout: Duration,
    /// The longest pause between two tries at a commit; the first is at most a
    /// hundredth of it, and all are jittered.
    pub backoff: Duration,
    /// Begin a chain though there are files of this job and none of its checkpoints:
    /// `--new-incarnation`. `mode: overwrite` is not enough: it stays in the job file,
    /// and would erase the table when the checkpoints are lost years later.
    pub accept_existing_files: bool,
    /// For commands that only look: a file system that takes no writes is no reason to doubt what lies there.
    pub reads_only: bool,
    /// Names this process in logs.
    pub writer: String,
    /// Of the random numbers that jitter pauses. Equal seeds make a simulation repeat itself.
    pub seed: u64,
    pub clock: Clock,
}

impl SinkSettings {
    /// The defaults of a job file for one job and URL.
    pub fn new(job: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            job: job.into(),
            url: url.into(),
            state_url: None,
            options: BTreeMap::new(),
            retries: Retries::default(),
            kind: TableKind::default(),
            tables: Tables::of_topics(),
            retained: 64,
            retained_for: Duration::from_secs(24 * 3600),
            copy_grace: Duration::from_secs(600),
            checkpoint_timeout: Duration::from_secs(600),
            backoff: Duration::from_secs(5),
            accept_existing_files: false,
            reads_only: false,
            writer: String::new(),
            seed: rand::random(),
            clock: Clock::default(),
        }
    }
}

impl fmt::Debug for SinkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkSettings")
            .field("job", &self.job)
            .field("url", &self.url)
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}
