//! What all benches share: a broker with topics, the product, its peers, and readers of what they wrote.

use std::collections::HashMap;
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::docker::Kafka;
use super::job::{Settings, TABLE};
use super::measure::{self, Cost};
use super::verify::{Found, Independent, Sums};
use super::workload::{Kind, Shape, Totals};

/// A run of benches.
#[derive(Debug)]
pub(crate) struct Bench {
    dir: TempDir,
    kafka: Kafka,
    product: PathBuf,
    /// Where peers are installed, and what they are run by.
    pub(crate) peers: PathBuf,
    pub(crate) recipes: PathBuf,
    pub(crate) records: u64,
    pub(crate) rounds: u64,
    topics: HashMap<String, Topic>,
    runs: u64,
}

/// A topic that has been written.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) shape: Shape,
    pub(crate) totals: Totals,
    pub(crate) bytes: u64,
}

impl Bench {
    pub(crate) async fn start(records: u64, rounds: u64) -> Result<Self> {
        let given =
            |name| env::var_os(name).with_context(|| format!("{name} is not set; run this by ./x bench"));
        Ok(Self {
            dir: tempfile::tempdir()?,
            kafka: Kafka::start().await?,
            product: given("TIDEGATE_BIN")?.into(),
            peers: given("TIDEGATE_BENCH_PEERS")?.into(),
            recipes: Path::new(env!("CARGO_MANIFEST_DIR")).join("peers"),
            records,
            rounds,
            topics: HashMap::new(),
            runs: 0,
        })
    }

    pub(crate) fn servers(&self) -> &str {
        &self.kafka.servers
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A name that no other run of a job has.
    pub(crate) fn name(&mut self, part: &str) -> String {
        self.runs += 1;
        format!("{part}-{}", self.runs)
    }

    /// Writes a topic, once.
    pub(crate) async fn topic(&mut self, shape: &Shape) -> Result<Topic> {
        if let Some(topic) = self.topics.get(&shape.topic) {
            return Ok(topic.clone());
        }
        self.kafka.create_topic(&shape.topic, shape.partitions).await?;
        let job = self.job(&Settings::new(format!("write-{}", shape.topic), shape))?;
        let (_, (totals, bytes)) = self.part("write", &job, &serde_json::to_string(shape)?)?;
        eprintln!(
            "{}: {} records, {} bytes each, on {} partitions",
            shape.topic,
            shape.records,
            bytes / shape.records.max(1),
            shape.partitions
        );
        let topic = Topic { shape: shape.clone(), totals, bytes };
        self.topics.insert(shape.topic.clone(), topic.clone());
        Ok(topic)
    }

    /// Writes a job file.
    pub(crate) fn job(&self, settings: &Settings) -> Result<PathBuf> {
        settings.write(self.servers(), self.path())
    }

    /// Runs this program for a part, and returns its answer.
    pub(crate) fn part<T: DeserializeOwned>(
        &self,
        part: &str,
        job: &Path,
        argument: &str,
    ) -> Result<(Cost, T)> {
        let answer = job.with_extension("json");
        let mut command = Command::new(env::current_exe()?);
        command.args(["part", part]).arg(job).arg(argument).env("PORT", "0");
        let cost = measure::process(command.stdout(File::create(&answer)?))?;
        let answer = std::fs::read_to_string(&answer)?;
        Ok((cost, serde_json::from_str(&answer).with_context(|| format!("{part} answered {answer}"))?))
    }

    /// The command of a replica, its output in files beside the job file.
    pub(crate) fn product(&self, job: &Path, arguments: &[&str], port: u16) -> Result<(Command, PathBuf)> {
        let log = job.with_extension(format!("{port}.log"));
        let mut command = Command::new(&self.product);
        command.arg("run").arg(job).args(arguments).env("PORT", port.to_string());
        command.stdout(File::create(job.with_extension("out"))?);
        command.stderr(File::options().append(true).create(true).open(&log)?);
        Ok((command, log))
    }

    /// Runs the product to the topic's end, and checks what it has written.
    pub(crate) async fn run(&mut self, settings: &Settings, topic: &Topic) -> Result<(Cost, Found)> {
        let job = self.job(settings)?;
        let (mut command, log) = self.product(&job, &["--until-end"], 0)?;
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let cost = measure::process(&mut command).with_context(said)?;
        let found = self.verify(&settings.name, &job, topic)?;
        Ok((cost, found))
    }

    /// Checks what a run has written by both readers, and removes it.
    pub(crate) fn verify(&self, name: &str, job: &Path, topic: &Topic) -> Result<Found> {
        let kind = serde_json::to_string(&topic.shape.kind)?;
        let (_, found) = self.part::<Found>("verify", job, &kind)?;
        ensure!(
            found.totals == topic.totals,
            "{name} wrote {:?} instead of {:?}",
            found.totals,
            topic.totals
        );
        let by = if self.verify_independently(&self.path().join(name).join(TABLE), topic)?.is_some() {
            " by two readers"
        } else {
            ""
        };
        eprintln!("{name}: exact{by}, {} files, {:.1} MB of Parquet", found.files, found.bytes as f64 / 1e6);
        std::fs::remove_dir_all(self.path().join(name))?;
        Ok(found)
    }

    /// The same by DuckDB alone, where it is installed: files and bytes that it found.
    pub(crate) fn verify_independently(&self, folder: &Path, topic: &Topic) -> Result<Option<(u64, u64)>> {
        if !self.has("reader") {
            return Ok(None);
        }
        let kind = if topic.shape.kind == Kind::Event { "events" } else { "numbered" };
        let mut command = Command::new(self.peers.join("reader/bin/python"));
        let output = command.arg(self.recipes.join("reader.py")).arg(folder).arg(kind).output()?;
        let said = || String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "the independent reader failed: {}", said());
        let Independent { totals, files, bytes } =
            serde_json::from_slice(&output.stdout).with_context(said)?;
        let expected = Sums::from(&topic.totals);
        ensure!(totals == expected, "{}: DuckDB finds {totals:?} instead of {expected:?}", folder.display());
        Ok(Some((files, bytes)))
    }

    /// Whether a peer, or the reader, is installed.
    pub(crate) fn has(&self, peer: &str) -> bool {
        self.peers.join(format!("{peer}.ready")).exists()
    }
}
