//! For how long reading stands still when a checkpoint is made: seen from outside,
//! by asking the replica all the time how many records it has read.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::standard::ENOUGH;
use crate::bench::{Bench, Topic};
use crate::conditions;
use crate::job::Settings;
use crate::measure::percentile;
use crate::replica::Replica;
use crate::report::{Line, Table, columns};
use crate::workload::Shape;

/// Between two questions.
const LOOK: Duration = Duration::from_millis(2);
/// A part of what one thread can do, so that nothing but checkpoints makes the source wait.
const STEADY: &str = "bytes_per_second: 30MB";

pub(crate) async fn stall(bench: &mut Bench) -> Result<Table> {
    let topic = bench.topic(&Shape::events(bench.records.min(ENOUGH))).await?;
    let mut lines = Vec::new();
    for (name, limit, interval) in [
        ("steady 30 MB/s, a checkpoint every 0.5 s", Some(STEADY), "500ms"),
        ("steady 30 MB/s, no checkpoint", Some(STEADY), "1h"),
        ("as fast as it can, a checkpoint every 0.5 s", None, "500ms"),
        ("as fast as it can, no checkpoint", None, "1h"),
    ] {
        lines.push(one(bench, &topic, name, limit, interval).await?);
    }
    Ok(Table {
        conditions: conditions(1, topic.totals.rows),
        columns: columns(&[
            ("checkpoints", "checkpoints", 0),
            ("p50", "p50 ms", 0),
            ("p99", "p99 ms", 0),
            ("max", "longest ms", 0),
            ("waits", "waits of the source by its own count", 0),
            ("short", "of them up to 50 ms, %", 1),
            ("waited", "all of them together ms", 0),
        ]),
        lines,
    })
}

/// The longest standstill within each half second: with checkpoints, one of them lies in it.
async fn one(
    bench: &mut Bench,
    topic: &Topic,
    line: &str,
    limit: Option<&str>,
    interval: &str,
) -> Result<Line> {
    let mut settings = Settings::new(bench.name("stall"), &topic.shape).interval(interval);
    if let Some(limit) = limit {
        settings = settings.with("speed", limit);
    }
    let replica = Replica::start(bench, &bench.job(&settings)?, &[])?;
    replica.until("tidegate_records_read_total", 0.0).await?;
    let (mut read, mut progressed, mut standstills) = (0.0, Instant::now(), Vec::new());
    // What the records still to come are, so that the end of the topic is no standstill.
    let last = topic.totals.rows as f64 * 0.97;
    while read < last {
        let Some(now) = replica.metric("tidegate_records_read_total").await else { break };
        if now > read {
            standstills.push((progressed, progressed.elapsed()));
            (read, progressed) = (now, Instant::now());
        }
        ensure!(progressed.elapsed() < Duration::from_secs(60), "nothing is read: {}", replica.log());
        tokio::time::sleep(LOOK).await;
    }
    let commits = replica.metric("tidegate_checkpoint_duration_seconds_count").await;
    let waits = replica.metric("tidegate_source_wait_seconds_count").await;
    let waited = replica.metric("tidegate_source_wait_seconds_sum").await;
    let short = replica.metric_with("tidegate_source_wait_seconds_bucket", "le=\"0.05\"").await;
    replica.stop()?;
    let begin = standstills.first().map_or_else(Instant::now, |(at, _)| *at);
    let mut longest = std::collections::BTreeMap::<u128, f64>::new();
    for (at, standstill) in standstills.iter().skip(1) {
        let longest = longest.entry((*at - begin).as_millis() / 500).or_default();
        *longest = longest.max(standstill.as_secs_f64() * 1e3);
    }
    let at = |part| percentile(longest.values().copied(), part);
    Ok(Line::new(line)
        .with("checkpoints", commits)
        .with("p50", at(0.5))
        .with("p99", at(0.99))
        .with("max", at(1.0))
        .with("waits", waits)
        .with("short", waits.filter(|all| *all > 0.0).zip(short).map(|(all, short)| short / all * 100.0))
        .with("waited", waited.map(|seconds| seconds * 1e3)))
}
