//! What the API asks of the job's replicas: of all of them, through the store, so any replica may be asked.
//! They follow within one `control.poll`, and say in `GET /replicas` what they have carried out.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shown;
use super::extract::{Body, Nothing, OptionalBody, Path};
use super::problem::{Problem, in_time};
use crate::limits::SPEED_MAX_BYTES_PER_SECOND;
use crate::replica::control::savepoints::{self, SavepointState, Wish};
use crate::replica::control::{Change, Control, ReplicaState};

pub(super) fn routes() -> OpenApiRouter<Shown> {
    OpenApiRouter::new()
        .routes(routes!(speed, set_speed))
        .routes(routes!(checkpoint))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(stop))
        .routes(routes!(replicas))
        .routes(routes!(start_savepoint))
        .routes(routes!(savepoint))
}

/// That something has been asked of the replicas.
#[derive(Debug, Serialize, ToSchema)]
struct Asked {
    /// Its number: a replica whose `control` is no less has carried it out.
    control: u64,
    /// The replicas look this often.
    poll_seconds: f64,
}

type Answer = Result<(StatusCode, Json<Asked>), Problem>;

async fn ask(shown: &Shown, change: Change) -> Answer {
    let Control { n, .. } = in_time(shown.board.request(change, Timestamp::now())).await?;
    let poll_seconds = shown.board.poll().as_secs_f64();
    Ok((StatusCode::ACCEPTED, Json(Asked { control: n, poll_seconds })))
}

/// The byte limit.
#[derive(Debug, Serialize, ToSchema)]
struct Speed {
    /// Of the job over all replicas, in bytes per second; 0: none.
    bytes_per_second: u64,
    /// Whether it was asked for by `PUT /speed` or the command line; otherwise it is the job file's.
    is_asked: bool,
    /// This replica's share of it, in bytes per second; none without a limit, or before it reads.
    share: Option<u64>,
}

/// A byte limit to set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSpeed {
    /// Of the job over all replicas, in bytes per second. 0: none; null: the job file's.
    #[schema(required = true, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    #[serde(deserialize_with = "bytes_per_second")]
    bytes_per_second: Option<u64>,
}

/// To JSON, 5.0 is as whole a number as 5. The field must be there: left out by
/// mistake it would lift a limit.
fn bytes_per_second<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let whole = |number: f64| (number >= 0.0 && number.fract() == 0.0).then_some(number as u64);
    let bytes = number.as_u64().or_else(|| number.as_f64().and_then(whole));
    let fits = bytes.filter(|bytes| *bytes <= SPEED_MAX_BYTES_PER_SECOND).map(Some);
    let problem = format!("bytes_per_second is no whole number from 0 to {SPEED_MAX_BYTES_PER_SECOND}");
    fits.ok_or_else(|| Error::custom(problem))
}

/// The byte limit that is asked for
#[utoipa::path(get, path = "/speed", responses((status = OK, body = Speed)))]
async fn speed(State(shown): State<Shown>) -> Result<Json<Speed>, Problem> {
    let asked = in_time(shown.board.newest()).await?.and_then(|control| control.bytes_per_second);
    Ok(Json(Speed {
        bytes_per_second: asked.unwrap_or(shown.status.in_force(&shown.config).speed.bytes_per_second),
        is_asked: asked.is_some(),
        share: shown.status.limit(),
    }))
}

/// Limit the bytes that all replicas read together
#[utoipa::path(put, path = "/speed", request_body = NewSpeed, responses((status = ACCEPTED, body = Asked)))]
async fn set_speed(State(shown): State<Shown>, Body(new): Body<NewSpeed>) -> Answer {
    ask(&shown, Change::Speed(new.bytes_per_second)).await
}

/// Make a checkpoint now
#[utoipa::path(post, path = "/checkpoints", responses((status = ACCEPTED, body = Asked)))]
async fn checkpoint(State(shown): State<Shown>, OptionalBody(Nothing {}): OptionalBody<Nothing>) -> Answer {
    ask(&shown, Change::Checkpoint).await
}

/// Read nothing until resumed
#[utoipa::path(post, path = "/pause", responses((status = ACCEPTED, body = Asked)))]
async fn pause(State(shown): State<Shown>, OptionalBody(Nothing {}): OptionalBody<Nothing>) -> Answer {
    ask(&shown, Change::Pause).await
}

/// Read on after a pause or a stop
#[utoipa::path(post, path = "/resume", responses((status = ACCEPTED, body = Asked)))]
async fn resume(State(shown): State<Shown>, OptionalBody(Nothing {}): OptionalBody<Nothing>) -> Answer {
    ask(&shown, Change::Resume).await
}

/// Stop all replicas with a last checkpoint
#[utoipa::path(post, path = "/stop", responses((status = ACCEPTED, body = Asked)))]
async fn stop(State(shown): State<Shown>, OptionalBody(Nothing {}): OptionalBody<Nothing>) -> Answer {
    ask(&shown, Change::Stop).await
}

/// What a replica said of itself when it last looked for what is asked.
#[derive(Debug, Serialize, ToSchema)]
struct Replica {
    id: String,
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    /// Where others reach its HTTP; a loopback address, only from its own machine.
    address: Option<String>,
    state: ReplicaState,
    /// The newest request that it has carried out; 0: none.
    control: u64,
    /// As `topic/partition`.
    partitions: Vec<String>,
    records_per_second: f64,
    bytes_per_second: f64,
    /// The newest checkpoint that it has seen.
    checkpoint: u64,
    /// Its share of the byte limit; 0: none.
    limit_bytes_per_second: u64,
}

impl From<crate::replica::control::Replica> for Replica {
    fn from(replica: crate::replica::control::Replica) -> Self {
        Self {
            id: replica.id,
            updated: replica.updated,
            address: replica.address,
            state: replica.state,
            control: replica.control,
            partitions: replica.partitions.iter().map(ToString::to_string).collect(),
            records_per_second: replica.records_per_second,
            bytes_per_second: replica.bytes_per_second,
            checkpoint: replica.checkpoint,
            limit_bytes_per_second: replica.limit_bytes_per_second,
        }
    }
}

/// Every replica of the job that is alive, or was a moment ago
#[utoipa::path(get, path = "/replicas", responses((status = OK, body = Vec<Replica>)))]
async fn replicas(State(shown): State<Shown>) -> Result<Json<Vec<Replica>>, Problem> {
    let replicas = in_time(shown.board.replicas()).await?;
    Ok(Json(replicas.into_iter().map(Replica::from).collect()))
}

/// A savepoint to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSavepoint {
    /// URL of the folder that gets the savepoint's own; `savepoints.to` of the job file without it.
    to: Option<String>,
    /// Stop all replicas first.
    #[serde(default)]
    stop: bool,
}

/// A savepoint that is being made.
#[derive(Debug, Serialize, ToSchema)]
struct StartedSavepoint {
    id: String,
    /// Where it will lie.
    uri: String,
}

/// Make a savepoint
#[utoipa::path(
    post,
    path = "/savepoints",
    request_body(content = Option<NewSavepoint>),
    responses(
        (status = ACCEPTED, body = StartedSavepoint, headers(("location" = String, description = "Where to ask how it stands"))),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "Another one is being made"),
    )
)]
async fn start_savepoint(
    State(shown): State<Shown>,
    OptionalBody(NewSavepoint { to, stop }): OptionalBody<NewSavepoint>,
) -> Result<(StatusCode, HeaderMap, Json<StartedSavepoint>), Problem> {
    let wish = Wish { id: None, to, stop };
    let (id, uri) = in_time(savepoints::start(&shown.board, &shown.config, wish)).await?;
    let mut headers = HeaderMap::new();
    headers.extend(
        HeaderValue::try_from(format!("/api/v1/savepoints/{id}")).ok().map(|at| (header::LOCATION, at)),
    );
    Ok((StatusCode::ACCEPTED, headers, Json(StartedSavepoint { id, uri })))
}

/// How a savepoint stands.
#[derive(Debug, Serialize, ToSchema)]
struct Savepoint {
    id: String,
    state: SavepointProgress,
    /// Where it lies, once completed.
    uri: Option<String>,
    /// Why it has failed.
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SavepointProgress {
    InProgress,
    Completed,
    Failed,
}

/// How a savepoint stands that was asked for
#[utoipa::path(
    get,
    path = "/savepoints/{id}",
    params(("id" = String, Path, description = "As `POST /savepoints` told it")),
    responses(
        (status = OK, body = Savepoint),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json", description = "Nobody asked for it"),
    )
)]
async fn savepoint(State(shown): State<Shown>, Path(id): Path<String>) -> Result<Json<Savepoint>, Problem> {
    let found = in_time(savepoints::state(&shown.board, &shown.config, &id)).await?;
    let (state, uri, reason) = match found {
        None => return Err(Problem::not_found("no savepoint of this id was asked for, or it was long ago")),
        Some(SavepointState::InProgress) => (SavepointProgress::InProgress, None, None),
        Some(SavepointState::Completed { uri }) => (SavepointProgress::Completed, Some(uri), None),
        Some(SavepointState::Failed { reason }) => (SavepointProgress::Failed, None, Some(reason)),
    };
    Ok(Json(Savepoint { id, state, uri, reason }))
}
