//! Random histories: several writers on shared partitions, who pause, give up, crash, publish for each other
//! and collect. Whatever happens, in the end every record is visible once.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::writer::{Writer, assert_exact, next, repeat};
use super::{Options, Place};
use crate::sink::Outcome;

const WRITERS: u64 = 3;
const STEPS: usize = 12;
const PARTITIONS: i32 = 3;
/// A partition that no genesis knows.
const LATER: i32 = 7;

pub(super) async fn random_histories_hold_every_record_once(place: Arc<dyn Place>) {
    let (finisher, _) = Writer::with_chain(&place, PARTITIONS).await;
    let histories = (0..WRITERS).map(|seed| history(&place, seed));
    let moved: i64 = futures::future::join_all(histories).await.into_iter().sum();
    place.calm().await;
    let state = finisher.finish_all().await;
    assert_exact(&place, &state).await;
    let total: i64 = (0..PARTITIONS).chain([LATER]).map(|n| next(&state, n)).sum();
    assert_eq!(total, moved, "a commit that was reported did not move its offsets, or the other way round");
    repeat(|| finisher.sink.collect(&state, false)).await;
    let collected = repeat(|| finisher.sink.collect(&state, false)).await;
    assert!(collected.attempts.is_empty(), "{collected:?}");
    assert_exact(&place, &state).await;
}

/// What one writer does; returns by how many offsets its commits moved the chain.
async fn history(place: &Arc<dyn Place>, seed: u64) -> i64 {
    let mut rng = StdRng::seed_from_u64(seed);
    let options = Options { retained: 1 + seed, ..Options::default() };
    let mut writer = Writer { sink: place.sink(options) };
    let mut moved = 0;
    let mut state = writer.newest().await;
    for _ in 0..STEPS {
        pause(&mut rng).await;
        if rng.random_bool(0.1) {
            // A crash: what was finished or announced is forgotten.
            writer = Writer { sink: place.sink(options) };
        }
        if rng.random_bool(0.5) {
            state = writer.newest().await;
        }
        let moves = random_moves(&mut rng);
        let commit = writer.attempt(&state, &moves).await;
        pause(&mut rng).await;
        match rng.random_range(0..10) {
            0 => continue,
            1 => {
                repeat(|| writer.sink.discard(&commit.id)).await;
                continue;
            }
            _ => {}
        }
        let outcome = writer.sink.commit(Arc::clone(&state), Arc::clone(&commit), None).await;
        state = match outcome {
            Ok(Outcome::Committed(state)) => {
                moved += moves.iter().map(|(_, count)| count).sum::<i64>();
                state
            }
            Ok(Outcome::Fenced(state)) => {
                if rng.random_bool(0.5) {
                    repeat(|| writer.sink.discard(&commit.id)).await;
                }
                state
            }
            other => panic!("{other:?}"),
        };
        pause(&mut rng).await;
        if rng.random_bool(0.6) {
            writer.publish(&state).await;
        }
        if rng.random_bool(0.3) {
            state = repeat(|| writer.sink.settle(Arc::clone(&state))).await;
        }
        if rng.random_bool(0.4) {
            repeat(|| writer.sink.collect(&state, false)).await;
        }
    }
    moved
}

fn random_moves(rng: &mut StdRng) -> Vec<(i32, i64)> {
    let mut partitions: Vec<i32> = (0..PARTITIONS).chain([LATER]).filter(|_| rng.random_bool(0.4)).collect();
    if partitions.is_empty() {
        partitions.push(rng.random_range(0..PARTITIONS));
    }
    partitions.into_iter().map(|n| (n, rng.random_range(1..4))).collect()
}

async fn pause(rng: &mut StdRng) {
    let longest = if rng.random_bool(0.1) { 100 } else { 5 };
    tokio::time::sleep(Duration::from_millis(rng.random_range(0..=longest))).await;
}
