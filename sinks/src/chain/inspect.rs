//! Reading what lies in the sink, for people and for the audit. Nothing of the chain is changed here.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::first::LATELY;
use super::paths::{Paths, RESERVED};
use super::restore::Known;
use super::shared::SharedObjects;
use super::{Chain, paths, rules};
use crate::model::checkpoint::Checkpoint;
use crate::model::commit::{Commit, CommitId, StagedFile};
use crate::model::error::{Error, Kind};
use crate::store::check_path;

/// Commits that are read at the same time.
const AT_ONCE: usize = 16;
/// Commits that a glance reads.
const RECENT: usize = 1_000;

/// Refuses a state and its commits, read from elsewhere than a sink's own chain, when one contradicts itself,
/// is not in force as of the state, or names a file outside the tables.
///
/// Errors: `Corrupt`.
pub fn check_inventory(state: &Checkpoint, commits: &[Commit]) -> Result<(), Error> {
    rules::check_state(state)?;
    let paths = Paths::new(&state.job)?;
    let mut ids = BTreeSet::new();
    for commit in commits {
        let refuse = |what: &str| Err(Error::new(Kind::Corrupt, format!("commit {}: {what}", commit.id)));
        if commit.job != state.job {
            return refuse("belongs to another job");
        }
        if commit.id.0.contains('/') || check_path(&commit.id.0).is_err() {
            return refuse("its id is not a folder's name");
        }
        if !ids.insert(&commit.id) {
            return refuse("is there twice");
        }
        rules::check_commit(commit)?;
        if !rules::is_in_force(state, commit) {
            return refuse(&format!("is not in force as of checkpoint {}", state.n));
        }
        for file in &commit.files {
            paths.final_path(file)?;
            paths.staged(&commit.id, &file.staged)?;
        }
    }
    match state.unpublished.iter().find(|id| !ids.contains(id)) {
        Some(id) => {
            Err(Error::new(Kind::Corrupt, format!("commit {id} of checkpoint {} is absent", state.n)))
        }
        None => Ok(()),
    }
}

impl Chain {
    /// What replicas and people tell each other about the job.
    pub fn shared_objects(&self) -> SharedObjects {
        SharedObjects::new(Arc::clone(&self.state))
    }

    /// The numbers of the stored checkpoints, ascending.
    pub async fn checkpoints(&self) -> Result<Vec<u64>, Error> {
        self.checkpoint_numbers().await
    }

    /// A stored checkpoint, if it is still there.
    ///
    /// Errors: as those of [`Sink::load`](crate::sink::Sink::load).
    pub async fn read_checkpoint(&self, n: u64) -> Result<Option<Checkpoint>, Error> {
        match self.state.get(&paths::checkpoint(n)).await? {
            Some(bytes) => self.parse(n, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The commits in force as of an accepted state that its base does not count already, in order of their
    /// ids: those whose files are all visible, and those that the state lists as unpublished. Together with
    /// the base they cover every partition from its start to its position.
    ///
    /// Errors: `Corrupt`, when one does not read, or an unpublished one is gone; `Retry`, when some were
    /// forgotten since the state was loaded: load it again.
    pub async fn commits(&self, state: &Checkpoint) -> Result<Vec<Commit>, Error> {
        self.commits_beside(state, Known::new()).await
    }

    /// The same, where some were read before: only the others are read.
    ///
    /// Errors: as those of [`Chain::commits`].
    pub async fn commits_beside(&self, state: &Checkpoint, mut known: Known) -> Result<Vec<Commit>, Error> {
        let ids = self.commits_in_force(state, &mut known).await?;
        // A `forget` removes commits that the state still counts one by one, after it has
        // put them into a newer base.
        let newest = self.newest().await?;
        if newest.is_some_and(|newest| newest.base != state.base) {
            let context = format!("commits of checkpoint {} have been forgotten since", state.n);
            return Err(Error::new(Kind::Retry, context));
        }
        Ok(ids.iter().filter_map(|id| known.remove(id)).collect())
    }

    /// The stored commits of the day before `state`, at most the newest thousand: what
    /// a glance at a job may take.
    pub async fn recent_commits(&self, state: &Checkpoint) -> Result<Vec<Commit>, Error> {
        let ids = self.stored_ids_since(state.created - LATELY).await?;
        let newest = ids.into_iter().rev().take(RECENT);
        let found = stream::iter(newest).map(async |id: CommitId| self.stored_commit(&id).await);
        let found: Vec<_> = found.buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().filter(|commit| rules::is_in_force(state, commit)).collect())
    }

    /// Their ids, in order. Reads only those that are not known, and adds them to what is.
    pub(super) async fn commits_in_force(
        &self,
        state: &Checkpoint,
        known: &mut Known,
    ) -> Result<Vec<CommitId>, Error> {
        let mut ids = self.stored_ids().await?;
        ids.extend(state.unpublished.iter().cloned());
        ids.sort_unstable();
        ids.dedup();
        let unknown: Vec<_> = ids.iter().filter(|id| !known.contains_key(*id)).cloned().collect();
        let found = stream::iter(unknown).map(async |id: CommitId| self.find_commit(&id).await);
        let found: Vec<_> = found.buffered(AT_ONCE).try_collect().await?;
        known.extend(found.into_iter().flatten().map(|commit| (commit.id.clone(), commit)));
        if let Some(id) = state.unpublished.iter().find(|id| !known.contains_key(*id)) {
            let context = format!("commit {id} of checkpoint {} is neither staged nor stored", state.n);
            return Err(Error::new(Kind::Corrupt, context));
        }
        let counts = |commit: &Commit| rules::is_in_force(state, commit) && !state.has_forgotten(commit);
        ids.retain(|id| known.get(id).is_some_and(counts));
        Ok(ids)
    }

    /// Where a file of a commit is visible, relative to the sink's URL.
    ///
    /// Errors: `Corrupt`, when that is outside the tables.
    pub fn visible_path(&self, file: &StagedFile) -> Result<String, Error> {
        self.paths.final_path(file)
    }

    /// A visible file, by its path relative to the sink's URL, if it is there.
    pub async fn read_file(&self, path: &str) -> Result<Option<Bytes>, Error> {
        if is_beside_tables(path) { self.data.get(path).await } else { self.table.read(path, None).await }
    }

    /// A part of a visible file that is at least that long.
    pub async fn read_range(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        if is_beside_tables(path) {
            self.data.get_range(path, range).await
        } else {
            self.table.read(path, Some(range)).await
        }
    }
}

fn is_beside_tables(path: &str) -> bool {
    path.split('/').next() == Some(RESERVED)
}
