//! All that the status page shows, in one piece: put together from what the replica
//! knows of itself, without asking anybody.

mod assemble;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::history::Sample;
use super::verdict::Verdict;
use crate::replica::control::{Control, Replica, ReplicaState};

pub use assemble::{overview, verdict};

/// What the replicas of the job said when they were last asked.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    pub replicas: Vec<Replica>,
    /// The newest control object.
    pub control: Option<Control>,
    /// Why nothing is known of them.
    pub failure: Option<String>,
}

/// The job at a glance, as this replica sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Overview {
    /// By the clock of this replica.
    #[schema(value_type = String, format = DateTime)]
    pub now: Timestamp,
    /// When this process began to listen; another one than before means that it was started anew.
    #[schema(value_type = String, format = DateTime)]
    pub process: Timestamp,
    pub job: String,
    /// Of the program.
    pub version: &'static str,
    pub state: ReplicaState,
    /// Whether the job was asked to pause or to stop, and not to resume since.
    pub paused: bool,
    /// Where the tables lie.
    pub sink: String,
    pub verdict: Verdict,
    pub checkpoint: Option<NewestCheckpoint>,
    /// The newest sample of the last hour's history.
    pub latest: Option<Sample>,
    pub lag: Lag,
    pub partitions: Vec<Partition>,
    /// Topics of the pattern that are not read, because no table can be called after them.
    pub left_out: Vec<LeftOut>,
    /// Where transactions upstream hold the last stable offset back; the longest first.
    pub held_back: Vec<HeldBack>,
    pub rejects: Rejects,
    /// What rows had that no column asked for, of each table that had any, since this process began.
    pub unmatched: Vec<UnmatchedTable>,
    pub limits: Limits,
    pub replicas: Vec<Peer>,
    /// Why there are none.
    pub replicas_reason: Option<String>,
}

/// The newest checkpoint of the job that this replica has seen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NewestCheckpoint {
    pub n: u64,
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    pub incarnation: u32,
    /// Commits in force whose files are not known to be visible.
    pub unpublished: usize,
    /// Between two checkpoints.
    pub interval_seconds: f64,
}

/// Records of the partitions that this replica reads; not known while an offset is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Lag {
    /// Up to the last stable offset.
    pub lso: Option<u64>,
    /// Up to the high watermark.
    pub hw: Option<u64>,
}

/// A partition; its ends are known to the replica that reads it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Partition {
    #[schema(value_type = String)]
    pub topic: Arc<str>,
    pub partition: i32,
    /// First offset that is not committed.
    pub next: Option<i64>,
    pub last_stable_offset: Option<i64>,
    pub high_watermark: Option<i64>,
    pub lag_lso: Option<u64>,
    pub lag_hw: Option<u64>,
    /// Whether this replica reads it.
    pub here: bool,
    /// Which replica says that it reads it.
    pub replica: Option<String>,
}

/// A topic that is not read.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LeftOut {
    #[schema(value_type = String)]
    pub topic: Arc<str>,
    /// What is wrong with its table's name.
    pub problem: String,
}

/// A partition whose last stable offset is below its high watermark.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HeldBack {
    #[schema(value_type = String)]
    pub topic: Arc<str>,
    pub partition: i32,
    /// The last stable offset, which is the first one of the oldest open transaction.
    pub offset: i64,
    /// From there to the high watermark.
    pub records: u64,
    /// When this replica first saw it stand there.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The command that shows the producer.
    pub show: String,
    /// The command that ends the transaction.
    pub abort: String,
}

/// What a table's rows had that no column asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UnmatchedTable {
    pub table: String,
    /// Members of objects that no column asks for.
    pub members: u64,
    /// Some of them by their paths.
    pub keys: Vec<String>,
    /// Rows in which no column found anything, so that they are all null.
    pub rows: u64,
}

/// Records that did not decode.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Rejects {
    /// Since the job began, without those that were replayed; not known before the first checkpoint.
    pub total: Option<u64>,
    /// How many are allowed; none: any number.
    pub limit: Option<u64>,
    /// The part of all records that is allowed; none: any.
    pub ratio: Option<RejectRatio>,
    /// Where they are.
    pub place: String,
}

/// A limit of rejects as a part of all records, rows and rejects, and how much of it is used up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct RejectRatio {
    /// 0.01 is one of a hundred.
    pub most: f64,
    /// How far it looks back; none: since the job began.
    pub window_seconds: Option<f64>,
    /// As of the newest checkpoint; 0 before the first.
    pub rejects: u64,
    /// The records that they are among.
    pub records: u64,
}

/// Bounds in effect.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Limits {
    /// Of all replicas together; 0: none.
    pub bytes_per_second: u64,
    /// This replica's share.
    pub share_bytes_per_second: Option<u64>,
    pub memory_limit: u64,
    pub memory_used: Option<u64>,
    pub checkpoint_timeout_seconds: f64,
}

/// A replica, as it last spoke of itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Peer {
    pub id: String,
    /// Whether it is the one that answers.
    pub here: bool,
    /// Where others reach its HTTP; a loopback address, only from its own machine.
    pub address: Option<String>,
    pub state: ReplicaState,
    #[schema(value_type = String, format = DateTime)]
    pub updated: Timestamp,
    pub partitions: Vec<PeerPartition>,
    pub records_per_second: f64,
    pub bytes_per_second: f64,
}

/// A partition by name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PeerPartition {
    #[schema(value_type = String)]
    pub topic: Arc<str>,
    pub partition: i32,
}
