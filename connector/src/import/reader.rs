//! The Kafka reader: topics, where to begin, the client's properties, the columns of a record.

use serde_json::Value;

use super::columns::{self, Field};
use super::document::{self, Document, Node};
use super::section::Section;
use super::{Left, Report};
use crate::config::is_secret;

/// What the writer's part needs to know.
pub(super) struct Source {
    pub(super) topics: Vec<String>,
    /// `None`: not listed.
    pub(super) columns: Option<Vec<Field>>,
    /// A record is taken as one text.
    pub(super) is_text: bool,
    /// Of the columns, for reports.
    pub(super) path: String,
}

/// `kafkareader`, `kafka11reader`, `kafkasource` and their like.
pub(super) fn is_kafka(content: &Value) -> bool {
    let name = content.pointer("/reader/name").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let middle = name
        .strip_prefix("kafka")
        .and_then(|rest| rest.strip_suffix("reader").or_else(|| rest.strip_suffix("source")));
    middle.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit()))
}

pub(super) fn read(reader: &mut Section<'_>, document: &mut Document, report: &mut Report) -> Source {
    reader.skip("name");
    reader.leave("table", "the name of a table in SQL means nothing here", report);
    let mut parameter = reader.section("parameter");
    let topics = topics(&mut parameter, document, report);
    let group = parameter.text("groupId", report).map(|group| (group, parameter.path("groupId")));
    let mut reset = None;
    properties(&mut parameter, &mut reset, group, document, report);
    start(&mut parameter, &topics, reset.as_deref(), document, report);
    let is_text = codec(&mut parameter, document, report);
    if let Some(encoding) = parameter.text("encoding", report)
        && !matches!(encoding.to_lowercase().as_str(), "utf-8" | "utf8")
    {
        report.left(parameter.path("encoding"), format!("{encoding}: records are read as UTF-8"));
    }
    if parameter.text("blankIgnore", report).is_some_and(|ignore| ignore == "true") {
        report.left(
            parameter.path("blankIgnore"),
            "records without a value are skipped (format.tombstones); an empty text is no JSON, and is rejected",
        );
    }
    let path = parameter.path("column");
    let columns = parameter.take("column").and_then(|value| columns::list(value, &path, report));
    parameter.finish(report);
    Source { topics, columns, is_text, path }
}

fn topics(parameter: &mut Section<'_>, document: &mut Document, report: &mut Report) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    let mut origin = parameter.path("topic");
    // One name in the one, several in the other; both have been seen.
    for key in ["topic", "topics"] {
        let (value, path) = (parameter.take(key), parameter.path(key));
        for name in value.map(|value| names(value, &path, report)).unwrap_or_default() {
            if topics.is_empty() {
                origin.clone_from(&path);
            }
            if !topics.contains(&name) {
                topics.push(name);
            }
        }
    }
    if !topics.is_empty() {
        let list = topics.iter().map(|name| document::text(name)).collect();
        document.set("kafka.topics", Node::List(list), &origin);
    }
    topics
}

/// A list of names, or a text of them. What is no name is told.
fn names(value: &Value, path: &str, report: &mut Report) -> Vec<String> {
    let mut parts = Vec::new();
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    for (n, item) in items.iter().enumerate() {
        match item {
            Value::String(names) => parts.extend(names.split([',', ';']).map(|name| name.trim().to_owned())),
            _ => report.left(
                if value.is_array() { format!("{path}[{n}]") } else { path.to_owned() },
                "the name of a topic was expected",
            ),
        }
    }
    parts.retain(|name| !name.is_empty());
    parts
}

/// Properties of the Java client that librdkafka calls otherwise.
const RENAMED: [(&str, &str); 4] = [
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("request.timeout.ms", "socket.timeout.ms"),
];

/// Every property that this program's own client knows; the others are taken out
/// again when the whole is checked.
fn properties(
    parameter: &mut Section<'_>,
    reset: &mut Option<String>,
    group: Option<(String, String)>,
    document: &mut Document,
    report: &mut Report,
) {
    let (settings, mut group) = (parameter.path("consumerSettings"), group);
    for (key, value) in parameter.entries("consumerSettings") {
        let path = format!("{settings}.{key}");
        let value = match value {
            Value::String(value) => value.trim().to_owned(),
            other => other.to_string(),
        };
        match key.as_str() {
            "bootstrap.servers" => document.set("kafka.bootstrap_servers", document::text(&value), &path),
            "group.id" => group = group.or(Some((value, path))),
            "auto.offset.reset" => *reset = Some(value.to_lowercase()),
            "key.deserializer" | "value.deserializer" | "zookeeper.connect" => {
                report.left(&path, "is of the Java client; nothing takes its place")
            }
            "isolation.level" if value == "read_committed" => {}
            "sasl.jaas.config" => report.left(
                path,
                "is of the Java client: set sasl.username, and sasl.password as ${VAR} or ${file:…}",
            ),
            key if is_secret(key) => report
                .left(&path, "may be a secret, so it is not written here: set it as ${VAR} or ${file:…}"),
            key => {
                let key = RENAMED.iter().find(|(java, _)| *java == key).map_or(key, |(_, ours)| *ours);
                document.set_entry("kafka.properties", key, document::text(&value), &path);
            }
        }
    }
    if let Some((group, path)) = group {
        document.set("kafka.group_id", document::text(&group), &path);
        report.left(
            path,
            "is kept; if the group has committed offsets, the first start is refused (exit 3), as it would write \
             everything again: give --new-incarnation to do just that, or take another group",
        );
    }
}

/// Positions live with the data here, so the offsets of a group are no place to begin at.
fn start(
    parameter: &mut Section<'_>,
    topics: &[String],
    reset: Option<&str>,
    document: &mut Document,
    report: &mut Report,
) {
    let mode = parameter.text("mode", report).map(|mode| mode.to_lowercase().replace('_', "-"));
    let path = parameter.path("mode");
    // Where another mode decides, both are of no account there; -1 stands for none.
    let mut of_mode = |key, wanted: &str, none: &str| {
        let value = parameter.text(key, report).filter(|text| text != none);
        if value.is_some() && mode.as_deref() != Some(wanted) {
            let reason = format!("is of mode {wanted}, and the mode is another: it does not apply");
            report.left(parameter.path(key), reason);
        }
        value
    };
    let (timestamp, offset) =
        (of_mode("timestamp", "timestamp", "-1"), of_mode("offset", "specific-offsets", ""));
    let timestamp = timestamp.and_then(|text| text.parse::<u64>().ok());
    let word = match mode.as_deref() {
        Some("earliest-offset" | "earliest") => "earliest",
        Some("latest-offset" | "latest") => "latest",
        Some("timestamp") => match timestamp {
            Some(at) => {
                let at = Node::Map(vec![("timestamp".to_owned(), document::plain(at))]);
                return document.set("kafka.start", at, &parameter.path("timestamp"));
            }
            None => {
                report.left(&path, "names no timestamp that reads: kafka.start is earliest now");
                "earliest"
            }
        },
        Some("specific-offsets") => {
            let offsets = offset.as_deref().and_then(offsets);
            if let (Some(offsets), [topic]) = (offsets, topics) {
                let of_topic = Node::Map(vec![(topic.clone(), Node::Map(offsets))]);
                let start = Node::Map(vec![("offsets".to_owned(), of_topic)]);
                return document.set("kafka.start", start, &parameter.path("offset"));
            }
            report.left(&path, "offsets that do not read, or several topics: kafka.start is earliest now");
            "earliest"
        }
        Some("group-offsets") | None => {
            let word = if reset == Some("latest") { "latest" } else { "earliest" };
            report.left(
                &path,
                format!(
                    "the group's offsets are no place to begin at: kafka.start is {word} now; to go on where the group stands, \
                     write kafka.start: {{offsets: {{topic: {{partition: offset}}}}}} from kafka-consumer-groups.sh"
                ),
            );
            word
        }
        Some(other) => {
            report.left(&path, format!("{other:?} is not known: kafka.start is earliest now"));
            "earliest"
        }
    };
    document.set("kafka.start", document::plain(word), &path);
}

/// `partition:0,offset:42;partition:1,offset:300`
fn offsets(text: &str) -> Option<Vec<(String, Node)>> {
    let pair = |pair: &str| {
        let (partition, offset) = pair.split_once(',')?;
        let partition: u32 = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
        let offset: u64 = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
        Some((partition.to_string(), document::plain(offset)))
    };
    text.to_lowercase().split(';').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

/// Whether a record is one text.
fn codec(parameter: &mut Section<'_>, document: &mut Document, report: &mut Report) -> bool {
    let path = parameter.path("codec");
    let codec = parameter.text("codec", report).map(|codec| codec.to_lowercase());
    let is_text = match codec.as_deref() {
        Some("json") => false,
        Some("text" | "plain") | None => true,
        Some(other) => {
            report
                .0
                .push(Left { path: path.clone(), reason: format!("{other} is not built; it is json now") });
            false
        }
    };
    document.set("format.type", document::plain(if is_text { "raw" } else { "json" }), &path);
    is_text
}
