//! `tidegate run`: the connector, until it is asked to stop, has reached its end, or cannot go on.
//!
//! SIGTERM and Ctrl-C ask for a last checkpoint within `timeouts.stop`. Leaving earlier, for whatever reason, loses
//! nothing: the next start goes on from the newest checkpoint.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tidegate_sinks::Sink;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::{JobArg, LogArgs, job, progress};
use crate::config::{Config, client_properties, timeouts};
use crate::kafka::{Queries, QueryErrorKind};
use crate::run::{self, RunError, RunOptions, Summary};
use crate::status::Status;
use crate::{http, telemetry};

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    job: JobArg,
    /// Read to the end offsets (last stable offset) seen at the start, checkpoint, and stop
    #[arg(long)]
    until_end: bool,
    /// Begin anew though the sink holds files of this job without their checkpoints, or its group has read before:
    /// everything that the topics still hold is written again
    #[arg(long)]
    new_incarnation: bool,
}

pub(super) async fn execute(args: RunArgs, log: &LogArgs) -> Result<u8> {
    let config = Arc::new(Config::load(&args.job.path)?);
    let bar = args.until_end.then(|| progress::bar(&config.job)).flatten();
    job::init_logs(log, &config.log.level, &config, bar.clone())?;
    let metrics = telemetry::init_metrics()?;
    let sink: Arc<dyn Sink> = Arc::new(job::open_sink(&config, args.new_incarnation)?);
    let status = Arc::new(Status::default());
    // Serves until this function returns: a stopping process is alive.
    let (_serving, served) = watch::channel(false);
    let shown = http::Shown { config: config.clone(), sink: sink.clone(), status: status.clone(), metrics };
    http::serve(shown, served).await?;
    let (stop, stopped) = watch::channel(false);
    let stopping =
        Stopping { signals: signals()?, stop, status: status.clone(), limit: config.timeouts.stop };
    let following = bar.map(|bar| progress::Following::start(bar, status.clone()));
    let options = RunOptions {
        until_end: args.until_end,
        new_incarnation: args.new_incarnation,
        stop: stopped,
        status,
    };
    let Summary { commits, rows, rejects, files } = stopping
        .watch(async {
            check_timeouts(&config).await?;
            Ok(run::run(config.clone(), sink, options).await?)
        })
        .await?;
    drop(following);
    tracing::info!(commits, rows, rejects, files, "stopped clean");
    Ok(0)
}

/// The checks that need the broker; those that don't were made when the job file was read.
pub(super) async fn check_timeouts(config: &Config) -> Result<()> {
    let properties = client_properties(config);
    let asked = properties.clone();
    let limits = tokio::task::spawn_blocking(move || Queries::connect(&asked)?.broker_limits()).await?;
    let limits = match limits {
        Ok(limits) => Some(limits),
        Err(error) if error.kind == QueryErrorKind::Unreachable => return Err(error.into()),
        Err(error) if error.kind == QueryErrorKind::Config => return Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "the broker does not tell its limits, so timeouts are not checked against them");
            None
        }
    };
    let findings = timeouts::check(config, &properties, limits.as_ref(), timeouts::kill_delay());
    let (errors, warnings): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.severity == timeouts::Severity::Error);
    for finding in warnings {
        tracing::warn!(key = finding.key, "{finding}");
    }
    if errors.is_empty() {
        return Ok(());
    }
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    Err(RunError::Config(errors.join("\n"), None).into())
}

/// SIGTERM and Ctrl-C, in their order.
fn signals() -> Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(2);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signal = signal(kind).context("listening for signals")?;
        let sender = sender.clone();
        tokio::spawn(async move { while signal.recv().await.is_some() && sender.send(()).await.is_ok() {} });
    }
    Ok(receiver)
}

struct Stopping {
    signals: mpsc::Receiver<()>,
    stop: watch::Sender<bool>,
    status: Arc<Status>,
    limit: Duration,
}

impl Stopping {
    /// Runs `job`; the first signal asks it to stop, the second leaves it, as does `limit` after the first.
    async fn watch<T: fmt::Debug>(mut self, job: impl Future<Output = Result<T>>) -> Result<T> {
        const LOST: &str = "nothing is lost: the next start goes on from the newest checkpoint";
        tokio::pin!(job);
        tokio::select! {
            result = &mut job => return result,
            Some(()) = self.signals.recv() => {}
        }
        tracing::info!("stopping with a last checkpoint; a second signal stops at once");
        self.status.set_stopping();
        self.stop.send_replace(true);
        let limit = self.limit;
        tokio::select! {
            result = &mut job => result,
            () = tokio::time::sleep(limit) => {
                let limit = humantime::format_duration(limit);
                bail!("the last checkpoint took longer than timeouts.stop ({limit}), so it was given up; {LOST}")
            }
            Some(()) = self.signals.recv() => bail!("stopped at once by a second signal; {LOST}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    struct Scene {
        signals: mpsc::Sender<()>,
        stopped: watch::Receiver<bool>,
        status: Arc<Status>,
        stopping: Stopping,
    }

    fn scene() -> Scene {
        let (signals, received) = mpsc::channel(2);
        let (stop, stopped) = watch::channel(false);
        let status = Arc::new(Status::default());
        let limit = Duration::from_secs(25);
        let stopping = Stopping { signals: received, stop, status: status.clone(), limit };
        Scene { signals, stopped, status, stopping }
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_asks_for_a_last_checkpoint() {
        let Scene { signals, mut stopped, status, stopping } = scene();
        signals.send(()).await.unwrap();
        let job = async move {
            stopped.wait_for(|stop| *stop).await?;
            tokio::time::sleep(Duration::from_secs(24)).await;
            Ok(5)
        };
        assert_eq!(stopping.watch(job).await.unwrap(), 5);
        assert!(status.stopping());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_that_takes_too_long_is_given_up_and_says_that_nothing_is_lost() {
        let Scene { signals, stopping, .. } = scene();
        signals.send(()).await.unwrap();
        let error = stopping.watch(pending::<Result<()>>()).await.unwrap_err().to_string();
        assert!(error.contains("timeouts.stop (25s)") && error.contains("nothing is lost"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_leaves_at_once() {
        let Scene { signals, stopping, .. } = scene();
        signals.send(()).await.unwrap();
        signals.send(()).await.unwrap();
        let start = tokio::time::Instant::now();
        let error = stopping.watch(pending::<Result<()>>()).await.unwrap_err().to_string();
        assert!(error.contains("second signal"), "{error}");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_ends_by_itself_is_not_stopped() {
        let Scene { signals, stopping, status, .. } = scene();
        assert_eq!(stopping.watch(async { Ok(1) }).await.unwrap(), 1);
        assert!(!status.stopping());
        drop(signals);
    }
}
