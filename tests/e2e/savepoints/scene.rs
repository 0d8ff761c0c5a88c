//! A job that has written something, and what lies beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::Transactions;

use crate::support::{JOB_FILE, Job, Place, Program, Settings, unique};

pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Stands in the job file by substitution, and must be seen nowhere else.
pub(super) const SECRET: &str = "planted-4d1f0c";

pub(super) struct Scene {
    pub(super) job: Job,
    topic: String,
    /// A folder of its own, outside of the sink.
    pub(super) outside: tempfile::TempDir,
}

impl Scene {
    /// Several commits of a topic of its own.
    pub(super) async fn new(place: Place, more: &str) -> Result<Self> {
        let kafka = Kafka::shared().await?;
        let topic = unique("saved");
        kafka.create_topic(&topic, 3).await?;
        let settings = Settings {
            bootstrap_servers: kafka.bootstrap_servers(),
            topic: &topic,
            place,
            more: if more.is_empty() { "checkpoint: {interval: 100ms, max_records: 100}\n" } else { more },
            sink: "",
            endpoint: None,
        };
        let job = Job::new(settings).await?;
        let scene = Self { job, topic, outside: tempfile::tempdir()? };
        scene.produce().await?;
        Ok(scene)
    }

    /// A few hundred records more.
    pub(super) async fn produce(&self) -> Result<()> {
        let plan = Transactions { records: 400, ..Default::default() };
        plan.produce(Kafka::shared().await?.bootstrap_servers(), &self.topic).await?;
        Ok(())
    }

    pub(super) async fn run_to_end(&self) -> Result<()> {
        self.job.run(&["run", "--until-end"]).await.map(|_| ())
    }

    /// The URL of a folder outside of the sink.
    pub(super) fn to(&self) -> String {
        format!("file://{}/savepoints", self.outside.path().display())
    }

    /// Makes a savepoint outside of the sink; its summary.
    pub(super) async fn create(&self) -> Result<Value> {
        self.json(&["savepoint", "create", JOB_FILE, "--to", &self.to()]).await
    }

    /// What a command that must succeed prints as JSON. The job's secret is in its environment.
    pub(super) async fn json(&self, arguments: &[&str]) -> Result<Value> {
        let arguments = [arguments, &["--output", "json"]].concat();
        let said = self.ends_with(0, &arguments).await?;
        serde_json::from_str(&said.out).with_context(|| format!("{arguments:?} printed {}", said.out))
    }

    /// Runs a command that must end with `code`.
    pub(super) async fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<Said> {
        let mut process = self.job.start(Program::Plain, arguments, Some(SECRET), None)?;
        let status = process.wait(LIMIT).await?;
        let said = Said { out: process.output()?, err: process.log()? };
        ensure!(status.code() == Some(code), "{arguments:?} ended with {status}, not {code}: {said:?}");
        ensure!(!said.err.contains("panicked"), "{said:?}");
        Ok(said)
    }

    /// Every object of the sink with its bytes, the job's state among them.
    pub(super) async fn sink(&self) -> Result<BTreeMap<String, bytes::Bytes>> {
        let store = self.job.store()?;
        let mut objects = BTreeMap::new();
        for entry in store.list("").await? {
            let bytes = store.get(&entry.path).await?.with_context(|| format!("{} has gone", entry.path))?;
            objects.insert(entry.path, bytes);
        }
        Ok(objects)
    }
}

#[derive(Debug)]
pub(super) struct Said {
    pub(super) out: String,
    pub(super) err: String,
}

/// The local path of a URL.
pub(super) fn path(uri: &str) -> Result<PathBuf> {
    Ok(uri.strip_prefix("file://").context("a local folder")?.into())
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key} in {value}"))
}
