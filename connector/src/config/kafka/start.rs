//! `kafka.start`: where reading begins.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::config::file::error::Wrong;
use crate::config::file::section::{Section, key};
use crate::config::file::value::Value;
use crate::config::file::values::{self, Parsed};
use crate::kafka::Start;

pub(super) fn read(kafka: &mut Section<'_>) -> Start {
    kafka.read(
        key(
            "start",
            "Where to begin, only where the job has no position yet: `earliest`, `latest`, `{timestamp: \
             2026-01-31T00:00:00Z}`, or `{offsets: {orders: {0: 123}}}`. Partitions that appear later begin at \
             their start. See [Where reading begins](kafka.md#where-reading-begins).",
        ),
        |value| value.and_then(start).unwrap_or(Start::Earliest),
        |start| Some(shown(start)),
    )
}

fn shown(start: &Start) -> Json {
    match start {
        Start::Earliest => json!("earliest"),
        Start::Latest => json!("latest"),
        Start::Timestamp(at) => json!({"timestamp": at}),
        Start::Offsets(offsets) => json!({"offsets": offsets}),
    }
}

/// `earliest`, `latest`, `timestamp: …` or `offsets: {topic: {partition: offset}}`.
fn start(value: &Value<'_>) -> Option<Start> {
    if value.is_scalar() {
        let word = value.parse(values::word(&[("earliest", true), ("latest", false)]))?;
        return Some(if word { Start::Earliest } else { Start::Latest });
    }
    let expected = "earliest, latest, {timestamp: …} or {offsets: {topic: {partition: offset}}}";
    match value.entries(expected)?.as_slice() {
        [("timestamp", at)] => at.parse(milliseconds).map(Start::Timestamp),
        [("offsets", topics)] => Some(Start::Offsets(offsets(topics))),
        _ => {
            value.wrong(Wrong::new("does not say where to start", format!("write {expected}")));
            None
        }
    }
}

/// RFC 3339, or milliseconds since 1970.
fn milliseconds(value: &str) -> Parsed<i64> {
    let value = value.trim();
    let parsed = match value.parse::<i64>() {
        Ok(milliseconds) => Some(milliseconds),
        Err(_) => value.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond()),
    };
    parsed
        .filter(|at| *at >= 0)
        .ok_or_else(|| Wrong::new("is not a time", "write 2026-01-31T00:00:00Z, or milliseconds since 1970"))
}

fn offsets(value: &Value<'_>) -> BTreeMap<String, BTreeMap<i32, i64>> {
    let mut topics = BTreeMap::new();
    for (topic, partitions) in value.entries("a map of topics").unwrap_or_default() {
        if let Err(wrong) = values::topic_name(topic) {
            partitions.wrong(wrong);
        }
        let mut offsets = BTreeMap::new();
        for (partition, offset) in partitions.entries("a map of partition: offset").unwrap_or_default() {
            match partition.parse::<i32>() {
                Ok(number) if number >= 0 => {
                    if let Some(at) = offset.parse(values::integer(0..=i64::MAX as u64))
                        && offsets.insert(number, at as i64).is_some()
                    {
                        offset.wrong(Wrong::new("names a partition again", "write each partition once"));
                    }
                }
                _ => offset.wrong(Wrong::new("its key is not a partition", "write the partition's number")),
            }
        }
        topics.insert(topic.to_owned(), offsets);
    }
    topics
}
