//! The chain of checkpoints as a whole: how it begins, goes on and is shortened.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::restores::roll_back;
use super::writer::{Writer, assert_exact, genesis, next, repeat};
use super::{Options, Place};
use crate::model::checkpoint::Checkpoint;

pub(super) async fn an_empty_place_has_no_chain(place: Arc<dyn Place>) {
    let writer = Writer::new(&place);
    assert!(repeat(|| writer.sink.load()).await.is_none());
    assert!(repeat(|| writer.sink.load()).await.is_none(), "loading has begun a chain");
    assert!(!writer.sink.has_finished());
    assert!(place.visible().await.is_empty());
}

pub(super) async fn all_who_begin_a_chain_get_the_same(place: Arc<dyn Place>) {
    let writers: Vec<_> = (0..4).map(|_| Writer::new(&place)).collect();
    let begun = writers
        .iter()
        .zip(1..)
        .map(|(writer, partitions)| repeat(move || writer.sink.begin_chain(genesis(partitions))));
    let states = futures::future::join_all(begun).await;
    place.calm().await;
    for state in &states {
        assert_eq!(**state, *states[0]);
        assert_eq!((state.n, state.incarnation), (1, 1));
    }
    for writer in &writers {
        assert_eq!(*writer.newest().await, *states[0]);
    }
}

pub(super) async fn what_is_finished_is_dropped_by_settling_or_the_next_commit(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 1).await;
    let state = writer.commit_moves(&state, &[(0, 2)]).await;
    writer.publish(&state).await;
    let had_finished = writer.sink.has_finished();
    let settled = repeat(|| writer.sink.settle(Arc::clone(&state))).await;
    let settled = if settled.unpublished.is_empty() { settled } else { writer.finish_all().await };
    assert!(settled.unpublished.is_empty() && !writer.sink.has_finished());
    assert!(!had_finished || settled.n > state.n);
    assert_eq!(settled.position(), state.position());

    let state = writer.commit_moves(&settled, &[(0, 3)]).await;
    writer.publish(&state).await;
    let state = writer.commit_moves(&state, &[(0, 1)]).await;
    assert!(state.unpublished.len() <= 1 && !writer.sink.has_finished());
    let state = writer.finish_all().await;
    assert_eq!(next(&state, 0), 6);
    assert_exact(&place, &state).await;
}

pub(super) async fn settling_after_being_overtaken_forgets_nothing(place: Arc<dyn Place>) {
    let (slow, state) = Writer::with_chain(&place, 2).await;
    let state = slow.commit_moves(&state, &[(0, 2)]).await;
    slow.publish(&state).await;
    let other = Writer::new(&place);
    let newer = other.commit_moves(&state, &[(1, 2)]).await;
    let mut newest = repeat(|| slow.sink.settle(Arc::clone(&state))).await;
    assert!(newest.n >= newer.n);
    while slow.sink.has_finished() {
        newest = repeat(|| slow.sink.settle(Arc::clone(&newest))).await;
    }
    assert!(!newest.unpublished.contains(state.commit.as_ref().expect("it committed")));
    let state = other.finish_all().await;
    assert_exact(&place, &state).await;
}

pub(super) async fn overwriting_clears_the_tables_and_nothing_else(place: Arc<dyn Place>) {
    for path in ["t/old-1.parquet", "t/day=1/old-2.parquet", "tt/kept.parquet", "u/kept.parquet"] {
        place.plant(path, Bytes::from_static(b"others")).await;
    }
    let writer = Writer::new(&place);
    let mut genesis = genesis(1);
    genesis.overwrite_tables = vec!["t".to_owned()];
    let state = repeat(|| writer.sink.begin_chain(genesis.clone())).await;
    let state = writer.commit_moves(&state, &[(0, 3)]).await;
    if !state.retracted.is_empty() {
        writer.publish(&state).await;
        let visible = place.visible().await;
        assert!(
            !visible.keys().any(|path| path.starts_with("t/")),
            "published before all was erased: {visible:?}"
        );
    }
    let state = writer.finish_all().await;
    place.calm().await;
    assert_exact(&place, &state).await;
    let visible = place.visible().await;
    assert!(visible.contains_key("tt/kept.parquet") && visible.contains_key("u/kept.parquet"));
}

pub(super) async fn old_checkpoints_go_and_the_chain_goes_on(place: Arc<dyn Place>) {
    let (_, mut state) = Writer::with_chain(&place, 1).await;
    let writer = Writer { sink: place.sink(Options { retained: 3, ..Options::default() }) };
    for _ in 0..8 {
        state = writer.commit_moves(&state, &[(0, 1)]).await;
        writer.publish(&state).await;
    }
    let state = writer.newest().await;
    let would = repeat(|| writer.sink.collect(&state, true)).await;
    place.calm().await;
    let did = repeat(|| writer.sink.collect(&state, false)).await;
    assert_eq!(would.checkpoints, did.checkpoints);
    assert!(did.checkpoints.iter().all(|n| *n + 3 <= state.n));
    let fresh = Writer::new(&place);
    assert_eq!(*fresh.newest().await, *state);
    let again = repeat(|| writer.sink.collect(&state, false)).await;
    assert!(again.checkpoints.is_empty(), "{again:?}");
    let state = fresh.commit_moves(&state, &[(0, 1)]).await;
    assert_eq!(next(&state, 0), 9);
    let state = fresh.finish_all().await;
    assert_exact(&place, &state).await;
}

pub(super) async fn of_those_who_pin_at_once_the_first_wins(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 1).await;
    let others: Vec<_> = (0..4).map(|_| Writer::new(&place)).collect();
    let pins = others.iter().enumerate().map(|(i, other)| {
        let additions = json!({"tables": {"t": {"columns": [i]}, format!("of {i}"): {"columns": [i]}}});
        let state = Arc::clone(&state);
        async move { repeat(|| other.sink.pin(Arc::clone(&state), &additions)).await }
    });
    let states = futures::future::join_all(pins).await;
    place.calm().await;
    let newest = writer.newest().await;
    let pinned = |state: &Checkpoint, table: &str| state.pinned["tables"][table]["columns"][0].as_u64();
    let winner = pinned(&newest, "t");
    assert!(winner.is_some());
    for (i, state) in states.iter().enumerate() {
        assert_eq!(pinned(state, "t"), winner, "{i} goes by another list than the chain");
        assert_eq!(pinned(&newest, &format!("of {i}")), Some(i as u64), "what {i} pinned is lost");
    }
    assert_eq!(newest.position(), state.position());
}

pub(super) async fn what_was_pinned_outlives_commits_and_rollbacks(place: Arc<dyn Place>) {
    let (writer, target) = Writer::with_chain(&place, 1).await;
    let state = writer.commit_moves(&target, &[(0, 2)]).await;
    let additions = json!({"topics": {"t": {"id": "a"}}});
    let state = repeat(|| writer.sink.pin(Arc::clone(&state), &additions)).await;
    let pinned = json!("a");
    assert_eq!(state.pinned["topics"]["t"]["id"], pinned);
    let other = json!({"topics": {"t": {"id": "b"}}});
    let again = repeat(|| writer.sink.pin(Arc::clone(&state), &other)).await;
    assert_eq!((again.n, &again.pinned), (state.n, &state.pinned), "nothing was missing");
    let state = writer.commit_moves(&state, &[(0, 2)]).await;
    assert_eq!(state.pinned["topics"]["t"]["id"], pinned);
    let back = roll_back(&writer, &target).await;
    assert_eq!(back.pinned["topics"]["t"]["id"], pinned);
    let state = writer.finish_all().await;
    assert_eq!(next(&state, 0), 0);
    place.calm().await;
    assert_exact(&place, &state).await;
}
