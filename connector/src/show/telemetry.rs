//! Logs to stderr and metrics for Prometheus: set up once, before anything else runs.
//!
//! Data goes to stdout, so that nothing but what a command prints is ever in a pipe. A metric exists from the start,
//! at zero, so an alert on its rate works before the first event.

use std::io::{IsTerminal, Write, stderr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tidegate_sinks::store::OPERATIONS;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{Config, LogFormat};
use crate::replica::status::Status;
use crate::replica::status::verdict::Verdict;
use described::{
    BY_TABLE, COUNTERS, GAUGES, HISTOGRAMS, SECONDS, SOURCE_WAIT, STORE_REQUESTS, THROTTLED_MILLISECONDS,
};

pub mod described;
mod process;
mod scrape;

/// Starts logging. `level` is a level or tracing's filter directives. librdkafka's own lines come from `warn` up;
/// rust-rdkafka's, which call the end of a partition an error, not at all. A progress bar steps aside for each line.
pub fn init_logs(level: &str, format: LogFormat, bar: Option<ProgressBar>) -> Result<()> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    expect_logs(format);
    let text = !logs_in_json();
    let lines = fmt::layer().with_writer(move || Lines(bar.clone()));
    let lines = if text {
        lines.with_ansi(stderr().is_terminal()).with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    // In front of all: where a layer has a filter of its own, lines are lost after what the `log` crate asks for.
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("starting the log")?;
    LEVEL.get_or_init(|| handle);
    Ok(())
}

/// Says which form the log is to have, before it is started: a job file that does not read is told in it, too.
pub fn expect_logs(format: LogFormat) {
    let json = match format {
        LogFormat::Text => false,
        LogFormat::Json => true,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    IN_JSON.store(json, Ordering::Relaxed);
}

/// Whether lines of the log are JSON.
pub fn logs_in_json() -> bool {
    IN_JSON.load(Ordering::Relaxed)
}

static IN_JSON: AtomicBool = AtomicBool::new(false);

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Changes the level of the log that was started.
pub fn set_log_level(level: &str) -> Result<()> {
    let handle = LEVEL.get().context("the log has not been started")?;
    handle.reload(filter(level)?).with_context(|| format!("changing the log level to {level}"))
}

fn filter(level: &str) -> Result<EnvFilter> {
    let directives = if level.contains(['=', ',']) {
        level.to_owned()
    } else {
        format!("{level},librdkafka=warn,rdkafka=off")
    };
    EnvFilter::try_new(&directives).with_context(|| format!("log level {level:?} is not known"))
}

/// Stderr, around a progress bar.
struct Lines(Option<ProgressBar>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match &self.0 {
            Some(bar) => bar.suspend(|| stderr().write(line)),
            None => stderr().write(line),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        stderr().flush()
    }
}

/// What `/metrics` shows.
#[derive(Clone, Debug)]
pub struct Metrics {
    recorded: PrometheusHandle,
    job: String,
}

/// Starts counting, once in a process.
pub fn init_metrics(config: &Config) -> Result<Metrics> {
    let recorder = recorder()?;
    let metrics = Metrics { recorded: recorder.handle(), job: config.job.clone() };
    metrics::set_global_recorder(recorder).context("starting the metrics")?;
    describe();
    metrics::gauge!("tidegate_memory_limit_bytes").set(config.memory_limit as f64);
    metrics::gauge!("tidegate_reload_failed").set(0.0);
    Ok(metrics)
}

fn recorder() -> Result<PrometheusRecorder> {
    let mut builder = PrometheusBuilder::new();
    for (name, _) in HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), SECONDS)?;
    }
    Ok(builder.build_recorder())
}

fn describe() {
    for (name, unit, help) in COUNTERS {
        describe_counter!(*name, *unit, *help);
        metrics::counter!(*name).increment(0);
    }
    for (name, unit, help) in BY_TABLE {
        describe_counter!(*name, *unit, *help);
    }
    let (name, unit, help) = STORE_REQUESTS;
    describe_counter!(name, unit, help);
    for operation in OPERATIONS {
        metrics::counter!(name, "operation" => operation).increment(0);
    }
    for (name, unit, help) in GAUGES {
        describe_gauge!(*name, *unit, *help);
    }
    for (name, help) in HISTOGRAMS {
        describe_histogram!(*name, Unit::Seconds, *help);
    }
    // Without a wait there would be nothing of it otherwise, and one could not tell that from not being measured.
    let _ = metrics::histogram!(SOURCE_WAIT);
}

impl Metrics {
    /// Shows nothing: what is counted in tests goes elsewhere.
    #[cfg(test)]
    pub(crate) fn unrecorded() -> Self {
        Self { recorded: PrometheusBuilder::new().build_recorder().handle(), job: String::new() }
    }

    /// Prometheus' text format: what was recorded, and what `status` and the verdict on it say now.
    pub fn render(&self, status: &Status, verdict: &Verdict) -> String {
        let mut text: String = self.recorded.render().lines().map(|line| in_seconds(line) + "\n").collect();
        scrape::render(&mut text, status, verdict, &self.job);
        process::render(&mut text);
        text
    }

    /// Folds samples into their buckets; without it a histogram that nobody scrapes grows.
    pub fn upkeep(&self) {
        self.recorded.run_upkeep();
    }
}

fn in_seconds(line: &str) -> String {
    const SHOWN: &str = "tidegate_throttled_seconds_total";
    let milliseconds = line.strip_prefix(THROTTLED_MILLISECONDS).and_then(|value| value.trim().parse().ok());
    match milliseconds {
        Some(milliseconds) => {
            format!("{SHOWN} {}", std::time::Duration::from_millis(milliseconds).as_secs_f64())
        }
        None => line.replace(THROTTLED_MILLISECONDS, SHOWN),
    }
}

#[cfg(test)]
mod tests;
