//! `format`: what a record's bytes are, and which columns they become.

mod columns;
mod metadata;

use std::sync::LazyLock;

use serde_json::json;

use super::file::error::Wrong;
use super::file::section::{Section, key};
use super::file::values::{self, Parsed};
pub use crate::columns::{Column, Metadata, Reading};
pub use crate::formats::Unknown;
use crate::formats::{self, Columns, FORMATS, FormatKind};
pub(super) use columns::keys as path_keys;

#[derive(Clone, Debug)]
pub struct Format {
    pub kind: &'static FormatKind,
    pub tombstones: Tombstones,
    /// `None`: inferred from a sample, and pinned.
    pub columns: Option<Vec<Column>>,
    pub metadata: Vec<Metadata>,
    pub unknown: Unknown,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            kind: FORMATS[0],
            tombstones: Tombstones::Skip,
            columns: None,
            metadata: Vec::new(),
            unknown: Unknown::Warn,
        }
    }
}

impl Format {
    /// The columns that are known before any record is: the job file's, or the format's
    /// own. `None`: they are inferred.
    pub fn known_columns(&self) -> Option<Vec<Column>> {
        match (&self.columns, self.kind.columns) {
            (Some(columns), _) => Some(columns.clone()),
            (None, Columns::Fixed(fixed)) => Some(fixed()),
            // Without them there is no job.
            (None, Columns::Listed) => Some(Vec::new()),
            (None, Columns::Inferred(_)) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tombstones {
    Skip,
    Nulls,
}

/// What the manual says of the formats.
static KINDS: LazyLock<String> = LazyLock::new(|| {
    let said: Vec<_> = FORMATS.iter().map(|kind| format!("`{}`: {}", kind.word, kind.about)).collect();
    said.join("; ") + "."
});
const TOMBSTONES: [(&str, Tombstones); 2] = [("skip", Tombstones::Skip), ("nulls", Tombstones::Nulls)];
const UNKNOWN: [(&str, Unknown); 3] =
    [("ignore", Unknown::Ignore), ("warn", Unknown::Warn), ("reject", Unknown::Reject)];

pub(super) fn read(format: &mut Section<'_>) -> Format {
    let kind = format.read(
        key("type", &KINDS),
        |value| value.and_then(|value| value.parse(kind)).unwrap_or(FORMATS[0]),
        |kind| Some(json!(kind.word)),
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
        .default_text("inferred for each table from a sample of its topics, and kept"),
        |value| value.map(|value| columns::columns(value, &named)),
        |columns| Some(json!(columns)),
    );
    if columns.is_none() && matches!(kind.columns, Columns::Listed) {
        format.missing("columns", "list the columns: their names and types are not in the records");
    }
    if let Some(columns) = &columns
        && let Err(refused) = (kind.check)(columns)
    {
        format.wrong("columns", Wrong::new(refused.problem, refused.remedy));
    }
    if !kind.has_members && format.has("unknown") {
        let problem = format!("is for records with members, and {} has none", kind.word);
        format.wrong("unknown", Wrong::new(problem, "leave it out"));
    }
    let unknown = format.read(
        key(
            "unknown",
            "Members that no column asks for, and records in which no column finds anything: `ignore` them, \
             `warn` (counted, and some keys named in the log and on the status page), or `reject` such records.",
        ),
        |value| value.and_then(|value| value.parse(unknown)).unwrap_or(Unknown::Warn),
        |unknown| match kind.has_members {
            true => values::shown_word(&UNKNOWN, *unknown),
            false => Some(json!(null)),
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
    format.not_built(&["envelope", "schema_id", "key"]);
    Format { kind, tombstones, columns, metadata, unknown }
}

fn unknown(value: &str) -> Parsed<Unknown> {
    if value == "add" {
        return Err(Wrong::not_built("for members that no column asks for", "use ignore, warn or reject"));
    }
    values::word(&UNKNOWN)(value)
}

fn kind(value: &str) -> Parsed<&'static FormatKind> {
    if matches!(value, "avro" | "protobuf" | "json_schema" | "debezium-json" | "canal-json") {
        return Err(Wrong::not_built("as a format", format!("use {}", formats::words())));
    }
    values::word(&FORMATS.map(|kind| (kind.word, kind)))(value)
}
