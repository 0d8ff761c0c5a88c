//! `tidegate run`: the connector, until it is asked to stop, has reached its end, or cannot go on.
//!
//! SIGTERM and Ctrl-C ask for a last checkpoint within `timeouts.stop`. Leaving earlier, for whatever reason,
//! loses nothing: the next start goes on from the newest checkpoint.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use futures::FutureExt;
use jiff::Timestamp;
use tidegate_sinks::Chain;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::restore::RestoreArgs;
use super::{JobArg, LogArgs, job, progress};
use crate::config::{Config, Origin, Unknown, client_properties, timeouts};
use crate::error::{self, RunError};
use crate::flow::run::{self, Beginning, OnStop, RunOptions, Summary};
use crate::job::reload::Reloader;
use crate::job::savepoint;
use crate::job::savepoint::Periodic;
use crate::kafka::{Queries, QueryError, QueryErrorKind};
use crate::replica::agent::{self, Agent};
use crate::replica::control::{self, Board, Change};
use crate::replica::status::Status;
use crate::replica::traces;
use crate::show::{http, telemetry};
use crate::tasks::{self, Lost};

/// Between questions to a broker that does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    job: JobArg,
    /// Read to the end offsets (last stable offset) seen at the start, checkpoint, and stop
    #[arg(long)]
    until_end: bool,
    #[command(flatten)]
    restore: RestoreArgs,
    /// Give a topic up whose log is another one, as it was recreated, or the brokers
    /// lost what was read of it: its rows stay, and it is read no more, by no replica,
    /// for ever. Stop all replicas first. May be given more than once
    #[arg(long = "forget-topic", value_name = "NAME")]
    forget_topics: Vec<String>,
    /// What to do when the job is stopped by `tidegate stop`, or by a savepoint with a stop: exit, and resume
    /// the job when started again; or hold, alive, unready and out of the group, until it is resumed
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    on_stop: OnStopArg,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OnStopArg {
    #[default]
    Exit,
    Hold,
}

pub(super) async fn execute(args: RunArgs, log: &LogArgs) -> Result<u8> {
    let origin = Origin(args.job.path.clone());
    let text = Config::read(&origin)?;
    let config = Arc::new(Config::parse(&text, &origin)?);
    let bar = args.until_end.then(|| progress::bar(&config.job)).flatten();
    job::init_logs(log, &config.log.level, &config, bar.clone())?;
    tasks::watch_panics();
    let metrics = telemetry::init_metrics(&config)?;
    let traces = traces::start(&config.job)?;
    let sink = Arc::new(job::open_sink(&config, args.restore.new_incarnation())?);
    let restored = args.restore.prepare(&config, &sink).await?;
    let mut beginning = Beginning { forget: args.forget_topics, ..restored };
    let status = Arc::new(Status::default());
    // Serves until this function returns: a stopping process is alive.
    let (_serving, served) = watch::channel(false);
    let board = Board::of(&sink, &config);
    let shown = http::Shown {
        config: config.clone(),
        sink: sink.clone(),
        board: board.clone(),
        status: status.clone(),
        metrics,
    };
    let address = http::serve(shown, served).await?;
    let (stop, stopped) = watch::channel(false);
    let stopping = Stopping {
        signals: signals()?,
        lost: tasks::lost(),
        stop,
        status: status.clone(),
        limit: config.timeouts.stop,
    };
    let following = bar.map(|bar| progress::Following::start(bar, status.clone()));
    let on_stop = args.on_stop.into();
    let (changed, in_force) = watch::channel(config.clone());
    let reloader = Reloader {
        origin,
        seen: Some(text),
        in_force: changed,
        status: status.clone(),
        // What the command line says of the level stands.
        sets_log_level: log.log_level.is_none(),
    };
    tasks::spawn("reload", reloader.watch(hangups()?));
    let result = stopping
        .watch(async {
            let starting = start_agent(&config, &sink, board, &status, address, on_stop);
            let Some(agent) = unless_stopped(&stopped, starting).await.transpose()? else {
                return Ok(Summary::default());
            };
            let options = RunOptions {
                config: in_force,
                until_end: args.until_end,
                beginning: Beginning::default(),
                stop: stopped.clone(),
                asking: agent.asking(),
                status: status.clone(),
            };
            let engine = async || {
                if unless_stopped(&stopped, reach_broker(&config)).await.transpose()?.is_none() {
                    return Ok(Summary::default());
                }
                // Before anything is read: on a store that lets two create one checkpoint nothing else holds.
                if unless_stopped(&stopped, sink.prove()).await.transpose()?.is_none() {
                    return Ok(Summary::default());
                }
                let _periodic = Periodic::start(config.clone(), sink.clone());
                // Restored is only once: whoever resumes a job that was held goes on from where it is.
                let beginning = std::mem::take(&mut beginning);
                let options = RunOptions { beginning, ..options.clone() };
                Ok(run::run(sink.clone(), options).await?)
            };
            let result = run::run_and_hold(&agent, on_stop, &status, stopped.clone(), engine).await;
            agent.end().await;
            result
        })
        .await;
    drop(following);
    if let Some(traces) = traces {
        traces.stop().await;
    }
    let Summary { commits, rows, rejects, files, .. } = result?;
    if args.until_end && config.format.unknown == Unknown::Warn {
        for (table, unmatched) in status.unmatched() {
            tracing::warn!(table = &*table, "in all: {}", run::unmatched::text(&unmatched));
        }
    }
    tracing::info!(commits, rows, rejects, files, "stopped clean");
    Ok(0)
}

/// Begins to look for what is asked. A stop from before this start is undone, unless it is to be held.
async fn start_agent(
    config: &Arc<Config>,
    sink: &Arc<Chain>,
    board: Board,
    status: &Arc<Status>,
    address: SocketAddr,
    on_stop: OnStop,
) -> Result<Agent> {
    let is_stopped = board.newest().await?.is_some_and(|control| control.stopped);
    if is_stopped && on_stop == OnStop::Exit {
        let control = board.request(Change::Resume, Timestamp::now()).await?;
        tracing::info!(
            control = control.n,
            "the job was stopped; this start resumes it, for all its replicas"
        );
    }
    let (made_of, made_by) = (sink.clone(), config.clone());
    let make = move |to: String, id: String| {
        let (sink, config) = (made_of.clone(), made_by.clone());
        async move { savepoint::create(&sink, &config, &to, &id).await }.boxed()
    };
    let settings = agent::Settings {
        board,
        status: status.clone(),
        address: Some(control::advertised(address)),
        patience: config.checkpoint.timeout,
        make: Arc::new(make),
    };
    Ok(Agent::start(settings).await?)
}

impl From<OnStopArg> for OnStop {
    fn from(arg: OnStopArg) -> Self {
        match arg {
            OnStopArg::Exit => Self::Exit,
            OnStopArg::Hold => Self::Hold,
        }
    }
}

/// What `doing` comes to, or none where the job is to stop before: nothing has been
/// read yet that a stop would wait for.
async fn unless_stopped<T>(stopped: &watch::Receiver<bool>, doing: impl Future<Output = T>) -> Option<T> {
    let mut stopped = stopped.clone();
    tokio::select! {
        biased;
        _ = stopped.wait_for(|stop| *stop) => None,
        done = doing => Some(done),
    }
}

/// Makes the checks that need a broker, as soon as one answers within
/// `timeouts.broker`: it may be starting as well.
async fn reach_broker(config: &Config) -> Result<()> {
    let give_up = Instant::now() + config.timeouts.broker;
    loop {
        match check_timeouts(config).await {
            Err(error) if is_unreachable(&error) && Instant::now() + ASK_AGAIN < give_up => {
                tracing::warn!("{}; asking again", error::words(error.as_ref()));
                tokio::time::sleep(ASK_AGAIN).await;
            }
            answer => return answer,
        }
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<QueryError>().is_some_and(|error| error.kind == QueryErrorKind::Unreachable)
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

/// SIGHUP, which asks to read the job file again.
fn hangups() -> Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(1);
    let signal = signal(SignalKind::hangup()).context("listening for signals")?;
    tasks::spawn("hangups", pass_on(signal, sender));
    Ok(receiver)
}

async fn pass_on(mut signal: Signal, sender: mpsc::Sender<()>) {
    while signal.recv().await.is_some() && sender.send(()).await.is_ok() {}
}

/// SIGTERM and Ctrl-C, in their order.
fn signals() -> Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(2);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let signal = signal(kind).context("listening for signals")?;
        tasks::spawn("signals", pass_on(signal, sender.clone()));
    }
    Ok(receiver)
}

struct Stopping {
    signals: mpsc::Receiver<()>,
    /// A task of the process that is lost stops it like a signal, and is why it ends.
    lost: watch::Receiver<Option<Lost>>,
    stop: watch::Sender<bool>,
    status: Arc<Status>,
    limit: Duration,
}

impl Stopping {
    async fn watch<T: fmt::Debug>(self, job: impl Future<Output = Result<T>>) -> Result<T> {
        let lost = self.lost.clone();
        let ended = self.until_stopped(job).await;
        let Some(lost) = lost.borrow().clone() else { return ended };
        if let Err(error) = ended.map(drop)
            && error.to_string() != lost.to_string()
        {
            tracing::error!("{error:#}");
        }
        Err(lost.into())
    }

    /// Runs `job`; the first signal asks it to stop, the second leaves it, as does `limit` after the first.
    async fn until_stopped<T: fmt::Debug>(mut self, job: impl Future<Output = Result<T>>) -> Result<T> {
        const LOST: &str = "nothing is lost: the next start goes on from the newest checkpoint";
        tokio::pin!(job);
        tokio::select! {
            result = &mut job => return result,
            Some(()) = self.signals.recv() => {}
            Ok(_) = self.lost.wait_for(Option::is_some) => self.status.set_lost(),
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
        lose: watch::Sender<Option<Lost>>,
        stopped: watch::Receiver<bool>,
        status: Arc<Status>,
        stopping: Stopping,
    }

    fn scene() -> Scene {
        let (signals, received) = mpsc::channel(2);
        let (stop, stopped) = watch::channel(false);
        let status = Arc::new(Status::default());
        let limit = Duration::from_secs(25);
        let (lose, lost) = watch::channel(None);
        let stopping = Stopping { signals: received, lost, stop, status: status.clone(), limit };
        Scene { signals, lose, stopped, status, stopping }
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_asks_for_a_last_checkpoint() {
        let Scene { signals, mut stopped, status, stopping, .. } = scene();
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
        let start = Instant::now();
        let error = stopping.watch(pending::<Result<()>>()).await.unwrap_err().to_string();
        assert!(error.contains("second signal"), "{error}");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    /// Even where the job makes its last checkpoint: a supervisor is to start the
    /// process again, and somebody to hear of it.
    #[tokio::test(start_paused = true)]
    async fn a_lost_task_stops_the_job_and_is_why_the_process_ends() {
        let Scene { signals, lose, mut stopped, status, stopping } = scene();
        let lost = Lost { task: "agent".into(), why: "by a panic".into() };
        lose.send_replace(Some(lost.clone()));
        let job = async move {
            stopped.wait_for(|stop| *stop).await?;
            Ok(5)
        };
        let error = stopping.watch(job).await.unwrap_err();
        assert_eq!(error.downcast_ref::<Lost>(), Some(&lost));
        assert!(error.to_string().contains("agent") && error.to_string().contains("a panic"), "{error}");
        assert!(status.is_lost() && status.stopping());
        drop(signals);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_ends_by_itself_is_not_stopped() {
        let Scene { signals, stopping, status, .. } = scene();
        assert_eq!(stopping.watch(async { Ok(1) }).await.unwrap(), 1);
        assert!(!status.stopping());
        drop(signals);
    }
}
