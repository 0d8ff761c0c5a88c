//! Plain Parquet tables in folders, with the chain of checkpoints beside them.
//!
//! The guarantee of every sink, from two promises of the store alone: an object is created at most once, and appears
//! whole. A commit takes five steps, each durable before the next: `begin.json`, the staged files, the staged
//! manifest, the checkpoint that makes it a commit, and the moves that make its files visible; then
//! `commits/<id>.json`, which therefore names only what is in force and visible. Each step can be repeated by
//! anybody, so whoever finds a job interrupted finishes it.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::checkpoint::Checkpoint;
use crate::commit::{Begin, Commit, CommitId, StagedFile};
use crate::error::{Error, Kind};
use crate::limit::RejectLimit;
use crate::mistakes::made;
use crate::restore::{Plan, Restore};
use crate::sink::{Collected, Genesis, Outcome, Sink, StagedTotal, Upload};
use crate::store::{self, Store};

mod checkpoint;
mod collect;
mod finished;
mod forget;
mod genesis;
mod inspect;
mod paths;
mod probe;
mod proof;
mod publish;
mod read;
mod restore;
pub(crate) mod rules;
mod settings;

pub use forget::Forgetting;
pub use inspect::{VisibleFile, check_inventory};
pub use paths::{FinalName, RESERVED, path_room};
pub use proof::Proof;
pub use restore::Known;
pub use settings::{Clock, FilesSettings, MAX_RETAINED, Tables};

use finished::Finished;
use paths::Paths;
use proof::Watch;

/// See the module.
pub struct FilesSink {
    settings: FilesSettings,
    /// Tables and staged files.
    data: Arc<dyn Store>,
    /// Checkpoints and commits.
    state: Arc<dyn Store>,
    paths: Paths,
    finished: Mutex<Finished>,
    /// The highest checkpoint ever accepted by this process.
    seen: AtomicU64,
    rng: Mutex<StdRng>,
    /// That the place of the checkpoints creates an object at most once.
    proof: OnceCell<Proof>,
    /// The own checkpoints, which stay what they are if that is true.
    watch: Mutex<Watch>,
    /// Commits of this process of which it has published nothing yet.
    fresh: Mutex<BTreeSet<CommitId>>,
    /// Folders into which staged files were proven to move.
    proven: Mutex<BTreeSet<String>>,
}

impl FilesSink {
    /// Opens the stores. Asks them nothing, and creates nothing.
    ///
    /// Errors: `Config`.
    pub fn open(settings: FilesSettings) -> Result<Self, Error> {
        let url = settings.url.trim_end_matches('/');
        let open = if settings.reads_only { store::open_to_read } else { store::open };
        let data = open(url, &settings.options, settings.retries)?;
        let beside = || format!("{url}/{RESERVED}/{}", settings.job);
        let state = settings.state_url.clone().unwrap_or_else(beside);
        let state = open(&state, &settings.options, settings.retries)?;
        let sink = Self::with_stores(settings, data, state)?;
        Ok(Self { proof: OnceCell::new(), ..sink })
    }

    /// With stores that are open already, and of which is known that they create an object at most once: tables and staged
    /// files in one, checkpoints and commits in the other.
    ///
    /// Errors: `Config`.
    pub fn with_stores(
        settings: FilesSettings,
        data: Arc<dyn Store>,
        state: Arc<dyn Store>,
    ) -> Result<Self, Error> {
        Ok(Self {
            paths: Paths::new(&settings.job)?,
            rng: Mutex::new(StdRng::seed_from_u64(settings.seed)),
            settings,
            data,
            state,
            finished: Mutex::default(),
            seen: AtomicU64::new(0),
            proof: OnceCell::new_with(Some(Proof::default())),
            watch: Mutex::default(),
            fresh: Mutex::default(),
            proven: Mutex::default(),
        })
    }

    /// Waits a random time, longer with each failure, so that writers who lost to each other do not meet again.
    async fn pause(&self, failures: u32) {
        let longest = self.settings.backoff;
        let limit = (longest / 100).saturating_mul(1 << failures.min(16)).min(longest);
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let nanos = lock(&self.rng).random_range(0..=limit);
        tokio::time::sleep(Duration::from_nanos(nanos)).await;
    }
}

/// Nothing is left half-done while one of the sink's locks is held, so a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn to_json<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    let json = serde_json::to_vec_pretty(value);
    let failed = |source| Error::new(Kind::Corrupt, "a value does not go into JSON").with_source(source);
    json.map(Bytes::from).map_err(failed)
}

/// Reads a stored object, its format first.
///
/// Errors: `Config` for a newer format; `Corrupt` when it does not read.
fn from_json<T: DeserializeOwned>(store: &dyn Store, path: &str, bytes: &[u8]) -> Result<T, Error> {
    let corrupt = |source: serde_json::Error| {
        Error::new(Kind::Corrupt, format!("{store}/{path} does not read")).with_source(source)
    };
    #[derive(serde::Deserialize)]
    struct Versioned {
        format: u32,
    }
    let Versioned { format } = serde_json::from_slice(bytes).map_err(corrupt)?;
    if format > crate::checkpoint::FORMAT {
        let known = crate::checkpoint::FORMAT;
        let context = format!("{store}/{path} has format {format}, this version knows {known}: upgrade it");
        return Err(Error::new(Kind::Config, context));
    }
    serde_json::from_slice(bytes).map_err(corrupt)
}

impl fmt::Debug for FilesSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesSink").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Display for FilesSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data.fmt(f)
    }
}

#[async_trait]
impl Sink for FilesSink {
    async fn load(&self) -> Result<Option<Arc<Checkpoint>>, Error> {
        // Only once: from then on, the chain is known not to get shorter.
        let first = self.seen.load(Ordering::Relaxed) == 0;
        let stored = if first { self.newest_commits().await? } else { Vec::new() };
        if let Some(newest) = self.newest().await? {
            return self.refuse_shortened_chain(&newest, &stored).map(|()| Some(newest));
        }
        match self.refuse_lost_chain().await {
            // A chain that has begun since the first look has files by now; they are no sign of a loss.
            Err(refused) if refused.kind == Kind::Refused && !made("refuse-without-second-look") => {
                self.newest().await?.map(Some).ok_or(refused)
            }
            answer => answer.map(|()| None),
        }
    }

    async fn begin_chain(&self, genesis: Genesis) -> Result<Arc<Checkpoint>, Error> {
        self.in_time("begin the chain", self.begin_or_load(genesis)).await
    }

    async fn begin(&self, begin: &Begin) -> Result<(), Error> {
        self.data.put(&self.paths.begin(&begin.id), to_json(begin)?).await
    }

    async fn stage(&self, id: &CommitId, name: &str) -> Result<Box<dyn Upload>, Error> {
        self.data.upload(&self.paths.staged(id, name)?).await
    }

    async fn commit(
        &self,
        base: Arc<Checkpoint>,
        commit: Arc<Commit>,
        limit: Option<RejectLimit>,
    ) -> Result<Outcome, Error> {
        let what = format!("commit {}", commit.id);
        let committing = async {
            if let Err(refused) = self.prove_moves(&commit).await {
                // It was not sent, and never will be; what stays of it is the collector's.
                let _ = self.remove_attempt(&commit.id).await;
                return Err(refused);
            }
            self.send(base, &commit, limit.unwrap_or_default()).await
        };
        let outcome = self.in_time(&what, committing).await?;
        if matches!(outcome, Outcome::Committed(_)) {
            lock(&self.fresh).insert(commit.id.clone());
        }
        Ok(outcome)
    }

    async fn restore(&self, restore: &Restore) -> Result<Arc<Checkpoint>, Error> {
        let what = format!("restore {}", restore.restored.from);
        self.in_time(&what, self.restore_kept(restore)).await
    }

    async fn plan_rollback(&self, target: &Checkpoint) -> Result<Plan, Error> {
        self.plan_to(target).await
    }

    async fn publish(&self, state: &Checkpoint, ids: &[CommitId]) -> Result<bool, Error> {
        self.publish_or_erase(state, ids).await
    }

    async fn read_commit(&self, id: &CommitId) -> Result<Option<Commit>, Error> {
        self.find_commit(id).await
    }

    async fn read_visible(&self, file: &StagedFile, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        self.data.get_range(&self.paths.final_path(file)?, range).await
    }

    fn note_sent(&self, state: &Checkpoint, id: &CommitId) {
        lock(&self.finished).sent(id.clone(), state.n);
    }

    async fn settle(&self, base: Arc<Checkpoint>) -> Result<Arc<Checkpoint>, Error> {
        self.drop_finished(base).await
    }

    async fn pin(
        &self,
        base: Arc<Checkpoint>,
        additions: &serde_json::Value,
    ) -> Result<Arc<Checkpoint>, Error> {
        self.in_time("pin what the job goes by", self.pin_on(base, additions)).await
    }

    fn has_finished(&self) -> bool {
        !lock(&self.finished).is_empty()
    }

    async fn discard(&self, id: &CommitId) -> Result<(), Error> {
        self.remove_attempt(id).await
    }

    async fn staged(&self) -> Result<StagedTotal, Error> {
        Ok(collect::total(&self.staged_bytes().await?))
    }

    async fn collect(&self, state: &Checkpoint, dry_run: bool) -> Result<Collected, Error> {
        self.collect_leftovers(state, dry_run).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
