//! A replica's consumer, as a task: reads the simulated logs under the generations it is told, answers the
//! group, and delivers fetches of ended generations now and then.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use tidegate::flow::event::{Assignment, Budget, Command, Event, Fetch};
use tidegate::flow::source::{Ends, SharedSeen, Source};
use tidegate_sinks::TopicPartition;
use tokio::sync::{mpsc, oneshot};

use super::chance::Chance;
use super::gate::Gate;
use super::group::{Group, Rebalance};
use super::kafka::{Kafka, payload};

struct Held {
    generation: u64,
    next: i64,
}

/// See the module.
pub(super) struct Consumer {
    id: usize,
    kafka: Kafka,
    group: Group,
    gate: Gate,
    chance: Chance,
    held: BTreeMap<TopicPartition, Held>,
    /// Generation and span of fetches that may come a second time.
    delivered: Vec<(TopicPartition, u64, i64, i64)>,
    events: mpsc::UnboundedSender<Event>,
    commands: Receiver<Command>,
    seen: SharedSeen,
    budget: Budget,
    is_paused: bool,
}

impl Consumer {
    /// Joins the group. The task ends with [`Command::Close`], or when nobody listens.
    pub(super) fn start(id: usize, kafka: Kafka, group: Group, gate: Gate, chance: Chance) -> Source {
        let (events, receiver) = mpsc::unbounded_channel();
        let (sender, commands) = channel();
        let (seen, budget) = (SharedSeen::default(), Budget::default());
        group.join(id);
        let consumer = Self {
            id,
            kafka,
            group,
            gate,
            chance,
            held: BTreeMap::new(),
            delivered: Vec::new(),
            events,
            commands,
            seen: seen.clone(),
            budget: budget.clone(),
            is_paused: false,
        };
        tokio::spawn(consumer.run());
        // Nobody waits for it: that others find out late that it has left is among what is simulated.
        let (_, ended) = oneshot::channel();
        Source { events: receiver, commands: sender, seen, budget, ended }
    }

    async fn run(mut self) {
        loop {
            self.gate.pass().await;
            if !self.obey() {
                break;
            }
            if let Some(wish) = self.group.poll(self.id) {
                self.pass_on(wish);
            }
            if !self.is_paused {
                self.read();
            }
            tokio::time::sleep(self.chance.millis(1..60)).await;
        }
        self.group.leave(self.id);
    }

    /// Whether to go on.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Assign(assignments)) => {
                    self.assign(assignments);
                    self.group.taken_over(self.id);
                }
                Ok(Command::Release(partitions)) => {
                    self.held.retain(|partition, _| !partitions.contains(partition));
                    self.group.released(self.id, &partitions);
                }
                Ok(Command::Rewind(assignments)) => self.assign(assignments),
                Ok(Command::Pause(paused)) => {
                    self.is_paused = paused;
                    if paused {
                        self.tell(Event::Paused);
                    }
                }
                Ok(Command::CommitOffsets(_) | Command::Limit(_)) => {}
                Ok(Command::Close) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn assign(&mut self, assignments: Vec<Assignment>) {
        for Assignment { partition, offset, generation, .. } in assignments {
            self.held.insert(partition, Held { generation, next: offset });
        }
    }

    fn pass_on(&mut self, wish: Rebalance) {
        match wish {
            Rebalance::Assign(partitions) => self.tell(Event::Assigned(partitions)),
            Rebalance::Revoke(partitions) => self.tell(Event::Revoked(partitions)),
            Rebalance::Lost if self.held.is_empty() => self.group.released(self.id, &[]),
            Rebalance::Lost => self.tell(Event::Revoked(self.held.keys().cloned().collect())),
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more when the replica has ended; then the commands end, too.
        let _ = self.events.send(event);
    }

    fn read(&mut self) {
        if self.chance.happens(0.03)
            && let Some((partition, generation, from, to)) = self.chance.pick(&self.delivered).cloned()
            && self.held.get(&partition).is_none_or(|held| held.generation != generation)
        {
            self.fetch(&partition, generation, from, to, to);
        }
        let held: Vec<_> = self.held.keys().cloned().collect();
        let Some(partition) = self.chance.pick(&held).cloned() else { return };
        let Held { generation, next } = self.held[&partition];
        let most = self.chance.number(1..30) as usize;
        let (last, end, bounds) = {
            let logs = self.kafka.logs();
            let Some(log) = logs.get(&partition) else { return };
            let some = log.visible(next, i64::MAX).take(most).last().map(|(offset, _)| offset + 1);
            let at_end = some.is_none_or(|to| log.visible(to, i64::MAX).next().is_none());
            let (last_stable_offset, high_watermark) = (log.last_stable_offset, log.high_watermark());
            let position = some.unwrap_or(next);
            let ends = Ends { last_stable_offset, high_watermark, observed: None, position, is_fresh: true };
            (some.unwrap_or(next), at_end.then_some(log.last_stable_offset), ends)
        };
        if let Ok(mut seen) = self.seen.lock() {
            seen.ends.insert(partition.clone(), bounds);
        }
        // The end comes with the last records, or by itself later.
        let to = end.filter(|end| *end > last && self.chance.happens(0.5)).unwrap_or(last);
        if to > next {
            self.fetch(&partition, generation, next, last, to);
            self.delivered.push((partition.clone(), generation, next, last));
            if let Some(held) = self.held.get_mut(&partition) {
                held.next = to;
            }
        }
    }

    fn fetch(&self, partition: &TopicPartition, generation: u64, from: i64, to: i64, next: i64) {
        let mut fetch = Fetch::new(partition.clone(), generation, from);
        for (offset, entry) in self.kafka.logs()[partition].visible(from, to) {
            let payload = payload(partition.partition, offset, entry);
            fetch.push(offset, Some(1_700_000_000_000 + offset), Some(b"key"), payload.as_deref(), []);
        }
        fetch.epoch = self.kafka.logs()[partition].epoch(from, to);
        fetch.next = fetch.next.max(next);
        let permit = self.budget.take(fetch.bytes());
        self.tell(Event::Fetched(fetch, permit));
    }
}
