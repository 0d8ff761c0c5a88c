//! Traces of checkpoints by OTLP: a span `checkpoint` with a child for each phase. Off unless OpenTelemetry's
//! own variable names a collector, `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`; its
//! other variables count as well (headers, timeout, service name, sampler).
//!
//! A span is made when its checkpoint is visible, out of what was measured, so
//! nothing else can get among them, and none holds anything of a record. A
//! collector that does not answer costs the traces and nothing else.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span, SpanContext, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
use tokio::runtime::Handle;

use crate::error::RunError;
use crate::replica::status::history::CheckpointRecord;

/// Any of them turns traces on.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// How long a process that ends waits for its last spans to be taken.
const LAST: Duration = Duration::from_secs(2);

/// Spans are being sent.
#[derive(Debug)]
pub struct Sending(SdkTracerProvider);

/// Starts sending spans, if a collector is named.
///
/// Errors: an endpoint that is no URL, or a protocol other than `http/protobuf`.
pub fn start(job: &str) -> Result<Option<Sending>, RunError> {
    let named = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let Some(variable) = ENDPOINTS.iter().rev().find(|name| named(name)) else { return Ok(None) };
    let exporter = SpanExporter::builder().with_http().build().map_err(|error| {
        let message = format!("{variable}: traces cannot be sent: {error}; correct it, or unset it for none");
        RunError::Config(message, None)
    })?;
    let exporter = OnRuntime {
        exporter: Arc::new(exporter),
        runtime: Handle::current(),
        is_failing: AtomicBool::new(false),
    };
    let mut resource = Resource::builder();
    if env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("tidegate");
    }
    let resource = resource.with_attribute(KeyValue::new("tidegate.job", job.to_owned())).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    global::set_tracer_provider(provider.clone());
    tracing::info!(variable, "sending traces of checkpoints");
    Ok(Some(Sending(provider)))
}

impl Sending {
    /// Sends what is left, and waits for it a little.
    pub async fn stop(self) {
        let stopped = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST)).await;
        if let Ok(Err(error)) = stopped {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// A checkpoint that readers see, and when it was decided on.
pub fn completed(record: &CheckpointRecord, decided: SystemTime) {
    let attributes = [
        number("tidegate.checkpoint", record.n),
        number("tidegate.rows", record.rows),
        number("tidegate.rejects", record.rejects),
        number("tidegate.files", record.files),
        number("tidegate.bytes", record.bytes),
    ];
    let (tracer, mut time) = (global::tracer("tidegate"), decided);
    let checkpoint = tracer.span_builder("checkpoint").with_start_time(decided).with_attributes(attributes);
    let mut checkpoint = checkpoint.start_with_context(&tracer, &Context::new());
    let parent = within(checkpoint.span_context());
    for phase in &record.phases {
        let span = tracer.span_builder(phase.name).with_start_time(time);
        time += Duration::try_from_secs_f64(phase.seconds).unwrap_or_default();
        span.start_with_context(&tracer, &parent).end_with_timestamp(time);
    }
    checkpoint.end_with_timestamp(time);
}

/// A checkpoint that was decided on and never came into force.
pub fn dropped(decided: SystemTime, took: Duration) {
    let tracer = global::tracer("tidegate");
    let span = tracer.span_builder("checkpoint").with_start_time(decided);
    let mut span = span.start_with_context(&tracer, &Context::new());
    span.set_status(Status::error("dropped; what it held is read again"));
    span.end_with_timestamp(decided + took);
}

fn within(parent: &SpanContext) -> Context {
    Context::new().with_remote_span_context(parent.clone())
}

fn number(name: &'static str, value: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))
}

/// Sends on the runtime's threads: the SDK's own has no reactor. A failure is said once, not at each batch.
#[derive(Debug)]
struct OnRuntime {
    exporter: Arc<SpanExporter>,
    runtime: Handle,
    is_failing: AtomicBool,
}

impl opentelemetry_sdk::trace::SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = self.exporter.clone();
        let sending = self.runtime.spawn(async move { exporter.export(batch).await });
        match sending.await {
            Ok(Ok(())) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the collector takes traces again");
                }
            }
            Ok(Err(error)) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the collector does not take traces; going on without");
                }
            }
            Err(error) => tracing::debug!(%error, "the process ends before its last spans were sent"),
        }
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }
}
