//! An operator who goes back to a kept state now and then. The start that does so
//! may be killed, hang or lose its answers like any other; it is repeated with the
//! same arguments until the chain says that it is done, or the sink refuses. Users
//! of the files wait meanwhile, as they are told to; replicas and collectors do not.

use std::time::Duration;

use tidegate::error::RunError;
use tidegate::flow::run::{Beginning, Summary};
use tidegate_sinks::{Restore, RestoreChoice, Restored};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::replica::Replica;
use super::{REST, Simulation};

/// A rollback that was begun, and is not known to be done.
#[derive(Debug)]
pub(super) struct Restoring {
    restore: Restore,
    /// The replica that was started for it last.
    replica: usize,
    is_refused: bool,
}

impl Simulation {
    /// Begins to go back, perhaps, and sees to what was begun.
    pub(super) fn operate(&mut self) {
        if self.restoring.is_some() {
            self.go_on();
        } else if self.place.chance.happens(self.place.scenario.rollback) {
            self.go_back();
        }
    }

    /// Nothing fails any more: what was begun is done or refused in the end.
    pub(super) async fn finish_restoring(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + REST;
        while self.restoring.is_some() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.reap().await?;
            self.go_on();
            self.check()?;
            if Instant::now() > deadline {
                return Err(format!("a rollback did not come to an end within {REST:?}"));
            }
        }
        Ok(())
    }

    fn go_back(&mut self) {
        let (place, mut world) = (self.place.clone(), self.place.world());
        let kept = &world.witness.kept;
        let recent = &kept[kept.len().saturating_sub(place.chance.number(2..60) as usize)..];
        let Some(target) = place.chance.pick(recent).cloned() else { return };
        world.stop_users();
        drop(world);
        let restored =
            Restored { from: format!("savepoint-{}", self.started), choice: RestoreChoice::Rollback };
        let restore = Restore { restored, target, again: false };
        let replica = self.start_restoring(&restore);
        self.restoring = Some(Restoring { restore, replica, is_refused: false });
    }

    fn start_restoring(&mut self, restore: &Restore) -> usize {
        let beginning = Beginning { restore: Some(restore.clone()), ..Beginning::default() };
        let id = self.started;
        self.replicas.push(Replica::start(&self.place, id, false, beginning));
        self.started += 1;
        id
    }

    fn go_on(&mut self) {
        let Some(mut restoring) = self.restoring.take() else { return };
        let is_done = {
            let mut world = self.place.world();
            let newest = world.witness.newest.as_ref();
            let is_done =
                newest.is_some_and(|state| state.restored.as_ref() == Some(&restoring.restore.restored));
            if !is_done && restoring.is_refused {
                world.witness.refused(&restoring.restore.target);
            }
            if is_done || restoring.is_refused {
                world.let_users_go_on();
            }
            is_done
        };
        if is_done || restoring.is_refused {
            return;
        }
        if !self.replicas.iter().any(|replica| replica.id == restoring.replica) {
            restoring.replica = self.start_restoring(&restoring.restore.clone());
        }
        self.restoring = Some(restoring);
    }

    /// Whether a replica ended because what it was to go back to was refused.
    pub(super) fn is_refused(
        &mut self,
        id: usize,
        ended: &Result<Result<Summary, RunError>, JoinError>,
    ) -> bool {
        let Some(restoring) = self.restoring.as_mut().filter(|restoring| restoring.replica == id) else {
            return false;
        };
        restoring.is_refused = matches!(ended, Ok(Err(RunError::Refused(..))));
        restoring.is_refused
    }
}
