//! What this process has made visible or erased and no checkpoint has dropped yet. It stays in force after a
//! lost slot; lost with the process, it is found out again by whoever publishes next.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::checkpoint::{Checkpoint, Retracted};
use crate::model::commit::CommitId;

#[derive(Debug, Default)]
pub(super) struct Finished {
    /// With the number of the checkpoint that listed it.
    published: BTreeMap<CommitId, u64>,
    erased: BTreeMap<Retracted, u64>,
    /// Commits whose rejects are in their topic.
    sent: BTreeMap<CommitId, u64>,
}

impl Finished {
    pub(super) fn is_empty(&self) -> bool {
        self.published.is_empty() && self.erased.is_empty() && self.sent.is_empty()
    }

    pub(super) fn has_published(&self, id: &CommitId) -> bool {
        self.published.contains_key(id)
    }

    pub(super) fn published(&mut self, id: CommitId, listed_by: u64) {
        self.published.insert(id, listed_by);
    }

    pub(super) fn erased(&mut self, item: Retracted, listed_by: u64) {
        self.erased.insert(item, listed_by);
    }

    pub(super) fn sent(&mut self, id: CommitId, listed_by: u64) {
        self.sent.insert(id, listed_by);
    }

    /// What the body of a checkpoint still lists as unsent.
    pub(super) fn drop_sent(&self, unsent: &mut Vec<CommitId>) {
        unsent.retain(|id| !self.sent.contains_key(id));
    }

    /// Copies, for the body of a checkpoint.
    pub(super) fn lists(&self) -> (BTreeSet<CommitId>, BTreeSet<Retracted>) {
        (self.published.keys().cloned().collect(), self.erased.keys().cloned().collect())
    }

    /// Forgets what an accepted state lists no more. A state older than the one that listed it says nothing.
    pub(super) fn forget_dropped(&mut self, state: &Checkpoint) {
        retain_listed(&mut self.published, state.n, &state.unpublished);
        retain_listed(&mut self.erased, state.n, &state.retracted);
        retain_listed(&mut self.sent, state.n, &state.unsent);
    }
}

/// What `mode: overwrite` has found may be a hundred thousand files, all erased at the same time.
fn retain_listed<T: Ord>(finished: &mut BTreeMap<T, u64>, n: u64, listed: &[T]) {
    if !finished.is_empty() {
        let listed: BTreeSet<_> = listed.iter().collect();
        finished.retain(|item, listed_by| *listed_by > n || listed.contains(item));
    }
}
