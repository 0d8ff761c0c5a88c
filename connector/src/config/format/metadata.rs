//! `format.metadata`: Kafka's own data as columns.

use crate::columns::Metadata;
use crate::config::file::error::Wrong;
use crate::config::file::value::Value;
use crate::config::file::values;

const METADATA: [(&str, Metadata); 6] = [
    ("topic", Metadata::Topic),
    ("partition", Metadata::Partition),
    ("offset", Metadata::Offset),
    ("timestamp", Metadata::Timestamp),
    ("key", Metadata::Key),
    ("headers", Metadata::Headers),
];

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
