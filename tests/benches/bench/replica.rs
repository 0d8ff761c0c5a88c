//! A product that runs while it is looked at.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::bench::Bench;
use super::docker::{free_port, get};
use super::measure::{Cost, Running};

/// Longest that something is waited for.
const PATIENCE: Duration = Duration::from_secs(240);

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) running: Running,
    pub(crate) started: Instant,
    log: PathBuf,
    address: String,
}

impl Replica {
    pub(crate) fn start(bench: &Bench, job: &Path, arguments: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let (mut command, log) = bench.product(job, arguments, port)?;
        Ok(Self {
            started: Instant::now(),
            running: Running::start(&mut command)?,
            log,
            address: format!("127.0.0.1:{port}"),
        })
    }

    /// The sum of a metric over its labels; `None` while the process does not answer.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        self.metric_with(name, "").await
    }

    /// The same of the lines whose labels hold a text.
    pub(crate) async fn metric_with(&self, name: &str, label: &str) -> Option<f64> {
        let text = get(&self.address, "/metrics").await.ok()?;
        let value = |line: &str| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            let (labels, value) = rest.rsplit_once(' ')?;
            labels.contains(label).then(|| value.parse::<f64>().ok()).flatten()
        };
        Some(text.lines().filter_map(value).sum())
    }

    /// Waits until a metric is above a value. Returns since when the process runs.
    pub(crate) async fn until(&self, name: &str, above: f64) -> Result<Duration> {
        let deadline = Instant::now() + PATIENCE;
        while self.metric(name).await.is_none_or(|value| value <= above) {
            ensure!(
                Instant::now() < deadline,
                "{name} is not above {above} after {PATIENCE:?}: {}",
                self.log()
            );
            // As exact as a hundredth, so that a long wait costs nothing.
            tokio::time::sleep((self.started.elapsed() / 100).max(Duration::from_millis(2))).await;
        }
        Ok(self.started.elapsed())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks for a last checkpoint, and waits for the end.
    pub(crate) fn stop(self) -> Result<Cost> {
        self.running.signal(libc::SIGTERM);
        let log = self.log.clone();
        self.running.wait().with_context(|| std::fs::read_to_string(log).unwrap_or_default())
    }

    pub(crate) fn kill(self) -> Result<()> {
        self.running.signal(libc::SIGKILL);
        self.running.end().map(|_| ())
    }
}
