//! `tidegate position`: how far each partition is committed, and how far behind that is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use tidegate_sinks::{Checkpoint, Commit, Sink, TopicPartition};

use super::job::Job;
use super::output::{OutputArg, or_dash, table};
use super::{JobArg, LogArgs};
use crate::config::{Config, client_properties};
use crate::kafka::{Offsets, Queries, QueryError};

#[derive(Debug, clap::Args)]
pub(super) struct PositionArgs {
    #[command(flatten)]
    job: JobArg,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, Serialize)]
struct Shown {
    job: String,
    checkpoint: Option<u64>,
    partitions: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    topic: String,
    partition: i32,
    /// First offset that is not committed; `None` before the partition's first commit.
    next: Option<i64>,
    last_stable_offset: Option<i64>,
    lag: Option<i64>,
    rows: u64,
    /// Of the day before the newest checkpoint; `None` where the partition had no commit in it.
    last_commit: Option<Timestamp>,
    /// Since when its topic is read no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_up: Option<String>,
}

pub(super) async fn execute(args: PositionArgs, log: &LogArgs) -> Result<u8> {
    let Job { config, sink } = Job::open_to_look(&args.job, log)?;
    let state = sink.load().await?;
    let left_out = state.iter().flat_map(|state| state.given_up()).map(|(topic, _)| topic.into()).collect();
    let ends = match last_stable_offsets(&config, left_out).await? {
        Ok(ends) => ends,
        Err(error) => {
            tracing::warn!(%error, "Kafka does not answer, so ends and lag are left out");
            Offsets::new()
        }
    };
    let commits = match &state {
        Some(state) => last_commits(&sink.recent_commits(state).await?),
        None => BTreeMap::new(),
    };
    let shown = Shown {
        job: config.job.clone(),
        checkpoint: state.as_ref().map(|state| state.n),
        partitions: rows(state.as_deref(), &ends, &commits),
    };
    args.output.print(&shown, || text(&shown))?;
    Ok(0)
}

fn last_commits(commits: &[Commit]) -> BTreeMap<TopicPartition, Timestamp> {
    let mut last: BTreeMap<TopicPartition, Timestamp> = BTreeMap::new();
    for commit in commits {
        for partition in commit.delta.0.keys() {
            let time = last.entry(partition.clone()).or_insert(commit.created);
            *time = commit.created.max(*time);
        }
    }
    last
}

/// Of the job's partitions, but those of some topics. The outer error is this program's.
pub(super) async fn last_stable_offsets(
    config: &Config,
    left_out: BTreeSet<Arc<str>>,
) -> Result<Result<Offsets, QueryError>> {
    let (properties, topics) = (client_properties(config), config.kafka.topics.clone().without(&left_out));
    let ask = move || {
        let queries = Queries::connect(&properties)?;
        let mut partitions = queries.partitions(&topics)?;
        partitions.retain(|partition| !left_out.contains(&partition.topic));
        queries.last_stable_offsets(&partitions)
    };
    Ok(tokio::task::spawn_blocking(ask).await?)
}

fn rows(
    state: Option<&Checkpoint>,
    ends: &Offsets,
    commits: &BTreeMap<TopicPartition, Timestamp>,
) -> Vec<Row> {
    let known = state.map(|state| &state.partitions);
    let mut partitions: Vec<_> = known.into_iter().flat_map(BTreeMap::keys).chain(ends.keys()).collect();
    partitions.retain(|partition| !partition.is_rejects());
    partitions.sort();
    partitions.dedup();
    let given_up: BTreeMap<_, _> = state.into_iter().flat_map(|state| state.given_up()).collect();
    let row = |partition: &TopicPartition| {
        let state = known.and_then(|known| known.get(partition));
        let end = ends.get(partition).copied();
        Row {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            next: state.map(|state| state.next),
            last_stable_offset: end,
            lag: end.zip(state).map(|(end, state)| end - state.next),
            rows: state.map_or(0, |state| state.rows),
            last_commit: commits.get(partition).copied(),
            given_up: given_up.get(&*partition.topic).map(|since| (*since).to_owned()),
        }
    };
    partitions.into_iter().map(row).collect()
}

fn text(shown: &Shown) -> String {
    let rows = shown.partitions.iter().map(|row| {
        [
            row.topic.clone(),
            row.partition.to_string(),
            or_dash(row.next),
            or_dash(row.last_stable_offset),
            match &row.given_up {
                Some(_) => "given up".to_owned(),
                None => or_dash(row.lag),
            },
            row.rows.to_string(),
            or_dash(row.last_commit.map(|time| format!("{time:.3}"))),
        ]
    });
    table(["topic", "partition", "next", "last stable", "lag", "rows", "last commit"], rows)
}
