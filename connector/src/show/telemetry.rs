//! Metrics for Prometheus. A metric exists from the start, at zero, so an alert on
//! its rate works before the first event.

use anyhow::{Context, Result};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tidegate_sinks::store::OPERATIONS;

use crate::config::Config;
use crate::metrics::{
    BY_TABLE, COUNTERS, GAUGES, HISTOGRAMS, MEMORY_LIMIT_BYTES, RELOAD_FAILED, SECONDS, SOURCE_WAIT,
    STORE_REQUESTS, THROTTLED_MILLISECONDS, THROTTLED_SECONDS,
};
use crate::replica::status::Status;
use crate::replica::status::verdict::Verdict;

mod process;
mod scrape;

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
    MEMORY_LIMIT_BYTES.gauge().set(config.memory_limit as f64);
    RELOAD_FAILED.gauge().set(0.0);
    Ok(metrics)
}

fn recorder() -> Result<PrometheusRecorder> {
    let mut builder = PrometheusBuilder::new();
    for histogram in HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full(histogram.name.to_owned()), SECONDS)?;
    }
    Ok(builder.build_recorder())
}

fn describe() {
    for counter in COUNTERS {
        describe_counter!(counter.name, counter.unit, counter.help);
        counter.counter().increment(0);
    }
    for counter in BY_TABLE {
        describe_counter!(counter.name, counter.unit, counter.help);
    }
    describe_counter!(STORE_REQUESTS.name, STORE_REQUESTS.unit, STORE_REQUESTS.help);
    for operation in OPERATIONS {
        STORE_REQUESTS.counter_of("operation", operation).increment(0);
    }
    for gauge in GAUGES {
        describe_gauge!(gauge.name, gauge.unit, gauge.help);
    }
    for histogram in HISTOGRAMS {
        describe_histogram!(histogram.name, histogram.unit, histogram.help);
    }
    // Without a wait there would be nothing of it otherwise, and one could not tell
    // that from not being measured.
    let _ = SOURCE_WAIT.histogram();
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
    let milliseconds =
        line.strip_prefix(THROTTLED_MILLISECONDS.name).and_then(|value| value.trim().parse().ok());
    match milliseconds {
        Some(milliseconds) => {
            format!("{THROTTLED_SECONDS} {}", std::time::Duration::from_millis(milliseconds).as_secs_f64())
        }
        None => line.replace(THROTTLED_MILLISECONDS.name, THROTTLED_SECONDS),
    }
}

#[cfg(test)]
mod tests;
