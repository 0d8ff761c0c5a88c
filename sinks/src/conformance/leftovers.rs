//! What attempts leave behind: never seen, never removed while it can commit, and removed when it cannot.

use std::sync::Arc;

use bytes::Bytes;

use super::writer::{Writer, assert_exact, committed, fenced, repeat};
use super::{Options, Place};
use crate::model::commit::{Begin, CommitId};

pub(super) async fn staged_files_are_never_seen(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 1).await;
    let commit = writer.attempt(&state, &[(0, 3)]).await;
    assert!(place.visible().await.is_empty());
    let id = CommitId::new();
    let begin = Begin::new(id.clone(), state.incarnation, state.position().0);
    repeat(|| writer.sink.begin(&begin)).await;
    let mut torn = repeat(|| writer.sink.stage(&id, "0.staged")).await;
    // A fault in the middle of an upload is what this is about.
    let _ = torn.write(Bytes::from_static(b"half a fi")).await;
    assert!(place.visible().await.is_empty());
    drop(torn);
    repeat(|| writer.sink.discard(&id)).await;
    repeat(|| writer.sink.discard(&id)).await;
    assert!(place.visible().await.is_empty());
    let state = committed(writer.commit(&state, &commit).await);
    writer.publish(&state).await;
    assert_exact(&place, &state).await;
}

pub(super) async fn a_collection_spares_what_can_commit(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 3).await;
    let collector = Writer { sink: place.sink(Options { retained: 1, ..Options::default() }) };
    let open = writer.attempt(&state, &[(0, 2)]).await;
    let fresh = writer.attempt(&state, &[(9, 2)]).await;
    let mut newest = Arc::clone(&state);
    for _ in 0..3 {
        newest = collector.commit_moves(&newest, &[(1, 2)]).await;
        let collected = repeat(|| collector.sink.collect(&newest, false)).await;
        assert!(
            !collected.attempts.contains(&open.id) && !collected.attempts.contains(&fresh.id),
            "{collected:?}"
        );
    }
    // A commit that is not published yet has passed its own start.
    let collected = repeat(|| collector.sink.collect(&newest, false)).await;
    assert!(!collected.attempts.iter().any(|id| newest.unpublished.contains(id)));
    committed(writer.commit(&state, &open).await);
    committed(writer.commit(&state, &fresh).await);
    // Judged by an older state, too.
    repeat(|| collector.sink.collect(&newest, false)).await;
    repeat(|| collector.sink.collect(&state, false)).await;
    let state = collector.finish_all().await;
    assert_exact(&place, &state).await;
}

pub(super) async fn a_collection_removes_what_cannot_commit(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 2).await;
    let zombie = Writer::new(&place);
    let dead = zombie.attempt_with(&state, &[(0, 2)], &[1], 0).await;
    writer.commit_moves(&state, &[(0, 3)]).await;
    let newest = writer.finish_all().await;
    let would = repeat(|| writer.sink.collect(&newest, true)).await;
    assert!(would.attempts.contains(&dead.id), "{would:?}");
    repeat(|| writer.sink.collect(&newest, false)).await;
    place.calm().await;
    repeat(|| writer.sink.collect(&newest, false)).await;
    let again = repeat(|| writer.sink.collect(&newest, false)).await;
    assert!(again.attempts.is_empty(), "{again:?}");
    fenced(zombie.commit(&state, &dead).await);
    assert_exact(&place, &newest).await;
}

pub(super) async fn nothing_is_left_of_a_published_commit(place: Arc<dyn Place>) {
    let (writer, mut state) = Writer::with_chain(&place, 1).await;
    for _ in 0..3 {
        let commit = writer.attempt_with(&state, &[(0, 2)], &[], 1).await;
        state = committed(writer.commit(&state, &commit).await);
    }
    let state = writer.finish_all().await;
    place.calm().await;
    // With faults there may be leftovers of attempts that broke off; they go the first time.
    repeat(|| writer.sink.collect(&state, false)).await;
    let collected = repeat(|| writer.sink.collect(&state, false)).await;
    assert!(collected.attempts.is_empty(), "{collected:?}");
    assert_exact(&place, &state).await;
}
