//! `format.metadata`: Kafka's own data as columns.

use crate::config::file::error::Wrong;
use crate::config::file::section::Value;
use crate::config::file::values;

/// Kafka metadata as columns `_topic`, `_partition`, `_offset`, `_timestamp`, `_key`, `_headers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Headers,
}

const METADATA: [(&str, Metadata); 6] = [
    ("topic", Metadata::Topic),
    ("partition", Metadata::Partition),
    ("offset", Metadata::Offset),
    ("timestamp", Metadata::Timestamp),
    ("key", Metadata::Key),
    ("headers", Metadata::Headers),
];

impl Metadata {
    /// Name of its column.
    pub fn column(self) -> &'static str {
        match self {
            Self::Topic => "_topic",
            Self::Partition => "_partition",
            Self::Offset => "_offset",
            Self::Timestamp => "_timestamp",
            Self::Key => "_key",
            Self::Headers => "_headers",
        }
    }

    /// Type of its column, in the job file's grammar.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Topic => "string",
            Self::Partition => "int32",
            Self::Offset => "int64",
            Self::Timestamp => "timestamp(ms, UTC)",
            Self::Key => "binary",
            Self::Headers => "list<struct<name: string, value: binary>>",
        }
    }
}

/// The items of `format.metadata`.
pub(super) fn metadata(value: &Value<'_>) -> Vec<Metadata> {
    let mut metadata = Vec::new();
    for item in value.items("a list such as [topic, partition, offset]").unwrap_or_default() {
        match item.parse(values::word(&METADATA)) {
            Some(column) if metadata.contains(&column) => {
                item.wrong(Wrong::new("stands there a second time", "name each column once"));
            }
            Some(column) => metadata.push(column),
            None => {}
        }
    }
    metadata
}
