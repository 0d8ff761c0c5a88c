//! Three replicas under everything that goes wrong, with a reader that lists all the time.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tidegate_testcontainers::transactions::{Transactions, read_committed_dump};
use tidegate_testcontainers::{Kafka, Toxiproxy};

use crate::support::{CHECKPOINTS, Job, Place, Process, Program, Rows, Settings, minio, unique};

/// Seconds of trouble a seed; the soak has more.
fn seconds() -> u64 {
    std::env::var("TIDEGATE_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_on_a_folder_survive_trouble() -> Result<()> {
    trouble(1, Place::Folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_on_s3_survive_trouble() -> Result<()> {
    trouble(2, Place::S3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_on_s3_survive_other_trouble() -> Result<()> {
    trouble(3, Place::S3).await
}

/// A rebalance pauses partitions and lets them go on where they were; at their ends
/// that must not skip a record.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_come_after_a_rebalance_at_the_ends_are_read() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let topic = unique("ends");
    kafka.create_topic(&topic, 6).await?;
    let settings = Settings {
        bootstrap_servers: kafka.bootstrap_servers(),
        topic: &topic,
        place: Place::Folder,
        more: CHECKPOINTS,
        sink: "",
        endpoint: None,
    };
    let job = Job::new(settings).await?;
    let group = format!("{}-replicas", job.name);
    let mut replicas = Vec::new();
    for round in 0..4 {
        replicas.push(job.start(Program::Plain, &["run"], Some(&group), None)?);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let plan = Transactions {
            seed: round,
            records: 60,
            partitions: 6,
            max_transaction: 10,
            ..Default::default()
        };
        plan.produce(kafka.bootstrap_servers(), &topic).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for replica in &mut replicas {
        replica.signal(libc::SIGTERM);
        let status = replica.wait(Duration::from_secs(40)).await?;
        ensure!(status.success(), "stopped with {status}: {}", replica.log()?);
    }
    job.run(&["run", "--until-end"]).await?;
    job.assert_exact(kafka.bootstrap_servers(), &topic).await
}

async fn trouble(seed: u64, place: Place) -> Result<()> {
    let kafka = Arc::new(Kafka::start().await?);
    let topic = unique("trouble");
    kafka.create_topic(&topic, 6).await?;
    let proxy = Toxiproxy::start(minio().await?.address()).await?;
    let endpoint = format!("http://{}", proxy.address());
    let job = Job::new(Settings {
        bootstrap_servers: kafka.bootstrap_servers(),
        topic: &topic,
        place,
        more: CHECKPOINTS,
        sink: "",
        endpoint: Some(&endpoint),
    })
    .await?;
    let job = Arc::new(job);
    let stop = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read_all_the_time(job.clone(), stop.clone()));
    let writer = tokio::spawn(write(kafka.clone(), topic.clone(), seed));
    let trouble = make_trouble(seed, &job, &kafka, &proxy, place).await;
    writer.await??;
    proxy.restore().await?;
    let rest = read_the_rest(&job, &kafka, &topic).await;
    stop.store(true, Ordering::Relaxed);
    let listings = reader.await??;
    trouble?;
    let expected = rest?;
    ensure!(listings > 10, "the reader has hardly looked");
    let position = job.run(&["position"]).await;
    let exact = job.assert_equals(&expected).await;
    exact.with_context(|| format!("with the sink at\n{}", position.unwrap_or_else(|error| error.to_string())))
}

/// One more process, in a group of its own, reads to the end; again, if a transaction that trouble had left
/// open was decided meanwhile. Returns all that is committed.
async fn read_the_rest(job: &Job, kafka: &Kafka, topic: &str) -> Result<Rows> {
    let mut before = read_committed_dump(kafka.bootstrap_servers(), topic).await?;
    loop {
        job.run(&["run", "--until-end"]).await?;
        let after = read_committed_dump(kafka.bootstrap_servers(), topic).await?;
        if after.len() == before.len() {
            return Ok(after.into_iter().map(|(p, o, payload)| ((p, o), payload)).collect());
        }
        eprintln!("{} records more were committed meanwhile", after.len() - before.len());
        before = after;
    }
}

/// Transactions for as long as there is trouble.
async fn write(kafka: Arc<Kafka>, topic: String, seed: u64) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut round = 0;
    while Instant::now() < end {
        let plan = Transactions {
            seed: seed * 1_000 + round,
            records: 3_000,
            partitions: 6,
            max_transaction: 200,
            ..Default::default()
        };
        // A broker that restarts may fail a transaction; then the next round begins a new one.
        if let Err(error) = plan.produce(kafka.bootstrap_servers(), &topic).await {
            eprintln!("writing: {error:#}");
        }
        round += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

async fn make_trouble(seed: u64, job: &Job, kafka: &Kafka, proxy: &Toxiproxy, place: Place) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    let group = format!("{}-replicas", job.name);
    let start = || job.start(Program::Plain, &["run"], Some(&group), None);
    let mut replicas = vec![start()?, start()?, start()?];
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut restarted = false;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(rng.random_range(500..4_000))).await;
        let victim = rng.random_range(0..replicas.len());
        let what = rng.random_range(0..10);
        eprintln!("seed {seed}: trouble {what} for replica {victim}");
        match what {
            0..=2 => {
                replicas[victim].signal(libc::SIGKILL);
                replicas[victim].wait(Duration::from_secs(10)).await?;
            }
            3 | 4 => {
                replicas[victim].signal(libc::SIGTERM);
                let status = replicas[victim].wait(Duration::from_secs(40)).await?;
                // Early in its start it knows no signal yet, and dies of it.
                ensure!(
                    status.success() || status.code() == Some(1) || status.signal() == Some(libc::SIGTERM),
                    "stopped with {status}: {}",
                    replicas[victim].log()?
                );
            }
            // Longer than the session timeout of 6 s: a zombie when it goes on.
            5 | 6 => {
                replicas[victim].signal(libc::SIGSTOP);
                tokio::time::sleep(Duration::from_secs(9)).await;
                replicas[victim].signal(libc::SIGCONT);
            }
            7 if !restarted => {
                restarted = true;
                kafka.restart().await?;
            }
            _ if place == Place::S3 => {
                proxy.cut().await?;
                tokio::time::sleep(Duration::from_millis(rng.random_range(500..5_000))).await;
                proxy.restore().await?;
            }
            _ => {}
        }
        for replica in &mut replicas {
            if !replica.is_running()? {
                no_safety_stop(replica)?;
                *replica = start()?;
            }
        }
    }
    for replica in &mut replicas {
        replica.signal(libc::SIGCONT);
        replica.signal(libc::SIGTERM);
    }
    for replica in &mut replicas {
        replica.wait(Duration::from_secs(60)).await?;
        no_safety_stop(replica)?;
    }
    Ok(())
}

/// A replica may die of trouble, but never because its own state contradicts itself.
fn no_safety_stop(replica: &mut Process) -> Result<()> {
    match replica.ended()?.and_then(|status| status.code()) {
        Some(2 | 3) => bail!("a replica refused to go on: {}", replica.log()?),
        _ => Ok(()),
    }
}

/// Lists and opens what is visible, again and again: nothing torn, no offset twice.
async fn read_all_the_time(job: Arc<Job>, stop: Arc<AtomicBool>) -> Result<u64> {
    let store = job.store()?;
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    let mut listings = 0;
    while !stop.load(Ordering::Relaxed) {
        listings += 1;
        let Ok(entries) = store.list("orders").await else { continue };
        for entry in entries {
            ensure!(entry.path.ends_with(".parquet"), "a reader would see {}", entry.path);
            if known.contains_key(&entry.path) {
                ensure!(known[&entry.path] == entry.size, "{} has changed", entry.path);
                continue;
            }
            let bytes: Bytes =
                store.get(&entry.path).await?.with_context(|| format!("{} has gone", entry.path))?;
            let file = SerializedFileReader::new(bytes).with_context(|| format!("{} is torn", entry.path))?;
            ensure!(file.metadata().file_metadata().num_rows() > 0, "{} is empty", entry.path);
            known.insert(entry.path, entry.size);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(listings)
}
