//! `tidegate rejects`: the records that did not decode, and why; and decoding them once more.

mod list;
mod replay;

use anyhow::Result;
use clap::Subcommand;

use super::{JobArg, LogArgs};

#[derive(Debug, clap::Args)]
pub(super) struct RejectsArgs {
    #[command(flatten)]
    job: JobArg,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Which records wait to be mended and replayed, where they are, and why; those of
    /// the newest commits first
    List(list::ListArgs),
    /// Decode rejects once more, by the job file as it is now: what passes is committed
    /// exactly once, the rest stays
    Replay(replay::ReplayArgs),
}

pub(super) async fn execute(args: RejectsArgs, log: &LogArgs) -> Result<u8> {
    match args.command {
        Command::List(list) => list::execute(&args.job, list, log).await,
        Command::Replay(replay) => replay::execute(&args.job, replay, log).await,
    }
}
