//! `tidegate audit`: collects what lies in the sink, and prints the judgement of [`crate::job::audit`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use tidegate_sinks::{
    Chain, Checkpoint, Commit, CommitId, Error, FileKind, Kind, RESERVED, Sink, StagedFile, TopicPartition,
};

use super::job::Job;
use super::output::{OutputArg, or_dash, table};
use super::position::last_stable_offsets;
use super::{JobArg, LogArgs};
use crate::config::Config;
use crate::flow::stage::footer::{self, Footer, ReadError};
use crate::job::audit::deep::{Offsets, Reading};
use crate::job::audit::{self, Found, PartitionReport, Report, Seen};

/// Footers that are read at the same time.
const AT_ONCE: usize = 16;
/// Looks at the commits, in case some are forgotten at that moment.
const LOOKS: u32 = 3;
/// The exit code where something was found: cron tells it from an outage by that.
const NOT_EXACT: u8 = 4;
/// Files of others that a person is shown.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    job: JobArg,
    /// Read every file in full, and compare positions with Kafka's logs
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) async fn execute(args: AuditArgs, log: &LogArgs) -> Result<u8> {
    let Job { config, sink } = Job::open_to_look(&args.job, log)?;
    let mut report = report(&config, &sink, args.deep).await?;
    if args.deep {
        compare_ends(&config, &mut report).await?;
    }
    args.output.print(&report, || text(&report))?;
    Ok(if report.exact { 0 } else { NOT_EXACT })
}

/// Looks at everything and judges it. Exact also while the job runs and commits.
pub(super) async fn report(config: &Config, sink: &Chain, deep: bool) -> Result<Report> {
    // What is visible before the state was loaded is committed in that state; what the
    // state commits is visible or staged after it. So files are listed before and
    // after. Which tables there are is known only by the commits.
    let (mut known, mut tries) = (Vec::new(), 0);
    let (before, checkpoint, commits) = loop {
        let before: BTreeSet<_> =
            sink.visible_files(&known).await?.into_iter().map(|file| file.path).collect();
        let Some(checkpoint) = sink.load().await? else {
            bail!("{sink} has no checkpoint of job {}: nothing has been written yet", config.job);
        };
        tries += 1;
        let listed: BTreeSet<_> = tables(&known)
            .chain(before.iter().map(String::as_str).map(table_of))
            .map(str::to_owned)
            .collect();
        let read = known.drain(..).map(|commit: Commit| (commit.id.clone(), commit)).collect();
        match sink.commits_beside(&checkpoint, read).await {
            // Some were forgotten meanwhile.
            Err(error) if error.kind == Kind::Retry && tries < LOOKS => {
                tracing::debug!(%error, "looking again")
            }
            commits => {
                let commits = commits?;
                if tables(&commits).all(|table| listed.contains(table)) {
                    break (before, checkpoint, commits);
                }
                known = commits;
            }
        }
    };
    let staged = sink.staged_files(&checkpoint).await?;
    let (visible, rejects) = visible(sink, &config.job, &before, &commits).await?;
    let staged = staged.into_iter().map(|(id, name, bytes)| ((id, name), bytes)).collect();
    let found = Found { checkpoint: Checkpoint::clone(&checkpoint), commits, visible, rejects, staged };
    let mut report = audit::judge(&found);
    if deep {
        read_files(sink, &found, &mut report).await?;
    }
    Ok(report)
}

type Files = BTreeMap<String, Seen>;

/// The folders that data files of `commits` lie in.
fn tables(commits: &[Commit]) -> impl Iterator<Item = &str> {
    commits.iter().flat_map(|commit| &commit.files).filter_map(StagedFile::table)
}

fn table_of(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Files in tables, and those among the rejects; those that became visible since `before` only if `commits`
/// name them. Each with its footer: readers take whatever lies there, and only the footer says whose it is.
async fn visible(
    sink: &Chain,
    job: &str,
    before: &BTreeSet<String>,
    commits: &[Commit],
) -> Result<(Files, Files), Error> {
    let named = commits.iter().flat_map(|commit| &commit.files).map(|file| sink.visible_path(file));
    let named: BTreeSet<_> = named.collect::<Result<_, _>>()?;
    let files = sink.visible_files(commits).await?.into_iter();
    let files = files.filter(|file| before.contains(&file.path) || named.contains(&file.path));
    let seen = files.map(async |file| {
        let footer = match footer(sink, &file.path, file.bytes).await {
            Ok(footer) => footer,
            Err(error) if named.contains(&file.path) => return Err(error),
            // Others' files may go, be links, or be nobody's to read.
            Err(error) if error.kind == Kind::Config => Err(error.to_string()),
            Err(error) => match sink.read_range(&file.path, 0..1).await? {
                None if is_listed(sink, commits, &file.path).await? => {
                    Err("a link, which is not followed".to_owned())
                }
                None => return Ok(None),
                Some(_) => return Err(error),
            },
        };
        // What others hide stays so.
        let is_hidden = file.path.split('/').any(|segment| segment.starts_with('.'));
        let is_ours = file.name.is_some() || footer.as_ref().is_ok_and(|f| f.job.as_deref() == Some(job));
        let seen = Seen { bytes: file.bytes, footer: Some(footer) };
        Ok::<_, Error>((!is_hidden || is_ours).then_some((file.path, seen)))
    });
    let seen: Vec<_> = stream::iter(seen).buffer_unordered(AT_ONCE).try_collect().await?;
    let (rejects, tables): (Vec<_>, Vec<_>) =
        seen.into_iter().flatten().partition(|(path, _)| table_of(path) == RESERVED);
    // Below `_tidegate/<job>/rejects/`.
    let name = |path: &str| path.splitn(4, '/').last().unwrap_or_default().to_owned();
    Ok((tables.into_iter().collect(), rejects.into_iter().map(|(path, seen)| (name(&path), seen)).collect()))
}

async fn is_listed(sink: &Chain, commits: &[Commit], path: &str) -> Result<bool, Error> {
    Ok(sink.visible_files(commits).await?.iter().any(|file| file.path == path))
}

/// What a footer says, or why it does not read; the outer error is the store's.
async fn footer(sink: &Chain, path: &str, size: u64) -> Result<Result<Footer, String>, Error> {
    let fetch = async |range| {
        let gone = || Error::new(Kind::Retry, format!("{path} went away while it was looked at"));
        sink.read_range(path, range).await?.ok_or_else(gone)
    };
    match footer::metadata(size, &fetch).await {
        Ok(metadata) => Ok(Ok(Footer::parse(&metadata))),
        Err(ReadError::Store(error)) => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

async fn read_files(sink: &Chain, found: &Found, report: &mut Report) -> Result<()> {
    let sources: BTreeSet<_> =
        found.commits.iter().filter_map(|commit| commit.replay.as_ref()).flat_map(|r| &r.sources).collect();
    let mut rejects: BTreeMap<&CommitId, Offsets> = BTreeMap::new();
    // A replay comes after what it replays, which may be a replay, too.
    let lane = TopicPartition::rejects();
    let mut commits: Vec<_> = found.commits.iter().collect();
    commits.sort_by_key(|commit| commit.delta.0.get(&lane).map(|span| span.from));
    for commit in commits {
        let mut reading = match &commit.replay {
            None => Reading::new(commit),
            Some(replay) => {
                let replayed: Vec<_> = replay.sources.iter().map(|source| rejects.remove(source)).collect();
                Reading::of_replay(commit, replayed.into_iter().collect::<Option<Vec<_>>>().map(merged))
            }
        };
        for file in &commit.files {
            let there = match file.kind {
                FileKind::Data => &found.visible,
                FileKind::Rejects => &found.rejects,
            };
            if !there.contains_key(&file.path) {
                continue;
            }
            let path = sink.visible_path(file)?;
            let Some(bytes) = sink.read_file(&path).await? else { continue };
            reading = tokio::task::block_in_place(|| {
                reading.file(file, bytes);
                reading
            });
        }
        if sources.contains(&commit.id) {
            rejects.insert(&commit.id, reading.take_rejects());
        }
        for problem in reading.finish() {
            report.problem(problem.kind, problem.subject, problem.detail);
        }
    }
    Ok(())
}

fn merged(parts: Vec<Offsets>) -> Offsets {
    let mut all = Offsets::new();
    for (partition, offsets) in parts.into_iter().flatten() {
        all.entry(partition).or_default().extend(offsets);
    }
    all
}

/// Kafka may be out of reach of who audits; then its part is left out, and said to be.
async fn compare_ends(config: &Config, report: &mut Report) -> Result<()> {
    let left_out = report.partitions.iter().filter_map(given_up).map(|(topic, _)| topic.into()).collect();
    match last_stable_offsets(config, left_out).await.context("asking Kafka")? {
        Ok(ends) => report.judge_ends(&ends),
        Err(error) => {
            tracing::warn!(%error, "Kafka does not answer, so positions are not compared with its logs")
        }
    }
    Ok(())
}

fn given_up(state: &PartitionReport) -> Option<(&str, &str)> {
    Some((&state.partition.topic, state.given_up.as_deref()?))
}

pub(super) fn text(report: &Report) -> String {
    let rows = report.partitions.iter().map(|state| {
        [
            state.partition.topic.to_string(),
            state.partition.partition.to_string(),
            state.start.to_string(),
            state.next.to_string(),
            state.spans.to_string(),
            state.rows.to_string(),
            or_dash(state.lag),
        ]
    });
    let mut text = table(["topic", "partition", "start", "next", "spans", "rows", "lag"], rows);
    let forgotten = match report.forgotten_commits {
        0 => String::new(),
        commits => format!(" and {commits} forgotten"),
    };
    text.push_str(&format!(
        "\n\ncheckpoint {}: {} commits{forgotten}, {} files, {} rows, {} rejects, {}\n",
        report.checkpoint,
        report.commits,
        report.files,
        report.rows,
        report.outstanding_rejects,
        bytesize::ByteSize(report.bytes)
    ));
    for (files, what) in [
        (&report.pending, "committed and still to be made visible, by the next run"),
        (&report.retracted, "taken back and still to be erased, by the next run"),
        (&report.forgotten, "of forgotten commits, and not checked"),
        (&report.foreign, "not this job's, and left alone"),
    ] {
        if !files.is_empty() {
            let names: Vec<_> = files.iter().take(SHOWN).map(|file| format!("\n  {file}")).collect();
            let more = if files.len() > SHOWN { "\n  …" } else { "" };
            text.push_str(&format!("\n{} files {what}:{}{more}\n", files.len(), names.concat()));
        }
    }
    let given_up: BTreeMap<_, _> = report.partitions.iter().filter_map(given_up).collect();
    for (topic, since) in given_up {
        text.push_str(&format!(
            "\ntopic {topic} was given up at {since}: its rows stay, and it is read no more\n"
        ));
    }
    for problem in &report.problems {
        text.push_str(&format!("\n{}: {}: {}", problem.kind, problem.subject, problem.detail));
    }
    let verdict = if report.exact { "exact" } else { "NOT EXACT" };
    let count = if report.exact { String::new() } else { format!(" ({} problems)", report.problems.len()) };
    format!("{text}\n{verdict}{count}")
}
