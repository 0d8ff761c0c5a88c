//! Logs to stderr and metrics for Prometheus: set up once, before anything else runs.
//!
//! Data goes to stdout, so that nothing but what a command prints is ever in a pipe. A metric exists from the start,
//! at zero, so an alert on its rate works before the first event.

use std::io::{IsTerminal, Write, stderr};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Time spent waiting for the byte limit. Counters hold whole numbers, so it is counted in milliseconds and shown as
/// `tidegate_throttled_seconds_total`.
pub const THROTTLED_MILLISECONDS: &str = "tidegate_throttled_milliseconds";

const COUNTERS: &[(&str, Unit, &str)] = &[
    ("tidegate_records_read_total", Unit::Count, "Records read from Kafka"),
    ("tidegate_records_written_total", Unit::Count, "Rows committed to the sink"),
    ("tidegate_bytes_read_total", Unit::Bytes, "Bytes of keys, values and headers read, after the throttle"),
    ("tidegate_bytes_written_total", Unit::Bytes, "Bytes of files committed to the sink"),
    ("tidegate_errors_total", Unit::Count, "Errors, those that a retry healed included"),
    ("tidegate_records_rejected_total", Unit::Count, "Records committed as rejects"),
    ("tidegate_fenced_total", Unit::Count, "Commits refused because another replica had moved a partition"),
    (THROTTLED_MILLISECONDS, Unit::Milliseconds, "Time spent waiting for the byte limit"),
];

const GAUGES: &[(&str, Unit, &str)] = &[
    ("tidegate_last_checkpoint_timestamp_seconds", Unit::Seconds, "When the newest checkpoint was made"),
    (
        "tidegate_lag_records",
        Unit::Count,
        "Records not committed, up to the last stable offset (lso) or the end (hw)",
    ),
    ("tidegate_complete_through_timestamp_seconds", Unit::Seconds, "All records up to this time are visible"),
    (
        "tidegate_lso_stall_seconds",
        Unit::Seconds,
        "How long an open transaction has held back the last stable offset",
    ),
    ("tidegate_memory_bytes", Unit::Bytes, "Bytes held by fetched records, batches and open writers"),
];

const HISTOGRAMS: &[(&str, &str, &[f64])] = &[
    (
        "tidegate_record_latency_seconds",
        "From a record's timestamp until it is visible",
        &[0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0],
    ),
    (
        "tidegate_checkpoint_duration_seconds",
        "From the decision to checkpoint until it is committed",
        &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0],
    ),
];

/// Starts logging. `level` is a level or tracing's filter directives. librdkafka's own lines come from `warn` up;
/// rust-rdkafka's, which call the end of a partition an error, not at all. A progress bar steps aside for each line.
pub fn init_logs(level: &str, format: LogFormat, bar: Option<ProgressBar>) -> Result<()> {
    let directives = if level.contains(['=', ',']) {
        level.to_owned()
    } else {
        format!("{level},librdkafka=warn,rdkafka=off")
    };
    let filter =
        EnvFilter::try_new(&directives).with_context(|| format!("log level {level:?} is not known"))?;
    let text = match format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || Lines(bar.clone()));
    let started = if text {
        builder.with_ansi(stderr().is_terminal()).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))
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
pub struct Metrics(PrometheusHandle);

/// Starts counting, once in a process.
pub fn init_metrics() -> Result<Metrics> {
    let mut builder = PrometheusBuilder::new();
    for (name, _, buckets) in HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)?;
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("starting the metrics")?;
    describe();
    Ok(Metrics(handle))
}

fn describe() {
    for (name, unit, help) in COUNTERS {
        describe_counter!(*name, *unit, *help);
        metrics::counter!(*name).increment(0);
    }
    for (name, unit, help) in GAUGES {
        describe_gauge!(*name, *unit, *help);
    }
    for (name, help, _) in HISTOGRAMS {
        describe_histogram!(*name, Unit::Seconds, *help);
    }
}

impl Metrics {
    /// Prometheus' text format.
    pub fn render(&self) -> String {
        self.0.render().lines().map(|line| in_seconds(line) + "\n").collect()
    }

    /// Folds samples into their buckets; without it a histogram that nobody scrapes grows.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
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
mod tests {
    use super::*;

    #[test]
    fn the_promised_names_are_shown() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = Metrics(recorder.handle());
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::counter!(THROTTLED_MILLISECONDS).increment(1_500);
            metrics::gauge!("tidegate_lag_records", "to" => "lso").set(7.0);
        });
        let text = metrics.render();
        for line in [
            "# TYPE tidegate_records_read_total counter",
            "tidegate_records_read_total 0",
            "# TYPE tidegate_throttled_seconds_total counter",
            "tidegate_throttled_seconds_total 1.5",
            "tidegate_lag_records{to=\"lso\"} 7",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
        }
        assert!(!text.contains("milliseconds"), "{text}");
    }
}
