//! Traces of checkpoints, as a collector gets them.

use std::collections::BTreeMap;
use std::net::TcpListener as StdListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

use super::scrape::{LIMIT, job, produce};
use crate::support::{CHECKPOINTS, Place, Program};

type Bodies = Arc<Mutex<Vec<Bytes>>>;

/// Takes whatever is sent. Returns where to, and what came.
async fn collector() -> Result<(String, Bodies)> {
    let bodies = Bodies::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let take = async |State(bodies): State<Bodies>, body: Bytes| {
        bodies.lock().expect("nobody panics with it").push(body);
    };
    let router = Router::new().route("/v1/traces", post(take)).with_state(bodies.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((endpoint, bodies))
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    if let Value::StringValue(text) = found { Some(text) } else { None }
}

fn number(span: &Span, key: &str) -> Option<i64> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    if let Some(Value::IntValue(number)) = found.value { Some(number) } else { None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_a_span_of_each_checkpoint_and_of_its_phases_and_nothing_else() -> Result<()> {
    let (endpoint, bodies) = collector().await?;
    let (job, topic) = job(2, Place::Folder, CHECKPOINTS, None).await?;
    produce(&topic, 2, 1, 500).await?;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let mut process = job.start_in(&environment, Program::Plain, &["run", "--until-end"], None, None)?;
    let status = process.wait(LIMIT).await?;
    ensure!(status.success(), "{status}: {}", process.log()?);

    let bodies = bodies.lock().expect("nobody panics with it").clone();
    let mut spans = Vec::new();
    for body in &bodies {
        let told = String::from_utf8_lossy(body);
        ensure!(!told.contains("country"), "a record's content: {told}");
        for resource in ExportTraceServiceRequest::decode(body.clone())?.resource_spans {
            let attributes = resource.resource.context("a resource")?.attributes;
            ensure!(text(&attributes, "service.name") == Some("tidegate"), "{attributes:?}");
            ensure!(text(&attributes, "tidegate.job") == Some(&job.name), "{attributes:?}");
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    let mut children: BTreeMap<Vec<u8>, Vec<Span>> = BTreeMap::new();
    let (checkpoints, phases): (Vec<Span>, Vec<Span>) =
        spans.into_iter().partition(|span| span.parent_span_id.is_empty());
    for phase in phases {
        children.entry(phase.parent_span_id.clone()).or_default().push(phase);
    }
    ensure!(!checkpoints.is_empty(), "no checkpoint: {}", process.log()?);
    let mut rows = 0;
    for checkpoint in &checkpoints {
        ensure!(checkpoint.name == "checkpoint", "{}", checkpoint.name);
        ensure!(number(checkpoint, "tidegate.checkpoint").is_some_and(|n| n > 1), "{checkpoint:?}");
        ensure!(
            number(checkpoint, "tidegate.bytes").is_some() && number(checkpoint, "tidegate.files").is_some()
        );
        rows += number(checkpoint, "tidegate.rows").context("rows")?;
        let phases = children.remove(&checkpoint.span_id).context("phases")?;
        let names: Vec<_> = phases.iter().map(|phase| phase.name.as_str()).collect();
        ensure!(names == ["seal", "stage", "commit", "publish"], "{names:?}");
        let mut time = checkpoint.start_time_unix_nano;
        for phase in phases {
            ensure!(phase.start_time_unix_nano == time && phase.trace_id == checkpoint.trace_id, "{phase:?}");
            time = phase.end_time_unix_nano;
        }
        ensure!(time == checkpoint.end_time_unix_nano, "a gap at the end");
    }
    ensure!(rows == 500 && children.is_empty(), "{rows} rows, strangers: {children:?}");
    Ok(())
}

/// One refuses, one never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_costs_nothing_but_the_traces() -> Result<()> {
    let silent = StdListener::bind("127.0.0.1:0")?;
    for endpoint in ["http://127.0.0.1:1".to_owned(), format!("http://{}", silent.local_addr()?)] {
        let (job, topic) = job(1, Place::Folder, CHECKPOINTS, None).await?;
        produce(&topic, 1, 1, 200).await?;
        let environment =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
        let mut process = job.start_in(&environment, Program::Plain, &["run", "--until-end"], None, None)?;
        let status = process.wait(LIMIT).await?;
        let log = process.log()?;
        ensure!(status.success(), "{status}: {log}");
        ensure!(log.matches("does not take traces").count() <= 1, "said again and again: {log}");
        job.assert_exact(tidegate_testcontainers::Kafka::shared().await?.bootstrap_servers(), &topic).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_no_address_is_refused_before_anything_is_read() -> Result<()> {
    let (job, _) = job(1, Place::Folder, CHECKPOINTS, None).await?;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", "-*/*-/*-//-/-/no-address")];
    let started = Instant::now();
    let mut process = job.start_in(&environment, Program::Plain, &["run"], None, None)?;
    let status = process.wait(LIMIT).await?;
    let log = process.log()?;
    ensure!(status.code() == Some(2) && log.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{status}: {log}");
    ensure!(started.elapsed() < Duration::from_secs(30), "took {:?}", started.elapsed());
    Ok(())
}
