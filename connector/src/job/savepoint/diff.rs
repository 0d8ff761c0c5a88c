//! What lies between two savepoints: offsets, files, schema, settings. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use tidegate_sinks::{FileKind, PartitionState, TopicPartition};

use super::{Manifest, Savepoint};

/// The difference from one savepoint to another; empty lists where they are equal.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// Fields of the manifest and of the checkpoint: job, cluster, incarnation and the like.
    pub identity: Vec<Change>,
    /// Those whose offsets or rows differ.
    pub partitions: Vec<PartitionDiff>,
    /// In the second only.
    pub files_added: Vec<FileInfo>,
    /// In the first only.
    pub files_removed: Vec<FileInfo>,
    /// Columns, by name, after the table's where each has its own: their types and paths.
    pub schema: Vec<Change>,
    /// Keys of the job file, other than columns.
    pub settings: Vec<Change>,
}

/// A value in each of the two; null where there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub key: String,
    pub a: Value,
    pub b: Value,
}

/// A partition in each of the two; `None` where it is not known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionDiff {
    pub partition: TopicPartition,
    pub a: Option<PartitionState>,
    pub b: Option<PartitionState>,
    /// Offsets from the first position to the second; of a partition that only one knows, from its start.
    pub offsets: i64,
    /// Rows that the second has more, or fewer.
    pub rows: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FileInfo {
    /// Relative to the sink's URL; of a file with rejects, its name.
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
    pub rejects: bool,
}

/// From `a` to `b`.
pub fn diff(a: &Savepoint, b: &Savepoint) -> Diff {
    let (columns_a, settings_a) = job(a);
    let (columns_b, settings_b) = job(b);
    let (files_a, files_b) = (files(a), files(b));
    Diff {
        identity: changes(&identity(a), &identity(b)),
        partitions: partitions(a, b),
        files_added: files_b.difference(&files_a).cloned().collect(),
        files_removed: files_a.difference(&files_b).cloned().collect(),
        schema: changes(&columns_a, &columns_b),
        settings: changes(&settings_a, &settings_b),
    }
}

fn identity(savepoint: &Savepoint) -> BTreeMap<String, Value> {
    let Manifest { id, job, created, checkpoint, incarnation, cluster_id, sink, tool, .. } =
        &savepoint.manifest;
    let state = &savepoint.checkpoint;
    let pairs: [(&str, Value); 11] = [
        ("id", id.as_str().into()),
        ("job", job.as_str().into()),
        ("created", created.to_string().into()),
        ("checkpoint", (*checkpoint).into()),
        ("incarnation", (*incarnation).into()),
        ("cluster_id", cluster_id.clone().into()),
        ("sink", sink.as_str().into()),
        ("tool", tool.as_str().into()),
        ("commits", savepoint.commits.len().into()),
        ("rejects", state.rejects.into()),
        ("gaps", state.gaps.len().into()),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn partitions(a: &Savepoint, b: &Savepoint) -> Vec<PartitionDiff> {
    let (a, b) = (&a.checkpoint.partitions, &b.checkpoint.partitions);
    let all: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let rows = |state: Option<PartitionState>| {
        state.map_or(0, |state| i64::try_from(state.rows).unwrap_or(i64::MAX))
    };
    let one = |partition: &TopicPartition| {
        let (a, b) = (a.get(partition).copied(), b.get(partition).copied());
        let offsets = match (a, b) {
            (Some(a), Some(b)) => b.next - a.next,
            (None, Some(b)) => b.next - b.start,
            (Some(a), None) => a.start - a.next,
            (None, None) => 0,
        };
        PartitionDiff { partition: partition.clone(), a, b, offsets, rows: rows(b) - rows(a) }
    };
    all.into_iter().map(one).filter(|found| found.a != found.b).collect()
}

fn files(savepoint: &Savepoint) -> BTreeSet<FileInfo> {
    let info = |file: &tidegate_sinks::StagedFile| FileInfo {
        path: file.path.clone(),
        bytes: file.bytes,
        rows: file.rows,
        rejects: file.kind == FileKind::Rejects,
    };
    savepoint.files().map(info).collect()
}

type Values = BTreeMap<String, Value>;

/// The columns, those of the job file or those pinned, and all other settings.
fn job(savepoint: &Savepoint) -> (Values, Values) {
    let mut settings = Values::new();
    flatten("", &savepoint.job, &mut settings);
    settings.retain(|key, _| key != "format.columns");
    let written = savepoint.job.pointer("/format/columns").filter(|columns| columns.is_array());
    let pinned = &savepoint.checkpoint.pinned;
    let mut columns = Values::new();
    add_columns("", written.or_else(|| pinned.get("columns")), &mut columns);
    if written.is_none() {
        for (table, pinned) in pinned.get("tables").and_then(Value::as_object).into_iter().flatten() {
            add_columns(&format!("{table}: "), pinned.get("columns"), &mut columns);
        }
    }
    (columns, settings)
}

/// Each column without its name, which is its key, after `prefix`.
fn add_columns(prefix: &str, list: Option<&Value>, into: &mut Values) {
    for column in list.and_then(Value::as_array).into_iter().flatten() {
        let mut shown = column.clone();
        let name = shown.as_object_mut().and_then(|shown| shown.remove("name"));
        if let Some(name) = name.as_ref().and_then(Value::as_str) {
            into.insert(format!("{prefix}{name}"), shown);
        }
    }
}

/// Keys from the root with dots between them; lists stay whole.
fn flatten(path: &str, value: &Value, into: &mut Values) {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            for (key, value) in map {
                let separator = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{separator}{key}"), value, into);
            }
        }
        _ => {
            into.insert(path.to_owned(), value.clone());
        }
    }
}

fn changes(a: &Values, b: &Values) -> Vec<Change> {
    let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let value = |values: &Values, key: &str| values.get(key).cloned().unwrap_or(Value::Null);
    keys.into_iter()
        .map(|key| Change { key: key.clone(), a: value(a, key), b: value(b, key) })
        .filter(|change| change.a != change.b)
        .collect()
}
