//! Which offsets this replica holds, has staged and may commit. Pure: no clock, no store, no await.
//!
//! The guarantee: the spans of successive attempts tile each partition from the sink's position on, each
//! fetch counts under the assignment it was made for or not at all, and nothing is counted in two attempts.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_sinks::{Begin, Checkpoint, CommitId, Delta, Gap, LeaderEpoch, Span, TopicPartition};

use crate::flow::event::{Assignment, Fetch};

/// The partitions that this replica reads, and how far.
#[derive(Debug, Default)]
pub struct Coverage {
    held: BTreeMap<TopicPartition, Held>,
    last_generation: u64,
    open: Option<Open>,
}

/// A partition that this replica reads.
#[derive(Debug)]
struct Held {
    generation: u64,
    /// First offset that no attempt covers yet.
    next: i64,
    /// No checkpoint knows the partition, as far as has been seen.
    new: bool,
    /// Of the last record below `next`.
    epoch: Option<LeaderEpoch>,
}

/// The attempt that takes records now.
#[derive(Debug)]
struct Open {
    id: CommitId,
    from: BTreeMap<TopicPartition, i64>,
    new_partitions: BTreeSet<TopicPartition>,
    timestamps: BTreeMap<TopicPartition, i64>,
    epochs: BTreeMap<TopicPartition, LeaderEpoch>,
    gaps: Vec<Gap>,
    records: u64,
    bytes: u64,
}

/// An attempt that takes no more records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub id: CommitId,
    /// Where every partition of the attempt stood when it began, those without any movement among them:
    /// leftovers are judged by this, so the commit must depend on all of it.
    pub from: BTreeMap<TopicPartition, i64>,
    pub delta: Delta,
    pub new_partitions: BTreeSet<TopicPartition>,
    /// Timestamp of the last record of each partition that has one, in milliseconds since 1970.
    pub timestamps: BTreeMap<TopicPartition, i64>,
    /// Leader epoch of the last record of each partition that has one, where the brokers tell it.
    pub epochs: BTreeMap<TopicPartition, LeaderEpoch>,
    pub gaps: Vec<Gap>,
    /// Whether any record was read, so that workers have something to seal.
    pub records: u64,
}

/// What to do with a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to this attempt.
    Accepted(CommitId),
    /// It was made for an assignment that has ended.
    Stale,
    /// It says nothing new.
    Nothing,
}

/// The source broke its promise; going on could lose or double records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{partition}: the source gave offset {got} where {expected} was next; stopping before it does harm")]
pub struct OutOfOrder {
    pub partition: TopicPartition,
    pub got: i64,
    pub expected: i64,
}

impl Coverage {
    /// Takes over partitions at the positions of `state`, under a new generation; `start_of` gives the start
    /// of a partition that `state` does not know. An attempt that is open must have been cut before.
    pub fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        state: &Checkpoint,
        start_of: impl Fn(&TopicPartition) -> i64,
    ) -> Vec<Assignment> {
        debug_assert!(self.open.is_none(), "a partition joins the next attempt, never one already begun");
        self.last_generation += 1;
        let generation = self.last_generation;
        let place = |partition: TopicPartition| {
            let known = state.partitions.get(&partition).map(|state| state.next);
            let offset = known.unwrap_or_else(|| start_of(&partition));
            let epoch = state.epochs.get(&partition).copied().filter(|epoch| epoch.to <= offset);
            let held = Held { generation, next: offset, new: known.is_none(), epoch };
            self.held.insert(partition.clone(), held);
            Assignment { partition, offset, generation, epoch }
        };
        partitions.into_iter().map(place).collect()
    }

    /// Gives partitions up. What has been read of them must have been cut or dropped before.
    pub fn release(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.held.remove(partition);
        }
    }

    /// Drops the open attempt. Its offsets are read again only after [`Coverage::rewind`].
    pub fn drop_open(&mut self) {
        self.open = None;
    }

    /// Reads a held partition from another offset, under a new generation: above a gap, or once more.
    pub fn restart(&mut self, partition: &TopicPartition, offset: i64) -> Vec<Assignment> {
        self.last_generation += 1;
        let generation = self.last_generation;
        let Some(held) = self.held.get_mut(partition) else { return Vec::new() };
        (held.generation, held.next) = (generation, offset);
        vec![Assignment { partition: partition.clone(), offset, generation, epoch: held.epoch }]
    }

    /// The log begins at `start` now: of a record below it, the brokers cannot say any
    /// more whether it was lost.
    pub fn log_starts_at(&mut self, partition: &TopicPartition, start: i64) {
        if let Some(held) = self.held.get_mut(partition) {
            held.epoch = held.epoch.filter(|epoch| epoch.to >= start);
        }
    }

    /// Drops the open attempt, and goes back to `state` with every partition still held.
    pub fn rewind(
        &mut self,
        state: &Checkpoint,
        start_of: impl Fn(&TopicPartition) -> i64,
    ) -> Vec<Assignment> {
        self.open = None;
        let held: Vec<_> = self.held.keys().cloned().collect();
        self.assign(held, state, start_of)
    }

    /// Counts a fetch to the open attempt, opening one where none is.
    pub fn accept(
        &mut self,
        fetch: &Fetch,
        new_id: impl FnOnce() -> CommitId,
    ) -> Result<Verdict, OutOfOrder> {
        let Some(held) = self.held.get(&fetch.partition).filter(|held| held.generation == fetch.generation)
        else {
            return Ok(Verdict::Stale);
        };
        let first =
            fetch.gap.as_ref().map(|gap| gap.span.from).or_else(|| fetch.first()).unwrap_or(fetch.next);
        if first < held.next || fetch.next < held.next {
            let got = first.min(fetch.next);
            return Err(OutOfOrder { partition: fetch.partition.clone(), got, expected: held.next });
        }
        if fetch.next == held.next {
            return Ok(Verdict::Nothing);
        }
        let open = self.open.get_or_insert_with(|| Open {
            id: new_id(),
            from: self.held.iter().map(|(partition, held)| (partition.clone(), held.next)).collect(),
            new_partitions: self.held.iter().filter(|(_, held)| held.new).map(|(p, _)| p.clone()).collect(),
            timestamps: BTreeMap::new(),
            epochs: BTreeMap::new(),
            gaps: Vec::new(),
            records: 0,
            bytes: 0,
        });
        if let Some(timestamp) = fetch.last_timestamp() {
            match open.timestamps.get_mut(&fetch.partition) {
                Some(last) => *last = timestamp,
                None => drop(open.timestamps.insert(fetch.partition.clone(), timestamp)),
            }
        }
        if fetch.gap.is_some() {
            open.epochs.remove(&fetch.partition);
        }
        if let Some(epoch) = fetch.epoch {
            match open.epochs.get_mut(&fetch.partition) {
                Some(last) => *last = epoch,
                None => drop(open.epochs.insert(fetch.partition.clone(), epoch)),
            }
        }
        open.gaps.extend(fetch.gap.clone());
        open.records += fetch.len() as u64;
        open.bytes += fetch.bytes() as u64;
        let id = open.id.clone();
        if let Some(held) = self.held.get_mut(&fetch.partition) {
            held.next = fetch.next;
            let before = held.epoch.filter(|_| fetch.gap.is_none());
            held.epoch = fetch.epoch.or(before);
        }
        Ok(Verdict::Accepted(id))
    }

    /// Ends the open attempt. `None` when nothing has moved since the last one.
    pub fn cut(&mut self) -> Option<Cut> {
        let open = self.open.take()?;
        let span = |(partition, from): (TopicPartition, i64)| {
            let held = self.held.get(&partition)?;
            Some((partition, Span::new(from, held.next)?))
        };
        let delta: BTreeMap<_, _> = open.from.clone().into_iter().filter_map(span).collect();
        if delta.is_empty() {
            return None;
        }
        for (_, held) in self.held.iter_mut().filter(|(partition, _)| delta.contains_key(partition)) {
            // Its next attempt starts from a checkpoint that knows it: attempts commit in order.
            held.new = false;
        }
        let Open { id, from, new_partitions, mut timestamps, mut epochs, gaps, records, .. } = open;
        timestamps.retain(|partition, _| delta.contains_key(partition));
        epochs.retain(|partition, _| delta.contains_key(partition));
        Some(Cut { id, from, delta: Delta(delta), new_partitions, timestamps, epochs, gaps, records })
    }

    /// What announces the open attempt.
    pub fn begin(&self, incarnation: u32) -> Option<Begin> {
        let open = self.open.as_ref()?;
        Some(Begin {
            new_partitions: open.new_partitions.clone(),
            ..Begin::new(open.id.clone(), incarnation, open.from.clone())
        })
    }

    /// Records and bytes of the open attempt.
    pub fn open_size(&self) -> (u64, u64) {
        self.open.as_ref().map_or((0, 0), |open| (open.records, open.bytes))
    }

    pub fn is_held(&self, partition: &TopicPartition, generation: u64) -> bool {
        self.held.get(partition).is_some_and(|held| held.generation == generation)
    }

    /// First offset of a held partition that no attempt covers yet.
    pub fn next(&self, partition: &TopicPartition) -> Option<i64> {
        self.held.get(partition).map(|held| held.next)
    }

    pub fn partitions(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.held.iter().map(|(partition, held)| (partition, held.next))
    }
}

#[cfg(test)]
mod tests;
