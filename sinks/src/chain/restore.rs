//! Going back to a kept state.
//!
//! The guarantee: a rollback is one checkpoint, so it happens or it does not. What it takes back is found
//! after the state that it follows was loaded; if anybody was faster, it is found again. From that checkpoint
//! on no writer of before can commit, and nothing is published until all that was taken back is erased.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Chain, lock, rules};
use crate::failpoints::pass;
use crate::model::checkpoint::{Checkpoint, RestoreChoice};
use crate::model::commit::{Commit, CommitId};
use crate::model::error::{Error, Kind};
use crate::model::restore::{Plan, Restore};

/// Commits that were read already: none ever changes.
pub type Known = BTreeMap<CommitId, Commit>;

impl Chain {
    /// Builds everything anew each time that somebody else was faster, until the chain
    /// says that it is restored.
    pub(super) async fn restore_kept(&self, restore: &Restore) -> Result<Arc<Checkpoint>, Error> {
        let mut newest = self.newest_at_last().await?;
        let since = newest.incarnation;
        let (mut known, mut failures) = (Known::new(), 0);
        while !rules::is_restored(&newest, restore, since) {
            if failures > 0 {
                self.pause(failures - 1).await;
            }
            failures += 1;
            let body = match self.restored_body(&newest, restore, &mut known).await {
                Ok(body) => Arc::new(body),
                Err(error) => {
                    let before = newest.n;
                    newest = self.newest_at_last().await?;
                    // What was found may belong to another state than the one that it was held against.
                    if error.kind != Kind::Retry && newest.n == before {
                        return Err(error);
                    }
                    tracing::warn!(%error, "restoring; trying again");
                    continue;
                }
            };
            pass("rollback", "create", "before")?;
            newest = self.look_after(&body, newest).await?;
            pass("rollback", "create", "after")?;
        }
        Ok(newest)
    }

    async fn restored_body(
        &self,
        newest: &Checkpoint,
        restore: &Restore,
        known: &mut Known,
    ) -> Result<Checkpoint, Error> {
        (self.rules.check_target)(newest, &restore.target)?;
        pass("rollback", "plan", "before")?;
        let taken = match restore.restored.choice {
            RestoreChoice::Rollback => self.taken_back(newest, &restore.target, known).await?,
            RestoreChoice::KeepSink | RestoreChoice::NewIncarnation => Vec::new(),
        };
        let missing = self.missing(&taken, &newest.unpublished).await?;
        if let Some(path) = missing.first() {
            let context = format!(
                "{} of the files that a rollback to checkpoint {} takes back are gone, the first is {}/{path}: somebody has \
                 moved them away, and their records would be written again; bring them back, or restore with --keep-sink",
                missing.len(),
                restore.target.n,
                self
            );
            return Err(Error::new(Kind::Refused, context));
        }
        pass("rollback", "plan", "after")?;
        let taken: BTreeSet<_> = taken.into_iter().map(|commit| commit.id.clone()).collect();
        let (published, erased) = lock(&self.finished).lists();
        let now = self.settings.clock.now();
        let body = (self.rules.restored_on)(newest, &published, &erased, restore, &taken, now);
        (self.rules.check_step)(newest, &body)?;
        Ok(body)
    }

    /// The commits between the target and the newest state.
    async fn taken_back<'a>(
        &self,
        newest: &Checkpoint,
        target: &Checkpoint,
        known: &'a mut Known,
    ) -> Result<Vec<&'a Commit>, Error> {
        let in_force: BTreeSet<_> = self.commits_in_force(newest, known).await?.into_iter().collect();
        let in_force = known.values().filter(|commit| in_force.contains(&commit.id)).collect();
        (self.rules.taken_back)(newest, target, in_force)
    }

    /// What a rollback to `target` would take back.
    pub(super) async fn plan_to(&self, target: &Checkpoint) -> Result<Plan, Error> {
        let newest = self.newest_at_last().await?;
        (self.rules.check_target)(&newest, target)?;
        let mut known = Known::new();
        let taken = self.taken_back(&newest, target, &mut known).await?;
        let (goal, missing) =
            (rules::goal(&newest, target), self.missing(&taken, &newest.unpublished).await?);
        Ok(Plan::new(&newest, &goal, &taken, missing, self.longest_late()))
    }
}
