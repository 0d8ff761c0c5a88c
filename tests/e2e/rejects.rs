//! Rejects to a topic: whatever is killed, frozen or lost while they are sent, a reader of committed records
//! sees each once, with its bytes, key and headers.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::{Value, json};
use tidegate_sinks::failpoints::OUTBOX_NAMES;
use tidegate_testcontainers::transactions::json_payload;
use tidegate_testcontainers::{Kafka, Toxiproxy};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{Job, Place, Process, Program, Rows, Settings, unique};

const LIMIT: Duration = Duration::from_secs(120);
/// Stories told at the same time.
const AT_ONCE: usize = 3;
const PARTITIONS: i32 = 2;
const RECORDS: u64 = 60;

/// A record as any reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A topic of good and bad records, a topic for the bad ones, and a job.
struct Scene {
    job: Job,
    servers: String,
    input: String,
    dead: String,
    bad: BTreeMap<(i32, i64), Seen>,
    good: Rows,
}

impl Scene {
    async fn new() -> Result<Self> {
        let kafka = Kafka::shared().await?;
        Self::on(kafka, kafka.bootstrap_servers()).await
    }

    /// The job reaches Kafka by `servers`, the test directly.
    async fn on(kafka: &Kafka, servers: &str) -> Result<Self> {
        let (input, dead) = (unique("mixed"), unique("dead"));
        kafka.create_topic(&input, PARTITIONS).await?;
        kafka.create_topic(&dead, 3).await?;
        let more = format!(
            "checkpoint: {{interval: 200ms, max_records: 20, copy_grace: 1s}}\nerror_limit: {{ratio: 1}}\n\
             rejects:\n  to: {{topic: {dead}}}\n"
        );
        let settings = Settings {
            bootstrap_servers: servers,
            topic: &input,
            place: Place::Folder,
            more: &more,
            sink: "",
            endpoint: None,
        };
        let job = Job::new(settings).await?;
        let servers = kafka.bootstrap_servers().to_owned();
        let mut scene = Self { job, servers, input, dead, bad: BTreeMap::new(), good: Rows::new() };
        scene.produce(0)?;
        Ok(scene)
    }

    /// Sends records, a third of them bad in several ways, and remembers where they lie.
    fn produce(&mut self, round: u64) -> Result<()> {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &self.servers).set("log_level", "3").create()?;
        for n in round * RECORDS..(round + 1) * RECORDS {
            let mut payload = Vec::new();
            let key = format!("key-{n}");
            let mut record = BaseRecord::to(&self.input).partition((n % PARTITIONS as u64) as i32);
            match n % 6 {
                1 => payload.extend_from_slice(b"\x00\xff not json"),
                4 => payload.extend_from_slice(b"{\"id\":\"x\",\"secret\":\"hunter2\"}"),
                _ => json_payload(n, &mut payload),
            }
            if n % 6 == 1 {
                let headers = OwnedHeaders::new()
                    .insert(Header { key: "trace", value: Some(&[0, 0xff][..]) })
                    .insert(Header { key: "trace", value: None::<&[u8]> })
                    .insert(Header { key: "empty", value: Some(&[][..]) });
                record = record.headers(headers);
            }
            if n % 4 != 0 {
                record = record.key(key.as_bytes());
            }
            let sent = producer.send(record.payload(&payload));
            sent.map_err(|(error, _)| error)?;
        }
        producer.flush(Duration::from_secs(30))?;
        self.bad.clear();
        for (place, seen) in dump(&self.servers, &self.input)? {
            let payload = seen.payload.clone().unwrap_or_default();
            if payload.starts_with(b"\x00") || payload.starts_with(b"{\"id\":\"x\"") {
                self.bad.insert(place, seen);
            } else {
                self.good.insert(place, payload);
            }
        }
        ensure!(self.bad.len() as u64 == (round + 1) * RECORDS / 3, "{} bad records", self.bad.len());
        Ok(())
    }

    fn start(&self, variable: Option<(&str, &str)>) -> Result<Process> {
        let environment: Vec<_> = variable.into_iter().collect();
        self.job.start_in(&environment, Program::Failpoints, &["run", "--until-end"], None, None)
    }

    async fn run_to_end(&self) -> Result<()> {
        self.job.run(&["run", "--until-end"]).await.map(|_| ())
    }

    /// Each bad record is in the topic for them once, as it was, with headers that say
    /// where it came from and why; the rest is in the table.
    async fn assert_exact(&self) -> Result<()> {
        let mut left = self.bad.clone();
        for (place, mut dead) in dump(&self.servers, &self.dead)? {
            let own = dead.headers.iter().position(|(name, _)| name.starts_with("__connect.errors."));
            let errors = dead.headers.split_off(own.with_context(|| format!("{place:?} has no headers"))?);
            let errors: BTreeMap<_, _> = errors
                .into_iter()
                .map(|(name, value)| (name, String::from_utf8(value.unwrap_or_default()).unwrap_or_default()))
                .collect();
            let said =
                |name: &str| errors.get(&format!("__connect.errors.{name}")).cloned().unwrap_or_default();
            let from = (said("partition").parse()?, said("offset").parse()?);
            let original =
                left.remove(&from).with_context(|| format!("{from:?} is there twice, or was good"))?;
            ensure!(dead == original, "{from:?} differs: {dead:?}, not {original:?}");
            ensure!(said("topic") == self.input && said("connector.name") == self.job.name, "{errors:?}");
            ensure!(said("stage") == "VALUE_CONVERTER" && said("task.id") == "0", "{errors:?}");
            ensure!(said("class.name") == "tidegate.decode.Json", "{errors:?}");
            ensure!(said("exception.class.name").starts_with("tidegate."), "{errors:?}");
            let message = said("exception.message");
            ensure!(!message.is_empty() && !message.contains("hunter2"), "{errors:?}");
            ensure!(errors.contains_key("tidegate.commit") && errors.contains_key("tidegate.timestamp"));
        }
        ensure!(left.is_empty(), "{} rejects are missing", left.len());
        self.job.assert_equals(&self.good).await
    }
}

/// Every committed record of a topic that is there now.
pub(crate) fn dump(servers: &str, topic: &str) -> Result<Vec<((i32, i64), Seen)>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "dump")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("log_level", "3")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(30))?;
    let partitions = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut seen, mut ends, deadline) = (Vec::new(), 0, Instant::now() + LIMIT);
    while ends < partitions {
        ensure!(Instant::now() < deadline, "{topic} has no end");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                let headers =
                    headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
                let (key, payload) =
                    (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec));
                seen.push(((message.partition(), message.offset()), Seen { key, payload, headers }));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Ok(seen)
}

/// Waits until the process has stopped itself at its point.
pub(crate) async fn stopped(process: &mut Process) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !process.is_stopped()? {
        ensure!(process.is_running()?, "it ended instead: {}", process.log()?);
        ensure!(Instant::now() < deadline, "never stopped: {}", process.log()?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Tells a story for each of several points, some at the same time.
async fn at_each<F>(points: &[&'static str], story: impl Fn(&'static str) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (permits, mut tasks) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for &point in points {
        let (permits, told) = (permits.clone(), story(point));
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            told.await.with_context(|| format!("at {point}"))
        });
    }
    let mut failures = Vec::new();
    while let Some(done) = tasks.join_next().await {
        failures.extend(done?.err().map(|error| format!("{error:#}")));
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reject_reaches_its_topic_once_as_it_was() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.run_to_end().await?;
    scene.assert_exact().await?;
    scene.run_to_end().await?;
    scene.assert_exact().await?;
    scene.produce(1)?;
    scene.run_to_end().await?;
    scene.assert_exact().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_of_sending_rejects() -> Result<()> {
    at_each(OUTBOX_NAMES, |point| async move {
        let scene = Scene::new().await?;
        // In the first transaction, and after others.
        for point in [point.to_owned(), format!("{point}:2")] {
            let mut process = scene.start(Some(("TIDEGATE_KILL_AT", &point)))?;
            let status = process.wait(LIMIT).await?;
            let is_killed = status.signal() == Some(libc::SIGKILL);
            ensure!(is_killed || (status.success() && point.ends_with(":2")), "{status}: {}", process.log()?);
        }
        scene.run_to_end().await?;
        scene.assert_exact().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_sender_sends_nothing_that_another_has_sent() -> Result<()> {
    let points = [
        "outbox.init.after",
        "outbox.begin.after",
        "outbox.produce.after",
        "outbox.commit.before",
        "outbox.commit.after",
    ];
    at_each(&points, |point| async move {
        let scene = Scene::new().await?;
        let mut frozen = scene.start(Some(("TIDEGATE_STOP_AT", point)))?;
        stopped(&mut frozen).await?;
        scene.run_to_end().await?;
        scene.assert_exact().await?;
        frozen.signal(libc::SIGCONT);
        let status = frozen.wait(LIMIT).await?;
        ensure!(status.success(), "it ended with {status}: {}", frozen.log()?);
        scene.assert_exact().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_sends_no_reject_twice() -> Result<()> {
    let proxy = Toxiproxy::start("127.0.0.1:1").await?;
    let kafka = Kafka::start_behind(&proxy).await?;
    for point in ["outbox.init.before", "outbox.begin.after", "outbox.produce.after", "outbox.commit.before"]
    {
        let story = async {
            let scene = Scene::on(&kafka, proxy.address()).await?;
            let mut process = scene.start(Some(("TIDEGATE_STOP_AT", point)))?;
            stopped(&mut process).await?;
            proxy.lose_answers().await?;
            process.signal(libc::SIGCONT);
            // As long as the fault lasts: the request arrives, its answer does not.
            tokio::time::sleep(Duration::from_secs(3)).await;
            proxy.cut().await?;
            proxy.restore().await?;
            let status = process.wait(LIMIT).await?;
            ensure!(status.success(), "it ended with {status}: {}", process.log()?);
            scene.run_to_end().await?;
            scene.assert_exact().await
        };
        story.await.with_context(|| format!("at {point}"))?;
    }
    Ok(())
}

/// Groups' offsets expire. Here they are deleted, and the commits made older than brokers keep them.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_sign_has_expired_is_found_in_the_topic() -> Result<()> {
    let scene = Scene::new().await?;
    let mut process = scene.start(Some(("TIDEGATE_KILL_AT", "outbox.commit.after")))?;
    ensure!(process.wait(LIMIT).await?.signal() == Some(libc::SIGKILL), "{}", process.log()?);
    ensure!(!dump(&scene.servers, &scene.dead)?.is_empty(), "the first transaction is committed");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &scene.servers).create()?;
    let store = scene.job.store()?;
    let mut forgotten = 0;
    for entry in store.list(&format!("_tidegate/{}/commits", scene.job.name)).await? {
        let bytes = store.get(&entry.path).await?.context("it was listed")?;
        let mut commit: Value = serde_json::from_slice(&bytes)?;
        commit["created"] = "2020-01-31T00:00:00Z".into();
        store.put(&entry.path, serde_json::to_vec(&commit)?.into()).await?;
        let group = format!("{}-rejects-{}", scene.job.name, commit["id"].as_str().context("an id")?);
        let deleted = admin.delete_groups(&[&group], &AdminOptions::new()).await?;
        forgotten += deleted.iter().filter(|group| group.is_ok()).count();
    }
    ensure!(forgotten > 0, "no group was there");
    scene.run_to_end().await?;
    scene.assert_exact().await
}

/// One commit, one transaction, and memory that does not grow with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_rejects_of_one_commit_are_sent() -> Result<()> {
    const COUNT: usize = 100_000;
    let mut scene = Scene::new().await?;
    let more =
        std::fs::read_to_string(scene.job.file())?.replace("max_records: 20, ", "").replace("200ms", "1m");
    std::fs::write(scene.job.file(), more)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &scene.servers)
        .set("queue.buffering.max.messages", "1000000")
        .create()?;
    // Noise, which no compression makes small.
    let mut noise = StdRng::seed_from_u64(1);
    for _ in 0..COUNT {
        let mut payload = [0; 1_000];
        noise.fill(&mut payload);
        let record = BaseRecord::<[u8], [u8]>::to(&scene.input).partition(0).payload(&payload);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(60))?;
    scene.bad.clear();
    let mut process = scene.job.start(Program::Plain, &["run", "--until-end"], None, None)?;
    let mut peak = 0;
    while process.is_running()? {
        peak = process.peak_kibibytes().unwrap_or(peak);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = process.wait(LIMIT).await?;
    ensure!(status.success(), "it ended with {status}: {}", process.log()?);
    ensure!(peak < 500 << 10, "{peak} KiB");
    let dead = dump(&scene.servers, &scene.dead)?;
    ensure!(dead.len() == COUNT + RECORDS as usize / 3, "{} rejects", dead.len());
    let commits: BTreeSet<_> = dead
        .iter()
        .flat_map(|(_, seen)| &seen.headers)
        .filter(|(name, _)| name == "tidegate.commit")
        .map(|(_, value)| value.clone())
        .collect();
    ensure!(commits.len() == 1, "{} commits", commits.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_listed_and_what_they_hold_only_when_asked_for() -> Result<()> {
    let scene = Scene::new().await?;
    scene.run_to_end().await?;
    let list = async |more: &[&str]| {
        let mut process =
            scene.job.start(Program::Plain, &[&["rejects", "list"], more].concat(), None, None)?;
        let status = process.wait(LIMIT).await?;
        ensure!(status.success(), "{status}: {}", process.log()?);
        process.output()
    };
    let table = list(&[]).await?;
    ensure!(table.contains("20 of 20 rejects") && !table.contains("hunter2"), "{table}");
    ensure!(list(&["--limit", "3"]).await?.contains("3 of 20 rejects"));
    let json: Value = serde_json::from_str(&list(&["--output", "json", "--show-payload"]).await?)?;
    let mut left = scene.bad.clone();
    for row in json["rejects"].as_array().context("a list")? {
        let place = (
            row["partition"].as_i64().context("a number")? as i32,
            row["offset"].as_i64().context("a number")?,
        );
        let bad = left.remove(&place).with_context(|| format!("{place:?} is not bad, or there twice"))?;
        let payload = bad.payload.unwrap_or_default();
        let shown = match std::str::from_utf8(&payload) {
            Ok(text) => json!({"text": text}),
            Err(_) => json!({"hex": payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>()}),
        };
        ensure!(row["content"]["payload"] == shown, "{row}");
        ensure!(
            row["topic"] == *scene.input && !row["error"].as_str().unwrap_or_default().is_empty(),
            "{row}"
        );
    }
    ensure!(left.is_empty(), "{} are not listed", left.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_for_rejects_that_is_missing_is_named_before_the_first_record() -> Result<()> {
    let scene = Scene::new().await?;
    Kafka::shared().await?.delete_topic(&scene.dead).await?;
    for command in [&["run", "--until-end"][..], &["validate"]] {
        let mut process = scene.job.start(Program::Plain, command, None, None)?;
        let status = process.wait(LIMIT).await?;
        let said = format!("{}{}", process.log()?, process.output()?);
        ensure!(status.code() == Some(2), "{command:?} ended with {status}: {said}");
        ensure!(said.contains(&scene.dead) && said.contains("create the topic"), "{said}");
    }
    ensure!(scene.job.visible().await?.is_empty(), "nothing is committed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reject_too_large_for_its_topic_is_told_there_and_ends_nothing() -> Result<()> {
    let kafka = Kafka::shared().await?;
    let (input, dead) = (unique("large"), unique("dead"));
    kafka.create_topic(&input, 1).await?;
    kafka.create_topic_with(&dead, 1, &[("max.message.bytes", "20000")]).await?;
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap_servers()).create()?;
    let large = "x".repeat(100_000);
    // Many that are small are more than one batch of the topic's may have.
    for payload in std::iter::once(large.as_str()).chain(std::iter::repeat_n("not json either", 100)) {
        let record = BaseRecord::to(&input).key("key").payload(payload);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(30))?;
    let settings = Settings {
        bootstrap_servers: kafka.bootstrap_servers(),
        topic: &input,
        place: Place::Folder,
        more: &format!("error_limit: {{ratio: 1}}\nrejects:\n  to: {{topic: {dead}}}\n"),
        sink: "",
        endpoint: None,
    };
    let job = Job::new(settings).await?;
    job.run(&["run", "--until-end"]).await?;
    let sent = dump(kafka.bootstrap_servers(), &dead)?;
    ensure!(sent.len() == 101, "{} of 101 rejects", sent.len());
    for (_, seen) in sent {
        let omitted = seen.headers.iter().any(|(name, _)| name == "tidegate.omitted");
        let offset = seen.headers.iter().find(|(name, _)| name == "__connect.errors.offset");
        ensure!(
            omitted == (offset.and_then(|(_, value)| value.as_deref()) == Some(b"0")),
            "{:?}",
            seen.headers
        );
        ensure!(seen.payload.is_none() == omitted && seen.key.is_none() == omitted);
    }
    Ok(())
}
