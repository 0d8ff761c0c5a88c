//! The negative controls: for each mistake that the model can make, a configuration in which it must be
//! caught. What a mistake breaks stands in the table of `crate::mistakes`.

use crate::mistakes::mistake;

use super::bug::Bug;
use super::config::{
    by, new_lane, one_lane, overwriting, racing, replaying, shared_lanes, sound, two_lanes, with_manifests,
};
use super::rules::{ConsumeWhen, PublishBy, Rules};
use super::runs::Run;
use super::system::{Bounds, Origin, ProtocolModel};

fn with(bug: Bug) -> Rules {
    Rules { bug: Some(bug), ..sound() }
}

fn control(name: &'static str, rules: Rules, bounds: Bounds) -> Run {
    let mistake = mistake(name).expect("every control stands in the table of mistakes");
    let bounds = Bounds { keep_identities: true, ..bounds };
    Run { name, about: mistake.story, model: ProtocolModel::new(rules, bounds), expect: vec![mistake.breaks] }
}

/// Mistakes put in on purpose.
pub fn negative_controls() -> Vec<Run> {
    let mut controls = core_controls();
    controls.extend(rollback_controls());
    controls.extend(start_controls());
    controls.extend(attempt_controls());
    controls.extend(replay_controls());
    controls
}

fn core_controls() -> Vec<Run> {
    let gc = Bounds { collect_checkpoints: true, attempts: 3, records: 3, batch: 1, ..one_lane() };
    let long = Bounds { attempts: 3, records: 3, batch: 1, ..one_lane() };
    let visible = ConsumeWhen::Visible;
    let slow_without_grace = Rules { publish: PublishBy::SlowCopy, ..with(Bug::NoCopyGrace) };
    vec![
        control("trust-200", with(Bug::TrustStoredReply), gc.clone()),
        control("load-unconfirmed", with(Bug::LoadWithoutConfirm), gc),
        control("drop-before-delete", with(Bug::DropBeforeDelete), one_lane()),
        control("gc-by-age", with(Bug::CollectStagedByAge), one_lane()),
        control("gc-unpublished", with(Bug::CollectUnpublished), one_lane()),
        control("blind-rebase", with(Bug::BlindRebase), one_lane()),
        control("publish-before-commit", with(Bug::PublishBeforeCommit), one_lane()),
        control("short-history", with(Bug::ShortHistoryMeansFenced), long),
        control("use-when-visible", Rules { consume: visible, ..sound() }, one_lane()),
        control("rename-false-alarm", Rules { consume: visible, ..by(PublishBy::Rename) }, one_lane()),
        control("alarm-without-reload", with(Bug::AlarmWithoutReload), one_lane()),
        control("slow-copy-no-grace", slow_without_grace, one_lane()),
    ]
}

fn rollback_controls() -> Vec<Run> {
    let rollback = || Bounds { rollbacks: 1, ..one_lane() };
    let slow_without_grace =
        Rules { publish: PublishBy::SlowCopy, consume: ConsumeWhen::Never, ..with(Bug::NoCopyGrace) };
    let adding = Bounds { rollbacks: 1, batch: 1, beginnings: vec![0], ..new_lane() };
    vec![
        control("rollback-same-incarnation", with(Bug::RollbackKeepsIncarnation), rollback()),
        control("slow-copy-no-grace-rollback", slow_without_grace, rollback()),
        control("gc-across-incarnations", with(Bug::CollectAcrossIncarnations), rollback()),
        control("fenced-by-incarnation", with(Bug::FencedByIncarnation), rollback()),
        control("publish-during-retraction", with(Bug::PublishDuringRetraction), rollback()),
        control("retract-visible-only", with(Bug::RetractVisibleOnly), rollback()),
        control("erase-final-first", with(Bug::EraseFinalFirst), rollback()),
        control("restore-cut-branch", with(Bug::RestoreCutBranch), Bounds { rollbacks: 2, ..one_lane() }),
        control("rollback-forgets-new-lanes", with(Bug::RollbackForgetsNewLanes), adding),
    ]
}

fn start_controls() -> Vec<Run> {
    let gc = Bounds { collect_checkpoints: true, ..racing() };
    let beside_foreign = Rules { bug: Some(Bug::PublishDuringRetraction), ..overwriting() };
    vec![
        control("genesis-overwrites", with(Bug::GenesisOverwrites), racing()),
        control("genesis-loser-keeps-start", with(Bug::LoserKeepsOwnStart), racing()),
        control("genesis-trust-200", with(Bug::TrustStoredReply), gc),
        control("fresh-start-after-loss", with(Bug::FreshStartAfterLoss), Bounds { losses: 1, ..racing() }),
        control("refuse-without-second-look", with(Bug::RefuseWithoutSecondLook), racing()),
        control("publish-beside-foreign", beside_foreign, Bounds { foreign: true, ..racing() }),
        control("new-lane-unchecked", with(Bug::NewLaneUnchecked), new_lane()),
    ]
}

fn attempt_controls() -> Vec<Run> {
    let begun = |bounds| Bounds { stepwise_attempts: true, ..bounds };
    let separate = |bug| Rules { bug: Some(bug), ..with_manifests() };
    let added = Bounds { origin: Origin::Founded([Some(0), None]), ..shared_lanes() };
    let retracting = Bounds { rollbacks: 1, crashes: 1, attempts: 1, ..one_lane() };
    vec![
        control("join-begun-attempt", with(Bug::JoinBegunAttempt), begun(added)),
        control("check-lanes-with-data-only", with(Bug::CheckOnlyLanesWithData), begun(shared_lanes())),
        control("commit-before-manifest", separate(Bug::CommitBeforeManifest), begun(two_lanes())),
        control("manifest-first", separate(Bug::ManifestFirst), one_lane()),
        control("gc-retracted", separate(Bug::CollectRetracted), retracting.clone()),
        control("erase-manifest-first", separate(Bug::EraseManifestFirst), retracting),
    ]
}

fn replay_controls() -> Vec<Run> {
    let renaming = |bug| Rules { publish: PublishBy::Rename, consume: ConsumeWhen::Never, ..with(bug) };
    let one = Bounds { records: 1, batch: 1, ..replaying() };
    vec![
        control("replay-unguarded", renaming(Bug::ReplayUnguarded), one.clone()),
        control("replay-lists-first", renaming(Bug::ReplayListsFirst), one.clone()),
        control("replay-retracted", renaming(Bug::ReplayRetracted), Bounds { rollbacks: 1, ..one }),
    ]
}
