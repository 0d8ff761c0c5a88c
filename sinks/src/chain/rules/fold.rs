//! Forgetting: the oldest commits become one sum. Pure, like the rest of the protocol.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::is_in_force;
use crate::model::checkpoint::{Base, Checkpoint, Forgotten};
use crate::model::commit::{Commit, CommitId};
use crate::model::position::TopicPartition;

/// Adds to the base of `state` those of `stored` that are in force and visible, were made
/// before `before`, and follow without a gap. A commit that anybody still needs stops it: one
/// whose files are not all visible, or whose rejects are not sent; or a replay of rejects,
/// before their own commit is forgotten: nothing else tells that they were replayed. Returns
/// the base and the ids it has taken in now; `None` when there is nothing to take.
pub(crate) fn fold(
    state: &Checkpoint,
    stored: &[Commit],
    before: Timestamp,
    now: Timestamp,
) -> Option<(Base, Vec<CommitId>)> {
    let is_needed = |id: &CommitId| state.unpublished.contains(id) || state.unsent.contains(id);
    let in_force: Vec<&Commit> = stored.iter().filter(|commit| is_in_force(state, commit)).collect();
    let mut pending = in_force.clone();
    pending.retain(|commit| commit.created < before && !is_needed(&commit.id));
    let mut folded = Folding::new(state);
    let remembered = in_force.into_iter().filter(|commit| !state.has_forgotten(commit));
    folded.remembered = remembered.map(|commit| &commit.id).collect();
    // In the order of their ids all go in the first round, unless clocks disagreed.
    loop {
        let left = pending.len();
        pending.retain(|commit| !folded.takes(state, commit));
        if pending.len() == left {
            break;
        }
    }
    let last = folded.ids.iter().chain(state.base.iter().map(|base| &base.last)).max()?.clone();
    let Folding { partitions, rejects, commits, ids, .. } = folded;
    (!ids.is_empty()).then_some((Base { created: now, commits, last, rejects, partitions }, ids))
}

struct Folding<'a> {
    /// Commits that are neither forgotten nor taken.
    remembered: BTreeSet<&'a CommitId>,
    partitions: BTreeMap<TopicPartition, Forgotten>,
    rejects: u64,
    commits: u64,
    ids: Vec<CommitId>,
}

impl<'a> Folding<'a> {
    fn new(state: &Checkpoint) -> Self {
        let base = state.base.as_ref();
        Self {
            remembered: BTreeSet::new(),
            partitions: base.map(|base| base.partitions.clone()).unwrap_or_default(),
            rejects: base.map_or(0, |base| base.rejects),
            commits: base.map_or(0, |base| base.commits),
            ids: Vec::new(),
        }
    }

    /// Takes a commit that begins in every partition where what is taken so far ends.
    fn takes(&mut self, state: &Checkpoint, commit: &'a Commit) -> bool {
        let mut sources = commit.replay.iter().flat_map(|replay| &replay.sources);
        if sources.any(|source| self.remembered.contains(source)) {
            return false;
        }
        let follows = commit.delta.0.iter().all(|(partition, span)| {
            let taken = self.partitions.get(partition).map(|at| at.next);
            taken.or_else(|| state.partitions.get(partition).map(|at| at.start)) == Some(span.from)
        });
        if follows {
            for (partition, span) in &commit.delta.0 {
                let at = self
                    .partitions
                    .entry(partition.clone())
                    .or_insert(Forgotten { next: span.from, rows: 0 });
                at.next = span.to;
                at.rows += commit.rows.get(partition).copied().unwrap_or(0);
            }
            self.rejects += commit.rejects;
            self.commits += 1;
            self.ids.push(commit.id.clone());
            self.remembered.remove(&commit.id);
        }
        follows
    }
}
