//! The consumer group's coordinator: moves partitions between members as it likes, waits for a release only
//! so long, and takes away what a silent member holds without asking.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_sinks::TopicPartition;
use tokio::time::Instant;

use super::chance::Chance;
use super::kafka::Kafka;

/// A member that neither polls nor releases for this long is thrown out.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Clone, Debug)]
pub(super) enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
    /// All that the member still holds has gone to others meanwhile.
    Lost,
}

#[derive(Debug)]
struct Member {
    queue: VecDeque<Rebalance>,
    /// The member has been told, and has not answered.
    asked: Option<Instant>,
    polled: Instant,
    /// It does not know yet that it was thrown out.
    is_out: bool,
}

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<usize, Member>,
    owners: BTreeMap<TopicPartition, usize>,
    leaving: BTreeSet<TopicPartition>,
    lost: u64,
}

/// Clones are the same group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    state: Arc<Mutex<State>>,
    kafka: Kafka,
    chance: Chance,
}

impl Group {
    pub(super) fn new(kafka: Kafka, chance: Chance) -> Self {
        Self { state: Arc::default(), kafka, chance }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, id: usize) {
        let member = Member { queue: VecDeque::new(), asked: None, polled: Instant::now(), is_out: false };
        self.state().members.insert(id, member);
    }

    pub(super) fn leave(&self, id: usize) {
        let mut state = self.state();
        state.members.remove(&id);
        state.free_all_of(id);
    }

    /// What the group wants of a member, one wish at a time.
    pub(super) fn poll(&self, id: usize) -> Option<Rebalance> {
        let mut state = self.state();
        let member = state.members.get_mut(&id)?;
        member.polled = Instant::now();
        if member.asked.is_some() {
            return None;
        }
        let wish = member.queue.pop_front()?;
        member.asked = Some(Instant::now());
        Some(wish)
    }

    /// The member has taken over what it was given.
    pub(super) fn taken_over(&self, id: usize) {
        if let Some(member) = self.state().members.get_mut(&id) {
            member.asked = None;
        }
    }

    /// The member has given up what it was asked for; one that was out is back.
    pub(super) fn released(&self, id: usize, partitions: &[TopicPartition]) {
        let mut state = self.state();
        let Some(member) = state.members.get_mut(&id) else { return };
        member.asked = None;
        if member.is_out {
            // Whether it is back, or has another wish to hear first.
            member.is_out = !member.queue.is_empty();
            return;
        }
        for partition in partitions {
            state.leaving.remove(partition);
            if state.owners.get(partition) == Some(&id) {
                state.owners.remove(partition);
            }
        }
    }

    /// Partitions that were taken from members which did not give them.
    pub(super) fn lost(&self) -> u64 {
        self.state().lost
    }

    /// Throws out who is silent, gives away what nobody has, and now and then moves something.
    pub(super) fn coordinate(&self, is_calm: bool) {
        let mut state = self.state();
        state.throw_out();
        let members: Vec<usize> =
            state.members.iter().filter(|(_, m)| !m.is_out).map(|(id, _)| *id).collect();
        let mut given: BTreeMap<usize, Vec<TopicPartition>> = BTreeMap::new();
        let partitions: Vec<_> = self.kafka.logs().keys().cloned().collect();
        for partition in partitions.iter().filter(|partition| !state.owners.contains_key(partition)) {
            let Some(member) = self.chance.pick(&members) else { return };
            given.entry(*member).or_default().push(partition.clone());
        }
        for (member, partitions) in given {
            state.owners.extend(partitions.iter().map(|partition| (partition.clone(), member)));
            state.wish(member, Rebalance::Assign(partitions));
        }
        if !is_calm && members.len() > 1 && self.chance.happens(0.08) {
            self.take_some(&mut state);
        }
    }

    fn take_some(&self, state: &mut State) {
        let owners: Vec<usize> = state.owners.values().copied().collect();
        let Some(&owner) = self.chance.pick(&owners) else { return };
        let of_owner =
            state.owners.iter().filter(|(p, member)| **member == owner && !state.leaving.contains(*p));
        let some: Vec<_> =
            of_owner.filter(|_| self.chance.happens(0.5)).map(|(partition, _)| partition.clone()).collect();
        if !some.is_empty() {
            state.leaving.extend(some.iter().cloned());
            state.wish(owner, Rebalance::Revoke(some));
        }
    }
}

impl State {
    fn wish(&mut self, member: usize, wish: Rebalance) {
        if let Some(member) = self.members.get_mut(&member) {
            member.queue.push_back(wish);
        }
    }

    fn throw_out(&mut self) {
        let silent = |member: &Member| {
            member.polled.elapsed() > PATIENCE || member.asked.is_some_and(|since| since.elapsed() > PATIENCE)
        };
        let out: Vec<usize> =
            self.members.iter().filter(|(_, m)| !m.is_out && silent(m)).map(|(id, _)| *id).collect();
        for id in out {
            self.lost += self.free_all_of(id);
            if let Some(member) = self.members.get_mut(&id) {
                member.is_out = true;
                member.queue.clear();
                member.queue.push_back(Rebalance::Lost);
            }
        }
    }

    fn free_all_of(&mut self, id: usize) -> u64 {
        let before = self.owners.len();
        let leaving = &mut self.leaving;
        self.owners.retain(|partition, owner| {
            if *owner == id {
                leaving.remove(partition);
            }
            *owner != id
        });
        (before - self.owners.len()) as u64
    }
}
