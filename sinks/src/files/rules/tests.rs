//! Random chains, with writers who come late, lose their slot, or are cut off by a rollback.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::checkpoint::FORMAT;
use crate::position::{Delta, Position, TopicPartition};

const PARTITIONS: i32 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// An attempt that began `back` checkpoints ago on the partitions of a mask; `lost`: its request never arrives.
    Commit {
        back: usize,
        mask: u8,
        count: i64,
        lost: bool,
    },
    Housekeeping,
    /// To the checkpoint so far back on the lineage in force.
    Rollback {
        back: usize,
    },
}

/// An attempt, the slot it was sent to, and the checkpoint that it became.
struct Sent {
    commit: Commit,
    slot: u64,
    landed: Option<u64>,
}

#[derive(Default)]
struct Chain {
    states: Vec<Checkpoint>,
    /// Indices into `states` of the lineage in force.
    lineage: Vec<usize>,
    sent: Vec<Sent>,
    /// Commits in force, by index into `sent`.
    in_force: BTreeSet<usize>,
}

fn partition(n: i32) -> TopicPartition {
    TopicPartition::new("t", n)
}

fn first() -> Checkpoint {
    let start = PartitionState { start: 0, next: 0, rows: 0 };
    Checkpoint {
        format: FORMAT,
        n: 1,
        job: "j".to_owned(),
        incarnation: 1,
        created: Timestamp::UNIX_EPOCH,
        cluster_id: None,
        // The last partition is found later.
        partitions: (0..PARTITIONS - 1).map(|n| (partition(n), start)).collect(),
        commit: None,
        history: Vec::new(),
        unpublished: Vec::new(),
        retracted: Vec::new(),
        cuts: Vec::new(),
        rejects: 0,
        gaps: Vec::new(),
        pinned: serde_json::Value::Null,
        other: BTreeMap::new(),
    }
}

fn attempt(number: usize, base: &Checkpoint, mask: u8, count: i64) -> Commit {
    let chosen = (0..PARTITIONS).filter(|n| mask & (1 << n) != 0).map(partition);
    let from: BTreeMap<_, _> =
        chosen.map(|p| (p.clone(), base.partitions.get(&p).map_or(0, |at| at.next))).collect();
    Commit {
        format: FORMAT,
        id: CommitId(format!("{number:032x}").into()),
        job: base.job.clone(),
        incarnation: base.incarnation,
        created: Timestamp::UNIX_EPOCH,
        new_partitions: from.keys().filter(|p| !base.partitions.contains_key(p)).cloned().collect(),
        delta: Delta(from.iter().map(|(p, at)| (p.clone(), Span { from: *at, to: at + count })).collect()),
        from,
        rows: BTreeMap::new(),
        rejects: 0,
        gaps: Vec::new(),
        files: Vec::new(),
    }
}

impl Chain {
    fn newest(&self) -> &Checkpoint {
        self.states.last().expect("a chain has a first checkpoint")
    }

    fn push(&mut self, body: Checkpoint) {
        if let Some(newest) = self.states.last() {
            check_step(newest, &body).unwrap();
        }
        self.lineage.push(self.states.len());
        self.states.push(body);
    }

    fn idle(&self) -> Checkpoint {
        housekeeping_on(self.newest(), &BTreeSet::new(), &BTreeSet::new(), Timestamp::UNIX_EPOCH)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Housekeeping => self.push(self.idle()),
            Step::Commit { back, mask, count, lost } => {
                let base = &self.states[self.states.len().saturating_sub(1 + back)];
                let commit = attempt(self.sent.len(), base, mask, count);
                check_commit(&commit).unwrap();
                let (newest, slot) = (self.newest(), self.newest().n + 1);
                let lands = !lost && untouched(newest, &commit.begin());
                if lands {
                    let (none, nothing) = (BTreeSet::new(), BTreeSet::new());
                    let body = commit_on(newest, &none, &nothing, &commit, Timestamp::UNIX_EPOCH);
                    self.in_force.insert(self.sent.len());
                    self.push(body);
                } else {
                    self.push(self.idle());
                }
                self.sent.push(Sent { commit, slot, landed: lands.then_some(slot) });
            }
            Step::Rollback { back } => {
                let point = self.lineage.len().saturating_sub(1 + back);
                let to = self.states[self.lineage[point]].clone();
                self.lineage.truncate(point + 1);
                let mut body = self.idle();
                body.incarnation += 1;
                body.partitions = to.partitions.clone();
                body.cuts.push(Position(to.partitions.iter().map(|(p, at)| (p.clone(), at.next)).collect()));
                let sent = &self.sent;
                let stays = |index: &usize| sent[*index].landed.is_some_and(|n| n <= to.n);
                // What lies on an earlier branch was taken out before.
                self.in_force.retain(stays);
                self.push(body);
            }
        }
    }

    fn check_verdict(&self, state: &Checkpoint, sent: &Sent) {
        let verdict = resolve(state, &sent.commit.begin(), Some(sent.slot));
        match sent.landed {
            Some(n) if state.n - n <= HISTORY as u64 => assert_eq!(verdict, Verdict::Committed),
            Some(_) => assert_eq!(verdict, Verdict::Unknown),
            None => {
                let within = state.n - sent.slot <= HISTORY as u64;
                let expected = match untouched(state, &sent.commit.begin()) {
                    true => Verdict::Retry,
                    false if within => Verdict::Fenced,
                    false => Verdict::Unknown,
                };
                assert_eq!(verdict, expected);
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let commit = (0..8usize, 1..8u8, 1..4i64, prop::bool::weighted(0.2))
        .prop_map(|(back, mask, count, lost)| Step::Commit { back, mask, count, lost });
    let step = prop_oneof![
        8 => commit,
        2 => Just(Step::Housekeeping),
        1 => (0..6usize).prop_map(|back| Step::Rollback { back }),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_right_and_what_is_dead_stays_dead(steps in steps()) {
        let mut chain = Chain::default();
        chain.push(first());
        for step in &steps {
            chain.step(step);
        }
        for sent in &chain.sent {
            let mut dead = false;
            for state in chain.states.iter().filter(|state| state.n >= sent.slot) {
                chain.check_verdict(state, sent);
                let begin = &sent.commit.begin();
                prop_assert!(!(dead && untouched(state, begin)), "{:?} came back to life", sent.commit);
                dead |= can_never_commit(state, begin);
                prop_assert!(
                    sent.landed.is_none() || !may_collect_staged(state, begin),
                    "collected although it is listed"
                );
            }
        }
    }

    #[test]
    fn what_is_in_force_follows_from_names_and_cuts(steps in steps()) {
        let mut chain = Chain::default();
        chain.push(first());
        for step in &steps {
            chain.step(step);
            let mut newest = chain.newest().clone();
            newest.unpublished.clear();
            for (index, sent) in chain.sent.iter().enumerate().filter(|(_, sent)| sent.landed.is_some()) {
                prop_assert_eq!(is_in_force(&newest, &sent.commit), chain.in_force.contains(&index));
            }
        }
    }
}

#[test]
fn a_commit_never_sent_is_fenced_not_unknown() {
    let base = first();
    let commit = attempt(0, &base, 1, 2);
    let other = attempt(1, &base, 1, 1);
    let none = BTreeSet::new();
    let mut state = commit_on(&base, &none, &BTreeSet::new(), &other, Timestamp::UNIX_EPOCH);
    for _ in 0..2 * HISTORY {
        state = housekeeping_on(&state, &none, &BTreeSet::new(), Timestamp::UNIX_EPOCH);
    }
    assert_eq!(resolve(&state, &commit.begin(), None), Verdict::Fenced);
    assert_eq!(resolve(&state, &commit.begin(), Some(2)), Verdict::Unknown);
    assert_eq!(resolve(&state, &other.begin(), Some(2)), Verdict::Unknown);
    assert_eq!(state.history.len(), HISTORY);
}

#[test]
fn a_body_that_goes_back_is_refused() {
    let base = first();
    let none = BTreeSet::new();
    let moved = commit_on(&base, &none, &BTreeSet::new(), &attempt(0, &base, 3, 2), Timestamp::UNIX_EPOCH);
    assert!(check_step(&base, &moved).is_ok());
    let spoilt: [fn(&mut Checkpoint); 6] = [
        |body| body.n += 1,
        |body| body.partitions.clear(),
        |body| body.partitions.values_mut().for_each(|at| at.next -= 3),
        |body| body.partitions.values_mut().for_each(|at| at.rows = 3),
        |body| body.unpublished.extend(body.unpublished.clone()),
        |body| body.cuts.push(Position::default()),
    ];
    for spoil in spoilt {
        let mut body = moved.clone();
        spoil(&mut body);
        assert_eq!(check_step(&base, &body).unwrap_err().kind, Kind::Corrupt, "{body:?}");
    }
}
