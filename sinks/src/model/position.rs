//! Offsets, as pure values: a partition, a span of its offsets, the next offset of each, and a move of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A partition of a Kafka topic. Written `topic/partition`, also as a JSON key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// No topic of Kafka can be called so.
const REJECTS: &str = "(rejects)";

impl TopicPartition {
    /// The lane whose offsets count the job's rejects as they are replayed. It stands
    /// among the partitions of a checkpoint once there was a replay, as all rules for a
    /// partition hold for it; Kafka knows nothing of it.
    pub fn rejects() -> Self {
        Self::new(REJECTS, 0)
    }

    pub fn is_rejects(&self) -> bool {
        &*self.topic == REJECTS
    }

    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl FromStr for TopicPartition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Topic names hold no slash, so the last one separates.
        let (topic, partition) =
            text.rsplit_once('/').ok_or_else(|| format!("{text:?} is not topic/partition"))?;
        let partition = partition.parse().map_err(|_| format!("{text:?} is not topic/partition"))?;
        Ok(Self::new(topic, partition))
    }
}

impl Serialize for TopicPartition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TopicPartition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What tells whether a partition's log is still the one that was read: everything
/// below `to` was written by leaders up to `epoch`. A log of which some of that is
/// gone ends, as far as these leaders go, below `to` (KIP-320).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaderEpoch {
    /// Of the last record that was read.
    pub epoch: i32,
    /// The offset after that record. The position may be beyond it, by what no reader
    /// sees: of that, nobody tells the epoch.
    pub to: i64,
}

/// Offsets `[from, to)` of one partition, never empty. It covers the holes that transaction markers, aborted
/// records and compaction leave, so the spans of successive commits tile the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    pub from: i64,
    pub to: i64,
}

impl Span {
    /// `None` when there is nothing between `from` and `to`.
    pub fn new(from: i64, to: i64) -> Option<Self> {
        (from >= 0 && from < to).then_some(Self { from, to })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.from, self.to)
    }
}

/// Offsets that the log lost before they were read, which the job was told to accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub partition: TopicPartition,
    pub span: Span,
}

/// The next offset of each partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub BTreeMap<TopicPartition, i64>);

impl Position {
    pub fn next(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.get(partition).copied()
    }
}

/// A move of positions: the span of each partition that a commit covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delta(pub BTreeMap<TopicPartition, Span>);

impl Delta {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
