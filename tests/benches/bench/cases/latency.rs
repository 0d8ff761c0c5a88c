//! From a record's timestamp until a reader sees it, by the interval of checkpoints.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use tokio::task::spawn_blocking;

use super::standard::table;
use crate::bench::Bench;
use crate::conditions;
use crate::job::Settings;
use crate::measure::percentile;
use crate::replica::Replica;
use crate::report::{Line, Table, columns};
use crate::visible::Watcher;
use crate::workload::{Kind, Shape, trickle};

const RECORDS_PER_SECOND: u64 = 2_000;

const SECONDS: u64 = 150;
/// Before that, not counted: a broker that has just started takes a thousand
/// requests a second, and records wait for it.
const WARM_SECONDS: u64 = 25;

/// All at the same time: together they leave the machine idle.
pub(crate) async fn latency(bench: &mut Bench) -> Result<Table> {
    let mut jobs = Vec::new();
    for interval in [1, 5, 60] {
        let name = bench.name("latency");
        let shape = Shape { kind: Kind::Small, topic: name.clone(), ..Shape::events(0) };
        bench.topic(&shape).await?;
        let settings = Settings::new(&name, &shape).interval(&format!("{interval}s"));
        jobs.push((interval, name, bench.job(&settings.with("format", "metadata: [timestamp]"))?));
    }
    let bench = &*bench;
    let lines = jobs.into_iter().map(|(interval, name, job)| one(bench, interval, name, job));
    let lines = try_join_all(lines).await?;
    Ok(Table {
        conditions: conditions(1, RECORDS_PER_SECOND * SECONDS),
        columns: columns(&[("p50", "p50 s", 2), ("p99", "p99 s", 2), ("max", "longest s", 2)]),
        lines,
    })
}

/// Records come at a steady rate, outside of transactions; a reader lists the table's folder all the time.
async fn one(bench: &Bench, interval: u64, name: String, job: PathBuf) -> Result<Line> {
    let replica = Replica::start(bench, &job, &[])?;
    replica.until("tidegate_partitions", 0.0).await?;
    let watcher = Watcher::start(&table(bench, &name));
    let warm = RECORDS_PER_SECOND * WARM_SECONDS;
    let (servers, records) = (bench.servers().to_owned(), warm + RECORDS_PER_SECOND * SECONDS);
    spawn_blocking(move || trickle(&servers, &name, 4, 0..records, RECORDS_PER_SECOND)).await??;
    replica.until("tidegate_records_written_total", records as f64 - 0.5).await?;
    // Committed; what is left is to be published.
    tokio::time::sleep(Duration::from_secs(1)).await;
    spawn_blocking(move || replica.stop()).await??;
    let seen = spawn_blocking(move || watcher.end()).await??;
    ensure!(seen.len() as u64 == records, "{} records are visible instead of {records}", seen.len());
    let counted: Vec<_> = seen.iter().filter(|seen| seen.id as u64 >= warm).collect();
    let at = |part| percentile(counted.iter().map(|seen| seen.latency_seconds()), part);
    let line = Line::new(format!("a checkpoint every {interval} s"));
    Ok(line.with("p50", at(0.5)).with("p99", at(0.99)).with("max", at(1.0)))
}
