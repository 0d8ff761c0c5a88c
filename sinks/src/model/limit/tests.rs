use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::checkpoint::PartitionState;
use crate::model::commit::{Begin, CommitId};
use crate::model::position::TopicPartition;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn state(rows: u64, rejects: u64) -> Checkpoint {
    let place = PartitionState { start: 0, next: rows as i64, rows };
    let partitions = BTreeMap::from([(TopicPartition::new("t", 0), place)]);
    Checkpoint { rejects, ..Checkpoint::first("j", at(0), partitions) }
}

fn commit(rows: u64, rejects: u64) -> Commit {
    let rows = BTreeMap::from([(TopicPartition::new("t", 0), rows)]);
    let begin = Begin::new(CommitId("c".into()), 1, BTreeMap::new());
    Commit { rows, rejects, ..Commit::of(begin, "j", at(0)) }
}

fn ratio(most: f64, seconds: Option<u64>) -> RejectLimit {
    let window = seconds.map(Duration::from_secs);
    RejectLimit { records: None, ratio: Some(RatioLimit { most, window }) }
}

#[test]
fn a_count_is_judged_with_what_the_chain_has() {
    let limit = RejectLimit::records(5);
    assert_eq!(limit.check(&state(0, 3), &commit(0, 2), at(0)), Ok(()));
    let exceeded = limit.check(&state(0, 3), &commit(9, 3), at(0));
    assert_eq!(exceeded, Err(Exceeded::Records { rejects: 6, most: 5 }));
    assert_eq!(RejectLimit::default().check(&state(0, 3), &commit(0, u64::MAX), at(0)), Ok(()));
}

#[test]
fn a_ratio_without_a_window_is_of_the_whole_chain() {
    let limit = ratio(0.01, None);
    assert_eq!(limit.check(&state(900, 9), &commit(90, 1), at(0)), Ok(()), "10 of 1000");
    let exceeded = limit.check(&state(900, 9), &commit(89, 2), at(0)).unwrap_err();
    let text = exceeded.to_string();
    assert!(text.starts_with("11 of 1000 records rejected (0.011000) since the job began"), "{text}");
    assert!(text.ends_with("error_limit.ratio is 0.01"), "{text}");
}

#[test]
fn what_counts_is_of_the_whole_chain_or_of_the_window() {
    let recent = [(0, 90, 10), (300, 45, 5)];
    let recent = recent.map(|(seconds, rows, rejects)| RecentCount { since: at(seconds), rows, rejects });
    let state = Checkpoint { recent: recent.to_vec(), ..state(1_000, 20) };
    let counts = |window| RatioLimit { most: 0.1, window }.counts(&state, at(640));
    assert_eq!(counts(None), (20, 1_020));
    assert_eq!(counts(Some(Duration::from_secs(641))), (15, 150));
    assert_eq!(counts(Some(Duration::from_secs(640))), (5, 50));
}

#[test]
fn a_few_records_are_no_ratio() {
    let limit = ratio(0.01, None);
    assert_eq!(limit.check(&state(0, 0), &commit(0, 1), at(0)), Ok(()));
    assert_eq!(limit.check(&state(0, 0), &commit(0, 99), at(0)), Ok(()));
    assert!(limit.check(&state(0, 0), &commit(0, 100), at(0)).is_err());
}

#[test]
fn whichever_limit_is_reached_first_refuses() {
    let both = RejectLimit { records: Some(5), ..ratio(0.5, None) };
    assert!(matches!(both.check(&state(1_000, 0), &commit(0, 6), at(0)), Err(Exceeded::Records { .. })));
    let both = RejectLimit { records: Some(500), ..ratio(0.01, None) };
    assert!(matches!(both.check(&state(1_000, 0), &commit(0, 20), at(0)), Err(Exceeded::Ratio { .. })));
}

#[test]
fn rejects_behind_the_window_are_forgotten_and_rows_alone_always_land() {
    let limit = ratio(0.1, Some(640));
    let mut state = state(0, 0);
    let bad = commit(90, 10);
    assert_eq!(limit.check(&state, &bad, at(0)), Ok(()));
    state.recent = limit.count(&state.recent, &bad, at(0));
    assert!(limit.check(&state, &bad, at(5)).is_ok());
    assert!(limit.check(&state, &commit(0, 10), at(600)).is_err(), "20 of 110");
    assert!(limit.check(&state, &commit(0, 10), at(700)).is_ok(), "10 records are too few alone");
    // Good records go out of the window first, which must not stop a job that brings nothing bad.
    state.recent = vec![RecentCount { since: at(100), rows: 0, rejects: 100 }];
    assert!(limit.check(&state, &commit(1, 0), at(101)).is_ok());
    assert!(limit.check(&state, &commit(1, 1), at(101)).is_err());
}

#[test]
fn without_a_window_a_checkpoint_keeps_no_counts() {
    let old = [RecentCount { since: at(0), rows: 1, rejects: 1 }];
    assert_eq!(ratio(0.1, None).count(&old, &commit(1, 1), at(1)), []);
    assert_eq!(RejectLimit::records(1).count(&old, &commit(1, 1), at(1)), []);
}

proptest! {
    /// Against a list of everything: what a checkpoint keeps is the window's, short of
    /// at most one part of it.
    #[test]
    fn the_kept_counts_are_those_of_the_window(
        window in 1_u64..2_000,
        steps in prop::collection::vec((0_i64..120, 0_u64..50, 0_u64..5), 1..300),
    ) {
        let limit = ratio(0.5, Some(window));
        let (mut recent, mut all, mut now) = (Vec::new(), Vec::new(), 0);
        for (pause, rows, rejects) in steps {
            now += pause;
            all.push((now, rows, rejects));
            recent = limit.count(&recent, &commit(rows, rejects), at(now));
            prop_assert!(recent.len() <= KEPT);
            let kept = recent.iter().fold((0, 0), |(rows, rejects), c| (rows + c.rows, rejects + c.rejects));
            let within = |seconds: f64| {
                let inside = all.iter().filter(|(time, ..)| ((now - time) as f64) < seconds);
                inside.fold((0, 0), |(rows, rejects), (_, r, j)| (rows + r, rejects + j))
            };
            let (most, least) = (within(window as f64), within(window as f64 * (1.0 - 1.0 / f64::from(PARTS))));
            prop_assert!(kept.0 <= most.0 && kept.1 <= most.1, "{kept:?} of {most:?}");
            prop_assert!(kept.0 >= least.0 && kept.1 >= least.1, "{kept:?} of {least:?}");
        }
    }

    /// A clock that jumps, or a window that was changed, makes no list grow without end.
    #[test]
    fn the_kept_counts_are_bounded(steps in prop::collection::vec((-500_i64..500, 1_u64..3_000), 1..400)) {
        let (mut recent, mut now) = (Vec::new(), 0);
        for (pause, window) in steps {
            now += pause;
            recent = ratio(0.5, Some(window)).count(&recent, &commit(1, 1), at(now));
            prop_assert!(!recent.is_empty() && recent.len() <= KEPT);
        }
    }
}
