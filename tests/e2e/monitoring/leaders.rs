//! Partitions whose leader goes away, on three brokers: one that is frozen stays
//! leader here, one that ends leaves none.

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataPartition;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::Transactions;
use tokio::task;

use super::scrape::{LIMIT, Running};
use crate::support::{CHECKPOINTS, Job, Place, Program, Settings, unique};

/// The only broker that has the topic `lone`.
const LONE: usize = 1;

struct Scene {
    kafka: Kafka,
    lone: String,
    /// On the other brokers.
    other: String,
}

impl Scene {
    async fn new() -> Result<Self> {
        let settings = [
            // Longer than it takes to be told; a broker that ends has to outwait its own
            // session before it is let in again.
            ("KAFKA_BROKER_SESSION_TIMEOUT_MS", "90000"),
            // The others do without a frozen broker's copy of what a group says.
            ("KAFKA_REPLICA_LAG_TIME_MAX_MS", "3000"),
        ];
        let kafka = Kafka::start_three_with(&settings).await?;
        let scene = Self { kafka, lone: unique("lone"), other: unique("other") };
        let one = [("min.insync.replicas", "1")];
        scene.kafka.create_topic_on(&[LONE as i32], &scene.lone, &one).await?;
        scene.kafka.create_topic_on(&[0, 2], &scene.other, &one).await?;
        for topic in [&scene.lone, &scene.other] {
            scene.produce(topic, 1).await?;
        }
        Ok(scene)
    }

    async fn produce(&self, topic: &str, seed: u64) -> Result<()> {
        let plan = Transactions {
            seed,
            records: 10,
            partitions: 1,
            aborted: 0.0,
            ends_aborted: false,
            ..Default::default()
        };
        plan.produce(self.kafka.bootstrap_servers(), topic).await.map(drop)
    }

    /// A job over these topics whose columns are listed, or inferred.
    async fn job(&self, topics: &str, lists_columns: bool) -> Result<Job> {
        let settings = Settings {
            bootstrap_servers: self.kafka.bootstrap_servers(),
            topic: topics,
            place: Place::Folder,
            more: CHECKPOINTS,
            sink: "",
            endpoint: None,
        };
        let job = Job::new(settings).await?;
        // With that of the other tests it leaves the group before the brokers do without the frozen one.
        let text = std::fs::read_to_string(job.file())?.replace("session.timeout.ms: 6000, ", "");
        std::fs::write(job.file(), &text)?;
        if !lists_columns {
            let of_columns = |line: &&str| line.trim() == "columns:" || line.contains("- {name:");
            let lines: Vec<&str> = text.lines().filter(|line| !of_columns(line)).collect();
            std::fs::write(job.file(), lines.join("\n"))?;
        }
        Ok(job)
    }

    /// A group that another broker coordinates: with its coordinator, a group loses all that it reads.
    async fn group(&self, job: &Job) -> Result<String> {
        // By the first question about any group, the brokers make the topic of groups.
        job.run(&["validate"]).await?;
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", self.kafka.bootstrap_servers()).create()?;
        task::spawn_blocking(move || {
            let metadata = client.fetch_metadata(Some("__consumer_offsets"), LIMIT)?;
            let partitions = metadata.topics().first().context("the topic of groups")?.partitions();
            // As Java hashes a text.
            let hash =
                |group: &str| group.bytes().fold(0_i32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
            let led_by = |at: i32| partitions.iter().find(|p| p.id() == at).map(MetadataPartition::leader);
            let names = std::iter::repeat_with(|| unique("leaders")).take(100);
            let is_fit = |group: &String| {
                let at = (hash(group) & i32::MAX) % partitions.len() as i32;
                led_by(at).is_some_and(|leader| leader > 0 && leader != LONE as i32 + 1)
            };
            names.into_iter().find(is_fit).context("all groups are coordinated by the one broker")
        })
        .await?
    }

    async fn start(&self, job: &Job, group: Option<&str>) -> Result<Running> {
        Running::of(job.start(Program::Plain, &["run"], group, None)?).await
    }
}

async fn until_written(running: &Running, records: f64) -> Result<()> {
    let what = format!("{records} records");
    running.wait(&what, |scrape| scrape.get("tidegate_records_written_total") == records).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "five minutes: ./x soak"]
async fn a_leader_that_goes_away_is_told_while_a_job_runs_and_at_its_first_start() -> Result<()> {
    let scene = Scene::new().await?;
    let lone = format!("{}/0", scene.lone);
    let both = scene.job(&format!("{}, {}", scene.lone, scene.other), true).await?;
    let group = scene.group(&both).await?;
    let running = scene.start(&both, Some(&group)).await?;
    until_written(&running, 20.0).await?;
    running.until_ready().await?;

    scene.kafka.freeze(LONE).await?;
    running.assert_unready("not_read", &lone).await?;
    scene.kafka.thaw(LONE).await?;
    running.until_ready().await?;

    scene.kafka.stop(LONE).await?;
    running.assert_unready("no_leader", &lone).await?;
    scene.produce(&scene.other, 2).await?;
    until_written(&running, 30.0).await?;

    let (listed, inferred) = (scene.job(&scene.lone, true).await?, scene.job(&scene.lone, false).await?);
    let first = [scene.start(&listed, None).await?, scene.start(&inferred, None).await?];
    for running in &first {
        let said = running.assert_unready("no_leader", &lone).await?;
        ensure!(said.starts_with("starting"), "{said}");
    }
    let given_up = scene.job(&scene.lone, false).await?;
    let mut stopped = scene.start(&given_up, None).await?;
    stopped.assert_unready("no_leader", &lone).await?;
    stopped.process.signal(libc::SIGTERM);
    ensure!(stopped.process.wait(LIMIT).await?.success(), "{}", stopped.process.log()?);

    scene.kafka.start_again(LONE).await?;
    scene.kafka.wait_ready().await?;
    for (running, records) in first.iter().map(|running| (running, 10.0)).chain([(&running, 30.0)]) {
        until_written(running, records).await?;
        running.until_ready().await?;
    }
    Ok(())
}
