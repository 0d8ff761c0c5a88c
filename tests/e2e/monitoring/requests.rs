//! What a commit asks of an object store: each request is on somebody's bill, so none is added unnoticed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use tidegate_sinks::store::{OPERATIONS, REQUESTS};

use super::scrape::{LIMIT, Running, job, produce};
use crate::support::Place;

const RECORDS: u64 = 100;

/// Of a commit of one file. For each further small file: one put, one copy, one head and one delete.
const OF_A_COMMIT: [(&str, f64); 7] = [
    // The staged file.
    ("copy", 1.0),
    // The staged file, the staged manifest, and what says where the attempt began.
    ("delete", 3.0),
    // The staged manifest, by what publishes it.
    ("get", 1.0),
    // The file under its final name, before it is deleted under its staged one.
    ("head", 1.0),
    // The checkpoints, after the commit; and the attempt's folder, for leftovers.
    ("list", 2.0),
    // Where the attempt begins, the file, the staged manifest, the manifest in place.
    ("put", 4.0),
    // The checkpoint.
    ("put_if_absent", 1.0),
];

/// So long without a request, and whatever a commit has begun has ended.
const QUIET: Duration = Duration::from_secs(3);

/// Requests by operation up to now, once no more are made.
async fn settled(running: &Running) -> Result<BTreeMap<&'static str, f64>> {
    let deadline = std::time::Instant::now() + LIMIT;
    let mut last = BTreeMap::new();
    loop {
        let scrape = running.scrape().await?;
        let count = |operation| scrape.get(&format!("{REQUESTS}{{operation=\"{operation}\"}}"));
        let now: BTreeMap<_, _> =
            OPERATIONS.into_iter().map(|operation| (operation, count(operation))).collect();
        ensure!(now.values().all(|count| count.is_finite()), "{}", scrape.text);
        if now == last {
            return Ok(now);
        }
        ensure!(std::time::Instant::now() < deadline, "requests are made for ever: {now:?}");
        last = now;
        tokio::time::sleep(QUIET).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_asks_an_object_store_for_what_is_known_and_no_more() -> Result<()> {
    let more = format!(
        "checkpoint: {{interval: 1h, max_records: {RECORDS}, copy_grace: 1s}}\ncontrol: {{poll: 1h}}\nspeed: {{channels: 1}}\n"
    );
    let (job, topic) = job(3, Place::S3, &more, None).await?;
    let running = Running::start(&job).await?;
    running.wait("its partitions", |scrape| scrape.get("tidegate_partitions") == 3.0).await?;
    let mut before = settled(&running).await?;
    for commit in 1..=3 {
        produce(&topic, 3, commit, RECORDS).await?;
        let all = (commit * RECORDS) as f64;
        let scrape =
            running.wait("the commit", |scrape| scrape.get("tidegate_records_written_total") == all).await?;
        ensure!(
            scrape.get("tidegate_files_written_total") == commit as f64,
            "one file each: {}",
            scrape.text
        );
        let after = settled(&running).await?;
        let asked: BTreeMap<_, _> = after
            .iter()
            .map(|(operation, count)| (*operation, count - before[operation]))
            .filter(|(_, count)| *count > 0.0)
            .collect();
        ensure!(asked == BTreeMap::from(OF_A_COMMIT), "commit {commit}: {asked:?}");
        before = after;
    }
    Ok(())
}
