//! More replicas and fewer, partitions added, another number of threads, all under load and with kill -9.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::scene::{LIMIT, SESSION_TIMEOUT, Scene, terminate};

/// Beyond the session timeout: for the group to agree, and for the sink to take the next checkpoint.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn replicas_come_and_go_under_load_and_no_partition_is_left_alone() -> Result<()> {
    // At 200 ms, four replicas would be far above what one chain takes; `validate` warns above 3 commits a second.
    let more = "checkpoint: {interval: 1s, copy_grace: 1s}\ncontrol: {poll: 300ms}\nspeed: {channels: 1}\n";
    let scene = Arc::new(Scene::with(6, more).await?);
    let writer = scene.write(6);
    let first = scene.start(&[])?;
    scene.until_running(1, 6).await?;
    scene.until_progress().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(watch(scene.clone(), stop.clone()));

    // One to four; those that start now have more threads.
    let file = scene.job.file();
    let text = std::fs::read_to_string(&file)?.replace("channels: 1", "channels: 3");
    std::fs::write(&file, text)?;
    let mut others = vec![scene.start(&[])?, scene.start(&[])?, scene.start(&[])?];
    scene.until_running(4, 6).await?;
    scene.until_progress().await?;

    let mut killed = others.remove(0);
    killed.signal(libc::SIGKILL);
    killed.wait(Duration::from_secs(10)).await?;
    scene.kafka.add_partitions(&scene.topic, 8).await?;
    writer.end().await?;
    let writer = scene.write(8);
    others.push(scene.start(&[])?);
    let deadline = Instant::now() + LIMIT;
    while scene.position().await?.len() < 8 {
        ensure!(Instant::now() < deadline, "partitions that were added are not read");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    scene.until_progress().await?;

    // Four to two, one of them not asked.
    let mut killed = others.remove(0);
    killed.signal(libc::SIGKILL);
    killed.wait(Duration::from_secs(10)).await?;
    terminate(first).await?;
    scene.until_progress().await?;
    writer.rounds(3).await?;
    stop.store(true, Ordering::Relaxed);
    let longest = watching.await??;
    eprintln!("the longest that a partition stood still: {longest:?}");
    writer.end().await?;
    for process in others {
        terminate(process).await?;
    }
    ensure!(longest <= SESSION_TIMEOUT + GRACE, "a partition stood still for {longest:?}");
    scene.assert_exact().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_has_stopped_has_left_the_group() -> Result<()> {
    let scene = Scene::new(3).await?;
    let writer = scene.write(3);
    let consumer: Arc<BaseConsumer> =
        Arc::new(ClientConfig::new().set("bootstrap.servers", scene.kafka.bootstrap_servers()).create()?);
    // It was a race, lost every other time.
    for _ in 0..5 {
        let replica = scene.start(&[])?;
        scene.until_running(1, 3).await?;
        writer.rounds(1).await?;
        terminate(replica).await?;
        let (consumer, group) = (consumer.clone(), scene.group.clone());
        let count = move || {
            let list = consumer.fetch_group_list(Some(&group), Duration::from_secs(10))?;
            anyhow::Ok(list.groups().iter().map(|group| group.members().len()).sum::<usize>())
        };
        let members = tokio::task::spawn_blocking(count).await??;
        ensure!(members == 0, "the process has ended, and {members} member is still in the group");
    }
    writer.end().await?;
    scene.assert_exact().await
}

/// The longest that records waited in a partition of which nothing was committed.
async fn watch(scene: Arc<Scene>, stop: Arc<AtomicBool>) -> Result<Duration> {
    let consumer: Arc<BaseConsumer> =
        Arc::new(ClientConfig::new().set("bootstrap.servers", scene.kafka.bootstrap_servers()).create()?);
    let mut still: BTreeMap<String, (i64, Instant)> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        for (partition, next) in scene.position().await? {
            let (topic, number) = partition.rsplit_once('/').context("no partition")?;
            let (topic, number, consumer) = (topic.to_owned(), number.parse()?, consumer.clone());
            let ends = move || consumer.fetch_watermarks(&topic, number, Duration::from_secs(10));
            // One that was just added is not known to every client at once.
            let Ok((_, end)) = tokio::task::spawn_blocking(ends).await? else { continue };
            let since = still.entry(partition).or_insert((next, Instant::now()));
            if since.0 != next || next >= end {
                *since = (next, Instant::now());
            }
            longest = longest.max(since.1.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(longest)
}
