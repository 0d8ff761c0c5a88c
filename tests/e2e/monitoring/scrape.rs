//! A running job's answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::Transactions;

use crate::support::{Job, Place, Process, Program, Settings, unique};

/// Longest that anything here may take.
pub(super) const LIMIT: Duration = Duration::from_secs(90);

/// By then a replica must say that it is not ready.
const TOLD: Duration = Duration::from_secs(60);

/// A job that runs, and where it answers.
pub(crate) struct Running {
    pub(crate) process: Process,
    address: String,
}

/// One scrape: values by series, as `name` or `name{label="value"}`.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(super) text: String,
    pub(super) samples: BTreeMap<String, f64>,
}

/// A topic of its own, which is empty, and a job over it.
pub(super) async fn job(
    partitions: i32,
    place: Place,
    more: &str,
    endpoint: Option<&str>,
) -> Result<(Job, String)> {
    let kafka = Kafka::shared().await?;
    let topic = unique("monitoring");
    kafka.create_topic(&topic, partitions).await?;
    let bootstrap_servers = kafka.bootstrap_servers();
    let settings = Settings { bootstrap_servers, topic: &topic, place, more, sink: "", endpoint };
    Ok((Job::new(settings).await?, topic))
}

/// Writes records, and waits until they are committed.
pub(super) async fn produce(topic: &str, partitions: i32, seed: u64, records: u64) -> Result<()> {
    let plan =
        Transactions { seed, records, partitions, aborted: 0.0, ends_aborted: false, ..Default::default() };
    plan.produce(Kafka::shared().await?.bootstrap_servers(), topic).await.map(|_| ())
}

impl Running {
    pub(super) async fn start(job: &Job) -> Result<Self> {
        Self::of(job.start(Program::Plain, &["run"], None, None)?).await
    }

    /// One that was started in another way.
    pub(crate) async fn of(process: Process) -> Result<Self> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let log = process.log()?;
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(address) = lines.filter_map(|line| line["address"].as_str().map(str::to_owned)).next()
            {
                return Ok(Self { process, address });
            }
            if Instant::now() > deadline {
                bail!("no address in the log: {log}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn scrape(&self) -> Result<Scrape> {
        let text = reqwest::get(format!("http://{}/metrics", self.address)).await?.text().await?;
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ').with_context(|| format!("not a sample: {line}"))?;
            Ok((series.to_owned(), value.parse()?))
        };
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(sample).collect::<Result<_>>()?;
        Ok(Scrape { text, samples })
    }

    /// The first scrape that is as wanted.
    pub(crate) async fn wait(&self, what: &str, wanted: impl Fn(&Scrape) -> bool) -> Result<Scrape> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let scrape = self.scrape().await?;
            if wanted(&scrape) {
                return Ok(scrape);
            }
            if Instant::now() > deadline {
                bail!("{what}: not within {LIMIT:?}: {}\n{}", scrape.text, self.process.log()?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn overview(&self) -> Result<Value> {
        Ok(reqwest::get(format!("http://{}/api/v1/overview", self.address)).await?.json().await?)
    }

    /// Status and text of `/readyz`.
    pub(super) async fn ready(&self) -> Result<(u16, String)> {
        let answer = reqwest::get(format!("http://{}/readyz", self.address)).await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Waits until it is not ready for this reason, and asserts that page and metric say the same.
    pub(crate) async fn assert_unready(&self, reason: &str, subject: &str) -> Result<String> {
        let began = Instant::now();
        let said = loop {
            let (status, said) = self.ready().await?;
            if status == 503 && said.contains(reason) {
                break said;
            }
            ensure!(began.elapsed() < TOLD, "{status} {said}: {}", self.process.log()?);
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        ensure!(said.contains(subject), "{said}");
        let series = format!("tidegate_unready{{reason=\"{reason}\",subject=\"{subject}\"}}");
        let scrape = self.scrape().await?;
        ensure!(scrape.get(&series) == 1.0 && scrape.get("tidegate_ready") == 0.0, "{}", scrape.text);
        let verdict = self.overview().await?["verdict"].clone();
        ensure!(verdict["level"] == "bad", "{verdict}");
        let problems = verdict["problems"].as_array().context("problems")?;
        let problem = problems.iter().find(|problem| problem["code"] == reason).context("the reason")?;
        ensure!(problem["subject"] == subject && problem["remedy"] != "", "{problem}");
        Ok(said)
    }

    pub(crate) async fn until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while self.ready().await?.0 != 200 {
            ensure!(Instant::now() < deadline, "{:?}: {}", self.ready().await?, self.process.log()?);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Scrape {
    /// NaN where there is none, which is less and more than nothing.
    pub(crate) fn get(&self, series: &str) -> f64 {
        self.samples.get(series).copied().unwrap_or(f64::NAN)
    }
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1e3
}
