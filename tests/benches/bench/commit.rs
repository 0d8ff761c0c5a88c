//! Commits by the sink alone, to a folder: what they cost, and tables that have many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tidegate_sinks::{
    Begin, Chain, Commit, CommitId, Delta, FileKind, Genesis, Outcome, PartitionState, Sink, SinkSettings,
    Span, StagedFile, TopicPartition, conformance,
};

use super::job::{Job, TABLE};
use super::measure;

/// Files that are staged at the same time.
const AT_ONCE: usize = 8;

/// What one commit cost, up to where readers see it and the chain has dropped it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Each {
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
}

/// Makes `commits` commits of `files` files each, of so many bytes that are no Parquet, each over one offset.
pub(crate) async fn run(job: &Job, (commits, files, bytes): (i64, u32, usize)) -> Result<Each> {
    let config = &job.config;
    let sink = tidegate_sinks::open(SinkSettings::new(config.job.clone(), config.sink.url.clone()))?;
    let partition = TopicPartition::new(job.topic()?, 0);
    let place = PartitionState { start: 0, next: 0, rows: 0 };
    let genesis = Genesis { partitions: BTreeMap::from([(partition.clone(), place)]), ..Genesis::default() };
    let mut state = sink.begin_chain(genesis).await?;
    let (start, before) = (Instant::now(), measure::used(libc::RUSAGE_SELF));
    for next in 0..commits {
        let id = CommitId::new();
        let begin = Begin {
            format: 1,
            id: id.clone(),
            incarnation: state.incarnation,
            from: BTreeMap::from([(partition.clone(), next)]),
            new_partitions: BTreeSet::new(),
        };
        sink.begin(&begin).await?;
        let numbers = stream::iter(0..files);
        let staged = numbers.map(|number| stage(&sink, &begin, &partition, number, bytes));
        let staged = staged.buffered(AT_ONCE).try_collect().await?;
        let commit = commit(begin, &config.job, &partition, staged);
        state = match sink.commit(state, Arc::new(commit), None).await? {
            Outcome::Committed(state) => state,
            other => bail!("a commit that nobody disturbs came to {other:?}"),
        };
        sink.publish(&state, &[id]).await?;
        state = sink.settle(state).await?;
    }
    let each = |seconds: f64| seconds / commits as f64;
    Ok(Each {
        wall_seconds: each(start.elapsed().as_secs_f64()),
        cpu_seconds: each(measure::used(libc::RUSAGE_SELF) - before),
    })
}

/// File `number` of so many; the row that the commit covers is in the first.
async fn stage(
    sink: &Chain,
    begin: &Begin,
    partition: &TopicPartition,
    number: u32,
    bytes: usize,
) -> Result<StagedFile> {
    let rows = BTreeMap::from([(partition.clone(), u64::from(number == 0))]);
    let (bytes, folder) = (Bytes::from(vec![0; bytes]), format!("{TABLE}/"));
    Ok(conformance::stage(sink, begin, FileKind::Data, number, &folder, bytes, rows).await?)
}

fn commit(begin: Begin, job: &str, partition: &TopicPartition, files: Vec<StagedFile>) -> Commit {
    let span =
        |(partition, from): (&TopicPartition, &i64)| (partition.clone(), Span { from: *from, to: from + 1 });
    let delta = Delta(begin.from.iter().map(span).collect());
    let rows = BTreeMap::from([(partition.clone(), 1)]);
    Commit { delta, rows, files, ..Commit::of(begin, job, jiff::Timestamp::now()) }
}
