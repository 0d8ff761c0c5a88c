//! `kafka`: which topics, from where, with which client properties.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::error::Wrong;
use crate::config::section::{Parsed, Section, Value};
use crate::config::{Kafka, OnDataLoss, Start, Topics, defaults, properties, values};
use crate::limits::TOPIC_PATTERN_MAX_CHARS;

pub(super) fn check(kafka: &mut Section<'_>, job: &str) -> Kafka {
    let servers = kafka.need("bootstrap_servers", servers, "write host:port of one or more brokers");
    let topics = topics(kafka);
    let group_id = kafka.get("group_id", values::text, format!("tidegate-{job}"));
    let start = kafka.value("start").and_then(|value| start(&value)).unwrap_or(Start::Earliest);
    let properties = kafka.value("properties").map(|value| properties::check(&value)).unwrap_or_default();
    let losses = [("fail", OnDataLoss::Fail), ("record", OnDataLoss::Record)];
    Kafka {
        bootstrap_servers: servers.unwrap_or_default(),
        topics,
        group_id,
        start,
        on_data_loss: kafka.get("on_data_loss", values::word(&losses), OnDataLoss::Fail),
        transaction_timeout: kafka.get(
            "transaction_timeout",
            values::duration(Duration::from_secs(1)),
            defaults::transaction_timeout(&properties),
        ),
        properties,
    }
}

/// `host:port,host:port`, as librdkafka takes it.
fn servers(value: &str) -> Parsed<String> {
    let fits = |server: &str| match server.trim().rsplit_once(':') {
        Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0),
        None => false,
    };
    if value.split(',').all(fits) {
        return Ok(value.split(',').map(str::trim).collect::<Vec<_>>().join(","));
    }
    Err(Wrong::new("is not a list of brokers", "write host:port, several separated by commas"))
}

fn topics(kafka: &mut Section<'_>) -> Topics {
    let remedy = "write topics: [name, …] or topics_regex: pattern";
    match (kafka.value("topics"), kafka.value("topics_regex")) {
        (Some(_), Some(_)) => {
            let problem = "both topics and topics_regex are set";
            kafka.wrong("topics_regex", Wrong::new(problem, "keep one of them"));
            Topics::List(Vec::new())
        }
        (Some(list), None) => Topics::List(topic_list(&list)),
        (None, Some(pattern)) => Topics::Regex(pattern.parse(topic_pattern).unwrap_or_default()),
        (None, None) => {
            kafka.missing("topics", remedy);
            Topics::List(Vec::new())
        }
    }
}

fn topic_list(value: &Value<'_>) -> Vec<String> {
    let Some(items) = value.items("a list of topics: [name, …]") else { return Vec::new() };
    if items.is_empty() {
        value.wrong(Wrong::new("names no topic", "name at least one"));
    }
    let mut seen = BTreeSet::new();
    let mut topics = Vec::new();
    for item in items {
        let Some(topic) = item.parse(values::topic_name) else { continue };
        if seen.insert(topic.clone()) {
            topics.push(topic);
        } else {
            item.wrong(Wrong::new("names a topic for the second time", "name each topic once"));
        }
    }
    topics
}

/// Refuses what this program and librdkafka, which asks the C library, would read
/// differently: a topic that only one of them takes for ours would be lost without a word.
fn topic_pattern(value: &str) -> Parsed<String> {
    if value.is_empty() || value.len() > TOPIC_PATTERN_MAX_CHARS {
        let remedy = format!("write a pattern of 1 to {TOPIC_PATTERN_MAX_CHARS} characters");
        return Err(Wrong::new("is empty or too long", remedy));
    }
    if let Err(error) = regex::Regex::new(value) {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            // The parser's last line is the reason; those before it repeat the pattern.
            other => other
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error:")
                .trim()
                .to_owned(),
        };
        return Err(Wrong::new(format!("is not a pattern ({reason})"), "correct the regular expression"));
    }
    if let Some(problem) = ambiguous(value) {
        return Err(Wrong::new(
            problem,
            "write the pattern with . * + ? | ( ) { } [ ] ^ $ and \\ before a sign",
        ));
    }
    Ok(value.to_owned())
}

fn ambiguous(pattern: &str) -> Option<&'static str> {
    let mut in_class = false;
    let mut previous = ' ';
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_class => {
                return Some("has a backslash inside [ ], where librdkafka takes it literally");
            }
            '\\' => match chars.next() {
                Some(escaped) if escaped.is_alphanumeric() || matches!(escaped, '`' | '\'' | '<' | '>') => {
                    return Some("has a class such as \\d, which librdkafka does not know");
                }
                _ => {}
            },
            '[' if in_class && chars.peek() != Some(&':') => {
                return Some("has a set inside a set, which librdkafka does not know");
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '&' | '~' | '-' if in_class && previous == c => {
                return Some("has &&, ~~ or -- inside [ ], which librdkafka does not know");
            }
            '?' if !in_class && matches!(previous, '(' | '*' | '+' | '?' | '}') => {
                return Some("has (?…) or a lazy repetition, which librdkafka does not know");
            }
            _ => {}
        }
        previous = c;
    }
    None
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
