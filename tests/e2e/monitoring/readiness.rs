//! `http.ready_max_commit_age`: not ready when nothing is committed though there is something, and only then.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tidegate_testcontainers::Toxiproxy;

use super::scrape::{LIMIT, Running, job, now, produce};
use crate::support::{CHECKPOINTS, Job, Place, minio};

fn set_max_age(job: &Job, age: &str) -> Result<()> {
    let listen = "listen: 127.0.0.1:0";
    let text = std::fs::read_to_string(job.file())?;
    ensure!(text.contains(listen), "{text}");
    let text = text.replace(listen, &format!("{listen}, ready_max_commit_age: {age}"));
    Ok(std::fs::write(job.file(), text)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_cannot_commit_is_not_ready_until_it_can() -> Result<()> {
    let proxy = Toxiproxy::start(minio().await?.address()).await?;
    let endpoint = format!("http://{}", proxy.address());
    let (job, topic) = job(1, Place::S3, CHECKPOINTS, Some(&endpoint)).await?;
    set_max_age(&job, "3s")?;
    let running = Running::start(&job).await?;
    produce(&topic, 1, 1, 10).await?;
    running.wait("the first records", |scrape| scrape.get("tidegate_records_written_total") == 10.0).await?;
    ensure!(running.ready().await?.0 == 200);

    proxy.cut().await?;
    produce(&topic, 1, 2, 10).await?;
    let deadline = Instant::now() + LIMIT;
    let reason = loop {
        match running.ready().await? {
            (503, reason) => break reason,
            answer => ensure!(Instant::now() < deadline, "still ready: {answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    ensure!(reason.contains("without a commit for"), "{reason}");

    proxy.restore().await?;
    running.wait("the rest", |scrape| scrape.get("tidegate_records_written_total") == 20.0).await?;
    let deadline = Instant::now() + LIMIT;
    while running.ready().await?.0 != 200 {
        ensure!(Instant::now() < deadline, "ready again? {:?}", running.ready().await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// The topic was quiet for longer than the age; what comes now has the whole age to be committed in.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_record_of_a_quiet_topic_leaves_the_replica_ready() -> Result<()> {
    let (job, topic) = job(1, Place::Folder, "checkpoint: {interval: 4s}\n", None).await?;
    set_max_age(&job, "6s")?;
    let running = Running::start(&job).await?;
    let mut written = 0;
    // A checkpoint may come before the lag was looked at; then it proves nothing.
    for seed in 1..=5 {
        produce(&topic, 1, seed, 1).await?;
        written += 1;
        let mut seen = false;
        let deadline = Instant::now() + LIMIT;
        loop {
            let (status, reason) = running.ready().await?;
            ensure!(status == 200 || reason == "starting", "{reason}");
            let scrape = running.scrape().await?;
            seen |= scrape.get("tidegate_lag_records{to=\"lso\"}") > 0.0;
            if scrape.get("tidegate_records_written_total") == f64::from(written) {
                break;
            }
            ensure!(Instant::now() < deadline, "{}", scrape.text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if seen && seed > 1 {
            return Ok(());
        }
        let newest = "tidegate_last_checkpoint_timestamp_seconds";
        running.wait("quiet", |scrape| now() - scrape.get(newest) > 7.0).await?;
    }
    anyhow::bail!("lag was never seen")
}
