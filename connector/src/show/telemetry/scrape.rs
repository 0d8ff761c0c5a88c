//! Metrics that come and go with partitions, so that a scrape reads them off the
//! status. A series that is not true any more is not there.

use std::fmt::Write;
use std::sync::Once;

use tidegate_sinks::TopicPartition;

use crate::limits::{PARTITION_METRICS_MAX_COUNT, UNREADY_METRICS_MAX_COUNT};
use crate::metrics::{
    BUILD_INFO, COMPLETE_THROUGH, PARTITION_LAG, PARTITION_POSITION, PAUSED, READY, RECORD_LATENCY, STOPPED,
    Shown, UNREADY,
};
use crate::replica::control::ReplicaState;
use crate::replica::status::verdict::Verdict;
use crate::replica::status::{BOUNDS, LatencyCounts, PartitionStatus, Status};

pub(super) fn render(text: &mut String, status: &Status, verdict: &Verdict, job: &str) {
    head(text, BUILD_INFO);
    sample(text, BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION")), ("tidegate_job", job)], 1.0);
    head(text, PAUSED);
    sample(text, PAUSED, &[], f64::from(u8::from(status.paused())));
    let is_stopped = matches!(status.state(), ReplicaState::Stopped | ReplicaState::Holding);
    head(text, STOPPED);
    sample(text, STOPPED, &[], f64::from(u8::from(is_stopped)));
    readiness(text, status, verdict);
    latency(text, &status.latency());
    if let Some(through) = status.standing().complete_through {
        head(text, COMPLETE_THROUGH);
        sample(text, COMPLETE_THROUGH, &[], through.as_millisecond() as f64 / 1e3);
    }
    let partitions = status.partitions();
    if partitions.len() > PARTITION_METRICS_MAX_COUNT {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            tracing::warn!(
                partitions = partitions.len(),
                most = PARTITION_METRICS_MAX_COUNT,
                "too many partitions for metrics of each; only totals are shown"
            );
        });
        return;
    }
    head(text, PARTITION_LAG);
    for (partition, status) in &partitions {
        let ends = [("lso", status.last_stable_offset), ("hw", status.high_watermark)];
        for (to, end) in ends {
            if let (Some(end), Some(next)) = (end, status.next) {
                of_partition(text, PARTITION_LAG, partition, Some(to), (end - next).max(0) as f64);
            }
        }
    }
    head(text, PARTITION_POSITION);
    for (partition, PartitionStatus { next, .. }) in &partitions {
        if let Some(next) = next {
            of_partition(text, PARTITION_POSITION, partition, None, *next as f64);
        }
    }
}

fn readiness(text: &mut String, status: &Status, verdict: &Verdict) {
    let is_up = matches!(status.state(), ReplicaState::Running | ReplicaState::Paused);
    let is_ready = is_up && verdict.unready().next().is_none();
    head(text, READY);
    sample(text, READY, &[], f64::from(u8::from(is_ready)));
    head(text, UNREADY);
    for finding in verdict.unready().take(UNREADY_METRICS_MAX_COUNT) {
        sample(text, UNREADY, &[("reason", finding.code), ("subject", &finding.subject)], 1.0);
    }
}

fn latency(text: &mut String, counts: &LatencyCounts) {
    head(text, RECORD_LATENCY);
    let (name, ..) = RECORD_LATENCY;
    let mut below = 0;
    for (bound, count) in BOUNDS.iter().zip(counts.buckets) {
        below += count;
        line(text, format_args!("{name}_bucket{{le=\"{bound}\"}} {below}"));
    }
    line(text, format_args!("{name}_bucket{{le=\"+Inf\"}} {}", counts.count()));
    line(text, format_args!("{name}_sum {}", counts.sum_seconds));
    line(text, format_args!("{name}_count {}", counts.count()));
}

pub(super) fn head(text: &mut String, (name, kind, help): Shown) {
    line(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn of_partition(text: &mut String, shown: Shown, partition: &TopicPartition, to: Option<&str>, value: f64) {
    let number = partition.partition.to_string();
    let labels = [("topic", &*partition.topic), ("partition", &number), ("to", to.unwrap_or_default())];
    sample(text, shown, &labels[..if to.is_some() { 3 } else { 2 }], value);
}

pub(super) fn sample(text: &mut String, (name, ..): Shown, labels: &[(&str, &str)], value: f64) {
    let label = |(name, value): &(&str, &str)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    let labels: Vec<_> = labels.iter().map(label).collect();
    match labels.is_empty() {
        true => line(text, format_args!("{name} {value}")),
        false => line(text, format_args!("{name}{{{}}} {value}", labels.join(","))),
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}
