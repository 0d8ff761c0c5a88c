use proptest::prelude::*;
use tidegate_sinks::PartitionState;

use super::*;

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn state(next: &[(i32, i64)]) -> Checkpoint {
    let place = |&(partition, next)| (tp(partition), PartitionState { start: 0, next, rows: 0 });
    Checkpoint::first("j", jiff::Timestamp::UNIX_EPOCH, next.iter().map(place).collect())
}

fn fetch(partition: i32, generation: u64, offsets: &[i64], next: i64) -> Fetch {
    let mut fetch = Fetch::new(tp(partition), generation, next);
    for &offset in offsets {
        fetch.push(offset, None, None, Some(b"{}"), []);
    }
    fetch
}

fn covering(state: &Checkpoint, partitions: &[i32]) -> (Coverage, u64) {
    let mut coverage = Coverage::default();
    let assigned = coverage.assign(partitions.iter().map(|&p| tp(p)), state, |_| 0);
    (coverage, assigned[0].generation)
}

#[test]
fn a_span_begins_at_the_position_and_covers_the_holes() {
    let (mut coverage, generation) = covering(&state(&[(0, 5)]), &[0]);
    assert!(matches!(
        coverage.accept(&fetch(0, generation, &[7, 9], 0), CommitId::new),
        Ok(Verdict::Accepted(_))
    ));
    // An end of the partition raises the position over markers and aborted records.
    coverage.accept(&fetch(0, generation, &[], 14), CommitId::new).expect("in order");
    let cut = coverage.cut().expect("it has moved");
    assert_eq!(cut.delta.0[&tp(0)], Span { from: 5, to: 14 });
    assert_eq!(cut.records, 2);
    assert_eq!(coverage.cut(), None);
}

#[test]
fn what_was_fetched_under_an_earlier_generation_is_dropped() {
    let known = state(&[(0, 5)]);
    let (mut coverage, old) = covering(&known, &[0]);
    let new = coverage.rewind(&known, |_| 0)[0].generation;
    assert_eq!(coverage.accept(&fetch(0, old, &[6], 0), CommitId::new), Ok(Verdict::Stale));
    assert_eq!(coverage.accept(&fetch(1, new, &[6], 0), CommitId::new), Ok(Verdict::Stale));
    assert_eq!(coverage.cut(), None);
}

#[test]
fn a_fetch_below_the_position_is_refused() {
    let (mut coverage, generation) = covering(&state(&[(0, 5)]), &[0]);
    let refused = coverage.accept(&fetch(0, generation, &[4, 6], 0), CommitId::new);
    assert_eq!(refused, Err(OutOfOrder { partition: tp(0), got: 4, expected: 5 }));
}

#[test]
fn an_end_that_says_nothing_new_opens_no_attempt() {
    let (mut coverage, generation) = covering(&state(&[(0, 5)]), &[0]);
    assert_eq!(coverage.accept(&fetch(0, generation, &[], 5), CommitId::new), Ok(Verdict::Nothing));
    assert_eq!(coverage.begin(1), None);
}

#[test]
fn a_commit_depends_on_partitions_that_it_does_not_move() {
    let (mut coverage, generation) = covering(&state(&[(0, 5), (1, 8)]), &[0, 1, 2]);
    coverage.accept(&fetch(0, generation, &[5], 0), CommitId::new).expect("in order");
    let begin = coverage.begin(1).expect("an attempt is open");
    let cut = coverage.cut().expect("it has moved");
    assert_eq!(cut.from, BTreeMap::from([(tp(0), 5), (tp(1), 8), (tp(2), 0)]));
    assert_eq!((begin.from, begin.new_partitions), (cut.from, cut.new_partitions.clone()));
    assert_eq!(cut.new_partitions, BTreeSet::from([tp(2)]));
    assert_eq!(cut.delta.0.len(), 1);
}

#[test]
fn a_new_partition_is_new_until_a_commit_has_moved_it() {
    let (mut coverage, generation) = covering(&state(&[]), &[0, 1]);
    coverage.accept(&fetch(0, generation, &[0], 0), CommitId::new).expect("in order");
    assert_eq!(coverage.cut().expect("moved").new_partitions.len(), 2);
    coverage.accept(&fetch(0, generation, &[1], 0), CommitId::new).expect("in order");
    assert_eq!(coverage.cut().expect("moved").new_partitions, BTreeSet::from([tp(1)]));
}

#[test]
fn reading_on_above_a_gap_keeps_the_gap_in_the_span() {
    let (mut coverage, generation) = covering(&state(&[(0, 5)]), &[0]);
    let gap = Fetch::of_gap(tp(0), generation, Span { from: 5, to: 20 });
    coverage.accept(&gap, CommitId::new).expect("in order");
    let generation = coverage.restart(&tp(0), 20)[0].generation;
    coverage.accept(&fetch(0, generation, &[22], 0), CommitId::new).expect("in order");
    let cut = coverage.cut().expect("it has moved");
    assert_eq!(cut.delta.0[&tp(0)], Span { from: 5, to: 23 });
    assert_eq!(cut.gaps.len(), 1);
}

proptest! {
    /// Whatever comes in whatever batches, with cuts and rewinds in between: spans tile, and each offset that
    /// was accepted since the last rewind is in exactly one of them.
    #[test]
    fn spans_tile(steps in prop::collection::vec((0..3i32, 1..6i64, 0..4i64, 0..10u8), 1..60)) {
        let mut committed = state(&[(0, 0), (1, 0), (2, 0)]);
        let (mut coverage, mut generation) = covering(&committed, &[0, 1, 2]);
        for (partition, records, hole, action) in steps {
            let next = coverage.next(&tp(partition)).expect("held");
            let offsets: Vec<_> = (next + hole..next + hole + records).collect();
            coverage.accept(&fetch(partition, generation, &offsets, 0), CommitId::new).expect("in order");
            match action {
                0..=2 => if let Some(cut) = coverage.cut() {
                    for (partition, span) in cut.delta.0 {
                        let state = committed.partitions.get_mut(&partition).expect("known");
                        prop_assert_eq!(state.next, span.from);
                        prop_assert!(span.to > span.from);
                        state.next = span.to;
                    }
                },
                3 => {
                    generation = coverage.rewind(&committed, |_| 0)[0].generation;
                    for (partition, next) in coverage.partitions() {
                        prop_assert_eq!(committed.partitions[partition].next, next);
                    }
                }
                _ => {}
            }
        }
    }
}

fn with_epoch(mut fetch: Fetch, epoch: i32, to: i64) -> Fetch {
    fetch.epoch = Some(LeaderEpoch { epoch, to });
    fetch
}

#[test]
fn a_cut_has_the_leader_epoch_of_each_partitions_last_record() {
    let (mut coverage, generation) = covering(&state(&[(0, 5), (1, 8)]), &[0, 1]);
    coverage.accept(&with_epoch(fetch(0, generation, &[5, 6], 0), 2, 7), CommitId::new).expect("in order");
    coverage.accept(&with_epoch(fetch(0, generation, &[7], 0), 3, 8), CommitId::new).expect("in order");
    // Markers, of which nobody knows who wrote them.
    coverage.accept(&fetch(0, generation, &[], 10), CommitId::new).expect("in order");
    let cut = coverage.cut().expect("it has moved");
    assert_eq!(cut.epochs, BTreeMap::from([(tp(0), LeaderEpoch { epoch: 3, to: 8 })]));
}

#[test]
fn an_assignment_has_the_epoch_of_what_was_read_below_it() {
    let mut known = state(&[(0, 5), (1, 8)]);
    let at = |epoch, to| LeaderEpoch { epoch, to };
    // The second is of no use: whoever wrote it has moved on, and the position was taken back since.
    known.epochs = BTreeMap::from([(tp(0), at(2, 5)), (tp(1), at(2, 9))]);
    let mut coverage = Coverage::default();
    let assigned = coverage.assign([tp(0), tp(1), tp(2)], &known, |_| 0);
    let epochs: Vec<_> = assigned.iter().map(|assignment| assignment.epoch).collect();
    assert_eq!(epochs, [Some(at(2, 5)), None, None]);
    let generation = assigned[0].generation;
    coverage.accept(&with_epoch(fetch(0, generation, &[5], 0), 4, 6), CommitId::new).expect("in order");
    assert_eq!(coverage.restart(&tp(0), 6)[0].epoch, Some(at(4, 6)), "where reading stood");
    assert_eq!(coverage.rewind(&known, |_| 0)[0].epoch, Some(at(2, 5)), "where the sink stands");
}

#[test]
fn below_a_gap_and_below_the_logs_start_nothing_is_compared() {
    let mut known = state(&[(0, 5)]);
    known.epochs.insert(tp(0), LeaderEpoch { epoch: 2, to: 5 });
    let (mut coverage, generation) = covering(&known, &[0]);
    coverage.log_starts_at(&tp(0), 5);
    assert!(coverage.restart(&tp(0), 5)[0].epoch.is_some(), "its last record need not be there");
    coverage.log_starts_at(&tp(0), 6);
    assert_eq!(coverage.restart(&tp(0), 6)[0].epoch, None);

    let (mut coverage, _) = covering(&known, &[0]);
    coverage.accept(&with_epoch(fetch(0, generation, &[5], 0), 4, 6), CommitId::new).expect("in order");
    let gap = Fetch::of_gap(tp(0), generation, Span { from: 6, to: 9 });
    coverage.accept(&gap, CommitId::new).expect("in order");
    assert_eq!(coverage.restart(&tp(0), 9)[0].epoch, None);
    assert_eq!(coverage.cut().expect("it has moved").epochs, BTreeMap::new());
}
