//! The reference: a sink in memory, so simple that it is plainly right. One lock makes every step atomic, so
//! files are visible as soon as they are committed, nothing is ever unpublished, and every outcome is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::chain::rules;
use crate::model::checkpoint::{Checkpoint, RestoreChoice};
use crate::model::commit::{Begin, Commit, CommitId, StagedFile};
use crate::model::error::{Error, Kind};
use crate::model::limit::RejectLimit;
use crate::model::position::Position;
use crate::model::restore::{Plan, Restore};
use crate::sink::{Collected, Genesis, Outcome, Sink, Upload, Uploaded};
use crate::store::hex;

/// See the module. Clones are sinks of the same place.
#[derive(Clone, Debug)]
pub struct Memory {
    job: String,
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    newest: Option<Arc<Checkpoint>>,
    committed: BTreeMap<CommitId, Arc<Commit>>,
    begun: BTreeMap<CommitId, Begin>,
    staged: BTreeMap<(CommitId, String), Bytes>,
    visible: BTreeMap<String, Bytes>,
    sent: BTreeSet<CommitId>,
}

impl Memory {
    pub fn new(job: impl Into<String>) -> Self {
        Self { job: job.into(), world: Arc::default() }
    }

    /// What readers see: paths and bytes.
    pub fn visible(&self) -> BTreeMap<String, Bytes> {
        self.world().visible.clone()
    }

    /// Puts a file there that is not the sink's.
    pub fn plant(&self, path: impl Into<String>, bytes: Bytes) {
        self.world().visible.insert(path.into(), bytes);
    }

    /// Takes a file away, as a user does.
    pub fn take(&self, path: &str) {
        self.world().visible.remove(path);
    }

    /// The commits in force, in order of their ids.
    pub fn commits(&self) -> Vec<Arc<Commit>> {
        self.world().committed.values().cloned().collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn newest(&self) -> Result<Arc<Checkpoint>, Error> {
        self.newest.clone().ok_or_else(|| Error::new(Kind::Corrupt, "the chain has not begun"))
    }

    fn lists_sent(&self) -> bool {
        self.newest.as_ref().is_some_and(|newest| newest.unsent.iter().any(|id| self.sent.contains(id)))
    }

    fn remove_attempt(&mut self, id: &CommitId) {
        self.staged.retain(|(of, _), _| of != id);
        self.begun.remove(id);
    }

    fn commit(&mut self, commit: &Arc<Commit>, limit: RejectLimit) -> Result<Outcome, Error> {
        let newest = self.newest()?;
        if self.committed.contains_key(&commit.id) {
            return Ok(Outcome::Committed(newest));
        }
        rules::check_commit(commit)?;
        if !rules::untouched(&newest, &commit.begin()) {
            return Ok(Outcome::Fenced(newest));
        }
        let now = Timestamp::now();
        if let Err(exceeded) = limit.check(&newest, commit, now) {
            return Ok(Outcome::TooManyRejects { exceeded, newest });
        }
        let (none, nothing) = (BTreeSet::new(), BTreeSet::new());
        let mut body = rules::commit_on(&newest, &none, &nothing, commit, now);
        body.recent = limit.count(&newest.recent, commit, now);
        body.unpublished.clear();
        body.unsent.retain(|id| !self.sent.contains(id));
        rules::check_step(&newest, &body)?;
        for file in &commit.files {
            let lost =
                || Error::new(Kind::Corrupt, format!("{} of {} is not staged", file.staged, commit.id));
            let bytes = self.staged.get(&(commit.id.clone(), file.staged.clone())).ok_or_else(lost)?;
            self.visible.insert(file.path.clone(), bytes.clone());
        }
        self.remove_attempt(&commit.id);
        self.committed.insert(commit.id.clone(), Arc::clone(commit));
        let body = Arc::new(body);
        self.newest = Some(Arc::clone(&body));
        Ok(Outcome::Committed(body))
    }

    fn taken_back(&self, newest: &Checkpoint, target: &Checkpoint) -> Result<Vec<Arc<Commit>>, Error> {
        rules::check_target(newest, target)?;
        let taken =
            rules::taken_back(newest, target, self.committed.values().map(|commit| &**commit).collect())?;
        let own = |commit: &Commit| self.committed.get(&commit.id).cloned();
        Ok(taken.into_iter().filter_map(own).collect())
    }

    fn missing(&self, taken: &[Arc<Commit>]) -> Vec<String> {
        let files = taken.iter().flat_map(|commit| &commit.files).map(|file| file.path.clone());
        files.filter(|path| !self.visible.contains_key(path)).collect()
    }

    fn restore(&mut self, restore: &Restore) -> Result<Arc<Checkpoint>, Error> {
        let newest = self.newest()?;
        if restore.is_done_in(&newest) {
            return Ok(newest);
        }
        let mut taken = self.taken_back(&newest, &restore.target)?;
        if restore.restored.choice != RestoreChoice::Rollback {
            taken.clear();
        }
        if let Some(path) = self.missing(&taken).first() {
            return Err(Error::new(Kind::Refused, format!("{path} has been moved away")));
        }
        let ids: BTreeSet<_> = taken.iter().map(|commit| commit.id.clone()).collect();
        let (none, nothing) = (BTreeSet::new(), BTreeSet::new());
        let mut body = rules::restored_on(&newest, &none, &nothing, restore, &ids, Timestamp::now());
        body.retracted.clear();
        rules::check_step(&newest, &body)?;
        for file in taken.iter().flat_map(|commit| &commit.files) {
            self.visible.remove(&file.path);
        }
        self.committed.retain(|id, _| !ids.contains(id));
        let body = Arc::new(body);
        self.newest = Some(Arc::clone(&body));
        Ok(body)
    }

    fn plan(&self, target: &Checkpoint) -> Result<Plan, Error> {
        let newest = self.newest()?;
        let taken = self.taken_back(&newest, target)?;
        Ok(Plan::new(&newest, &rules::goal(&newest, target), &taken, self.missing(&taken), Duration::ZERO))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

#[async_trait]
impl Sink for Memory {
    async fn load(&self) -> Result<Option<Arc<Checkpoint>>, Error> {
        Ok(self.world().newest.clone())
    }

    async fn begin_chain(&self, genesis: Genesis) -> Result<Arc<Checkpoint>, Error> {
        let mut world = self.world();
        if let Some(newest) = &world.newest {
            return Ok(Arc::clone(newest));
        }
        let in_table = |path: &str| {
            genesis
                .overwrite_tables
                .iter()
                .any(|table| path.strip_prefix(table).is_some_and(|rest| rest.starts_with('/')))
        };
        world.visible.retain(|path, _| !in_table(path));
        let first = Arc::new(Checkpoint {
            cluster_id: genesis.cluster_id,
            epochs: genesis.epochs,
            pinned: genesis.pinned,
            restored: genesis.restored,
            incarnation: genesis.after_incarnation + 1,
            cuts: vec![Position::default(); genesis.after_incarnation as usize],
            ..Checkpoint::first(&self.job, Timestamp::now(), genesis.partitions)
        });
        world.newest = Some(Arc::clone(&first));
        Ok(first)
    }

    async fn begin(&self, begin: &Begin) -> Result<(), Error> {
        self.world().begun.insert(begin.id.clone(), begin.clone());
        Ok(())
    }

    async fn stage(&self, id: &CommitId, name: &str) -> Result<Box<dyn Upload>, Error> {
        let upload =
            MemoryUpload { sink: self.clone(), file: (id.clone(), name.to_owned()), bytes: BytesMut::new() };
        Ok(Box::new(upload))
    }

    async fn commit(
        &self,
        _base: Arc<Checkpoint>,
        commit: Arc<Commit>,
        limit: Option<RejectLimit>,
    ) -> Result<Outcome, Error> {
        self.world().commit(&commit, limit.unwrap_or_default())
    }

    async fn restore(&self, restore: &Restore) -> Result<Arc<Checkpoint>, Error> {
        self.world().restore(restore)
    }

    async fn plan_rollback(&self, target: &Checkpoint) -> Result<Plan, Error> {
        self.world().plan(target)
    }

    async fn publish(&self, _state: &Checkpoint, _ids: &[CommitId]) -> Result<bool, Error> {
        Ok(true)
    }

    async fn read_commit(&self, id: &CommitId) -> Result<Option<Commit>, Error> {
        Ok(self.world().committed.get(id).map(|commit| Commit::clone(commit)))
    }

    async fn read_visible(&self, file: &StagedFile, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        let part = |bytes: &Bytes| bytes.slice(range.start as usize..range.end as usize);
        Ok(self.world().visible.get(&file.path).map(part))
    }

    fn note_sent(&self, _state: &Checkpoint, id: &CommitId) {
        self.world().sent.insert(id.clone());
    }

    async fn settle(&self, _base: Arc<Checkpoint>) -> Result<Arc<Checkpoint>, Error> {
        let mut world = self.world();
        let newest = world.newest()?;
        if !world.lists_sent() {
            return Ok(newest);
        }
        let (none, nothing) = (BTreeSet::new(), BTreeSet::new());
        let mut body = rules::housekeeping_on(&newest, &none, &nothing, Timestamp::now());
        body.unsent.retain(|id| !world.sent.contains(id));
        let body = Arc::new(body);
        world.newest = Some(Arc::clone(&body));
        Ok(body)
    }

    async fn pin(&self, _base: Arc<Checkpoint>, additions: &Value) -> Result<Arc<Checkpoint>, Error> {
        let mut world = self.world();
        let newest = world.newest()?;
        let (none, nothing) = (BTreeSet::new(), BTreeSet::new());
        match rules::pins::pinned_on(&newest, &none, &nothing, additions, Timestamp::now()) {
            None => Ok(newest),
            Some(body) => {
                let body = Arc::new(body);
                world.newest = Some(Arc::clone(&body));
                Ok(body)
            }
        }
    }

    fn has_finished(&self) -> bool {
        self.world().lists_sent()
    }

    async fn discard(&self, id: &CommitId) -> Result<(), Error> {
        self.world().remove_attempt(id);
        Ok(())
    }

    async fn collect(&self, state: &Checkpoint, dry_run: bool) -> Result<Collected, Error> {
        let mut world = self.world();
        let dead = world.begun.values().filter(|begin| rules::may_collect_staged(state, begin));
        let attempts: Vec<CommitId> = dead.map(|begin| begin.id.clone()).collect();
        if !dry_run {
            attempts.iter().for_each(|id| world.remove_attempt(id));
        }
        Ok(Collected { attempts, ..Collected::default() })
    }
}

#[derive(Debug)]
struct MemoryUpload {
    sink: Memory,
    file: (CommitId, String),
    bytes: BytesMut,
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    fn held(&self) -> usize {
        0
    }

    async fn finish(self: Box<Self>) -> Result<Uploaded, Error> {
        let bytes = self.bytes.freeze();
        let uploaded = Uploaded { bytes: bytes.len() as u64, sha256: hex(Sha256::new_with_prefix(&bytes)) };
        self.sink.world().staged.insert(self.file, bytes);
        Ok(uploaded)
    }
}
