//! What the API tells: the job, its position, its checkpoints.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sinks::{Sink, TopicPartition};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shown;
use super::extract::Query;
use super::problem::{Problem, in_time};
use crate::job::checkpoints::{self, CheckpointSummary};
use crate::limits::CHECKPOINTS_RETAINED_MAX_COUNT;
use crate::replica::control::ReplicaState;
use crate::replica::status::{LastCommit, Reload};

pub(super) fn routes() -> OpenApiRouter<Shown> {
    OpenApiRouter::new().routes(routes!(job)).routes(routes!(position)).routes(routes!(checkpoints))
}

/// The job, and this replica of it.
#[derive(Debug, Serialize, ToSchema)]
struct Job {
    job: String,
    /// Of the program.
    version: &'static str,
    state: ReplicaState,
    /// Where the tables lie.
    sink: String,
    group_id: String,
    /// Assigned to this replica, as `topic/partition`.
    #[schema(value_type = Vec<String>)]
    partitions: Vec<TopicPartition>,
    /// By this replica since it started.
    records_read: u64,
    /// The newest checkpoint that this replica has seen.
    last_commit: Option<LastCommit>,
    /// What became of the newest change of the job file; none while it has not changed.
    reload: Option<Reload>,
    /// The job file in effect, without its secrets.
    #[schema(value_type = Object)]
    settings: Value,
}

/// The job, and what this replica does of it
#[utoipa::path(get, path = "/job", responses((status = OK, body = Job)))]
async fn job(State(shown): State<Shown>) -> Json<Job> {
    let status = &shown.status;
    Json(Job {
        job: shown.config.job.clone(),
        version: env!("CARGO_PKG_VERSION"),
        state: status.state(),
        sink: shown.sink.to_string(),
        group_id: shown.config.kafka.group_id.clone(),
        partitions: status.partitions().into_keys().collect(),
        records_read: status.records_read(),
        last_commit: status.last_commit(),
        reload: status.reload(),
        settings: status.in_force(&shown.config).redacted(),
    })
}

/// Where the job stands.
#[derive(Debug, Serialize, ToSchema)]
struct Position {
    /// The newest checkpoint; none before the job's first.
    checkpoint: Option<u64>,
    #[schema(value_type = Option<String>, format = DateTime)]
    created: Option<Timestamp>,
    partitions: Vec<PartitionPosition>,
}

/// Offsets of one partition. Its ends are known for those assigned to this replica.
#[derive(Debug, Serialize, ToSchema)]
struct PartitionPosition {
    topic: String,
    partition: i32,
    /// First offset that is not committed.
    next: i64,
    /// Committed since the job began.
    rows: u64,
    last_stable_offset: Option<i64>,
    high_watermark: Option<i64>,
    /// Offsets up to the last stable one that are not committed.
    lag: Option<i64>,
}

/// Every partition of the newest checkpoint
#[utoipa::path(get, path = "/position", responses((status = OK, body = Position)))]
async fn position(State(shown): State<Shown>) -> Result<Json<Position>, Problem> {
    let checkpoint = in_time(shown.sink.load()).await?;
    let assigned = shown.status.partitions();
    let partitions = checkpoint.iter().flat_map(|checkpoint| checkpoint.kafka_partitions());
    let row = |(partition, state): (&TopicPartition, &tidegate_sinks::PartitionState)| {
        let known = assigned.get(partition).copied().unwrap_or_default();
        PartitionPosition {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            next: state.next,
            rows: state.rows,
            last_stable_offset: known.last_stable_offset,
            high_watermark: known.high_watermark,
            lag: known.last_stable_offset.map(|end| (end - state.next).max(0)),
        }
    };
    Ok(Json(Position {
        partitions: partitions.map(row).collect(),
        checkpoint: checkpoint.as_ref().map(|checkpoint| checkpoint.n),
        created: checkpoint.as_ref().map(|checkpoint| checkpoint.created),
    }))
}

/// How many checkpoints to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Newest {
    /// At most this many, each read from the store.
    #[serde(default = "few")]
    #[param(minimum = 1, maximum = 900, default = 20)]
    limit: u64,
}

fn few() -> u64 {
    20
}

/// The retained checkpoints, newest first
#[utoipa::path(get, path = "/checkpoints", responses((status = OK, body = Vec<CheckpointSummary>)))]
async fn checkpoints(
    State(shown): State<Shown>,
    Query(Newest { limit }): Query<Newest>,
) -> Result<Json<Vec<CheckpointSummary>>, Problem> {
    if !(1..=CHECKPOINTS_RETAINED_MAX_COUNT).contains(&limit) {
        let detail = format!("limit is out of bounds; choose from 1 to {CHECKPOINTS_RETAINED_MAX_COUNT}");
        return Err(Problem::new(axum::http::StatusCode::BAD_REQUEST, detail));
    }
    Ok(Json(in_time(checkpoints::newest(&shown.sink, limit as usize)).await?))
}
