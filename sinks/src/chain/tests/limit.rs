//! When the error limit is asked.

use super::chains::{Meanwhile, overtaken};
use super::*;
use crate::model::limit::RatioLimit;

/// An attempt with so many rows and rejects after `state`.
async fn with_rejects(sink: &Chain, state: &Checkpoint, rows: u64, rejects: u64) -> Arc<Commit> {
    let mut commit = Commit::clone(&*attempt(sink, state).await);
    let counts = BTreeMap::from([(partition(), rows)]);
    let span = commit.delta.0.get_mut(&partition()).unwrap();
    span.to = span.from + (rows + rejects) as i64;
    commit.files[0].rows = rows;
    commit.files[0].partitions.clone_from(&counts);
    Arc::new(Commit { rows: counts, rejects, ..commit })
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_sent_is_not_judged_again_by_a_later_clock() {
    let window = Duration::from_secs(60);
    let limit = RejectLimit { records: None, ratio: Some(RatioLimit { most: 0.5, window: Some(window) }) };
    let begun = tokio::time::Instant::now();
    let slow = |settings: &mut SinkSettings| {
        settings.clock = Clock::new(move || Timestamp::UNIX_EPOCH + begun.elapsed());
        // The pause before a commit is sent again is longer than the window.
        settings.backoff = Duration::from_secs(60_000);
        settings.checkpoint_timeout = Duration::from_secs(60_000);
        settings.seed = 1;
    };
    let (sink, others, state) = overtaken(Meanwhile::LandsUnseen).await;
    let (sink, others) = (reopen(&sink, slow), reopen(&others, slow));
    let good = with_rejects(&others, &state, 1_000, 0).await;
    let Outcome::Committed(state) = others.commit(state, good, Some(limit)).await.unwrap() else { panic!() };
    let bad = with_rejects(&sink, &state, 1, 199).await;
    let outcome = sink.commit(state.clone(), bad.clone(), Some(limit)).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    assert!(begun.elapsed() > window, "it was not waited long enough: {:?}", begun.elapsed());
    assert!(limit.check(&state, &bad, sink.settings.clock.now()).is_err(), "the clock alone refuses it");
}
