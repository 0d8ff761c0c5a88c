//! How long readers got nothing new, seen from the store.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tidegate_sinks::{Sink, SinkSettings, TopicPartition};
use tokio::task::JoinHandle;

use super::LIMIT;
use crate::support::Job;

const EVERY: Duration = Duration::from_millis(100);
/// When each partition moved.
type Moves = BTreeMap<TopicPartition, Vec<Instant>>;

/// A watcher of the newest checkpoint, while somebody writes to all partitions.
pub(super) struct Standstill {
    moves: Arc<Mutex<Moves>>,
    steps: Mutex<Vec<(String, Duration, Duration)>>,
    task: JoinHandle<Result<()>>,
}

impl Standstill {
    pub(super) async fn watch(job: &Job) -> Result<Self> {
        let settings = SinkSettings {
            options: job.options.clone(),
            ..SinkSettings::new(job.name.clone(), job.url.clone())
        };
        let sink = tidegate_sinks::open(settings)?;
        let moves = Arc::<Mutex<Moves>>::default();
        let seen = moves.clone();
        let task = tokio::spawn(async move {
            let mut last = BTreeMap::new();
            loop {
                let newest = sink.load().await?.context("the job has no chain")?;
                let now = Instant::now();
                for (partition, state) in &newest.partitions {
                    if last.insert(partition.clone(), state.next) != Some(state.next) {
                        seen.lock().expect("not poisoned").entry(partition.clone()).or_default().push(now);
                    }
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        let watch = Self { moves, steps: Mutex::default(), task };
        watch.settle().await?;
        Ok(watch)
    }

    /// Does something, waits until all partitions move again, and notes the longest
    /// time in which one of them did not.
    pub(super) async fn step(&self, what: &str, does: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        does().await.with_context(|| what.to_owned())?;
        let took = start.elapsed();
        self.settle().await.with_context(|| format!("after: {what}"))?;
        let standstill = self.longest_since(start);
        eprintln!(
            "{what}: {:.1} s, longest standstill {:.1} s",
            took.as_secs_f64(),
            standstill.as_secs_f64()
        );
        self.steps.lock().expect("not poisoned").push((what.to_owned(), took, standstill));
        Ok(())
    }

    /// Waits until each partition has moved a few times from now on.
    pub(super) async fn settle(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let settled = {
                let moves = self.moves.lock().expect("not poisoned");
                let moved = |times: &Vec<Instant>| times.iter().filter(|at| **at > start).count() >= 3;
                moves.len() == 3 && moves.values().all(moved)
            };
            if settled {
                return Ok(());
            }
            ensure!(!self.task.is_finished() && start.elapsed() < LIMIT, "the position does not move");
            tokio::time::sleep(EVERY).await;
        }
    }

    fn longest_since(&self, start: Instant) -> Duration {
        let moves = self.moves.lock().expect("not poisoned");
        let of_one = |times: &Vec<Instant>| {
            let since: Vec<_> =
                std::iter::once(start).chain(times.iter().copied().filter(|at| *at > start)).collect();
            since.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
        };
        moves.values().map(of_one).max().unwrap_or_default()
    }

    /// All steps as a table.
    pub(super) async fn report(self) -> Result<String> {
        self.task.abort();
        let mut text = "step, seconds until it was done, longest standstill of a partition\n".to_owned();
        for (what, took, standstill) in self.steps.into_inner()? {
            writeln!(text, "{what:32} {:5.1} {:5.1}", took.as_secs_f64(), standstill.as_secs_f64())?;
        }
        Ok(text)
    }
}
