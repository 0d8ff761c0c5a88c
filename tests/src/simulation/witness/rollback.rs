//! What a rollback may do to the chain, and to what readers see.

use tidegate_sinks::{Checkpoint, Commit, CommitId, Retracted, Span, TopicPartition};

use super::{Witness, final_path};

impl Witness {
    /// The chain goes back to where it has stood, and says which commits it takes back.
    pub(super) fn rolled_back(&mut self, body: &Checkpoint) {
        self.events.rollbacks += 1;
        let n = body.n;
        let stood = |state: &Checkpoint| {
            body.partitions.iter().all(|(partition, at)| match state.partitions.get(partition) {
                Some(then) => (then.next, then.rows) == (at.next, at.rows),
                None => at.next == at.start && at.rows == 0,
            })
        };
        match self.lineage.iter().rposition(stood) {
            Some(at) => self.lineage.truncate(at + 1),
            None => return self.accuse(format!("checkpoint {n} goes back to where the chain has not stood")),
        }
        let beyond = |(partition, span): (&TopicPartition, &Span)| {
            body.partitions.get(partition).is_none_or(|at| span.to > at.next)
        };
        let gone: Vec<CommitId> = self
            .in_force
            .values()
            .filter(|commit| commit.delta.0.iter().any(beyond))
            .map(|commit| commit.id.clone())
            .collect();
        for id in gone {
            let Some(commit) = self.in_force.remove(&id) else { continue };
            if let Some(path) = commit.files.iter().map(final_path).find(|path| self.taken.contains(path)) {
                self.accuse(format!("checkpoint {n} takes back {path}, which a user has moved away"));
            }
            self.retracted.insert(id, commit);
        }
        let rejects: u64 = self.in_force.values().map(|commit| commit.rejects).sum();
        if rejects != body.rejects {
            self.accuse(format!("checkpoint {n} counts {} rejects, {rejects} are in force", body.rejects));
        }
    }

    /// What the chain does not list as retracted any more is gone.
    pub(super) fn erased(&mut self, body: &Checkpoint) {
        let before = self.newest.iter().flat_map(|before| &before.retracted);
        let dropped = before.filter_map(|item| match item {
            Retracted::Commit(id) if !body.retracted.contains(item) => self.retracted.get(id),
            _ => None,
        });
        let mut left = dropped.flat_map(|commit| commit.files.iter().map(final_path));
        if let Some(path) = left.find(|path| self.visible.contains_key(path)) {
            self.accuse(format!(
                "checkpoint {} drops what it took back, but {path} is still visible",
                body.n
            ));
        }
    }

    /// Whether the newest checkpoint says that a commit is being taken back.
    pub(super) fn is_retracted(&self, id: &CommitId) -> bool {
        let item = Retracted::Commit(id.clone());
        self.newest.as_ref().is_some_and(|newest| newest.retracted.contains(&item))
    }

    /// A rollback was refused. There must be a reason.
    pub(crate) fn refused(&mut self, target: &Checkpoint) {
        self.events.refused += 1;
        let beyond = |(partition, span): (&TopicPartition, &Span)| {
            target.partitions.get(partition).is_none_or(|at| span.to > at.next)
        };
        let is_taken = |commit: &&Commit| {
            commit.delta.0.iter().any(beyond)
                && commit.files.iter().any(|file| self.taken.contains(&final_path(file)))
        };
        if self.lineage.contains(target) && !self.in_force.values().any(|commit| is_taken(&commit)) {
            self.accuse(format!("going back to checkpoint {} is refused without a reason", target.n));
        }
    }
}
