//! More replicas and fewer, partitions added, another number of threads, all under load and with kill -9.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tidegate::config::Topics;
use tidegate::flow::event::Command;
use tidegate::flow::source::{Source, SourceSettings};
use tidegate_sinks::CommitId;
use tidegate_testcontainers::Kafka;

use super::scene::{LIMIT, SESSION_TIMEOUT, Scene, terminate};

/// Beyond the session timeout: for the group to agree, and for the sink to take the next checkpoint.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn replicas_come_and_go_under_load_and_no_partition_is_left_alone() -> Result<()> {
    // At 200 ms, four replicas would be far above what one chain takes; `validate`
    // warns above 3 commits a second.
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
        let members = members(consumer.clone(), scene.group.clone()).await?;
        ensure!(members == 0, "the process has ended, and {members} member is still in the group");
    }
    writer.end().await?;
    scene.assert_exact().await
}

/// Each is closed at another time after its start, so at each step of joining. A member that stays behind
/// holds its group up for a session timeout; and up to 2.14.1, librdkafka crashes now and then when it is
/// closed before the answer to its SyncGroup is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_ends_while_it_joins_has_left_the_group() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let topic = format!("joining-{}", CommitId::new());
    kafka.create_topic(&topic, 3).await?;
    let ends = (0..150).map(|step| closed_after(kafka, &topic, Duration::from_millis(step * 3)));
    stream::iter(ends).buffer_unordered(6).try_collect().await
}

async fn closed_after(kafka: &Kafka, topic: &str, wait: Duration) -> Result<()> {
    let group = format!("{topic}-{}", wait.as_millis());
    let properties = [
        ("bootstrap.servers", kafka.bootstrap_servers()),
        ("group.id", &group),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("enable.auto.commit", "false"),
    ];
    let source = Source::start(SourceSettings {
        properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        topics: Topics::List(vec![topic.to_owned()]),
        bytes_per_second: 0,
        budget_bytes: 1 << 20,
    })?;
    tokio::time::sleep(wait).await;
    source.commands.send(Command::Close)?;
    // It sends nothing, and is dropped when the thread ends.
    let _ = source.ended.await;
    let client = Arc::new(ClientConfig::new().set("bootstrap.servers", kafka.bootstrap_servers()).create()?);
    let members = members(client, group).await?;
    ensure!(members == 0, "{members} member is in the group that was left {wait:?} after its start");
    Ok(())
}

async fn members(client: Arc<BaseConsumer>, group: String) -> Result<usize> {
    let deadline = Instant::now() + LIMIT;
    let count = move || loop {
        match client.fetch_group_list(Some(&group), Duration::from_secs(10)) {
            Ok(list) => return Ok(list.groups().iter().map(|group| group.members().len()).sum()),
            // A broker that has just begun does not know its groups at once.
            Err(KafkaError::GroupListFetch(RDKafkaErrorCode::CoordinatorLoadInProgress))
                if Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(error.into()),
        }
    };
    tokio::task::spawn_blocking(count).await?
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
