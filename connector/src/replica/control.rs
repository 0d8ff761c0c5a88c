//! What a job's replicas are asked while they run, and what they say of themselves: objects beside the chain
//! of checkpoints, so that whoever reaches the store can ask, with or without a replica.
//!
//! `control/<n>.json` holds the whole of what is asked; it is created only if absent, and the highest wins. A
//! change is made to the newest one, and made again when somebody else was first, so none is lost.
//! `replicas/<id>.json` is for people and for waiting. No guarantee of the sink rests on either.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_sinks::TopicPartition;

mod address;
mod board;
mod hearing;
pub mod place;
pub mod savepoints;
#[cfg(test)]
pub(crate) mod tests;
mod wait;

pub use address::advertised;
pub(crate) use address::host_name;
pub use board::Board;
pub use wait::{Waited, acknowledgements};

/// The newest format of these objects that this version writes and reads.
pub const FORMAT: u32 = 1;

/// The body of `control/<n>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    pub format: u32,
    /// Its number; the first is 1.
    pub n: u64,
    pub created: Timestamp,
    /// The job's byte limit over all replicas. `None`: the job file's; 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    #[serde(default)]
    pub paused: bool,
    #[serde(default)]
    pub stopped: bool,
    /// Number of the newest control object that asked for a checkpoint; 0: none has.
    #[serde(default)]
    pub checkpoint: u64,
    /// The newest savepoint asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<SavepointRequest>,
    /// Fields of this format that this version does not know; carried along, never dropped.
    #[serde(flatten)]
    pub other: std::collections::BTreeMap<String, serde_json::Value>,
}

/// A savepoint that replicas are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavepointRequest {
    pub id: String,
    /// URL of the folder that gets the folder `<id>`.
    pub to: String,
    /// The replicas stop, and the savepoint is made when they have.
    pub stop: bool,
    /// Number of the control object that asked for it.
    pub n: u64,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The job's byte limit, in bytes per second. `None`: the job file's; 0: none.
    Speed(Option<u64>),
    Pause,
    /// Also undoes a stop.
    Resume,
    Checkpoint,
    Savepoint {
        id: String,
        to: String,
        stop: bool,
    },
    Stop,
}

impl Control {
    /// Object number `n`, in which all of `before` is asked, and `change` as well.
    pub fn next(before: Option<Self>, n: u64, change: &Change, now: Timestamp) -> Self {
        let mut next = Self { n, created: now, ..before.unwrap_or_else(|| Self::nothing(now)) };
        match change {
            Change::Speed(bytes_per_second) => next.bytes_per_second = *bytes_per_second,
            Change::Pause => next.paused = true,
            Change::Resume => (next.paused, next.stopped) = (false, false),
            Change::Checkpoint => next.checkpoint = n,
            Change::Savepoint { id, to, stop } => {
                let request = SavepointRequest { id: id.clone(), to: to.clone(), stop: *stop, n };
                next.savepoint = Some(request);
                next.stopped |= stop;
            }
            Change::Stop => next.stopped = true,
        }
        next
    }

    fn nothing(now: Timestamp) -> Self {
        Self {
            format: FORMAT,
            n: 0,
            created: now,
            bytes_per_second: None,
            paused: false,
            stopped: false,
            checkpoint: 0,
            savepoint: None,
            other: Default::default(),
        }
    }
}

/// How a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    Starting,
    Running,
    /// Keeps its partitions and reads nothing.
    Paused,
    /// Makes its last checkpoint.
    Stopping,
    /// Has made its last checkpoint, and ends.
    Stopped,
    /// Has made its last checkpoint, and waits to be resumed.
    Holding,
}

impl fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Holding => "holding",
        })
    }
}

/// The body of `replicas/<id>.json`: what a replica said of itself when it last looked for what is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    pub format: u32,
    /// Unique to the process.
    pub id: String,
    /// By the replica's own clock.
    pub updated: Timestamp,
    /// Where others reach its HTTP; a loopback address, only from its own machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    pub state: ReplicaState,
    /// The newest control object that it has carried out, checkpoint and all.
    pub control: u64,
    pub partitions: Vec<TopicPartition>,
    pub records_per_second: f64,
    pub bytes_per_second: f64,
    /// The newest checkpoint that it has seen.
    pub checkpoint: u64,
    /// Its share of the job's byte limit; 0: none.
    pub limit_bytes_per_second: u64,
}
