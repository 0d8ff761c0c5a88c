//! Going back: each choice gives what it says, exactly, and what was taken back never comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tidegate::config::{Config, Origin};
use tidegate::job::savepoint;
use tidegate_sinks::{Chain, Checkpoint, Sink, SinkSettings};
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::{Transactions, json_payload, read_committed_dump};

use crate::support::{CHECKPOINTS, Job, Place, Program, Rows, Settings, unique};

const LIMIT: Duration = Duration::from_secs(120);

/// A job and the topic that it reads.
struct Scene {
    job: Job,
    topic: String,
    bootstrap_servers: &'static str,
}

impl Scene {
    async fn new(place: Place) -> Result<Self> {
        let kafka = Kafka::shared().await?;
        let topic = unique("restore");
        kafka.create_topic(&topic, 3).await?;
        let bootstrap_servers = kafka.bootstrap_servers();
        let job = Self::job(bootstrap_servers, &topic, place).await?;
        Ok(Self { job, topic, bootstrap_servers })
    }

    async fn job(bootstrap_servers: &str, topic: &str, place: Place) -> Result<Job> {
        let settings =
            Settings { bootstrap_servers, topic, place, more: CHECKPOINTS, sink: "", endpoint: None };
        Job::new(settings).await
    }

    async fn produce(&self, records: u64) -> Result<()> {
        let plan = Transactions { records, max_transaction: 5_000, ..Default::default() };
        plan.produce(self.bootstrap_servers, &self.topic).await?;
        Ok(())
    }

    /// Has Kafka delete what lies below the positions of a checkpoint.
    async fn delete_records(&self, below: &Checkpoint) -> Result<()> {
        let mut offsets = TopicPartitionList::new();
        for (partition, at) in &below.partitions {
            offsets.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(at.next))?;
        }
        let admin: AdminClient<_> =
            ClientConfig::new().set("bootstrap.servers", self.bootstrap_servers).create()?;
        admin.delete_records(&offsets, &AdminOptions::new()).await?;
        Ok(())
    }

    async fn run_to_end(&self) -> Result<()> {
        self.job.run(&["run", "--until-end"]).await.map(drop)
    }

    fn sink(&self) -> Result<Chain> {
        let settings = SinkSettings {
            options: self.job.options.clone(),
            ..SinkSettings::new(self.job.name.clone(), self.job.url.clone())
        };
        Ok(tidegate_sinks::open(settings)?)
    }

    async fn newest(&self) -> Result<Checkpoint> {
        let newest = self.sink()?.load().await?.context("the job has a chain")?;
        Ok(Checkpoint::clone(&newest))
    }

    /// The URL of a savepoint of now.
    async fn savepoint(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.job.file())?.replace("${GROUP}", "group");
        let config = Config::parse(&text, &Origin("job.yaml".into()))?;
        let to = savepoint::default_to(&config);
        Ok(savepoint::create(&self.sink()?, &config, &to, &savepoint::new_id()).await?)
    }

    /// Names of the table's files.
    async fn files(&self) -> Result<BTreeSet<String>> {
        let entries = self.job.store()?.list("orders").await?;
        Ok(entries.into_iter().map(|entry| entry.path).collect())
    }

    async fn dump(&self) -> Result<Rows> {
        let dump = read_committed_dump(self.bootstrap_servers, &self.topic).await?;
        Ok(dump.into_iter().map(|(p, o, payload)| ((p, o), payload)).collect())
    }

    async fn assert_exact(&self) -> Result<()> {
        self.job.assert_exact(self.bootstrap_servers, &self.topic).await
    }

    /// Runs a command that is refused for safety, and leaves the sink as it was. Returns what it says.
    async fn is_refused(&self, job: &Job, arguments: &[&str]) -> Result<String> {
        let (before, files) = (self.newest().await?, self.files().await?);
        let mut process = job.start(Program::Plain, arguments, None, None)?;
        let status = process.wait(LIMIT).await?;
        ensure!(status.code() == Some(3), "{arguments:?} ended with {status}: {}", process.log()?);
        ensure!(
            self.newest().await? == before && self.files().await? == files,
            "{arguments:?} has changed the sink"
        );
        Ok(format!("{}{}", process.output()?, process.log()?))
    }
}

async fn each_choice_is_exact(place: Place) -> Result<()> {
    let scene = Scene::new(place).await?;
    scene.produce(20_000).await?;
    scene.run_to_end().await?;
    let (kept, below) = (scene.newest().await?, scene.files().await?);
    let savepoint = scene.savepoint().await?;
    scene.produce(200_000).await?;
    scene.run_to_end().await?;
    let (ahead, all) = (scene.newest().await?, scene.files().await?);

    // Without a choice, and with one that does not fit.
    let from = ["run", "--until-end", "--from-savepoint", &savepoint];
    let with = |more: &[&'static str]| [&from[..], more].concat();
    let said = scene.is_refused(&scene.job, &from).await?;
    for word in ["--keep-sink", "--rollback", "--new-incarnation", "files", "OFFSETS"] {
        ensure!(said.contains(word), "{word} is not in: {said}");
    }
    ensure!(place == Place::Folder || said.contains("copy_grace"), "no delay: {said}");
    scene.is_refused(&scene.job, &with(&["--new-incarnation"])).await?;

    scene.job.run(&with(&["--keep-sink"])).await?;
    ensure!(scene.newest().await?.position() == ahead.position() && scene.files().await? == all);
    scene.assert_exact().await?;

    scene.job.run(&with(&["--rollback"])).await?;
    let back = scene.newest().await?;
    ensure!(back.incarnation == 2 && back.cuts[0] == kept.position(), "not cut where it was kept: {back:?}");
    let files = scene.files().await?;
    ensure!(files.is_superset(&below), "a file below the savepoint has gone");
    ensure!(all.difference(&below).all(|file| !files.contains(file)), "what was taken back is still there");
    scene.assert_exact().await?;

    // A pod that starts again must not roll back again.
    scene.job.run(&with(&["--rollback"])).await?;
    scene.job.run(&from).await?;
    ensure!(scene.newest().await?.incarnation == 2 && scene.files().await? == files);
    scene.job.run(&with(&["--rollback", "--again"])).await?;
    ensure!(scene.newest().await?.incarnation == 3);
    scene.assert_exact().await?;

    // A fork: another job and folder, from where the savepoint was made.
    let fork = Scene::job(scene.bootstrap_servers, &scene.topic, place).await?;
    scene.is_refused(&fork, &from).await?;
    for _ in 0..2 {
        fork.run(&with(&["--new-incarnation"])).await?;
    }
    let mut expected = scene.dump().await?;
    expected.retain(|(partition, offset), _| {
        kept.partitions.iter().all(|(known, at)| known.partition != *partition || *offset >= at.next)
    });
    ensure!(!expected.is_empty());
    fork.assert_equals(&expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_choice_is_exact_in_a_folder() -> Result<()> {
    each_choice_is_exact(Place::Folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_choice_is_exact_in_s3() -> Result<()> {
    each_choice_is_exact(Place::S3).await
}

/// It has staged, committed and half published when it falls asleep, and wakes up
/// after all that was taken back.
async fn a_zombie_changes_nothing(place: Place) -> Result<()> {
    let scene = Scene::new(place).await?;
    scene.produce(5_000).await?;
    scene.run_to_end().await?;
    let number = scene.newest().await?.n.to_string();
    for round in 0..3 {
        let mut zombie = scene.job.start(Program::Plain, &["run"], None, None)?;
        let before = scene.newest().await?.n;
        scene.produce(10_000).await?;
        while scene.newest().await?.n < before + 2 + round {
            ensure!(zombie.is_running()?, "{}", zombie.log()?);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        zombie.signal(libc::SIGSTOP);
        let ahead = scene.newest().await?;
        let rollback = ["run", "--until-end", "--from-checkpoint", &number, "--rollback", "--again"];
        scene.job.run(&rollback).await?;
        ensure!(scene.newest().await?.incarnation == ahead.incarnation + 1);
        let restored = scene.files().await?;
        scene.assert_exact().await?;
        zombie.signal(libc::SIGCONT);
        // It goes on from where the sink is by then, as everybody does.
        scene.produce(3_000).await?;
        let ended = scene.newest().await?.n;
        while scene.newest().await?.n == ended {
            ensure!(zombie.is_running()?, "{}", zombie.log()?);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        zombie.signal(libc::SIGTERM);
        let status = zombie.wait(LIMIT).await?;
        ensure!(status.success(), "{status}: {}", zombie.log()?);
        scene.run_to_end().await?;
        ensure!(scene.files().await?.is_superset(&restored));
        scene.assert_exact().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_that_slept_through_a_rollback_changes_nothing_in_a_folder() -> Result<()> {
    a_zombie_changes_nothing(Place::Folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_that_slept_through_a_rollback_changes_nothing_in_s3() -> Result<()> {
    a_zombie_changes_nothing(Place::S3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_refused_where_it_could_lose_or_double_records() -> Result<()> {
    let scene = Scene::new(Place::Folder).await?;
    scene.produce(5_000).await?;
    scene.run_to_end().await?;
    let (number, below) = (scene.newest().await?.n.to_string(), scene.files().await?);
    let ahead_of_nothing = scene.savepoint().await?;
    scene.produce(5_000).await?;
    scene.run_to_end().await?;
    let rollback = ["run", "--until-end", "--from-checkpoint", &number, "--rollback"];

    // A user has moved one of the files away.
    let store = scene.job.store()?;
    let all = scene.files().await?;
    let path = all.difference(&below).next().context("a file came after the checkpoint")?;
    let bytes = store.get(path).await?.context("it is there")?;
    store.delete(path).await?;
    let said = scene.is_refused(&scene.job, &rollback).await?;
    ensure!(said.contains(path) && said.contains("--keep-sink"), "{said}");
    store.put(path, bytes).await?;

    // Not a checkpoint of this chain; a savepoint that is ahead of its sink.
    scene.is_refused(&scene.job, &["run", "--from-checkpoint", "9999", "--rollback"]).await?;
    let other = Scene::job(scene.bootstrap_servers, &scene.topic, Place::Folder).await?;
    for choice in ["--keep-sink", "--rollback"] {
        let said = scene.is_refused(&other, &["run", "--from-savepoint", &ahead_of_nothing, choice]).await?;
        ensure!(said.contains("--new-incarnation"), "{said}");
    }
    scene.job.run(&rollback).await?;
    scene.assert_exact().await?;

    // Kafka has deleted what a rollback would have to read again.
    scene.delete_records(&scene.newest().await?).await?;
    let said = scene.is_refused(&scene.job, &[&rollback[..], &["--again"]].concat()).await?;
    ensure!(said.contains("deleted"), "{said}");
    Ok(())
}

/// A record of partition 2 that is newer than those after it.
const EARLY: u64 = 600;

/// Sends records `numbers` to each partition of a topic, a second apart from `base`
/// on, in seconds since 1970.
fn produce_numbered(to: &str, topic: &str, base: u64, numbers: std::ops::Range<u64>) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", to).create()?;
    let mut payload = Vec::new();
    for number in numbers {
        for partition in 0..3 {
            payload.clear();
            json_payload(number, &mut payload);
            let is_early = partition == 2 && number == EARLY;
            let timestamp = (base + number + if is_early { 10_000 } else { 0 }) * 1_000;
            let record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(&payload);
            producer.send(record.timestamp(i64::try_from(timestamp)?)).map_err(|(error, _)| error)?;
        }
        producer.poll(Duration::ZERO);
    }
    Ok(producer.flush(LIMIT)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_is_found_again_in_another_cluster() -> Result<()> {
    let scene = Scene::new(Place::Folder).await?;
    // The copy has lost nothing, gained what is older, and so has other offsets.
    let base = jiff::Timestamp::now().as_second() as u64 - 86_400;
    produce_numbered(scene.bootstrap_servers, &scene.topic, base, 10..1_000)?;
    scene.run_to_end().await?;
    let savepoint = scene.savepoint().await?;
    let elsewhere = Kafka::start_with(&[("CLUSTER_ID", "MkU3OEVBNTcwNTJENDM2Qk")]).await?;
    elsewhere.create_topic(&scene.topic, 3).await?;
    produce_numbered(elsewhere.bootstrap_servers(), &scene.topic, base, 0..2_000)?;

    let from = ["run", "--until-end", "--from-savepoint", &savepoint, "--new-incarnation"];
    let other = [&from[..], &["--other-cluster"]].concat();
    let here = Scene::job(scene.bootstrap_servers, &scene.topic, Place::Folder).await?;
    let said = scene.is_refused(&here, &other).await?;
    ensure!(said.contains("leave --other-cluster out"), "{said}");
    let there = Scene::job(elsewhere.bootstrap_servers(), &scene.topic, Place::Folder).await?;
    let said = scene.is_refused(&there, &from).await?;
    ensure!(said.contains("belong to the Kafka cluster"), "{said}");

    for _ in 0..2 {
        there.run(&other).await?;
    }
    let dump = read_committed_dump(elsewhere.bootstrap_servers(), &scene.topic).await?;
    // The last record committed was 999; what is as new as it begins earlier in one partition.
    let first = |partition| if partition == 2 { EARLY } else { 999 };
    let expected = dump.into_iter().map(|(partition, offset, payload)| ((partition, offset), payload));
    let expected: Rows =
        expected.filter(|((partition, offset), _)| *offset as u64 >= first(*partition)).collect();
    ensure!(expected.len() == 2 * 1_001 + 1_400, "{}", expected.len());
    there.assert_equals(&expected).await
}
