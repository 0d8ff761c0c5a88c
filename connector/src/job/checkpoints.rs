//! The retained checkpoints, summed up for people.

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;
use tidegate_sinks::{Chain, Checkpoint, CommitId, Error};
use utoipa::ToSchema;

/// Checkpoints that are read at the same time.
const AT_ONCE: usize = 16;

/// What a row of a list of checkpoints says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckpointSummary {
    pub n: u64,
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    pub incarnation: u32,
    /// The commit it made, if it made one.
    #[schema(value_type = Option<String>)]
    pub commit: Option<CommitId>,
    /// Partitions that it knows.
    pub partitions: usize,
    /// Rows committed since the start of the chain.
    pub rows: u64,
    /// Records rejected since the start of the chain.
    pub rejects: u64,
    /// Commits whose files are not all visible yet.
    pub unpublished: usize,
}

impl From<&Checkpoint> for CheckpointSummary {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            n: checkpoint.n,
            created: checkpoint.created,
            incarnation: checkpoint.incarnation,
            commit: checkpoint.commit.clone(),
            partitions: checkpoint.kafka_partitions().count(),
            rows: checkpoint.partitions.values().map(|state| state.rows).sum(),
            rejects: checkpoint.rejects,
            unpublished: checkpoint.unpublished.len(),
        }
    }
}

/// The newest `limit` of the retained checkpoints, newest first.
///
/// Errors: as those of [`Chain::read_checkpoint`].
pub async fn newest(sink: &Chain, limit: usize) -> Result<Vec<CheckpointSummary>, Error> {
    let numbers = sink.checkpoints().await?;
    let read = stream::iter(numbers.into_iter().rev().take(limit)).map(|n| sink.read_checkpoint(n));
    let read: Vec<_> = read.buffered(AT_ONCE).try_collect().await?;
    // One that a running job has just removed is not retained.
    Ok(read.iter().flatten().map(CheckpointSummary::from).collect())
}
