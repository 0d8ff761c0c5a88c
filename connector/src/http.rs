//! Health, metrics and the state of the job over HTTP. Reads only: nothing that is asked here changes the job.
//!
//! On a loopback address, requests that name another host are refused, so that a web page in somebody's browser
//! cannot read the API by pointing its own name here. Beyond loopback only health and metrics are served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate_sinks::Sink;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Config;
use crate::status::Status;
use crate::telemetry::Metrics;

/// How often samples are folded into histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the handlers read.
#[derive(Clone, Debug)]
pub struct Shown {
    pub config: Arc<Config>,
    pub sink: Arc<dyn Sink>,
    pub status: Arc<Status>,
    pub metrics: Metrics,
}

/// Binds the address (port 0: a free one) and serves until `stop` is true or dropped. Returns the address bound.
pub async fn serve(shown: Shown, mut stop: watch::Receiver<bool>) -> Result<SocketAddr> {
    let listen = shown.config.http.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("http.listen {listen} cannot be bound; choose another port, or 0 for any that is free")
    })?;
    let address = listener.local_addr()?;
    let metrics = shown.metrics.clone();
    let mut upkeep = tokio::time::interval(UPKEEP);
    let mut stopped = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = upkeep.tick() => metrics.upkeep(),
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
    });
    let router = router(shown, address.ip().is_loopback());
    tokio::spawn(async move {
        let shutdown = async move {
            // A dropped sender means that the process is ending, which is a stop as well.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(shutdown).await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    tracing::info!(%address, "listening for HTTP");
    Ok(address)
}

fn router(shown: Shown, loopback: bool) -> Router {
    let open = Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus));
    let api = Router::new().route("/api/v1/job", get(job)).route("/api/v1/position", get(position));
    let api = if loopback { api } else { api.layer(middleware::from_fn(needs_token)) };
    let router = open.merge(api).with_state(shown);
    if loopback { router.layer(middleware::from_fn(only_local_names)) } else { router }
}

/// Refuses what a browser sends for a page of another host.
async fn only_local_names(request: Request, next: Next) -> Response {
    if is_local(request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "this address is served to localhost only\n").into_response()
    }
}

fn is_local(headers: &HeaderMap) -> bool {
    let local = |authority: &str| {
        let host = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let host = host.map_or(authority, |(host, _)| host);
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = headers.get(header::ORIGIN).map(|origin| {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        authority.is_some_and(|(_, authority)| local(authority))
    });
    host.is_some_and(local) && origin.unwrap_or(true)
}

async fn needs_token(_: Request, _: Next) -> Response {
    let reason = "the API is served on a loopback address only: set http.listen to 127.0.0.1:8080\n";
    (StatusCode::FORBIDDEN, reason).into_response()
}

async fn ready(State(shown): State<Shown>) -> Response {
    match readiness(&shown.status, Timestamp::now(), shown.config.http.ready_max_commit_age) {
        Ok(()) => "ok".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

/// Why the replica is not ready, as of `now`. A `max_age` of zero sets no limit.
fn readiness(status: &Status, now: Timestamp, max_age: Duration) -> Result<(), String> {
    if !status.started() {
        return Err("starting".into());
    }
    if status.stopping() {
        return Err("stopping".into());
    }
    let behind = status.partitions().values().any(|partition| partition.lag().is_some_and(|lag| lag > 0));
    let Some(commit) = status.last_commit().filter(|_| behind && !max_age.is_zero()) else { return Ok(()) };
    let age = now.duration_since(commit.created).unsigned_abs();
    if age <= max_age {
        return Ok(());
    }
    Err(format!("behind, and the last commit is {} s old (at most {} s)", age.as_secs(), max_age.as_secs()))
}

async fn prometheus(State(shown): State<Shown>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shown.metrics.render())
        .into_response()
}

async fn job(State(shown): State<Shown>) -> Json<Value> {
    let status = &shown.status;
    let state = match (status.started(), status.stopping()) {
        (_, true) => "stopping",
        (true, false) => "running",
        (false, false) => "starting",
    };
    Json(json!({
        "job": shown.config.job,
        "version": env!("CARGO_PKG_VERSION"),
        "state": state,
        "sink": shown.sink.to_string(),
        "group_id": shown.config.kafka.group_id,
        "partitions": status.partitions().into_keys().collect::<Vec<_>>(),
        "records_read": status.records_read(),
        "last_commit": status.last_commit(),
    }))
}

/// Every partition of the newest checkpoint, with the ends that this replica knows of those assigned to it.
async fn position(State(shown): State<Shown>) -> Response {
    let checkpoint = match shown.sink.load().await {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            let body = Json(json!({"error": error.to_string()}));
            return (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
        }
    };
    let assigned = shown.status.partitions();
    let partitions = checkpoint.iter().flat_map(|checkpoint| &checkpoint.partitions);
    let rows: Vec<_> = partitions
        .map(|(partition, state)| {
            let known = assigned.get(partition).copied().unwrap_or_default();
            let lag = known.last_stable_offset.map(|end| (end - state.next).max(0));
            json!({
                "topic": partition.topic, "partition": partition.partition, "next": state.next, "rows": state.rows,
                "last_stable_offset": known.last_stable_offset, "high_watermark": known.high_watermark, "lag": lag,
            })
        })
        .collect();
    Json(json!({
        "checkpoint": checkpoint.as_ref().map(|checkpoint| checkpoint.n),
        "created": checkpoint.as_ref().map(|checkpoint| checkpoint.created),
        "partitions": rows,
    }))
    .into_response()
}

#[cfg(test)]
mod tests;
