//! The byte limit, over two replicas.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use super::scene::{LIMIT, Scene};

const POLL: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(10);
const PARTITIONS: i32 = 4;
const PAYLOAD_BYTES: usize = 16 << 10;
/// 10 MB/s until the first window has passed, 2 MB/s in the second, and as much again for the third.
const RECORDS: usize = 15_000;

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_keep_to_the_limit_of_the_job_and_to_its_changes() -> Result<()> {
    let more =
        "control: {poll: 1s}\nspeed: {bytes_per_second: 10MB, channels: 1}\ncheckpoint: {interval: 2s}\n";
    let scene = Scene::with(PARTITIONS, more).await?;
    let file = scene.job.file();
    let text = std::fs::read_to_string(&file)?;
    let (head, rest) = text.split_once("format:\n").context("no format")?;
    let (_, rest) = rest.split_once("sink:\n").context("no sink")?;
    std::fs::write(
        &file,
        format!("{head}format: {{type: raw}}\nsink:\n  file: {{compression: none}}\n{rest}"),
    )?;
    let processes = [scene.start(&[])?, scene.start(&[])?];
    let replicas = scene
        .until("sharing the partitions", |replicas| {
            let share = |replica: &Value| replica["partitions"].as_array().map(Vec::len) == Some(2);
            replicas.len() == 2 && replicas.iter().all(share)
        })
        .await?;
    let (servers, topic) = (scene.kafka.bootstrap_servers().to_owned(), scene.topic.clone());
    tokio::task::spawn_blocking(move || fill(&servers, &topic)).await??;

    let measured = measure(&replicas, WINDOW).await?;
    within(measured, 10e6)?;
    scene.ask(&["speed", "2MB"]).await?;
    tokio::time::sleep(POLL).await;
    within(measure(&replicas, WINDOW).await?, 2e6)?;
    scene.ask(&["speed", "none"]).await?;
    let (all, start) = ((RECORDS * PAYLOAD_BYTES) as f64, Instant::now());
    let left = all - read(&replicas).await?;
    while read(&replicas).await? < all {
        ensure!(start.elapsed() < LIMIT, "without a limit, the rest is not read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let unlimited = left / start.elapsed().as_secs_f64();
    eprintln!("no limit: {left:.0} bytes left, {unlimited:.0} bytes/s");
    ensure!(left > 40e6 && unlimited > 12e6, "{unlimited:.0} bytes/s without a limit");
    drop(processes);
    Ok(())
}

/// As much to each partition, fast.
fn fill(servers: &str, topic: &str) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("queue.buffering.max.kbytes", "1000000")
        .set("log_level", "3")
        .create()?;
    let payload = vec![b'x'; PAYLOAD_BYTES];
    for n in 0..RECORDS {
        let record = BaseRecord::<[u8], _>::to(topic).partition(n as i32 % PARTITIONS).payload(&payload);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(LIMIT)?;
    Ok(())
}

/// Bytes a second that the replicas read together.
async fn measure(replicas: &[Value], window: Duration) -> Result<f64> {
    let (from, start) = (read(replicas).await?, Instant::now());
    tokio::time::sleep(window).await;
    let to = read(replicas).await?;
    Ok((to - from) / start.elapsed().as_secs_f64())
}

async fn read(replicas: &[Value]) -> Result<f64> {
    let mut sum = 0.0;
    for replica in replicas {
        let address = replica["address"].as_str().context("no address")?;
        let text = reqwest::get(format!("http://{address}/metrics")).await?.text().await?;
        let values = text.lines().filter_map(|line| line.strip_prefix("tidegate_bytes_read_total "));
        sum += values.filter_map(|value| value.parse::<f64>().ok()).sum::<f64>();
    }
    Ok(sum)
}

fn within(measured: f64, limit: f64) -> Result<()> {
    eprintln!("limit {limit:.0}: {measured:.0} bytes/s");
    ensure!((measured - limit).abs() <= 0.05 * limit, "{measured:.0} bytes/s with a limit of {limit:.0}");
    Ok(())
}
