//! What an object store is asked, by MinIO's own count: each request is on somebody's bill.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::conditions;
use crate::docker::{BUCKET, Minio, get};
use crate::job::Settings;
use crate::measure;
use crate::report::{COSTS, Line, Table, columns};
use crate::workload::Shape;

const COUNTER: &str = "minio_s3_requests_total{";
/// MinIO gathers its metrics every ten seconds at most, so an answer is older than a short run.
const CACHED: Duration = Duration::from_secs(15);

pub(crate) async fn objects(bench: &mut Bench) -> Result<Table> {
    let topic = bench.topic(&Shape::events(bench.records)).await?;
    let image = std::env::var("TIDEGATE_BENCH_MINIO").context("TIDEGATE_BENCH_MINIO is not set")?;
    let minio = Minio::start(&image).await?;
    let mut lines = Vec::new();
    for (what, interval, more) in [
        ("a checkpoint every second", "1s", None),
        ("one checkpoint", "1h", None),
        ("a checkpoint every second, 20 folders", "1s", Some("partition_by: [event_type]")),
    ] {
        let name = bench.name("objects");
        let store = format!(
            "store: {{endpoint: \"http://{}\", region: us-east-1, path_style: true, allow_http: true, \
             access_key_id: minioadmin, secret_access_key: minioadmin}}",
            minio.address
        );
        let mut settings = Settings::new(&name, &topic.shape).interval(interval).with("sink", store);
        settings.url = Some(format!("s3://{BUCKET}/{name}"));
        if let Some(more) = more {
            settings = settings.with("sink", more);
        }
        let job = bench.job(&settings)?;
        let before = requests(&minio).await?;
        let (mut command, log) = bench.product(&job, &["--until-end"], 0)?;
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let cost = measure::process(&mut command).with_context(said)?;
        let after = requests(&minio).await?;
        // The log's last line has the sum of commits and files.
        let (commits, files) = (logged(&said(), "commits")?, logged(&said(), "files")?);
        let mut line = Line::of_costs(what, topic.totals.rows, topic.bytes, &[cost], &[])
            .with("commits", commits)
            .with("files", files);
        for (api, count) in after {
            let asked = count - before.get(&api).copied().unwrap_or(0.0);
            let group = match api.as_str() {
                api if api.starts_with("put")
                    || api.contains("multipart")
                    || api == "uploadpart"
                    || api.starts_with("copy") =>
                {
                    "writes"
                }
                api if api.starts_with("list") => "lists",
                api if api.starts_with("delete") => "deletes",
                _ => "reads",
            };
            eprintln!("{what}: {api} {asked}");
            let sum = line.of(group).unwrap_or(0.0) + asked / commits;
            line = line.with(group, sum);
        }
        lines.push(line);
    }
    let mut all: Vec<_> =
        COSTS.into_iter().filter(|(key, ..)| ["rows_per_second", "cpu", "rss"].contains(key)).collect();
    all.extend([
        ("commits", "commits", 0),
        ("files", "files", 0),
        ("writes", "PUT, COPY, POST / commit", 1),
        ("lists", "LIST / commit", 1),
        ("reads", "GET, HEAD / commit", 1),
        ("deletes", "DELETE / commit", 1),
    ]);
    Ok(Table { conditions: conditions(1, topic.totals.rows), columns: columns(&all), lines })
}

/// Requests up to now, by the store's names for them. It answers with what it has counted some seconds ago.
async fn requests(minio: &Minio) -> Result<BTreeMap<String, f64>> {
    tokio::time::sleep(CACHED).await;
    let text = get(&minio.address, "/minio/v2/metrics/cluster").await?;
    let count = |line: &str| {
        let line = line.strip_prefix(COUNTER)?;
        let api = line.split("api=\"").nth(1)?.split('"').next()?;
        Some((api.to_lowercase(), line.rsplit(' ').next()?.parse().ok()?))
    };
    Ok(text.lines().filter_map(count).collect())
}

fn logged(log: &str, key: &str) -> Result<f64> {
    let line =
        log.lines().rev().find(|line| line.contains("stopped clean")).context("the run says its sums")?;
    let value: serde_json::Value = serde_json::from_str(line)?;
    value[key].as_f64().with_context(|| format!("the log's last line has no {key}"))
}
