//! The job file changes while the job runs: by SIGHUP, and by being watched.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::{Transactions, read_committed_dump};

use crate::support::{Job, Place, Process, Program, Settings, unique};

const LIMIT: Duration = Duration::from_secs(60);
const INTERVAL: &str = "interval: 1h";

/// A running job that makes no checkpoint for an hour.
struct Scene {
    job: Job,
    process: Process,
    servers: &'static str,
    topic: String,
}

impl Scene {
    async fn start(poll: &str) -> Result<Self> {
        let kafka = Kafka::shared().await?;
        let topic = unique("reloaded");
        kafka.create_topic(&topic, 3).await?;
        let servers = kafka.bootstrap_servers();
        let plan = Transactions { records: 500, ..Default::default() };
        plan.produce(servers, &topic).await?;
        let more = format!("checkpoint: {{{INTERVAL}}}\ncontrol: {{poll: {poll}}}\n");
        let settings = Settings {
            bootstrap_servers: servers,
            topic: &topic,
            place: Place::Folder,
            more: &more,
            sink: "",
            endpoint: None,
        };
        let job = Job::new(settings).await?;
        let process = job.start(Program::Plain, &["run"], None, None)?;
        let scene = Self { job, process, servers, topic };
        scene
            .until("records are read", async || {
                let job = scene
                    .get("/api/v1/job")
                    .await
                    .ok()
                    .and_then(|text| serde_json::from_str::<Value>(&text).ok());
                Ok(job.is_some_and(|job| job["records_read"].as_u64() > Some(0)))
            })
            .await?;
        Ok(scene)
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !holds().await? {
            ensure!(begun.elapsed() < LIMIT, "never: {what}; {}", self.process.log()?);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<String> {
        let log = self.process.log()?;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let address = lines.filter_map(|line| line["address"].as_str().map(str::to_owned)).next();
        let address = address.context("it does not listen yet")?;
        Ok(reqwest::get(format!("http://{address}{path}")).await?.error_for_status()?.text().await?)
    }

    fn edit(&self, from: &str, to: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.job.file())?;
        ensure!(text.contains(from), "{from} is not in {text}");
        let new = self.job.file().with_extension("new");
        std::fs::write(&new, text.replace(from, to))?;
        Ok(std::fs::rename(new, self.job.file())?)
    }

    async fn commits_everything(&self) -> Result<()> {
        let expected = read_committed_dump(self.servers, &self.topic).await?.len();
        self.until("all is committed", async || Ok(self.job.visible().await?.len() == expected)).await
    }

    /// Whether the newest change of the file was refused, and why.
    async fn failure(&self) -> Result<(bool, String)> {
        let metrics = self.get("/metrics").await?;
        let job: Value = serde_json::from_str(&self.get("/api/v1/job").await?)?;
        let failed = metrics.lines().any(|line| line == "tidegate_reload_failed 1");
        Ok((failed, job["reload"]["failure"].as_str().unwrap_or_default().to_owned()))
    }

    async fn stops_exact(mut self) -> Result<()> {
        self.process.signal(libc::SIGTERM);
        let status = self.process.wait(LIMIT).await?;
        ensure!(status.success(), "{status}: {}", self.process.log()?);
        self.job.assert_exact(self.servers, &self.topic).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_interval_takes_effect_when_the_file_changes() -> Result<()> {
    let scene = Scene::start("200ms").await?;
    ensure!(scene.job.visible().await?.is_empty(), "it was committed before its time");
    scene.edit(INTERVAL, "interval: 200ms")?;
    scene.commits_everything().await?;
    scene.stops_exact().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_interval_takes_effect_at_sighup() -> Result<()> {
    let scene = Scene::start("1h").await?;
    scene.edit(INTERVAL, "interval: 200ms")?;
    ensure!(scene.job.visible().await?.is_empty(), "it was committed before its time");
    scene.process.signal(libc::SIGHUP);
    scene.commits_everything().await?;
    scene.stops_exact().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_is_named_and_the_job_goes_on_as_it_was() -> Result<()> {
    let scene = Scene::start("200ms").await?;
    // All or nothing: the interval is not taken over beside the table.
    scene.edit("table: orders", "table: others")?;
    scene.edit(INTERVAL, "interval: 200ms")?;
    scene
        .until("the table is named", async || {
            let (failed, why) = scene.failure().await?;
            Ok(failed && why.starts_with("sink.table cannot change"))
        })
        .await?;
    ensure!(scene.process.log()?.contains("sink.table cannot change"), "{}", scene.process.log()?);
    scene.edit("table: others", "table: [")?;
    scene
        .until("the broken file is told", async || {
            let (failed, why) = scene.failure().await?;
            Ok(failed && why.contains("not valid YAML"))
        })
        .await?;
    ensure!(scene.job.visible().await?.is_empty(), "a part of it was taken over");
    scene.edit("table: [", "table: orders")?;
    scene.commits_everything().await?;
    ensure!(!scene.failure().await?.0, "the file is well again");
    scene.stops_exact().await
}
