//! The job's log on a [`Store`]: the chain of checkpoints that says what is in force, what waits staged, and
//! the driving of the [`Table`] in which readers see it. It is the same whatever the tables are.
//!
//! The guarantee of every sink, from two promises of the store alone: an object is created at most once, and
//! appears whole. A commit takes five steps, each durable before the next: `begin.json`, the staged files,
//! the staged manifest, the checkpoint that makes it a commit, and the changes of tables that make its files
//! visible; then `commits/<id>.json`, which therefore names only what is in force and visible. Each step can
//! be repeated by anybody, so whoever finds a job interrupted finishes it.

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
use tokio::sync::OnceCell;

use crate::model::checkpoint::Checkpoint;
use crate::model::commit::{Begin, Commit, CommitId, StagedFile};
use crate::model::error::{Error, Kind};
use crate::model::limit::RejectLimit;
use crate::model::restore::{Plan, Restore};
use crate::moves::Moves;
use crate::settings::SinkSettings;
use crate::sink::{Collected, Genesis, Outcome, Sink, StagedTotal, Upload};
use crate::store::Store;
use crate::table::Table;

mod append;
mod collect;
mod finished;
mod first;
mod forget;
mod inspect;
mod load;
pub(crate) mod paths;
mod probe;
mod proof;
mod publish;
mod restore;
pub mod rules;
pub(crate) mod shared;
mod staging;
mod tables;

pub use forget::Forgetting;
pub use inspect::check_inventory;
pub use paths::RESERVED;
pub use proof::Proof;
pub use restore::Known;
pub use rules::pins::merged as merge_pins;

use finished::Finished;
use paths::Paths;
use proof::Watch;
use rules::Rules;

/// See the module.
pub struct Chain {
    settings: SinkSettings,
    rules: Rules,
    /// Staged files, and the rejects of commits in force.
    data: Arc<dyn Store>,
    /// Checkpoints and commits.
    state: Arc<dyn Store>,
    table: Arc<dyn Table>,
    rejects: Moves,
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
}

impl Chain {
    /// With stores that are open already, and of which nothing is known yet. `data` holds staged files and
    /// rejects, `state` checkpoints and commits.
    ///
    /// Errors: `Config`.
    pub(crate) fn new(
        settings: SinkSettings,
        data: Arc<dyn Store>,
        state: Arc<dyn Store>,
        table: Arc<dyn Table>,
    ) -> Result<Self, Error> {
        let paths = Paths::new(&settings.job)?;
        Ok(Self {
            rejects: Moves::new(Arc::clone(&data), paths.attempts(), settings.copy_grace),
            paths,
            rng: Mutex::new(StdRng::seed_from_u64(settings.seed)),
            settings,
            rules: Rules::SOUND,
            data,
            state,
            table,
            finished: Mutex::default(),
            seen: AtomicU64::new(0),
            proof: OnceCell::new(),
            watch: Mutex::default(),
            fresh: Mutex::default(),
        })
    }

    /// Takes the place of the checkpoints as proved to create an object at most once.
    pub(crate) fn proved(self) -> Self {
        Self { proof: OnceCell::new_with(Some(Proof::default())), ..self }
    }

    /// Has it go by other rules than the protocol's, as only tests do.
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// How long a change of what is visible that nobody waits for any more may still take effect.
    fn longest_late(&self) -> Duration {
        self.table.longest_late().max(self.rejects.longest_late())
    }

    /// Waits a random time, longer with each failure, so that writers who lost to each
    /// other do not meet again.
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

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("settings", &self.settings)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)
    }
}

#[async_trait]
impl Sink for Chain {
    async fn load(&self) -> Result<Option<Arc<Checkpoint>>, Error> {
        // Only once: from then on, the chain is known not to get shorter.
        let first = self.seen.load(Ordering::Relaxed) == 0;
        let stored = if first { self.newest_commits().await? } else { Vec::new() };
        if let Some(newest) = self.newest().await? {
            return self.refuse_shortened_chain(&newest, &stored).map(|()| Some(newest));
        }
        match self.refuse_lost_chain().await {
            Err(refused) if refused.kind == Kind::Refused => {
                let begun = self.newest().await?;
                if (self.rules.is_chain_lost)(begun.as_deref()) { Err(refused) } else { Ok(begun) }
            }
            answer => answer.map(|()| None),
        }
    }

    async fn begin_chain(&self, genesis: Genesis) -> Result<Arc<Checkpoint>, Error> {
        self.in_time("begin the chain", self.begin_or_load(genesis)).await
    }

    async fn begin(&self, begin: &Begin) -> Result<(), Error> {
        self.put_begin(begin).await
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
            if let Err(refused) = self.prove_tables(&commit).await {
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
        self.read_range(&self.paths.final_path(file)?, range).await
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
