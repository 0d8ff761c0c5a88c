//! `tidegate checkpoints`: the retained ones, and what is in one.

use anyhow::{Result, bail};
use clap::Subcommand;
use tidegate_sinks::{Checkpoint, CommitId};

use super::job::Job;
use super::output::{OutputArg, or_dash, table};
use super::{JobArg, LogArgs};
use crate::job::checkpoints::{self, CheckpointSummary};

#[derive(Debug, clap::Args)]
pub(super) struct CheckpointsArgs {
    #[command(flatten)]
    job: JobArg,
    #[command(flatten)]
    output: OutputArg,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All that are retained, newest first
    List,
    /// Everything in one of them
    Show { n: u64 },
}

pub(super) async fn execute(args: CheckpointsArgs, log: &LogArgs) -> Result<u8> {
    let Job { config, sink } = Job::open_to_look(&args.job, log)?;
    match args.command {
        Command::List => {
            let rows = checkpoints::newest(&sink, usize::MAX).await?;
            args.output.print(&rows, || list(&rows))?;
        }
        Command::Show { n } => {
            let Some(checkpoint) = sink.read_checkpoint(n).await? else {
                bail!(
                    "job {} has no checkpoint {n}; `checkpoints JOB list` shows those that are retained",
                    config.job
                );
            };
            args.output.print(&checkpoint, || show(&checkpoint))?;
        }
    }
    Ok(0)
}

fn list(rows: &[CheckpointSummary]) -> String {
    table(
        ["n", "created", "incarnation", "commit", "partitions", "rows", "rejects", "unpublished"],
        rows.iter().map(|row| {
            [
                row.n.to_string(),
                format!("{:.3}", row.created),
                row.incarnation.to_string(),
                or_dash(row.commit.as_ref()),
                row.partitions.to_string(),
                row.rows.to_string(),
                row.rejects.to_string(),
                row.unpublished.to_string(),
            ]
        }),
    )
}

fn show(checkpoint: &Checkpoint) -> String {
    let ids = |ids: &[CommitId]| {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
    };
    let head = format!(
        "checkpoint {} of job {}, made {:.3}\nincarnation {}, cluster {}, commit {}\nunpublished: {}\nretracted: {}, \
         gaps: {}, rejects: {}\n\n",
        checkpoint.n,
        checkpoint.job,
        checkpoint.created,
        checkpoint.incarnation,
        or_dash(checkpoint.cluster_id.as_ref()),
        or_dash(checkpoint.commit.as_ref()),
        ids(&checkpoint.unpublished),
        checkpoint.retracted.len(),
        checkpoint.gaps.len(),
        checkpoint.rejects,
    );
    let rows = checkpoint.partitions.iter().map(|(partition, state)| {
        [
            partition.topic.to_string(),
            partition.partition.to_string(),
            state.start.to_string(),
            state.next.to_string(),
            state.rows.to_string(),
        ]
    });
    head + &table(["topic", "partition", "start", "next", "rows"], rows)
}
