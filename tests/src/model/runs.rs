//! The configurations of the protocol as built: in none of them may an invariant break.

use super::config::{
    as_built, by, gc, new_lane, no_history, one_lane, overwriting, racing, replaying, shared_lanes, sound,
    two_lanes, with_manifests,
};
use super::rules::{ConsumeWhen, PublishBy, Rules};
use super::system::{Bounds, Origin, ProtocolModel};

/// A named configuration.
#[derive(Debug)]
pub struct Run {
    pub name: &'static str,
    pub about: &'static str,
    pub model: ProtocolModel,
    /// What a path must be found to: for a mistake, the invariant it must break.
    pub expect: Vec<&'static str>,
}

impl Run {
    pub(super) fn new(name: &'static str, about: &'static str, rules: Rules, bounds: Bounds) -> Self {
        Self { name, about, model: ProtocolModel::new(rules, bounds), expect: Vec::new() }
    }
}

/// Configurations that together take well under two minutes.
pub fn sound_runs() -> Vec<Run> {
    let mut runs = core_runs();
    runs.extend(start_runs());
    runs.extend(attempt_runs());
    runs.extend(replay_runs());
    runs
}

/// Rejects are replayed, beside those who read, by two at once.
fn replay_runs() -> Vec<Run> {
    vec![
        Run::new(
            "replay",
            "1 lane of rejects, 2 workers who read and replay, 3 attempts, 1 crash; publish by rename",
            by(PublishBy::Rename),
            Bounds { crashes: 1, ..replaying() },
        ),
        Run::new(
            "replay-rollback",
            "likewise, of 1 record; 3 attempts, 1 rollback",
            by(PublishBy::Rename),
            Bounds { rollbacks: 1, records: 1, batch: 1, ..replaying() },
        ),
        Run::new(
            "replay-gc",
            "likewise, of 1 record; 3 attempts, H=0, checkpoint GC",
            Rules { history: 0, ..by(PublishBy::Rename) },
            gc(Bounds { records: 1, batch: 1, ..replaying() }),
        ),
    ]
}

/// The checked core: load, commit, outcome, publish, collect, roll back.
fn core_runs() -> Vec<Run> {
    vec![
        Run::new(
            "lane",
            "1 lane, 2 workers, 4 attempts, 1 crash",
            sound(),
            Bounds { attempts: 4, crashes: 1, ..one_lane() },
        ),
        Run::new(
            "lane-no-history",
            "1 lane of 3 records, 2 workers, 3 attempts, H=0",
            no_history(),
            Bounds { attempts: 3, records: 3, ..one_lane() },
        ),
        Run::new(
            "lane-gc",
            "1 lane, 2 workers, 2 attempts, H=0, checkpoint GC",
            no_history(),
            gc(one_lane()),
        ),
        Run::new(
            "lanes-shared",
            "2 lanes, one worker on both, a zombie on one, 3 attempts, 1 crash",
            sound(),
            Bounds { attempts: 3, crashes: 1, ..shared_lanes() },
        ),
        Run::new("lanes-gc", "2 lanes, one worker each, 2 attempts, checkpoint GC", sound(), gc(two_lanes())),
        Run::new(
            "rollback",
            "1 lane, 2 workers, 3 attempts, 1 rollback",
            sound(),
            Bounds { attempts: 3, rollbacks: 1, ..one_lane() },
        ),
        Run::new(
            "slow-copy",
            "1 lane, 2 workers, 3 attempts, 1 crash; copies land late",
            by(PublishBy::SlowCopy),
            Bounds { attempts: 3, crashes: 1, ..one_lane() },
        ),
        Run::new(
            "slow-copy-rollback",
            "1 lane, 2 workers, 2 attempts, 1 crash, 1 rollback; copies land late",
            by(PublishBy::SlowCopy),
            Bounds { crashes: 1, rollbacks: 1, ..one_lane() },
        ),
        Run::new(
            "rename",
            "1 lane, 2 workers, 3 attempts, 1 crash; publish by rename",
            by(PublishBy::Rename),
            Bounds { attempts: 3, crashes: 1, ..one_lane() },
        ),
        Run::new(
            "rename-at-once",
            "1 lane, 2 workers, 3 attempts, 1 crash; rename, finals free at once, no LOST alarm",
            Rules { consume: ConsumeWhen::Visible, alarm_when_missing: false, ..by(PublishBy::Rename) },
            Bounds { attempts: 3, crashes: 1, ..one_lane() },
        ),
    ]
}

/// The start of a chain, and lanes that are added later.
fn start_runs() -> Vec<Run> {
    let knows_more = Origin::Racing(vec![[Some(0), None], [Some(0), Some(1)]]);
    vec![
        Run::new(
            "genesis",
            "no chain yet, 2 starts; 1 lane, 2 workers, 3 attempts, 1 crash",
            sound(),
            Bounds { attempts: 3, crashes: 1, ..racing() },
        ),
        Run::new(
            "genesis-3-workers",
            "no chain yet, 2 starts; 1 lane, 3 workers, 2 attempts",
            sound(),
            Bounds { lanes_of: vec![vec![0]; 3], ..racing() },
        ),
        Run::new(
            "genesis-gc",
            "no chain yet, 2 starts; 1 lane, 2 workers, 2 attempts, checkpoint GC",
            sound(),
            gc(racing()),
        ),
        Run::new(
            "genesis-lanes",
            "no chain yet; one of the creators knows the second lane; 2 attempts",
            sound(),
            Bounds { origin: knows_more, ..new_lane() },
        ),
        Run::new(
            "genesis-lost",
            "no chain yet; the chain may be lost once; 1 lane, 2 workers, 3 attempts, 1 crash",
            sound(),
            Bounds { attempts: 3, crashes: 1, losses: 1, ..racing() },
        ),
        Run::new(
            "overwrite",
            "no chain yet, a foreign file, mode overwrite; 1 lane, 2 workers, 2 attempts, 1 crash",
            overwriting(),
            Bounds { foreign: true, crashes: 1, ..racing() },
        ),
        Run::new(
            "new-lane",
            "a lane is new, 2 beginnings; 2 workers race for it, 3 attempts, 1 crash",
            sound(),
            Bounds { lanes_of: vec![vec![1]; 2], attempts: 3, crashes: 1, ..new_lane() },
        ),
        Run::new(
            "new-lane-shared",
            "the second lane is new; one worker on both, a zombie on one; 2 attempts, 1 crash",
            sound(),
            Bounds { crashes: 1, ..new_lane() },
        ),
        Run::new(
            "new-lane-rollback-shared",
            "the second lane is new; one worker on both, a zombie on one; 2 attempts, 1 rollback",
            sound(),
            Bounds { rollbacks: 1, records: 1, ..new_lane() },
        ),
        Run::new(
            "new-lane-gc",
            "the second lane is new; 2 attempts, checkpoint GC",
            sound(),
            gc(Bounds { records: 1, beginnings: vec![0], ..new_lane() }),
        ),
        Run::new(
            "new-lane-rollback",
            "a lane is new, 2 beginnings; 2 workers, 2 attempts, 1 crash, 1 rollback",
            sound(),
            Bounds { lanes_of: vec![vec![1]; 2], crashes: 1, rollbacks: 1, ..new_lane() },
        ),
    ]
}

/// Attempts step by step, and manifests as objects of their own.
fn attempt_runs() -> Vec<Run> {
    let stepwise = |bounds| Bounds { stepwise_attempts: true, ..bounds };
    vec![
        Run::new(
            "begun",
            "begin.json, data and manifest in steps; 2 lanes, one worker on both, a zombie on one, 3 attempts",
            with_manifests(),
            stepwise(Bounds { attempts: 3, ..shared_lanes() }),
        ),
        Run::new(
            "begun-new-lane",
            "likewise; the second lane is new, 2 attempts",
            with_manifests(),
            stepwise(Bounds { beginnings: vec![0], ..new_lane() }),
        ),
        Run::new(
            "manifests",
            "manifests move on their own; 1 lane, 2 workers, 3 attempts, 1 crash",
            with_manifests(),
            Bounds { attempts: 3, crashes: 1, ..one_lane() },
        ),
        Run::new(
            "manifests-rename",
            "likewise, by rename; 3 attempts, 1 crash",
            Rules { publish: PublishBy::Rename, ..with_manifests() },
            Bounds { attempts: 3, crashes: 1, ..one_lane() },
        ),
        Run::new(
            "manifests-rollback",
            "likewise; 2 attempts, 1 crash, 1 rollback",
            with_manifests(),
            Bounds { crashes: 1, rollbacks: 1, ..one_lane() },
        ),
        Run::new(
            "as-built-rename",
            "as built: manifests are PUT, data renamed; 2 attempts, 1 crash, 1 rollback",
            as_built(PublishBy::Rename),
            Bounds { crashes: 1, rollbacks: 1, ..one_lane() },
        ),
        Run::new(
            "as-built-slow-copy",
            "as built: manifests are PUT, data copied, both land late; 2 attempts, 1 rollback",
            as_built(PublishBy::SlowCopy),
            Bounds { rollbacks: 1, ..one_lane() },
        ),
    ]
}

/// Larger ones of the same kind: minutes, and gigabytes of memory.
pub fn large_runs() -> Vec<Run> {
    vec![
        Run::new(
            "large-lane",
            "1 lane, 2 workers, 4 attempts, 2 crashes",
            sound(),
            Bounds { attempts: 4, crashes: 2, ..one_lane() },
        ),
        Run::new(
            "large-lane-3-workers",
            "1 lane, 3 workers, 3 attempts, 1 crash",
            sound(),
            Bounds { lanes_of: vec![vec![0]; 3], attempts: 3, crashes: 1, ..one_lane() },
        ),
        Run::new(
            "large-lane-gc",
            "1 lane, 2 workers, 3 attempts, H=0, checkpoint GC",
            no_history(),
            gc(Bounds { attempts: 3, ..one_lane() }),
        ),
        Run::new(
            "large-lane-gc-k2",
            "the same with H=2 and K=2",
            Rules { history: 2, keep: 2, ..sound() },
            gc(Bounds { attempts: 3, ..one_lane() }),
        ),
        Run::new(
            "large-lane-duplicate",
            "1 lane, 2 workers, 2 attempts, 1 crash, 1 duplicate PUT, checkpoint GC",
            sound(),
            gc(Bounds { crashes: 1, duplicates: 1, ..one_lane() }),
        ),
        Run::new(
            "large-lanes",
            "2 lanes of 2 records, one worker each, 3 attempts",
            sound(),
            Bounds { records: 2, batch: 2, attempts: 3, ..two_lanes() },
        ),
        Run::new(
            "large-lanes-shared-gc",
            "2 lanes, one worker on both, a zombie on one, 3 attempts, H=0, checkpoint GC",
            no_history(),
            gc(Bounds { attempts: 3, ..shared_lanes() }),
        ),
        Run::new(
            "large-rollback",
            "1 lane, 2 workers, 3 attempts, 1 rollback, 1 crash",
            sound(),
            Bounds { attempts: 3, crashes: 1, rollbacks: 1, ..one_lane() },
        ),
        Run::new(
            "large-rollback-gc",
            "1 lane, 2 workers, 2 attempts, 1 rollback, checkpoint GC",
            sound(),
            gc(Bounds { rollbacks: 1, ..one_lane() }),
        ),
        Run::new(
            "large-lanes-shared",
            "2 lanes, one worker on both, a zombie on one, 4 attempts, 1 crash",
            sound(),
            Bounds { attempts: 4, crashes: 1, ..shared_lanes() },
        ),
        Run::new(
            "large-rollback-twice",
            "1 lane, 2 workers, 3 attempts, 2 rollbacks",
            sound(),
            Bounds { attempts: 3, rollbacks: 2, ..one_lane() },
        ),
        Run::new(
            "large-rollback-shared",
            "2 lanes, one worker on both, a zombie on one, 3 attempts, 1 rollback",
            sound(),
            Bounds { attempts: 3, rollbacks: 1, ..shared_lanes() },
        ),
        Run::new(
            "large-genesis-gc",
            "no chain yet, 2 starts; 1 lane, 2 workers, 2 attempts, 1 crash, checkpoint GC",
            sound(),
            gc(Bounds { crashes: 1, ..racing() }),
        ),
        Run::new(
            "large-manifests",
            "manifests move on their own; 1 lane, 2 workers, 4 attempts, 1 crash",
            with_manifests(),
            Bounds { attempts: 4, crashes: 1, ..one_lane() },
        ),
        Run::new(
            "large-manifests-rollback",
            "likewise; 3 attempts, 1 rollback",
            with_manifests(),
            Bounds { attempts: 3, rollbacks: 1, ..one_lane() },
        ),
        Run::new(
            "large-manifests-slow-rollback",
            "manifests move on their own, copies land late; 2 attempts, 1 crash, 1 rollback",
            Rules { publish: PublishBy::SlowCopy, ..with_manifests() },
            Bounds { crashes: 1, rollbacks: 1, ..one_lane() },
        ),
        Run::new(
            "large-replay-rollback",
            "1 lane of rejects, 2 workers who read and replay, 3 attempts, 1 rollback; publish by rename",
            by(PublishBy::Rename),
            Bounds { rollbacks: 1, ..replaying() },
        ),
        Run::new(
            "large-begun",
            "begin.json, data and manifest in steps; 2 lanes, one worker on both, a zombie on one, 3 attempts, 1 crash",
            with_manifests(),
            Bounds { stepwise_attempts: true, attempts: 3, crashes: 1, ..shared_lanes() },
        ),
    ]
}
