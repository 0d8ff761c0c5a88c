//! A running job's answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::Transactions;

use crate::support::{Job, Place, Process, Program, Settings, unique};

/// Longest that anything here may take.
pub(super) const LIMIT: Duration = Duration::from_secs(90);

/// A job that runs, and where it answers.
pub(super) struct Running {
    pub(super) process: Process,
    address: String,
}

/// One scrape: values by series, as `name` or `name{label="value"}`.
#[derive(Debug)]
pub(super) struct Scrape {
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
    pub(super) async fn of(process: Process) -> Result<Self> {
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
    pub(super) async fn wait(&self, what: &str, wanted: impl Fn(&Scrape) -> bool) -> Result<Scrape> {
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
}

impl Scrape {
    /// NaN where there is none, which is less and more than nothing.
    pub(super) fn get(&self, series: &str) -> f64 {
        self.samples.get(series).copied().unwrap_or(f64::NAN)
    }
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1e3
}
