//! What travels between the stages: plain structs, no behaviour that could fail.

mod fetch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_sinks::{Error, LeaderEpoch, Position, TopicPartition};

pub use fetch::{Fetch, Lender, Record, header_bytes};

/// What the source tells.
#[derive(Debug)]
pub enum Event {
    Fetched(Fetch, Permit),
    /// The group gave these partitions to this replica. Reading begins with [`Command::Assign`].
    Assigned(Vec<TopicPartition>),
    /// The group takes these partitions away, and waits for [`Command::Release`].
    Revoked(Vec<TopicPartition>),
    /// The offset asked for is not in the log.
    OutsideLog {
        partition: TopicPartition,
        generation: u64,
    },
    /// Reads nothing more, as [`Command::Pause`] asked; whatever was read has been told before.
    Paused,
    /// The right to read a topic is missing: nothing comes of it until it is given back.
    Denied(Error),
    /// The source cannot go on. The error names the remedy, and never holds a record's content.
    Failed(Error),
}

/// What the source is asked, in this order. Answers to the group travel with the rest, so that a rewind
/// cannot overtake the assignment it changes.
#[derive(Debug)]
pub enum Command {
    /// Answers [`Event::Assigned`].
    Assign(Vec<Assignment>),
    /// Answers [`Event::Revoked`].
    Release(Vec<TopicPartition>),
    /// Read held partitions from elsewhere, under new generations.
    Rewind(Vec<Assignment>),
    /// This replica's share of the rate limit from now on; bytes per second.
    Limit(u64),
    /// Read nothing until further notice, and keep the partitions; or read on.
    Pause(bool),
    /// Tell the group, for lag tools only.
    CommitOffsets(Position),
    Close,
}

/// Where to read a partition from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub partition: TopicPartition,
    pub offset: i64,
    pub generation: u64,
    /// Of what was read below the offset: before it reads on, the source has the
    /// brokers say whether that is still there.
    pub epoch: Option<LeaderEpoch>,
}

/// Bytes that have left the client and are not decoded yet. The source reads no
/// further while they are too many.
#[derive(Clone, Debug, Default)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub fn used_bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub fn take(&self, bytes: usize) -> Permit {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Permit { budget: self.clone(), bytes }
    }
}

/// A fetch's share of the [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
