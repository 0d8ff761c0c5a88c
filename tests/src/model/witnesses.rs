//! Small configurations that show what can happen, and that nobody gets stuck.

use super::config::{gc, new_lane, one_lane, overwriting, racing, sound, two_lanes, with_manifests};
use super::events::Event::{self, *};
use super::properties::witness;
use super::rules::{PublishBy, Rules};
use super::runs::Run;
use super::system::Bounds;

/// A run that must reach all of `events`.
fn reaching(name: &'static str, events: &[Event], rules: Rules, bounds: Bounds) -> Run {
    let bounds = Bounds { remember_events: true, ..bounds };
    let expect = events.iter().map(|&event| witness(event)).collect();
    Run { expect, ..Run::new(name, "", rules, bounds) }
}

/// Configurations that together reach every event.
pub fn witness_runs() -> Vec<Run> {
    let manifests = with_manifests();
    let begun = Bounds { stepwise_attempts: true, ..one_lane() };
    let starting = [Committed, Fenced, Unknown, AlreadyPublished, FalseSuspicion, Consumed, StagedCollected];
    let ghosts = [Ghost, OwnAlreadyExists, LoadNotFound, LoadOvertaken];
    vec![
        reaching("witness-lane", &starting, sound(), one_lane()),
        reaching("witness-gc", &ghosts, sound(), gc(Bounds { duplicates: 1, ..one_lane() })),
        reaching("witness-lanes", &[Rebased], sound(), two_lanes()),
        reaching(
            "witness-rollback",
            &[RolledBack, Retracted],
            sound(),
            Bounds { rollbacks: 1, ..one_lane() },
        ),
        reaching(
            "witness-genesis",
            &[ChainAppeared, LostChainRefused],
            sound(),
            Bounds { losses: 1, ..racing() },
        ),
        reaching("witness-genesis-gc", &[GenesisLost, GenesisGhost], sound(), gc(racing())),
        reaching("witness-new-lane", &[LaneAdded, LaneTaken], sound(), new_lane()),
        reaching("witness-attempt", &[BegunCollected, FinishedByAnother], manifests, begun),
        reaching("witness-overwrite", &[ForeignErased], overwriting(), Bounds { foreign: true, ..racing() }),
    ]
}

/// Configurations small enough to ask from every state whether rest can be reached.
pub fn progress_runs() -> Vec<Run> {
    let slow = Rules { publish: PublishBy::SlowCopy, ..with_manifests() };
    vec![
        Run::new(
            "progress-lane",
            "1 lane, 2 workers, 2 attempts, 1 crash",
            sound(),
            Bounds { crashes: 1, ..one_lane() },
        ),
        Run::new(
            "progress-lanes",
            "2 lanes, one worker each, 2 attempts, 1 crash",
            sound(),
            Bounds { crashes: 1, ..two_lanes() },
        ),
        Run::new(
            "progress-gc",
            "1 lane, 2 workers, 1 attempt, checkpoint GC",
            sound(),
            gc(Bounds { attempts: 1, ..one_lane() }),
        ),
        Run::new(
            "progress-genesis",
            "no chain yet, lost once; 1 lane, 2 workers, 2 attempts",
            sound(),
            Bounds { losses: 1, ..racing() },
        ),
        Run::new("progress-new-lane", "the second lane is new; 2 attempts", sound(), new_lane()),
        Run::new(
            "progress-overwrite",
            "a foreign file; 1 attempt, 1 crash",
            overwriting(),
            Bounds { foreign: true, attempts: 1, crashes: 1, ..racing() },
        ),
        Run::new(
            "progress-rollback",
            "manifests, late copies; 1 attempt, 1 crash, 1 rollback",
            slow,
            Bounds { attempts: 1, rollbacks: 1, crashes: 1, ..one_lane() },
        ),
    ]
}
