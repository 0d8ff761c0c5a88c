//! Going back to a kept state: what is asked for, and what it would take back.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::checkpoint::{Checkpoint, PartitionState, Restored};
use super::commit::{Commit, CommitId};
use super::position::TopicPartition;

/// What a job is to be restored from, and how.
#[derive(Clone, Debug)]
pub struct Restore {
    /// What the chain then says of it. A chain that says so already is not restored again.
    pub restored: Restored,
    /// The kept state: a retained checkpoint, or a savepoint's.
    pub target: Checkpoint,
    /// Restore even if the chain says that it was.
    pub again: bool,
}

impl Restore {
    /// Whether a chain says that this has been done.
    pub fn is_done_in(&self, state: &Checkpoint) -> bool {
        !self.again && state.restored.as_ref() == Some(&self.restored)
    }
}

/// A partition's next offset, now and after a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    pub from: i64,
    pub to: i64,
}

/// What a rollback would take back, as of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The newest checkpoint when this was found out.
    pub checkpoint: u64,
    /// Every partition that stands elsewhere afterwards.
    pub moves: BTreeMap<TopicPartition, Move>,
    pub commits: Vec<CommitId>,
    /// Files of data and of rejects that are erased.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    pub rows: u64,
    pub rejects: u64,
    /// Those of the files that somebody has moved away: a rollback refuses while there are any.
    pub missing: Vec<String>,
    /// How long the job waits at least before it erases them, and reads on.
    #[serde(serialize_with = "seconds")]
    pub delay: Duration,
}

impl Plan {
    /// Of the commits `taken`, found after `newest` was loaded; `goal` is where each
    /// partition stands afterwards.
    pub(crate) fn new(
        newest: &Checkpoint,
        goal: &BTreeMap<TopicPartition, PartitionState>,
        taken: &[impl Borrow<Commit>],
        missing: Vec<String>,
        delay: Duration,
    ) -> Self {
        let moves = newest.partitions.iter().filter_map(|(partition, now)| {
            let to = goal.get(partition)?.next;
            (to != now.next).then(|| (partition.clone(), Move { from: now.next, to }))
        });
        let taken = || taken.iter().map(Borrow::borrow);
        let files = || taken().flat_map(|commit| &commit.files);
        Self {
            checkpoint: newest.n,
            moves: moves.collect(),
            commits: taken().map(|commit| commit.id.clone()).collect(),
            files: files().count() as u64,
            bytes: files().map(|file| file.bytes).sum(),
            rows: taken().flat_map(|commit| commit.rows.values()).sum(),
            rejects: taken().map(|commit| commit.rejects).sum(),
            missing,
            delay: if files().next().is_some() { delay } else { Duration::ZERO },
        }
    }
}

fn seconds<S: serde::Serializer>(delay: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(delay.as_secs_f64())
}
