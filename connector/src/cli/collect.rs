//! `tidegate collect`: removes staged leftovers that can never commit and checkpoints past retention.

use anyhow::Result;
use tidegate_sinks::{Collected, Sink};

use super::job::Job;
use super::output::OutputArg;
use super::{JobArg, LogArgs};

#[derive(Debug, clap::Args)]
pub(super) struct CollectArgs {
    #[command(flatten)]
    job: JobArg,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) async fn execute(args: CollectArgs, log: &LogArgs) -> Result<u8> {
    let Job { sink, .. } = Job::open(&args.job, log)?;
    let collected = match sink.load().await? {
        Some(state) => sink.collect(&state, args.dry_run).await?,
        // Without a state nothing can be judged, so nothing is removed.
        None => Collected::default(),
    };
    args.output.print(&collected, || text(&collected, args.dry_run))?;
    Ok(0)
}

fn text(collected: &Collected, dry_run: bool) -> String {
    let verb = if dry_run { "would be removed" } else { "removed" };
    let mut lines = vec![
        format!("{} staged attempts {verb}", collected.attempts.len()),
        format!("{} checkpoints {verb}", collected.checkpoints.len()),
    ];
    for folder in &collected.unjudged {
        lines.push(format!("left alone, as nothing says when it began: {folder}"));
    }
    lines.join("\n")
}
