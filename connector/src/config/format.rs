//! `format`: what a record's bytes are, and which columns they become.

mod columns;
mod metadata;

use serde_json::{Value as Json, json};

use super::file::error::Wrong;
use super::file::section::{Parsed, Section, key};
use super::file::values;
pub use columns::{Column, Reading};
pub use metadata::Metadata;

#[derive(Clone, Debug)]
pub struct Format {
    pub kind: FormatKind,
    pub tombstones: Tombstones,
    /// `None`: inferred from a sample, and pinned.
    pub columns: Option<Vec<Column>>,
    pub metadata: Vec<Metadata>,
    pub unknown: Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatKind {
    Json,
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstones {
    Skip,
    Nulls,
}

/// What becomes of members that no column asks for, and of records in which no column finds anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Counted only.
    Ignore,
    /// Counted, and told.
    Warn,
    /// The record is a reject.
    Reject,
}

const KINDS: [(&str, FormatKind); 2] = [("json", FormatKind::Json), ("raw", FormatKind::Raw)];
const TOMBSTONES: [(&str, Tombstones); 2] = [("skip", Tombstones::Skip), ("nulls", Tombstones::Nulls)];
const UNKNOWN: [(&str, Unknown); 3] =
    [("ignore", Unknown::Ignore), ("warn", Unknown::Warn), ("reject", Unknown::Reject)];

pub(super) fn read(format: &mut Section<'_>) -> Format {
    let kind = format.read(
        key("type", "`json`, or `raw`: the bytes as one column `value`."),
        |value| value.and_then(|value| value.parse(kind)).unwrap_or(FormatKind::Json),
        |kind| values::shown_word(&KINDS, *kind),
    );
    let tombstones = format.word(
        key("tombstones", "Records without a value: `skip` them, or write a row of `nulls`."),
        &TOMBSTONES,
        Tombstones::Skip,
    );
    // So that no column takes one of its names; it is judged when its turn comes.
    let named = format.peek("metadata", |value| Some(metadata::metadata(value))).unwrap_or_default();
    let columns = format.read(
        key(
            "columns",
            "A list of `{name, type, path, zone, format, lenient}`. `path` says where the value stands, when \
             not under `name`: keys with a dot between two of them, and a key that has a dot or a bracket in it \
             in double quotes (`a.\"b.c\"`); `.` is the whole record; the last three say [how values are \
             read](#how-values-are-read). A record that does not fit is rejected, never rounded or cut.",
        )
        .default("inferred for each table from a sample of its topics, and kept"),
        |value| value.map(|value| columns::columns(value, &named)),
        |columns| Some(json!(columns)),
    );
    if let (FormatKind::Raw, Some(columns)) = (kind, &columns)
        && !matches!(columns.as_slice(), [column] if is_value(column))
    {
        let problem = "format raw has the one column value, of type binary or string";
        format.wrong(
            "columns",
            Wrong::new(problem, "write [{name: value, type: string}], or leave columns out"),
        );
    }
    if kind == FormatKind::Raw && format.has("unknown") {
        let problem = "is for records with members, and raw has none";
        format.wrong("unknown", Wrong::new(problem, "leave it out"));
    }
    let unknown = format.read(
        key(
            "unknown",
            "Members that no column asks for, and records in which no column finds anything: `ignore` them, \
             `warn` (counted, and some keys named in the log and on the status page), or `reject` such records.",
        ),
        |value| value.and_then(|value| value.parse(unknown)).unwrap_or(Unknown::Warn),
        |unknown| match kind {
            FormatKind::Json => values::shown_word(&UNKNOWN, *unknown),
            FormatKind::Raw => Some(Json::Null),
        },
    );
    let metadata = format.read(
        key(
            "metadata",
            "Kafka's own data as columns: any of `topic`, `partition`, `offset`, `timestamp`, `key`, `headers`. \
             They become `_topic`, `_partition`, `_offset`, `_timestamp`, `_key`, `_headers` (a list of `{name, \
             value}`).",
        ),
        |value| value.map(metadata::metadata).unwrap_or_default(),
        |metadata| Some(json!(metadata)),
    );
    Format { kind, tombstones, columns, metadata, unknown }
}

/// Whether it is raw's one column.
fn is_value(column: &Column) -> bool {
    column.name == "value"
        && column.path.is_none()
        && column.reading == Reading::default()
        && matches!(column.type_name.trim(), "binary" | "string")
}

fn unknown(value: &str) -> Parsed<Unknown> {
    if value == "add" {
        return Err(Wrong::not_built("for members that no column asks for", "use ignore, warn or reject"));
    }
    values::word(&UNKNOWN)(value)
}

fn kind(value: &str) -> Parsed<FormatKind> {
    if matches!(value, "avro" | "protobuf" | "debezium-json" | "canal-json") {
        return Err(Wrong::not_built("as a format", "use json or raw"));
    }
    values::word(&KINDS)(value)
}
