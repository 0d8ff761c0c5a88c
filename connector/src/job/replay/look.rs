//! Decoding rejects without keeping anything: what would pass, and why the rest would not.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde::Serialize;
use tidegate_sinks::{Commit, CommitId, Sink};
use tokio::runtime::Handle;

use super::records;
use crate::error::RunError;
use crate::flow::decode::{Appended, Fits, Row, Rows};
use crate::flow::event::Record;
use crate::flow::rejects;
use crate::flow::stage::{self, Opened, Partitioner, StageSettings, describe};
use crate::flow::tables::KnownOnly;

/// Rows that are decoded before they are dropped.
const BATCH_ROWS: usize = 1_024;
/// Different errors that are told apart; all others are one.
const REASONS: usize = 1_000;

/// What rejects have become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub records: u64,
    pub rows: u64,
    /// Tombstones, which the job has come to skip.
    pub skipped: u64,
    /// They fail still.
    pub failing: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.rows += other.rows;
        self.skipped += other.skipped;
        self.failing += other.failing;
    }
}

/// Why records fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// With the column before it; never a value.
    pub error: String,
    pub records: u64,
    /// Where the first of them lies.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// What would become of the rejects that wait.
#[derive(Debug, Default)]
pub struct Look {
    pub counts: Counts,
    /// Commits of whose rejects some would not fail any more.
    pub worthwhile: Vec<CommitId>,
    /// The most frequent first.
    pub reasons: Vec<Reason>,
}

/// How a topic's records are decoded, and judged.
type OfTopic = (Rows, Option<Partitioner>);

/// Blocks.
pub(super) fn look(
    sink: &Arc<dyn Sink>,
    runtime: &Handle,
    commits: &[Commit],
    decoders: &KnownOnly,
    settings: &StageSettings,
) -> Result<Look, RunError> {
    let mut look = Look::default();
    let mut by_topic: BTreeMap<Arc<str>, OfTopic> = BTreeMap::new();
    let mut reasons: BTreeMap<String, Reason> = BTreeMap::new();
    for commit in commits {
        let mut counts = Counts::default();
        rejects::batches(runtime, sink, commit, |batch, path| {
            for fetch in records::fetches(batch, path)? {
                let (decoder, partitioner) = match by_topic.entry(fetch.partition.topic.clone()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        let opened = decoders.of(&fetch.partition).map_err(super::staging_error)?;
                        new.insert(with_partitioner(opened, settings)?)
                    }
                };
                let judge = |row: &Row<'_>| partitioner.as_ref().map_or(Ok(()), |by| by.judge(row));
                let judges = partitioner.as_ref().is_some_and(Partitioner::judges);
                let fits: Option<Fits<'_>> = judges.then_some(&judge);
                if let Some(preparing) = decoder.prepare(&fetch) {
                    runtime.block_on(preparing)?;
                }
                for record in fetch.records() {
                    counts.records += 1;
                    match decoder.append_if(&record, fits) {
                        Ok(Appended::Rows(0) | Appended::Skipped) => counts.skipped += 1,
                        Ok(Appended::Rows(rows)) => counts.rows += rows as u64,
                        Ok(Appended::NotReady) => {
                            let (partition, offset) = (record.partition.clone(), record.offset);
                            return Err(super::staging_error(stage::Error::NotReady { partition, offset }));
                        }
                        Err(reject) => {
                            counts.failing += 1;
                            note(&mut reasons, describe(&reject), &record);
                        }
                    }
                    if decoder.rows() >= BATCH_ROWS {
                        decoder.finish();
                    }
                }
                decoder.finish();
            }
            Ok::<_, RunError>(())
        })?;
        if counts.rows + counts.skipped > 0 {
            look.worthwhile.push(commit.id.clone());
        }
        look.counts.add(&counts);
    }
    look.reasons = reasons.into_values().collect();
    look.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.records));
    Ok(look)
}

fn with_partitioner(opened: Opened, settings: &StageSettings) -> Result<OfTopic, RunError> {
    match opened {
        // A folder is named with nothing but levels, so which table it is in makes no
        // difference that matters here.
        Opened::Table(decoder) => {
            let partitioner = settings.partitioner("", decoder.schema()).map_err(super::staging_error)?;
            Ok((decoder, Some(partitioner)))
        }
        Opened::NotYet(decoder) => Ok((decoder, None)),
    }
}

fn note(reasons: &mut BTreeMap<String, Reason>, error: String, record: &Record<'_>) {
    let is_known = reasons.contains_key(&error);
    let error = if is_known || reasons.len() < REASONS { error } else { "other errors".to_owned() };
    let reason = reasons.entry(error.clone()).or_insert_with(|| Reason {
        error,
        records: 0,
        topic: record.partition.topic.to_string(),
        partition: record.partition.partition,
        offset: record.offset,
    });
    reason.records += 1;
}
