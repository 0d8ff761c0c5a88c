//! A cluster that is simulated: logs with holes where markers, aborted records and compaction were, that grow
//! while the job reads them, and end in records nobody can see yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate::config::Start;
use tidegate::kafka::TopicIds;
use tidegate::kafka::cluster::{Cluster, LogBounds, Quota, Sample};
use tidegate_sinks::{Error, LeaderEpoch, TopicPartition};

use super::chance::Chance;

pub(super) const TOPIC: &str = "orders";
/// After so many, another leader is elected.
const RECORDS_PER_LEADER: i64 = 7;

/// What lies at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Becomes a row.
    Row,
    /// Does not decode.
    Malformed,
    /// Is skipped.
    Tombstone,
    /// No reader of committed records ever sees it.
    Hole,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    /// First offset that is still there.
    pub(super) start: i64,
    /// From offset 0.
    pub(super) entries: Vec<Entry>,
    pub(super) last_stable_offset: i64,
}

impl Log {
    pub(super) fn high_watermark(&self) -> i64 {
        self.entries.len() as i64
    }

    /// Records that can be seen in `[from, to)`, with their offsets.
    pub(super) fn visible(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, Entry)> + '_ {
        let (from, to) = (from.max(self.start), to.min(self.last_stable_offset));
        (from..to).map(|at| (at, self.entries[at as usize])).filter(|(_, entry)| *entry != Entry::Hole)
    }

    /// Leader epoch of the last record that can be seen in `[from, to)`.
    pub(super) fn epoch(&self, from: i64, to: i64) -> Option<LeaderEpoch> {
        let (last, _) = self.visible(from, to).last()?;
        Some(LeaderEpoch { epoch: (last / RECORDS_PER_LEADER) as i32, to: last + 1 })
    }

    fn bounds(&self) -> LogBounds {
        LogBounds {
            start: self.start,
            last_stable_offset: self.last_stable_offset,
            high_watermark: self.high_watermark(),
        }
    }
}

/// The payload of the record at an offset.
pub(super) fn payload(partition: i32, offset: i64, entry: Entry) -> Option<Vec<u8>> {
    match entry {
        Entry::Row => {
            Some(format!(r#"{{"id":{offset},"part":{partition},"text":"r{offset}"}}"#).into_bytes())
        }
        Entry::Malformed => Some(format!(r#"{{"id":"{offset}", broken"#).into_bytes()),
        Entry::Tombstone | Entry::Hole => None,
    }
}

/// Clones are the same cluster.
#[derive(Clone, Debug)]
pub(super) struct Kafka {
    logs: Arc<Mutex<BTreeMap<TopicPartition, Log>>>,
    chance: Chance,
}

impl Kafka {
    pub(super) fn new(partitions: u64, chance: Chance) -> Self {
        let kafka = Self { logs: Arc::default(), chance };
        for _ in 0..partitions {
            kafka.add_partition(true);
        }
        kafka
    }

    pub(super) fn logs(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Log>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is there from the beginning may have lost its first records.
    pub(super) fn add_partition(&self, is_old: bool) {
        let mut log = Log::default();
        if is_old && self.chance.happens(0.7) {
            self.append(&mut log, 40);
            log.last_stable_offset = log.high_watermark();
            if self.chance.happens(0.3) {
                log.start = self.chance.number(0..log.entries.len() as u64) as i64;
            }
        }
        let mut logs = self.logs();
        let partition = logs.len() as i32;
        logs.insert(TopicPartition::new(TOPIC, partition), log);
    }

    /// A transaction, committed or aborted, with its marker; or records compacted away; or plain records.
    fn append(&self, log: &mut Log, most: u64) {
        let count = self.chance.number(1..most.max(2));
        let aborted = self.chance.happens(0.15);
        for _ in 0..count {
            let entry = match self.chance.number(0..20) {
                _ if aborted => Entry::Hole,
                0 => Entry::Malformed,
                1 => Entry::Tombstone,
                2 => Entry::Hole,
                _ => Entry::Row,
            };
            log.entries.push(entry);
        }
        if aborted || self.chance.happens(0.4) {
            log.entries.push(Entry::Hole);
        }
    }

    /// Some log grows, and what was undecided in it is decided now and then.
    pub(super) fn grow(&self) {
        let mut logs = self.logs();
        let number = self.chance.number(0..logs.len() as u64) as usize;
        if let Some(log) = logs.values_mut().nth(number) {
            self.append(log, 25);
            if self.chance.happens(0.8) {
                log.last_stable_offset = log.high_watermark();
            }
        }
    }

    /// Nothing is undecided any more.
    pub(super) fn decide_all(&self) {
        for log in self.logs().values_mut() {
            log.last_stable_offset = log.high_watermark();
        }
    }

    fn of<T>(&self, partitions: &[TopicPartition], what: impl Fn(&Log) -> T) -> BTreeMap<TopicPartition, T> {
        let logs = self.logs();
        partitions.iter().filter_map(|p| Some((p.clone(), what(logs.get(p)?)))).collect()
    }
}

#[async_trait]
impl Cluster for Kafka {
    async fn id(&self) -> Result<Option<String>, Error> {
        Ok(Some("simulated".to_owned()))
    }

    async fn topic_ids(&self, topics: &BTreeSet<Arc<str>>) -> Result<TopicIds, Error> {
        Ok(topics.iter().map(|topic| (topic.clone(), Some(format!("id of {topic}")))).collect())
    }

    fn leave_out(&self, _topics: &BTreeSet<Arc<str>>) {}

    async fn partitions(&self) -> Result<Vec<TopicPartition>, Error> {
        Ok(self.logs().keys().cloned().collect())
    }

    async fn starts(
        &self,
        partitions: &[TopicPartition],
        start: &Start,
    ) -> Result<BTreeMap<TopicPartition, i64>, Error> {
        let latest = *start == Start::Latest;
        Ok(self.of(partitions, |log| if latest { log.last_stable_offset } else { log.start }))
    }

    async fn bounds(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, LogBounds>, Error> {
        tokio::time::sleep(self.chance.millis(0..20)).await;
        Ok(self.of(partitions, Log::bounds))
    }

    async fn group_offsets(
        &self,
        _partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, Error> {
        Ok(BTreeMap::new())
    }

    async fn sample(&self, _: &BTreeMap<TopicPartition, Quota>) -> Result<Sample, Error> {
        Ok(Sample::new())
    }
}
