//! What configurations are made of: the protocol's parameters, and small worlds.

use super::files::LANES;
use super::rules::{ConsumeWhen, Manifests, PublishBy, Rules};
use super::system::{Bounds, Origin};

/// The protocol as built, with a manifest that is taken as part of its data file.
pub(super) fn sound() -> Rules {
    Rules {
        publish: PublishBy::Copy,
        manifests: Manifests::WithData,
        consume: ConsumeWhen::Dropped,
        alarm_when_missing: true,
        overwrite: false,
        history: 1,
        keep: 1,
        bug: None,
    }
}

pub(super) fn with_manifests() -> Rules {
    Rules { manifests: Manifests::Moved, ..sound() }
}

/// What the connector does: data copied or renamed, the manifest PUT.
pub(super) fn as_built(publish: PublishBy) -> Rules {
    Rules { manifests: Manifests::Put, publish, ..sound() }
}

pub(super) fn overwriting() -> Rules {
    Rules { overwrite: true, ..sound() }
}

pub(super) fn no_history() -> Rules {
    Rules { history: 0, ..sound() }
}

pub(super) fn by(publish: PublishBy) -> Rules {
    Rules { publish, ..sound() }
}

/// One lane of two records, and two workers that both believe they own it.
pub(super) fn one_lane() -> Bounds {
    Bounds {
        origin: Origin::Founded([Some(0), None]),
        beginnings: vec![0],
        lanes_of: vec![vec![0], vec![0]],
        records: 2,
        batch: 2,
        attempts: 2,
        crashes: 0,
        duplicates: 0,
        rollbacks: 0,
        losses: 0,
        foreign: false,
        replays: false,
        stepwise_attempts: false,
        collect_checkpoints: false,
        remember_events: false,
        keep_identities: false,
    }
}

/// Two lanes of one record each; each worker owns one of them.
pub(super) fn two_lanes() -> Bounds {
    let lanes_of = vec![vec![0], vec![1]];
    Bounds { origin: Origin::Founded([Some(0); LANES]), lanes_of, records: 1, batch: 1, ..one_lane() }
}

/// The same, one worker on both lanes (it commits over both), the other, a zombie, on the second.
pub(super) fn shared_lanes() -> Bounds {
    Bounds { lanes_of: vec![vec![0, 1], vec![1]], ..two_lanes() }
}

/// No chain yet; `latest` resolves to 0 or to 1.
pub(super) fn racing() -> Bounds {
    Bounds { origin: Origin::Racing(vec![[Some(0), None], [Some(1), None]]), ..one_lane() }
}

/// A second lane that the genesis does not list, and that both workers consume; its
/// log is found to begin at 0 or, when looked at later, at 1.
pub(super) fn new_lane() -> Bounds {
    let origin = Origin::Founded([Some(0), None]);
    Bounds { origin, beginnings: vec![0, 1], records: 2, batch: 2, ..shared_lanes() }
}

/// One lane of rejects only, which two workers read and replay.
pub(super) fn replaying() -> Bounds {
    Bounds { replays: true, lanes_of: vec![vec![0, 1]; 2], attempts: 3, beginnings: vec![0], ..one_lane() }
}

pub(super) fn gc(bounds: Bounds) -> Bounds {
    Bounds { collect_checkpoints: true, ..bounds }
}
