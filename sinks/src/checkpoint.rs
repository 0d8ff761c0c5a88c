//! A checkpoint: a complete, numbered, immutable description of the whole job, created only if its number is free.
//! Creating one is the commit; a savepoint is a copy of one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::commit::CommitId;
use crate::position::{Position, Span, TopicPartition};

/// The newest format that this version writes and reads.
pub const FORMAT: u32 = 1;

/// One partition as of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Where the job began to read it.
    pub start: i64,
    /// First offset that is not committed.
    pub next: i64,
    /// Rows committed of `[start, next)`.
    pub rows: u64,
}

/// Offsets that the log lost before they were read, which the job was told to accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub partition: TopicPartition,
    pub span: Span,
}

/// Something that has been taken back and must be erased before anything else is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retracted {
    /// A commit that a rollback cut off.
    Commit(CommitId),
    /// A file of others that `mode: overwrite` clears away; its path relative to the sink's URL.
    File(String),
}

/// The body of `checkpoints/<n>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub format: u32,
    /// Its number; the first is 1.
    pub n: u64,
    pub job: String,
    pub incarnation: u32,
    pub created: Timestamp,
    /// The Kafka cluster that the offsets belong to, when it could be learnt.
    pub cluster_id: Option<String>,
    pub partitions: BTreeMap<TopicPartition, PartitionState>,
    /// The commit that this checkpoint made, if it made one.
    pub commit: Option<CommitId>,
    /// The commits that checkpoints n-1, n-2, … made; at most [`crate::sink::HISTORY`] entries.
    pub history: Vec<Option<CommitId>>,
    /// Committed, not yet known to be visible; oldest first.
    pub unpublished: Vec<CommitId>,
    pub retracted: Vec<Retracted>,
    /// For each ended incarnation, the positions at which it was cut; the first entry is incarnation 1's.
    pub cuts: Vec<Position>,
    /// Rejected records since the start of the chain.
    pub rejects: u64,
    /// Losses accepted since the start of the chain.
    pub gaps: Vec<Gap>,
    /// What the job pinned when it first started, such as an inferred schema; the connector's own.
    pub pinned: Value,
    /// Fields of this format that this version does not know; carried along, never dropped.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Checkpoint {
    /// The next offset of each partition.
    pub fn position(&self) -> Position {
        Position(self.partitions.iter().map(|(partition, state)| (partition.clone(), state.next)).collect())
    }
}
