//! A job that two or more replicas run, while somebody writes and somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::Transactions;
use tokio::task::JoinHandle;

use crate::support::{Job, Place, Process, Program, Settings, unique};

/// Longest that anything may take that is waited for.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Of the job file; `support` sets it.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

const OFTEN: &str = "checkpoint: {interval: 200ms, copy_grace: 1s}\ncontrol: {poll: 300ms}\n";

pub(super) struct Scene {
    pub(super) kafka: &'static Kafka,
    pub(super) topic: String,
    pub(super) job: Job,
    pub(super) group: String,
}

impl Scene {
    pub(super) async fn new(partitions: i32) -> Result<Self> {
        Self::with(partitions, OFTEN).await
    }

    /// `more`: further lines of the job file.
    pub(super) async fn with(partitions: i32, more: &str) -> Result<Self> {
        let kafka = Kafka::shared().await?;
        let topic = unique("operate");
        kafka.create_topic(&topic, partitions).await?;
        let settings = Settings {
            bootstrap_servers: kafka.bootstrap_servers(),
            topic: &topic,
            place: Place::Folder,
            more,
            sink: "",
            endpoint: None,
        };
        let job = Job::new(settings).await?;
        let group = format!("{}-replicas", job.name);
        Ok(Self { kafka, topic, job, group })
    }

    pub(super) fn start(&self, arguments: &[&str]) -> Result<Process> {
        let arguments: Vec<_> = ["run"].iter().chain(arguments).copied().collect();
        self.job.start(Program::Plain, &arguments, Some(&self.group), None)
    }

    /// Asks by the command line, and returns what it prints as JSON.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<_> = arguments.iter().chain(&["--output", "json"]).copied().collect();
        Ok(serde_json::from_str(&self.job.run(&arguments).await?)?)
    }

    pub(super) async fn replicas(&self) -> Result<Vec<Value>> {
        let replicas = self.ask(&["replicas"]).await?;
        Ok(replicas.as_array().context("no list of replicas")?.clone())
    }

    /// Waits until that is true of the replicas.
    pub(super) async fn until(&self, what: &str, is: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let replicas = self.replicas().await?;
            if is(&replicas) {
                return Ok(replicas);
            }
            ensure!(Instant::now() < deadline, "not {what} in time: {replicas:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until so many replicas run, each with a share of so many partitions.
    pub(super) async fn until_running(&self, count: usize, partitions: usize) -> Result<Vec<Value>> {
        self.until(&format!("{count} running with {partitions} partitions"), |replicas| {
            // One that has just joined runs without any, and the others will give some up for it.
            let share = |replica: &Value| replica["partitions"].as_array().is_some_and(|p| !p.is_empty());
            let spread = replicas.iter().all(share) && held(replicas).len() == partitions;
            replicas.len() == count && all_are(replicas, "running") && spread
        })
        .await
    }

    /// The newest checkpoint: next offset by partition.
    pub(super) async fn position(&self) -> Result<BTreeMap<String, i64>> {
        let checkpoint = self.checkpoint().await?;
        let partitions = checkpoint["partitions"].as_object().context("no partitions")?;
        let next = |(partition, state): (&String, &Value)| Some((partition.clone(), state["next"].as_i64()?));
        Ok(partitions.iter().filter_map(next).collect())
    }

    pub(super) async fn checkpoint(&self) -> Result<Value> {
        let (store, folder) = (self.job.store()?, format!("_tidegate/{}/checkpoints", self.job.name));
        loop {
            let entries = store.list(&folder).await?;
            let newest = &entries.last().context("no checkpoint")?.path;
            // Collected in between, when there is a newer one.
            if let Some(bytes) = store.get(newest).await? {
                return Ok(serde_json::from_slice(&bytes)?);
            }
        }
    }

    /// Waits until the sink's position has passed where it is now, in every partition.
    pub(super) async fn until_progress(&self) -> Result<()> {
        let (before, deadline) = (self.position().await?, Instant::now() + LIMIT);
        loop {
            let now = self.position().await?;
            if before.iter().all(|(partition, next)| now.get(partition).is_some_and(|now| now > next)) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "no progress from {before:?} to {now:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(super) fn write(&self, partitions: i32) -> Writer {
        Writer::start(self.kafka.bootstrap_servers(), &self.topic, partitions)
    }

    /// What is left is read by a process of its own; then the output is exact.
    pub(super) async fn assert_exact(&self) -> Result<()> {
        self.job.run(&["run", "--until-end"]).await?;
        self.job.assert_exact(self.kafka.bootstrap_servers(), &self.topic).await
    }
}

pub(super) fn all_are(replicas: &[Value], state: &str) -> bool {
    replicas.iter().all(|replica| replica["state"] == state)
}

/// The partitions that replicas say they hold.
pub(super) fn held(replicas: &[Value]) -> Vec<&str> {
    replicas
        .iter()
        .filter_map(|replica| replica["partitions"].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Asks a replica over HTTP for its readiness: the status, and the reason.
pub(super) async fn ready(replica: &Value) -> Result<(u16, String)> {
    let address = replica["address"].as_str().context("no address")?;
    let answer = reqwest::get(format!("http://{address}/readyz")).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// Stops with SIGTERM, which must be clean.
pub(super) async fn terminate(mut process: Process) -> Result<()> {
    process.signal(libc::SIGTERM);
    ended_clean(&mut process).await
}

pub(super) async fn ended_clean(process: &mut Process) -> Result<()> {
    let status = process.wait(LIMIT).await?;
    ensure!(status.success(), "ended with {status}: {}", process.log()?);
    Ok(())
}

/// Writes transactions, round after round, until it is told to end.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    task: JoinHandle<Result<()>>,
}

impl Writer {
    pub(crate) fn start(bootstrap_servers: &str, topic: &str, partitions: i32) -> Self {
        let (stop, rounds, topic) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), topic.to_owned());
        let servers = bootstrap_servers.to_owned();
        let (told, written) = (stop.clone(), rounds.clone());
        let task = tokio::spawn(async move {
            while !told.load(Ordering::Relaxed) {
                let plan = Transactions {
                    // A topic may have several writers, one after the other.
                    seed: written.load(Ordering::Relaxed) + 1_000 * partitions as u64,
                    records: 500,
                    partitions,
                    max_transaction: 100,
                    ..Default::default()
                };
                plan.produce(&servers, &topic).await?;
                written.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(())
        });
        Self { stop, rounds, task }
    }

    /// Waits until so many more rounds are written.
    pub(crate) async fn rounds(&self, count: u64) -> Result<()> {
        let (goal, deadline) = (self.rounds.load(Ordering::Relaxed) + count, Instant::now() + LIMIT);
        while self.rounds.load(Ordering::Relaxed) < goal {
            ensure!(Instant::now() < deadline && !self.task.is_finished(), "the writer does not get on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
