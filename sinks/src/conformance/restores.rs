//! Going back: what was taken back is gone for good, what stays is as it was, and
//! nobody of before can change it.

use std::sync::Arc;

use super::writer::{Writer, assert_exact, committed, genesis, next, partition, repeat};
use super::{Options, Place};
use crate::model::checkpoint::{Checkpoint, RestoreChoice, Restored};
use crate::model::error::Kind;
use crate::model::restore::Restore;
use crate::sink::Outcome;

fn to(target: &Checkpoint, choice: RestoreChoice) -> Restore {
    let restored = Restored { from: format!("checkpoint/{}", target.n), choice };
    Restore { restored, target: target.clone(), again: false }
}

pub(super) async fn roll_back(writer: &Writer, target: &Checkpoint) -> Arc<Checkpoint> {
    let restore = to(target, RestoreChoice::Rollback);
    repeat(|| writer.sink.restore(&restore)).await
}

/// Neither the chain nor what readers see has changed.
async fn assert_refused(place: &Arc<dyn Place>, writer: &Writer, restore: &Restore) {
    let (before, seen) = (writer.newest().await, place.visible().await);
    let mut answer = writer.sink.restore(restore).await;
    while answer.as_ref().is_err_and(|error| error.kind == Kind::Retry) {
        answer = writer.sink.restore(restore).await;
    }
    assert_eq!(answer.expect_err("it was restored").kind, Kind::Refused);
    assert_eq!(*writer.newest().await, *before);
    assert_eq!(place.visible().await, seen);
}

pub(super) async fn a_rollback_takes_back_what_came_after(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 2).await;
    let commit = writer.attempt_with(&state, &[(0, 3), (1, 2)], &[], 1).await;
    let target = committed(writer.commit(&state, &commit).await);
    writer.publish(&target).await;
    let commit = writer.attempt_with(&target, &[(0, 2)], &[1], 2).await;
    let state = committed(writer.commit(&target, &commit).await);
    writer.publish(&state).await;
    // One that is visible, and one that is committed and not visible.
    let state = writer.commit_moves(&state, &[(0, 1), (1, 4)]).await;

    let plan = repeat(|| writer.sink.plan_rollback(&target)).await;
    assert_eq!((plan.commits.len(), plan.files, plan.rows, plan.rejects), (2, 4, 7, 2));
    assert_eq!((plan.moves[&partition(0)].from, plan.moves[&partition(0)].to), (6, 3));
    assert!(plan.bytes > 0 && plan.missing.is_empty());
    assert_eq!(*writer.newest().await, *state, "planning has changed something");

    let back = roll_back(&writer, &target).await;
    assert_eq!((next(&back, 0), next(&back, 1), back.rejects), (3, 2, 1));
    assert_eq!(back.incarnation, state.incarnation + 1);
    assert_eq!(back.partitions, target.partitions);
    let back = writer.finish_all().await;
    place.calm().await;
    assert_exact(&place, &back).await;
    let state = writer.commit_moves(&back, &[(0, 7), (1, 1)]).await;
    assert_eq!((next(&state, 0), next(&state, 1)), (10, 3));
    let state = Writer::new(&place).finish_all().await;
    assert_exact(&place, &state).await;
}

pub(super) async fn nobody_of_before_a_rollback_changes_anything(place: Arc<dyn Place>) {
    let (writer, target) = Writer::with_chain(&place, 1).await;
    let zombie = Writer::new(&place);
    // At the very position that the rollback goes back to.
    let late = zombie.attempt(&target, &[(0, 2)]).await;
    let state = writer.commit_moves(&target, &[(0, 3)]).await;
    writer.publish(&state).await;
    let unpublished = writer.commit_moves(&state, &[(0, 3)]).await;
    let back = roll_back(&writer, &target).await;
    assert!(!matches!(zombie.commit(&target, &late).await, Outcome::Committed(_)));
    // It sees the files that wait to be published, and knows nothing of the rollback.
    zombie.publish(&unpublished).await;
    let state = writer.commit_moves(&back, &[(0, 4)]).await;
    zombie.publish(&unpublished).await;
    repeat(|| zombie.sink.collect(&unpublished, false)).await;
    writer.finish_all().await;
    zombie.publish(&unpublished).await;
    place.calm().await;
    let newest = writer.finish_all().await;
    assert_eq!(newest.position(), state.position());
    assert_exact(&place, &newest).await;
    repeat(|| writer.sink.collect(&newest, false)).await;
    let left = repeat(|| writer.sink.collect(&newest, false)).await;
    assert!(left.attempts.is_empty() && left.unjudged.is_empty(), "{left:?}");
    assert_exact(&place, &newest).await;
}

pub(super) async fn a_partition_found_later_goes_back_to_its_start(place: Arc<dyn Place>) {
    let (writer, target) = Writer::with_chain(&place, 1).await;
    let state = writer.commit_moves(&target, &[(0, 1), (7, 4)]).await;
    writer.publish(&state).await;
    writer.commit_moves(&state, &[(7, 2)]).await;
    let back = roll_back(&writer, &target).await;
    assert_eq!((next(&back, 0), back.partitions[&partition(7)].next), (0, 0));
    let back = writer.finish_all().await;
    let state = writer.commit_moves(&back, &[(7, 3)]).await;
    assert_eq!(next(&state, 7), 3);
    let state = writer.finish_all().await;
    assert_exact(&place, &state).await;
}

pub(super) async fn only_what_the_chain_has_passed_is_restored(place: Arc<dyn Place>) {
    let (writer, first) = Writer::with_chain(&place, 1).await;
    let kept = writer.commit_moves(&first, &[(0, 3)]).await;
    let gone = writer.commit_moves(&kept, &[(0, 3)]).await;
    let back = roll_back(&writer, &kept).await;
    let state = writer.commit_moves(&back, &[(0, 9)]).await;
    writer.finish_all().await;
    let changed = |change: fn(&mut Checkpoint)| {
        let mut other = Checkpoint::clone(&kept);
        change(&mut other);
        other
    };
    for other in [
        Checkpoint::clone(&gone),
        changed(|other| other.job = "another".to_owned()),
        changed(|other| other.n += 1000),
        changed(|other| other.incarnation += 7),
        changed(|other| other.partitions.values_mut().for_each(|at| at.start = 1)),
        // Inside a commit, and where the rows do not add up.
        changed(|other| other.partitions.values_mut().for_each(|at| at.next = 2)),
        changed(|other| other.partitions.values_mut().for_each(|at| at.rows = 1)),
    ] {
        let restore = Restore { again: true, ..to(&other, RestoreChoice::Rollback) };
        assert_refused(&place, &writer, &restore).await;
    }
    assert_refused(&place, &writer, &to(&gone, RestoreChoice::KeepSink)).await;
    let newest = writer.finish_all().await;
    assert_eq!(newest.position(), state.position());
    // What lies before the cut is still on the way that the chain took.
    for target in [&kept, &first] {
        let restore = Restore { again: true, ..to(target, RestoreChoice::Rollback) };
        let back = repeat(|| writer.sink.restore(&restore)).await;
        assert_eq!(back.position(), target.position());
    }
    let newest = writer.finish_all().await;
    place.calm().await;
    assert_exact(&place, &newest).await;
}

pub(super) async fn a_file_that_was_moved_away_cannot_be_taken_back(place: Arc<dyn Place>) {
    let (writer, target) = Writer::with_chain(&place, 1).await;
    writer.commit_moves(&target, &[(0, 2)]).await;
    let target = writer.finish_all().await;
    let before = place.visible().await;
    writer.commit_moves(&target, &[(0, 3)]).await;
    writer.finish_all().await;
    let after = place.visible().await;
    let (path, bytes) = after.iter().find(|(path, _)| !before.contains_key(*path)).expect("a file is new");
    place.take(path).await;
    assert_refused(&place, &writer, &to(&target, RestoreChoice::Rollback)).await;
    let plan = repeat(|| writer.sink.plan_rollback(&target)).await;
    assert_eq!(plan.missing, std::slice::from_ref(path));
    place.plant(path, bytes.clone()).await;
    roll_back(&writer, &target).await;
    // What lies below the target may well be gone.
    let state = writer.finish_all().await;
    assert_exact(&place, &state).await;
}

pub(super) async fn the_same_restore_is_done_once_unless_told_again(place: Arc<dyn Place>) {
    let (writer, target) = Writer::with_chain(&place, 1).await;
    let state = writer.commit_moves(&target, &[(0, 2)]).await;
    writer.publish(&state).await;
    let mut restore = to(&target, RestoreChoice::Rollback);
    let first = repeat(|| writer.sink.restore(&restore)).await;
    let state = writer.commit_moves(&first, &[(0, 5)]).await;
    let other = Writer::new(&place);
    let again = repeat(|| other.sink.restore(&restore)).await;
    assert_eq!((again.incarnation, next(&again, 0)), (state.incarnation, 5));
    restore.again = true;
    let back = repeat(|| writer.sink.restore(&restore)).await;
    assert_eq!(next(&back, 0), 0);
    assert!(back.incarnation > state.incarnation);
    let back = writer.finish_all().await;
    place.calm().await;
    assert_exact(&place, &back).await;
}

pub(super) async fn keeping_the_sink_takes_nothing_back(place: Arc<dyn Place>) {
    let (writer, target) = Writer::with_chain(&place, 1).await;
    let state = writer.commit_moves(&target, &[(0, 2)]).await;
    let mut other = Checkpoint::clone(&target);
    other.pinned = serde_json::json!({"columns": ["of the savepoint"]});
    let restore = to(&other, RestoreChoice::KeepSink);
    let kept = repeat(|| writer.sink.restore(&restore)).await;
    assert_eq!((&kept.partitions, kept.incarnation), (&state.partitions, state.incarnation));
    assert_eq!((&kept.pinned, kept.restored.as_ref()), (&other.pinned, Some(&restore.restored)));
    let state = writer.commit_moves(&kept, &[(0, 1)]).await;
    assert_eq!(state.restored, kept.restored, "the next commit has forgotten it");
    let state = writer.finish_all().await;
    assert_exact(&place, &state).await;
}

pub(super) async fn of_those_who_roll_back_and_commit_at_once_all_agree(place: Arc<dyn Place>) {
    let (writer, target) = Writer::with_chain(&place, 2).await;
    let state = writer.commit_moves(&target, &[(0, 2), (1, 1)]).await;
    writer.publish(&state).await;
    let others = [Writer::new(&place), Writer::new(&place)];
    let commit = others[0].attempt(&state, &[(1, 3)]).await;
    let restore = to(&target, RestoreChoice::Rollback);
    let rolling = others.iter().map(|other| repeat(|| other.sink.restore(&restore)));
    let (_, outcome) = futures::join!(futures::future::join_all(rolling), writer.commit(&state, &commit));
    drop(outcome);
    let newest = writer.finish_all().await;
    assert_eq!((newest.incarnation, newest.position()), (state.incarnation + 1, target.position()));
    place.calm().await;
    let newest = writer.finish_all().await;
    assert_exact(&place, &newest).await;
}

pub(super) async fn a_chain_begins_at_the_positions_of_a_savepoint(place: Arc<dyn Place>) {
    let writer = Writer { sink: place.sink(Options { accept_existing_files: true, ..Options::default() }) };
    let restored = Restored { from: "savepoint-1".to_owned(), choice: RestoreChoice::NewIncarnation };
    let mut genesis = genesis(1);
    genesis.partitions.values_mut().for_each(|at| (at.start, at.next) = (5, 5));
    (genesis.restored, genesis.after_incarnation) = (Some(restored.clone()), 3);
    let state = repeat(|| writer.sink.begin_chain(genesis.clone())).await;
    assert_eq!((state.incarnation, state.cuts.len(), state.restored.as_ref()), (4, 3, Some(&restored)));
    let target = writer.commit_moves(&state, &[(0, 2)]).await;
    let state = writer.commit_moves(&target, &[(0, 2)]).await;
    assert_eq!(next(&state, 0), 9);
    roll_back(&writer, &target).await;
    let state = writer.finish_all().await;
    assert_eq!(next(&state, 0), 7);
    place.calm().await;
    assert_exact(&place, &state).await;
}
