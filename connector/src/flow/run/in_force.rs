//! Commits in force that are not known to be visible: whose they are, and since when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidegate_sinks::CommitId;
use tokio::time::Instant;

/// As the newest state has them.
#[derive(Debug, Default)]
pub(super) struct InForce {
    /// Commits of this replica, and since when.
    mine: BTreeMap<CommitId, Instant>,
    /// Commits of other replicas, and since when this one knows of them.
    others: BTreeMap<CommitId, Instant>,
}

impl InForce {
    pub(super) fn of(unpublished: &[CommitId]) -> Self {
        let mut in_force = Self::default();
        in_force.adopt(unpublished);
        in_force
    }

    /// Another state is the newest one, which lists these.
    pub(super) fn adopt(&mut self, unpublished: &[CommitId]) {
        self.mine.retain(|id, _| unpublished.contains(id));
        self.others.retain(|id, _| unpublished.contains(id));
        for id in unpublished.iter().filter(|id| !self.mine.contains_key(*id)) {
            self.others.entry(id.clone()).or_insert_with(Instant::now);
        }
    }

    /// This replica's commit is in force. It is nobody's any more when another replica
    /// has published and dropped it before the answer came: then nothing would ever
    /// take it out, and a stop would wait for it for ever.
    pub(super) fn committed(&mut self, id: &CommitId) {
        if let Some(since) = self.others.remove(id) {
            self.mine.insert(id.clone(), since);
        }
    }

    pub(super) fn published(&mut self, ids: &BTreeSet<CommitId>) {
        self.mine.retain(|id, _| !ids.contains(id));
        self.others.retain(|id, _| !ids.contains(id));
    }

    /// Own commits at once, and those of others when they have waited for longer than `patience`.
    pub(super) fn due(&self, patience: Duration) -> BTreeSet<CommitId> {
        let late = self.others.iter().filter(|(_, since)| since.elapsed() > patience);
        self.mine.iter().chain(late).map(|(id, _)| id.clone()).collect()
    }

    /// Whether all that this replica has committed is known to be visible.
    pub(super) fn is_mine_visible(&self) -> bool {
        self.mine.is_empty()
    }

    pub(super) fn contains(&self, id: &CommitId) -> bool {
        self.mine.contains_key(id) || self.others.contains_key(id)
    }

    /// For how long the oldest is in force, as far as this replica knows.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.mine.values().chain(self.others.values()).min().map(Instant::elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> CommitId {
        CommitId(id.into())
    }

    fn ids(of: &[&str]) -> Vec<CommitId> {
        of.iter().map(|of| id(of)).collect()
    }

    /// The store was away for longer than the patience of the other replica, and the
    /// answer to the commit came late.
    #[tokio::test]
    async fn a_commit_that_another_replica_has_made_visible_meanwhile_is_not_waited_for() {
        let mut in_force = InForce::of(&ids(&[]));
        in_force.adopt(&ids(&["other"]));
        in_force.committed(&id("late"));
        assert!(in_force.is_mine_visible(), "a stop would never end");
        in_force.adopt(&ids(&["other", "mine"]));
        in_force.committed(&id("mine"));
        assert!(!in_force.is_mine_visible());
        in_force.adopt(&ids(&["other"]));
        assert!(in_force.is_mine_visible());
    }

    #[tokio::test(start_paused = true)]
    async fn own_commits_are_published_at_once_and_others_after_a_while() {
        let mut in_force = InForce::of(&ids(&["other", "mine"]));
        in_force.committed(&id("mine"));
        let patience = Duration::from_secs(120);
        assert_eq!(in_force.due(patience), BTreeSet::from([id("mine")]));
        tokio::time::sleep(Duration::from_secs(121)).await;
        assert_eq!(in_force.due(patience), BTreeSet::from([id("mine"), id("other")]));
        in_force.published(&BTreeSet::from([id("mine")]));
        assert_eq!(in_force.oldest(), Some(Duration::from_secs(121)));
        assert!(in_force.is_mine_visible() && in_force.contains(&id("other")));
    }
}
