//! The atomic step: who may take it, and what it moves.

use std::sync::Arc;

use super::Place;
use super::writer::{Writer, assert_exact, committed, fenced, next, partition};
use crate::model::commit::Commit;
use crate::model::error::Kind;
use crate::model::limit::{Exceeded, RejectLimit};
use crate::model::position::Span;
use crate::sink::Outcome;

/// Of a partition that the attempts below do not begin with.
const WRONG: Span = Span { from: 0, to: 1 };

pub(super) async fn positions_and_files_move_together(place: Arc<dyn Place>) {
    let (writer, mut state) = Writer::with_chain(&place, 2).await;
    for moves in [&[(0, 3), (1, 1)][..], &[(1, 4)], &[(0, 2)]] {
        let commit = writer.attempt(&state, moves).await;
        let before = state;
        state = committed(writer.commit(&before, &commit).await);
        assert!(state.n > before.n);
        assert_eq!(state.commit.as_ref(), Some(&commit.id));
        for (n, count) in moves {
            assert_eq!(next(&state, *n), next(&before, *n) + count);
        }
        writer.publish(&state).await;
        assert_exact(&place, &state).await;
    }
    let reopened = Writer::new(&place);
    assert_eq!(*reopened.newest().await, *state);
    assert_eq!(state.partitions[&partition(0)].rows, 5);
}

pub(super) async fn offsets_without_rows_are_committed(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 1).await;
    let mut commit = Commit::clone(&*writer.attempt(&state, &[(0, 0)]).await);
    commit.delta.0.insert(partition(0), Span { from: 0, to: 4 });
    let state = committed(writer.commit(&state, &Arc::new(commit)).await);
    assert_eq!((next(&state, 0), state.partitions[&partition(0)].rows), (4, 0));
    let state = writer.finish_all().await;
    assert!(place.visible().await.is_empty());
    let state = writer.commit_moves(&state, &[(0, 2)]).await;
    assert_eq!((next(&state, 0), state.partitions[&partition(0)].rows), (6, 2));
}

pub(super) async fn the_second_from_one_position_is_fenced(place: Arc<dyn Place>) {
    let (first, state) = Writer::with_chain(&place, 2).await;
    let second = Writer::new(&place);
    let attempts = [first.attempt(&state, &[(0, 2), (1, 1)]).await, second.attempt(&state, &[(0, 3)]).await];
    let outcomes = futures::join!(first.commit(&state, &attempts[0]), second.commit(&state, &attempts[1]));
    place.calm().await;
    let won = match outcomes {
        (Outcome::Committed(won), Outcome::Fenced(_)) => {
            assert_eq!((next(&won, 0), next(&won, 1)), (2, 1));
            second.sink.discard(&attempts[1].id).await.expect("nothing fails any more");
            won
        }
        (Outcome::Fenced(_), Outcome::Committed(won)) => {
            assert_eq!((next(&won, 0), next(&won, 1)), (3, 0));
            first.sink.discard(&attempts[0].id).await.expect("nothing fails any more");
            won
        }
        other => panic!("one is to be committed and one fenced: {other:?}"),
    };
    let state = first.finish_all().await;
    assert_eq!(state.position(), won.position());
    assert_exact(&place, &state).await;
}

pub(super) async fn writers_of_other_partitions_are_rebased(place: Arc<dyn Place>) {
    let (_, state) = Writer::with_chain(&place, 4).await;
    let writers: Vec<_> = (0..4).map(|_| Writer::new(&place)).collect();
    let mut commits = Vec::new();
    for (writer, n) in writers.iter().zip(0..) {
        commits.push(writer.attempt(&state, &[(n, i64::from(n) + 1)]).await);
    }
    let sent = writers.iter().zip(&commits).map(|(writer, commit)| writer.commit(&state, commit));
    let outcomes = futures::future::join_all(sent).await;
    outcomes.into_iter().for_each(|outcome| drop(committed(outcome)));
    let state = writers[0].finish_all().await;
    assert_eq!([0, 1, 2, 3].map(|n| next(&state, n)), [1, 2, 3, 4]);
    assert_exact(&place, &state).await;
}

pub(super) async fn a_zombie_changes_nothing(place: Arc<dyn Place>) {
    let (zombie, old) = Writer::with_chain(&place, 1).await;
    let late = zombie.attempt(&old, &[(0, 2)]).await;
    let other = Writer::new(&place);
    let committed_once = other.commit_moves(&old, &[(0, 3)]).await;
    let mut state = Arc::clone(&committed_once);
    for _ in 0..4 {
        other.publish(&state).await;
        state = other.commit_moves(&state, &[(0, 1)]).await;
    }
    let state = other.finish_all().await;
    let visible = place.visible().await;

    assert_eq!(fenced(zombie.commit(&old, &late).await).position(), state.position());
    zombie.publish(&committed_once).await;
    zombie.publish(&old).await;
    place.calm().await;
    assert_eq!(place.visible().await, visible);
    assert_exact(&place, &state).await;
    assert_eq!(other.newest().await.position(), state.position());
}

pub(super) async fn of_two_who_add_a_partition_one_succeeds(place: Arc<dyn Place>) {
    let (first, state) = Writer::with_chain(&place, 1).await;
    let second = Writer::new(&place);
    let attempts = [first.attempt(&state, &[(7, 2)]).await, second.attempt(&state, &[(0, 1), (7, 3)]).await];
    assert!(attempts.iter().all(|commit| commit.new_partitions.contains(&partition(7))));
    let outcomes = futures::join!(first.commit(&state, &attempts[0]), second.commit(&state, &attempts[1]));
    let won = match outcomes {
        (Outcome::Committed(won), Outcome::Fenced(_)) | (Outcome::Fenced(_), Outcome::Committed(won)) => won,
        other => panic!("one is to be committed and one fenced: {other:?}"),
    };
    assert!(won.partitions.contains_key(&partition(7)));
    let state = first.finish_all().await;
    let state = first.commit_moves(&state, &[(7, 1)]).await;
    assert_eq!(state.partitions[&partition(7)].start, 0);
    let state = first.finish_all().await;
    assert_exact(&place, &state).await;
}

/// What an attempt began with is what its leftovers are judged by, so all of it must still stand.
pub(super) async fn an_idle_partition_that_moved_on_fences(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 2).await;
    let commit = writer.attempt_with(&state, &[(0, 2)], &[1], 0).await;
    let other = Writer::new(&place);
    other.commit_moves(&state, &[(1, 1)]).await;
    let newest = fenced(writer.commit(&state, &commit).await);
    assert_eq!((next(&newest, 0), next(&newest, 1)), (0, 1));
    let commit = writer.attempt_with(&newest, &[(0, 2)], &[1], 0).await;
    committed(writer.commit(&newest, &commit).await);
    let state = other.finish_all().await;
    assert_exact(&place, &state).await;
}

pub(super) async fn too_many_rejects_are_not_sent(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 2).await;
    let commit = writer.attempt_with(&state, &[(0, 2)], &[], 2).await;
    let outcome = writer
        .sink
        .commit(Arc::clone(&state), commit, Some(RejectLimit::records(2)))
        .await
        .expect("it is answered");
    let state = committed(outcome);
    assert_eq!(state.rejects, 2);
    let other = Writer::new(&place);
    let commit = other.attempt_with(&state, &[(0, 1)], &[], 1).await;
    match other
        .sink
        .commit(Arc::clone(&state), commit, Some(RejectLimit::records(2)))
        .await
        .expect("it is answered")
    {
        Outcome::TooManyRejects { exceeded: Exceeded::Records { rejects: 3, most: 2 }, newest } => {
            assert_eq!(newest.position(), state.position())
        }
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(other.newest().await.position(), state.position());
    let clean = other.attempt(&state, &[(0, 1)]).await;
    let outcome =
        other.sink.commit(state, clean, Some(RejectLimit::records(2))).await.expect("it is answered");
    assert_eq!(committed(outcome).rejects, 2);
    let state = other.finish_all().await;
    assert_exact(&place, &state).await;
}

pub(super) async fn what_does_not_add_up_is_refused(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 2).await;
    let good = writer.attempt(&state, &[(0, 2)]).await;
    let spoilt: [fn(&mut Commit); 5] = [
        |commit| *commit.rows.entry(partition(0)).or_default() = 1,
        |commit| commit.delta.0.entry(partition(0)).or_insert(WRONG).from = 1,
        |commit| commit.delta.0.extend([(partition(1), WRONG)]),
        |commit| commit.delta.0.clear(),
        |commit| commit.new_partitions.extend([partition(9)]),
    ];
    for spoil in spoilt {
        let mut commit = Commit::clone(&good);
        spoil(&mut commit);
        let refused = writer.sink.commit(Arc::clone(&state), Arc::new(commit.clone()), None).await;
        assert_eq!(refused.expect_err("it does not add up").kind, Kind::Corrupt, "{commit:?}");
    }
    assert_eq!(*writer.newest().await, *state);
    let state = committed(writer.commit(&state, &good).await);
    writer.publish(&state).await;
    assert_exact(&place, &state).await;
}

pub(super) async fn publishing_can_be_repeated_by_anybody(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 2).await;
    let state = writer.commit_moves(&state, &[(0, 5), (1, 5)]).await;
    let state = writer.commit_moves(&state, &[(0, 1)]).await;
    let others: Vec<_> = (0..4).map(|_| Writer::new(&place)).collect();
    futures::future::join_all(others.iter().map(|other| other.publish(&state))).await;
    assert_exact(&place, &state).await;
    for other in &others {
        other.publish(&state).await;
    }
    writer.publish(&state).await;
    let settled = others[1].finish_all().await;
    writer.publish(&state).await;
    place.calm().await;
    assert!(settled.unpublished.is_empty());
    assert_exact(&place, &settled).await;
}
