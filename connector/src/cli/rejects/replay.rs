//! `tidegate rejects replay`. Needs the store alone; replicas may run meanwhile, and other replays.

use anyhow::{Result, bail};
use serde::Serialize;
use tidegate_sinks::{CommitId, Sink};

use super::super::job::Job;
use super::super::output::{OutputArg, table};
use super::super::{JobArg, LogArgs};
use crate::job::replay::{Counts, Look, Reason, Replayed, Replayer};

/// Reasons that a table shows.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// Only the rejects of one commit
    #[arg(long, value_name = "ID")]
    commit: Option<String>,
    /// Say how many would pass now and why the rest fails, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, Serialize)]
struct Shown {
    dry_run: bool,
    /// Of all that wait: what each would become.
    found: Counts,
    /// Why the rest would fail; the most frequent first.
    reasons: Vec<Reason>,
    /// What this replay has committed, with what failed again among it. Another one may have been faster.
    replayed: Replayed,
    /// Rejects that were left alone, as their commits are not visible yet.
    unpublished: u64,
    /// Rejects of forgotten commits, which can't be replayed.
    forgotten: u64,
}

pub(super) async fn execute(job: &JobArg, args: ReplayArgs, log: &LogArgs) -> Result<u8> {
    let Job { config, sink } = Job::open(job, log)?;
    let Some(state) = sink.load().await? else {
        bail!("{sink} has no checkpoint of job {}: nothing has been written yet", config.job);
    };
    let replayer = Replayer::new(config, sink, &state)?;
    let state = if args.dry_run { state } else { replayer.recover(state).await? };
    let mut waiting = replayer.waiting(&state).await?;
    if let Some(wanted) = &args.commit {
        let wanted = CommitId(wanted.as_str().into());
        waiting.commits.retain(|commit| commit.id == wanted);
        if waiting.commits.is_empty() {
            bail!("no rejects of a commit {wanted} wait; `tidegate rejects JOB list` shows those that do");
        }
    }
    let Look { counts: found, worthwhile, reasons } = replayer.look(waiting.commits.clone()).await?;
    let replayed = if args.dry_run {
        Replayed::default()
    } else {
        waiting.commits.retain(|commit| worthwhile.contains(&commit.id));
        replayer.replay(&waiting.commits).await?
    };
    let (unpublished, forgotten) = (waiting.unpublished, waiting.forgotten);
    let shown = Shown { dry_run: args.dry_run, found, reasons, replayed, unpublished, forgotten };
    args.output.print(&shown, || text(&shown))?;
    Ok(0)
}

fn text(shown: &Shown) -> String {
    let Shown { found, replayed, .. } = shown;
    let skipped = |counts: &Counts| match counts.skipped {
        0 => String::new(),
        skipped => format!(", {skipped} would be skipped as tombstones"),
    };
    let mut lines = vec![format!(
        "{} rejects wait: {} decode now, {} do not{}",
        found.records,
        found.rows,
        found.failing,
        skipped(found)
    )];
    if shown.dry_run {
        lines.push("nothing was changed".to_owned());
    } else {
        let commits = replayed.commits.len();
        lines.push(format!("{} rows are committed now, in {commits} commits", replayed.counts.rows));
    }
    if shown.unpublished > 0 {
        let count = shown.unpublished;
        lines.push(format!("{count} more are of commits that are not visible yet: replay them later"));
    }
    if shown.forgotten > 0 {
        let count = shown.forgotten;
        lines.push(format!(
            "{count} more are of commits that `tidegate forget` has folded: they cannot be replayed"
        ));
    }
    if !shown.reasons.is_empty() {
        let rows = shown.reasons.iter().take(SHOWN).map(|reason| {
            let first = format!("{}/{} {}", reason.topic, reason.partition, reason.offset);
            [reason.records.to_string(), reason.error.clone(), first]
        });
        lines.push(format!("\n{}", table(["records", "why they fail", "the first"], rows)));
        let more = shown.reasons.len().saturating_sub(SHOWN);
        lines.extend((more > 0).then(|| format!("and {more} more reasons")));
    }
    lines.join("\n")
}
