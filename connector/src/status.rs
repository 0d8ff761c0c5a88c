//! What the engine says of itself while it runs: written by `run`, read by HTTP and the progress bar. It decides
//! nothing; the sink's checkpoint is the truth.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::Timestamp;
use tidegate_sinks::TopicPartition;

/// Shared by the engine and those who look at it.
#[derive(Debug, Default)]
pub struct Status {
    started: AtomicBool,
    stopping: AtomicBool,
    records_read: AtomicU64,
    partitions: RwLock<BTreeMap<TopicPartition, PartitionStatus>>,
    last_commit: RwLock<Option<LastCommit>>,
}

/// A partition that is assigned to this replica. Unknown offsets are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PartitionStatus {
    /// First offset that is not committed.
    pub next: Option<i64>,
    pub last_stable_offset: Option<i64>,
    pub high_watermark: Option<i64>,
}

impl PartitionStatus {
    /// Records up to the last stable offset that are not committed.
    pub fn lag(&self) -> Option<u64> {
        u64::try_from(self.last_stable_offset? - self.next?).ok()
    }
}

/// The newest checkpoint that this replica has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LastCommit {
    pub checkpoint: u64,
    pub created: Timestamp,
}

impl Status {
    /// The chain is loaded and the consumer runs.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// The engine goes down; it is no longer ready.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn add_records_read(&self, count: u64) {
        self.records_read.fetch_add(count, Ordering::Relaxed);
    }

    /// Replaces what is known of the assigned partitions.
    pub fn set_partitions(&self, partitions: BTreeMap<TopicPartition, PartitionStatus>) {
        *self.partitions.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = partitions;
    }

    /// Changes what is known of one assigned partition; others are left alone.
    pub fn update_partition(&self, partition: &TopicPartition, change: impl FnOnce(&mut PartitionStatus)) {
        let mut partitions = self.partitions.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(status) = partitions.get_mut(partition) {
            change(status);
        }
    }

    pub fn set_last_commit(&self, commit: LastCommit) {
        *self.last_commit.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(commit);
    }

    pub fn started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub fn records_read(&self) -> u64 {
        self.records_read.load(Ordering::Relaxed)
    }

    pub fn partitions(&self) -> BTreeMap<TopicPartition, PartitionStatus> {
        self.partitions.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub fn last_commit(&self) -> Option<LastCommit> {
        *self.last_commit.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
