//! `tidegate pause`, `resume`, `stop`, `checkpoint`, `speed`: what a job's replicas are asked through its
//! store. No replica need be reachable, or run.

use std::str::FromStr;

use anyhow::Result;
use bytesize::ByteSize;
use jiff::Timestamp;
use serde::Serialize;

use super::job::Job;
use super::output::OutputArg;
use super::{JobArg, LogArgs};
use crate::replica::control::{Board, Change, Control, Waited, acknowledgements};

#[derive(Debug, clap::Args)]
pub(super) struct AskArgs {
    #[command(flatten)]
    job: JobArg,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
pub(super) struct WaitArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// Do not wait until the running replicas have done it
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct SpeedArgs {
    #[command(flatten)]
    job: JobArg,
    /// Bytes a second over all replicas (10MB = 10^6, 10MiB = 2^20); none: no limit; default: the job file's
    #[arg(value_name = "RATE")]
    rate: Rate,
    #[command(flatten)]
    output: OutputArg,
}

/// A byte limit as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(Option<u64>);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "default" => Ok(Self(None)),
            "none" => Ok(Self(Some(0))),
            rate => {
                let rate = rate.strip_suffix("/s").unwrap_or(rate);
                let bytes: ByteSize =
                    rate.parse().map_err(|_| "write 10MB, 512KiB, none or default".to_owned())?;
                Ok(Self(Some(bytes.as_u64())))
            }
        }
    }
}

/// What is asked now, and who has done it.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    control: Control,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited: Option<Waited>,
}

/// Asks for a change that needs no waiting.
pub(super) async fn execute(change: Change, args: AskArgs, log: &LogArgs) -> Result<u8> {
    let Job { config, sink } = Job::open(&args.job, log)?;
    let board = Board::of(&sink, &config);
    let control = board.request(change, Timestamp::now()).await?;
    let replicas = board.replicas().await?.len();
    let text = || {
        let poll = humantime::format_duration(board.poll());
        format!(
            "asked by control object {}: {}; {replicas} replicas look every {poll}",
            control.n,
            all(&control)
        )
    };
    args.output.print(&Answer { control: control.clone(), waited: None }, text)?;
    Ok(0)
}

pub(super) async fn speed(args: SpeedArgs, log: &LogArgs) -> Result<u8> {
    let SpeedArgs { job, rate: Rate(bytes_per_second), output } = args;
    execute(Change::Speed(bytes_per_second), AskArgs { job, output }, log).await
}

/// Asks for a checkpoint.
pub(super) async fn checkpoint(args: WaitArgs, log: &LogArgs) -> Result<u8> {
    let nobody = "no replica is running, so there is nothing to checkpoint";
    ask_and_wait(Change::Checkpoint, args, log, "checkpointed", nobody).await
}

/// Asks for a stop. Who starts the job again before all replicas have seen it takes it back.
pub(super) async fn stop(args: WaitArgs, log: &LogArgs) -> Result<u8> {
    ask_and_wait(Change::Stop, args, log, "stopped", "stopped: no replica is running").await
}

/// Waits until each running replica has done what is asked. Exit code 1 when one has not in time.
async fn ask_and_wait(change: Change, args: WaitArgs, log: &LogArgs, done: &str, nobody: &str) -> Result<u8> {
    if args.no_wait {
        return execute(change, args.ask, log).await;
    }
    let Job { config, sink } = Job::open(&args.ask.job, log)?;
    let board = Board::of(&sink, &config);
    let control = board.request(change, Timestamp::now()).await?;
    let waited = acknowledgements(&board, control.n, config.checkpoint.timeout).await?;
    let failed = !waited.late.is_empty();
    let answer = Answer { control, waited: Some(waited.clone()) };
    args.ask.output.print(&answer, || by_whom(&waited, done, nobody))?;
    Ok(u8::from(failed))
}

fn by_whom(waited: &Waited, done: &str, nobody: &str) -> String {
    if waited.acknowledged.is_empty() && waited.late.is_empty() {
        return nobody.to_owned();
    }
    let mut text = format!("{done}: {}", waited.acknowledged.join(", "));
    if !waited.late.is_empty() {
        text += &format!("\nnot yet, after checkpoint.timeout: {}", waited.late.join(", "));
    }
    text
}

/// All that is asked, in words.
fn all(control: &Control) -> String {
    let speed = match control.bytes_per_second {
        None => "the job file's byte limit".to_owned(),
        Some(0) => "no byte limit".to_owned(),
        Some(bytes) => format!("at most {} a second", ByteSize(bytes).display().si()),
    };
    let state = match (control.stopped, control.paused) {
        (true, _) => "stopped",
        (false, true) => "paused",
        (false, false) => "running",
    };
    format!("{state}, {speed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_typed_like_sizes() {
        for (text, rate) in [
            ("10MB", Some(Some(10_000_000))),
            ("10MB/s", Some(Some(10_000_000))),
            ("1MiB", Some(Some(1 << 20))),
            ("0", Some(Some(0))),
            ("none", Some(Some(0))),
            ("default", Some(None)),
            ("fast", None),
            ("-1", None),
        ] {
            assert_eq!(text.parse::<Rate>().ok(), rate.map(Rate), "{text}");
        }
    }
}
