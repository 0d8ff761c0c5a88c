//! The reference: a sink in memory, so simple that it is plainly right. One lock makes every step atomic, so files
//! are visible as soon as they are committed, nothing is ever unpublished, and every outcome is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::checkpoint::{Checkpoint, FORMAT};
use crate::commit::{Begin, Commit, CommitId};
use crate::error::{Error, Kind};
use crate::files::rules;
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

    fn remove_attempt(&mut self, id: &CommitId) {
        self.staged.retain(|(of, _), _| of != id);
        self.begun.remove(id);
    }

    fn commit(&mut self, commit: &Arc<Commit>, max_rejects: Option<u64>) -> Result<Outcome, Error> {
        let newest = self.newest()?;
        if self.committed.contains_key(&commit.id) {
            return Ok(Outcome::Committed(newest));
        }
        rules::check_commit(commit)?;
        if !rules::untouched(&newest, &commit.begin()) {
            return Ok(Outcome::Fenced(newest));
        }
        let total = newest.rejects + commit.rejects;
        if max_rejects.is_some_and(|limit| total > limit) {
            return Ok(Outcome::TooManyRejects { total, newest });
        }
        let (none, nothing) = (BTreeSet::new(), BTreeSet::new());
        let mut body = rules::commit_on(&newest, &none, &nothing, commit, Timestamp::now());
        body.unpublished.clear();
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
            format: FORMAT,
            n: 1,
            job: self.job.clone(),
            incarnation: 1,
            created: Timestamp::now(),
            cluster_id: genesis.cluster_id,
            partitions: genesis.partitions,
            commit: None,
            history: Vec::new(),
            unpublished: Vec::new(),
            retracted: Vec::new(),
            cuts: Vec::new(),
            rejects: 0,
            gaps: Vec::new(),
            pinned: genesis.pinned,
            other: BTreeMap::new(),
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
        max_rejects: Option<u64>,
    ) -> Result<Outcome, Error> {
        self.world().commit(&commit, max_rejects)
    }

    async fn publish(&self, _state: &Checkpoint, _ids: &[CommitId]) -> Result<(), Error> {
        Ok(())
    }

    async fn settle(&self, _base: Arc<Checkpoint>) -> Result<Arc<Checkpoint>, Error> {
        self.world().newest()
    }

    fn has_finished(&self) -> bool {
        false
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

    async fn finish(self: Box<Self>) -> Result<Uploaded, Error> {
        let bytes = self.bytes.freeze();
        let uploaded = Uploaded { bytes: bytes.len() as u64, sha256: hex(Sha256::new_with_prefix(&bytes)) };
        self.sink.world().staged.insert(self.file, bytes);
        Ok(uploaded)
    }
}
