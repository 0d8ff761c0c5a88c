//! Random chains, with writers who come late, lose their slot, or are cut off by a rollback.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fold::fold;
use super::*;
use crate::model::checkpoint::{RestoreChoice, Restored};
use crate::model::commit::Replay;
use crate::model::commit::StagedFile;
use crate::model::position::Gap;
use crate::model::position::{Delta, LeaderEpoch, Position, TopicPartition};
use crate::model::replay::outstanding;
use crate::model::restore::Restore;

const PARTITIONS: i32 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// An attempt that began `back` checkpoints ago on the partitions of a mask;
    /// `lost`: its request never arrives.
    Commit {
        back: usize,
        mask: u8,
        count: i64,
        lost: bool,
    },
    /// A replay of some of the rejects that waited `back` checkpoints ago, of which some fail again.
    Replay {
        back: usize,
        mask: u8,
        failing: u64,
        lost: bool,
    },
    Housekeeping,
    /// To the checkpoint so far back on the lineage in force.
    Rollback {
        back: usize,
    },
    /// Commits made so long before the newest.
    Forget {
        back: i64,
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
    /// States that a rollback has cut off.
    cut_off: Vec<Checkpoint>,
}

fn partition(n: i32) -> TopicPartition {
    TopicPartition::new("t", n)
}

fn first() -> Checkpoint {
    let start = PartitionState { start: 0, next: 0, rows: 0 };
    // The last partition is found later.
    let partitions = (0..PARTITIONS - 1).map(|n| (partition(n), start)).collect();
    Checkpoint::first("j", Timestamp::UNIX_EPOCH, partitions)
}

fn attempt(number: usize, base: &Checkpoint, mask: u8, count: i64) -> Commit {
    let chosen = (0..PARTITIONS).filter(|n| mask & (1 << n) != 0).map(partition);
    let from: BTreeMap<_, _> =
        chosen.map(|p| (p.clone(), base.partitions.get(&p).map_or(0, |at| at.next))).collect();
    let rows: BTreeMap<_, _> = from.keys().map(|p| (p.clone(), count as u64 - number as u64 % 2)).collect();
    let file = StagedFile {
        kind: FileKind::Data,
        staged: "0.staged".to_owned(),
        path: format!("t/{number}"),
        bytes: 0,
        rows: rows.values().sum(),
        sha256: String::new(),
        partitions: rows.clone(),
    };
    let begin = Begin {
        new_partitions: from.keys().filter(|p| !base.partitions.contains_key(p)).cloned().collect(),
        ..Begin::new(CommitId(format!("{number:032x}").into()), base.incarnation, from)
    };
    let span = |(p, at): (&TopicPartition, &i64)| (p.clone(), Span { from: *at, to: at + count });
    Commit {
        delta: Delta(begin.from.iter().map(span).collect()),
        rows,
        rejects: number as u64 % 3,
        epochs: begin.from.iter().map(|(p, at)| (p.clone(), epoch(number, at + count))).collect(),
        files: vec![file],
        ..Commit::of(begin, &base.job, made_at(number))
    }
}

fn epoch(number: usize, to: i64) -> LeaderEpoch {
    LeaderEpoch { epoch: number as i32, to }
}

fn replay_of(number: usize, base: &Checkpoint, sources: &[&Commit], failing: u64) -> Commit {
    let lane = TopicPartition::rejects();
    let from = base.partitions.get(&lane).map_or(0, |at| at.next);
    let count: u64 = sources.iter().map(|commit| commit.rejects).sum();
    let rejects = failing % (count + 1);
    let skipped = u64::from(count - rejects > 2);
    let rows = count - rejects - skipped;
    let mut commit = attempt(number, base, 0, 1);
    commit.from.insert(lane.clone(), from);
    if !base.partitions.contains_key(&lane) {
        commit.new_partitions.insert(lane.clone());
    }
    commit.delta.0.insert(lane.clone(), Span { from, to: from + count as i64 });
    commit.rows.insert(lane, rows);
    commit.files[0].partitions = commit.rows.clone();
    commit.files[0].rows = rows;
    commit.rejects = rejects;
    let sources = sources.iter().map(|commit| commit.id.clone()).collect();
    commit.replay = Some(Replay { sources, skipped });
    commit
}

fn rollback(target: &Checkpoint) -> Restore {
    let from = format!("checkpoint/{}", target.n);
    let restored = Restored { from, choice: RestoreChoice::Rollback };
    Restore { restored, target: target.clone(), again: true }
}

/// Whether a state has moved on from where a rollback goes back to.
fn is_cut(state: &Checkpoint, target: &Checkpoint) -> bool {
    state.n > target.n
        && state.partitions.iter().any(|(partition, at)| {
            target.partitions.get(partition).map_or(at.start, |target| target.next) < at.next
        })
}

/// Writers' clocks do not agree.
fn made_at(number: usize) -> Timestamp {
    Timestamp::from_second((number + number * 7 % 5) as i64).unwrap()
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
                self.send(attempt(self.sent.len(), base, mask, count), lost);
            }
            Step::Replay { back, mask, failing, lost } => {
                let base = &self.states[self.states.len().saturating_sub(1 + back)];
                // As found later: what was forgotten since is gone, what is newer is not in force by then.
                let found: Vec<_> =
                    self.remembered(self.newest()).filter(|c| is_in_force(base, c)).cloned().collect();
                let visible = Checkpoint { unpublished: Vec::new(), ..base.clone() };
                let sources = outstanding(&visible, &found).into_iter().enumerate();
                let sources: Vec<_> =
                    sources.filter(|(n, _)| mask & (1 << (n % 8)) != 0).map(|(_, c)| c).collect();
                if !sources.is_empty() {
                    self.send(replay_of(self.sent.len(), base, &sources, failing), lost);
                }
            }
            Step::Rollback { back } => {
                let point = self.lineage.len().saturating_sub(1 + back);
                self.roll_back(point);
            }
            Step::Forget { back } => {
                let before = made_at(self.sent.len()) - jiff::SignedDuration::from_secs(back);
                // Whatever lies in `commits/`: what a rollback took back, and what was forgotten,
                // may come back.
                let stored = self.sent.iter().filter(|sent| sent.landed.is_some());
                let stored: Vec<_> = stored.map(|sent| sent.commit.clone()).collect();
                if let Some((base, ids)) = fold(&self.published(), &stored, before, Timestamp::UNIX_EPOCH) {
                    let taken = stored.iter().filter(|commit| ids.contains(&commit.id));
                    assert!(taken.clone().count() == ids.len() && taken.clone().all(|c| c.created < before));
                    let body = Checkpoint { base: Some(base), ..self.idle() };
                    self.push(body);
                }
            }
        }
    }

    /// What is stored, in force, and not forgotten.
    fn remembered<'a>(&'a self, state: &'a Checkpoint) -> impl Iterator<Item = &'a Commit> {
        let landed = self.sent.iter().filter(|sent| sent.landed.is_some()).map(|sent| &sent.commit);
        landed.filter(move |commit| is_in_force(state, commit) && !state.has_forgotten(commit))
    }

    fn send(&mut self, commit: Commit, lost: bool) {
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

    fn roll_back(&mut self, point: usize) {
        let to = self.states[self.lineage[point]].clone();
        let (newest, nothing) = (self.newest().clone(), BTreeSet::new());
        let in_force = self.in_force.iter().map(|index| &self.sent[*index].commit).collect();
        let taken = match taken_back(&newest, &to, in_force) {
            Ok(taken) => taken,
            Err(refused) => {
                let remembered = newest.check_remembered(&to.position());
                assert_eq!(remembered.unwrap_err().to_string(), refused.to_string());
                return;
            }
        };
        self.lineage.truncate(point + 1);
        let taken: BTreeSet<_> = taken.into_iter().map(|commit| commit.id.clone()).collect();
        let body =
            restored_on(&newest, &nothing, &BTreeSet::new(), &rollback(&to), &taken, Timestamp::UNIX_EPOCH);
        check_target(&newest, &to).unwrap();
        self.cut_off.extend(self.states.iter().filter(|state| is_cut(state, &to)).cloned());
        let sent = &self.sent;
        let stays = |index: &usize| sent[*index].landed.is_some_and(|n| n <= to.n);
        // What lies on an earlier branch was taken out before.
        self.in_force.retain(stays);
        self.push(body);
    }

    /// The newest state when all is visible.
    fn published(&self) -> Checkpoint {
        Checkpoint { unpublished: Vec::new(), ..self.newest().clone() }
    }

    /// The base and what is remembered one by one add up to the checkpoint.
    fn check_sums(&self) {
        let state = self.published();
        let mut at: BTreeMap<_, _> =
            state.partitions.iter().map(|(p, at)| (p.clone(), (at.start, 0))).collect();
        let (mut rejects, mut commits) = (0, 0);
        if let Some(base) = &state.base {
            at.extend(base.partitions.iter().map(|(p, base)| (p.clone(), (base.next, base.rows))));
            (rejects, commits) = (base.rejects, base.commits);
        }
        let landed = self.sent.iter().filter(|sent| sent.landed.is_some()).map(|sent| &sent.commit);
        let landed = landed.filter(|commit| is_in_force(&state, commit) && !state.has_forgotten(commit));
        // In the order in which they landed, so each begins where the one before it ends.
        for commit in landed {
            for (partition, span) in &commit.delta.0 {
                let (next, rows) = at.get_mut(partition).unwrap();
                assert_eq!(*next, span.from, "{partition}");
                (*next, *rows) = (span.to, *rows + commit.rows[partition]);
            }
            rejects += commit.rejects;
            commits += 1;
        }
        let expected = state.partitions.iter().map(|(p, at)| (p.clone(), (at.next, at.rows)));
        assert_eq!(at, expected.collect());
        assert_eq!((rejects, commits), (state.rejects, self.in_force.len() as u64));
        // Each position has the epoch of the record below it, after a rollback too.
        for (partition, at) in state.kafka_partitions() {
            let epoch = state.epochs.get(partition).map(|epoch| epoch.to);
            assert_eq!(epoch, (at.next > at.start).then_some(at.next), "{partition}");
        }
    }

    /// No reject is replayed twice, or after it was taken back; and what waits is
    /// found, with what is forgotten left out.
    fn check_replays(&self) {
        let mut taken = BTreeSet::new();
        let in_force: BTreeSet<_> = self.in_force.iter().map(|index| &self.sent[*index].commit.id).collect();
        for index in &self.in_force {
            for source in self.sent[*index].commit.replay.iter().flat_map(|replay| &replay.sources) {
                assert!(taken.insert(source), "{source} is replayed twice");
                assert!(in_force.contains(source), "{source} is replayed, and was taken back");
            }
        }
        let state = self.published();
        let remembered: Vec<_> = self.remembered(&state).cloned().collect();
        let found: BTreeSet<_> =
            outstanding(&state, &remembered).into_iter().map(|commit| &commit.id).collect();
        let waits = |commit: &&Commit| commit.rejects > 0 && !taken.contains(&commit.id);
        let expected: BTreeSet<_> = remembered.iter().filter(waits).map(|commit| &commit.id).collect();
        assert_eq!(found, expected);
        let all = self.in_force.iter().map(|index| &self.sent[*index].commit).filter(waits);
        assert_eq!(state.outstanding_rejects(), all.map(|commit| commit.rejects).sum::<u64>());
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
    let replay = (0..6usize, 1..=255u8, 0..9u64, prop::bool::weighted(0.2))
        .prop_map(|(back, mask, failing, lost)| Step::Replay { back, mask, failing, lost });
    let step = prop_oneof![
        8 => commit,
        2 => Just(Step::Housekeeping),
        3 => replay,
        1 => (0..6usize).prop_map(|back| Step::Rollback { back }),
        1 => (-2..10i64).prop_map(|back| Step::Forget { back }),
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
    fn what_was_cut_off_is_never_restored(steps in steps()) {
        let mut chain = Chain::default();
        chain.push(first());
        for step in &steps {
            chain.step(step);
            for state in &chain.cut_off {
                prop_assert_eq!(check_target(chain.newest(), state).map_err(|error| error.kind), Err(Kind::Refused));
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_forgotten_and_what_is_left_add_up_and_nothing_is_replayed_twice(steps in steps()) {
        let mut chain = Chain::default();
        chain.push(first());
        for step in &steps {
            chain.step(step);
            chain.check_sums();
            chain.check_replays();
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
    let stored = attempt(0, &first(), 1, 2);
    let none = BTreeSet::new();
    let committed = commit_on(&first(), &none, &BTreeSet::new(), &stored, Timestamp::UNIX_EPOCH);
    let mut base = Checkpoint { unpublished: Vec::new(), ..committed };
    base.base = fold(&base, &[stored], Timestamp::MAX, Timestamp::UNIX_EPOCH).map(|(base, _)| base);
    let moved = commit_on(&base, &none, &BTreeSet::new(), &attempt(1, &base, 3, 2), Timestamp::UNIX_EPOCH);
    assert!(check_step(&base, &moved).is_ok());
    let spoilt: [fn(&mut Checkpoint); 8] = [
        |body| body.n += 1,
        |body| body.partitions.clear(),
        |body| body.partitions.values_mut().for_each(|at| at.next -= 3),
        |body| body.partitions.values_mut().for_each(|at| at.rows = 5),
        |body| body.unpublished.extend(body.unpublished.clone()),
        |body| body.cuts.push(Position::default()),
        |body| body.base.as_mut().unwrap().partitions.values_mut().for_each(|at| at.next = 5),
        |body| body.base = None,
    ];
    for spoil in spoilt {
        let mut body = moved.clone();
        spoil(&mut body);
        assert_eq!(check_step(&base, &body).unwrap_err().kind, Kind::Corrupt, "{body:?}");
    }
}

#[test]
fn a_gap_takes_the_epoch_away_that_nothing_can_be_compared_with_any_more() {
    let (none, nothing) = (BTreeSet::new(), BTreeSet::new());
    let before = attempt(1, &first(), 3, 2);
    let state = commit_on(&first(), &none, &nothing, &before, Timestamp::UNIX_EPOCH);
    let gap = Gap { partition: partition(0), span: Span { from: 2, to: 4 } };
    let mut over_it = Commit { gaps: vec![gap], ..attempt(2, &state, 3, 2) };
    over_it.epochs.remove(&partition(0));
    let body = commit_on(&state, &none, &nothing, &over_it, Timestamp::UNIX_EPOCH);
    assert_eq!(body.epochs, BTreeMap::from([(partition(1), epoch(2, 4))]));
    // Records that come after it have one again.
    let beyond = Commit { epochs: attempt(2, &state, 3, 2).epochs, ..over_it };
    let body = commit_on(&state, &none, &nothing, &beyond, Timestamp::UNIX_EPOCH);
    assert_eq!(body.epochs[&partition(0)], epoch(2, 4));
}
