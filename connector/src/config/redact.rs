//! The job as it is in effect, for people to see: every key with its value, secrets left out. What came by
//! substitution is shown as the file has it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::properties::is_secret;
use super::{
    Checkpoint, Compression, Config, ErrorLimit, FormatKind, Kafka, LogFormat, Mode, OnDataLoss, Rejects,
    Sink, Start, Table, Tombstones, Topics, Unknown,
};

/// Options of a store that hold no secret; whatever else a store takes is not shown.
const PLAIN_STORE_OPTIONS: [&str; 13] = [
    "endpoint",
    "region",
    "path_style",
    "allow_http",
    "ca_file",
    "profile",
    "account",
    "account_name",
    "project",
    "proxy",
    "role_arn",
    "web_identity_token_file",
    "virtual_hosted_style",
];
const HIDDEN: &str = "***";

impl Config {
    /// The job file in effect, without secrets. Without substitutions and secrets it parses to the same job.
    pub fn redacted(&self) -> Value {
        let mut job = json!({
            "job": self.job,
            "kafka": kafka(&self.kafka),
            "format": {
                "type": match self.format.kind { FormatKind::Json => "json", FormatKind::Raw => "raw" },
                "tombstones": match self.format.tombstones { Tombstones::Skip => "skip", Tombstones::Nulls => "nulls" },
                // Raw has no members.
                "unknown": match (self.format.kind, self.format.unknown) {
                    (FormatKind::Raw, _) => None,
                    (FormatKind::Json, Unknown::Ignore) => Some("ignore"),
                    (FormatKind::Json, Unknown::Warn) => Some("warn"),
                    (FormatKind::Json, Unknown::Reject) => Some("reject"),
                },
                "columns": self.format.columns,
                "metadata": self.format.metadata,
            },
            "sink": sink(&self.sink),
            "checkpoint": checkpoint(&self.checkpoint),
            "speed": {
                "bytes_per_second": self.speed.bytes_per_second,
                "channels": self.speed.channels,
            },
            "error_limit": error_limit(&self.error_limit),
            "rejects": match &self.rejects {
                Rejects::Files => json!({ "to": "files" }),
                Rejects::Topic(topic) => json!({ "to": { "topic": topic } }),
            },
            "memory": { "limit": self.memory_limit },
            "timeouts": {
                "store_request": duration(self.timeouts.store_request),
                "store_retry": duration(self.timeouts.store_retry),
                "broker": duration(self.timeouts.broker),
                "revoke": duration(self.timeouts.revoke),
                "stop": duration(self.timeouts.stop),
            },
            "control": { "poll": duration(self.control.poll) },
            "savepoints": {
                "every": duration(self.savepoints.every),
                "to": self.savepoints.to,
                "retained": self.savepoints.retained,
            },
            "http": {
                "listen": self.http.listen.to_string(),
                "token": self.http.token.as_ref().map_or("", |_| HIDDEN),
                "tls": {
                    "cert": path(self.http.tls.as_ref().map(|tls| &tls.cert)),
                    "key": path(self.http.tls.as_ref().map(|tls| &tls.key)),
                },
                "ready_max_commit_age": duration(self.http.ready_max_commit_age),
            },
            "log": {
                "level": self.log.level,
                "format": match self.log.format {
                    LogFormat::Auto => "auto",
                    LogFormat::Text => "text",
                    LogFormat::Json => "json",
                },
            },
        });
        for (pointer, written) in &self.as_written {
            // The one level that only groups is gone in a checked job.
            let pointer = pointer.replace("/sink/store/credentials/", "/sink/store/");
            if let Some(shown) = job.pointer_mut(&pointer) {
                *shown = Value::from(written.as_str());
            }
        }
        job
    }
}

fn error_limit(limit: &ErrorLimit) -> Value {
    let mut shown = Map::new();
    shown.extend(limit.records.map(|records| ("records".to_owned(), json!(records))));
    shown.extend(limit.ratio.map(|ratio| ("ratio".to_owned(), json!(ratio))));
    shown.extend(limit.window.map(|window| ("window".to_owned(), json!(duration(window)))));
    Value::Object(shown)
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config {:#}", self.redacted())
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("topics", &self.topics)
            .field("group_id", &self.group_id)
            .field("start", &self.start)
            .field("on_data_loss", &self.on_data_loss)
            .field("properties", &self.properties.keys())
            .field("transaction_timeout", &self.transaction_timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink")
            .field("url", &self.url)
            .field("store", &self.store.keys())
            .field("table", &self.table)
            .field("mode", &self.mode)
            .field("partition_by", &self.partition_by)
            .field("partition_columns", &self.partition_columns)
            .field("file", &self.file)
            .finish()
    }
}

fn duration(duration: Duration) -> String {
    if duration.is_zero() { "0".to_owned() } else { humantime::format_duration(duration).to_string() }
}

/// Empty where there is none.
fn path(path: Option<&PathBuf>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

fn kafka(kafka: &Kafka) -> Value {
    let mut shown = json!({
        "bootstrap_servers": kafka.bootstrap_servers,
        "group_id": kafka.group_id,
        "start": match &kafka.start {
            Start::Earliest => json!("earliest"),
            Start::Latest => json!("latest"),
            Start::Timestamp(at) => json!({"timestamp": at}),
            Start::Offsets(offsets) => json!({"offsets": offsets}),
        },
        "on_data_loss": match kafka.on_data_loss { OnDataLoss::Fail => "fail", OnDataLoss::Record => "record" },
        "properties": shown_options(&kafka.properties, |key| !is_secret(key)),
        "transaction_timeout": duration(kafka.transaction_timeout),
    });
    match &kafka.topics {
        Topics::List(topics) => shown["topics"] = json!(topics),
        Topics::Regex(pattern) => shown["topics_regex"] = json!(pattern),
    }
    shown
}

fn shown_options(
    options: &std::collections::BTreeMap<String, String>,
    is_plain: impl Fn(&str) -> bool,
) -> Value {
    let shown = |(key, value): (&String, &String)| {
        let value = if is_plain(key) { without_user(value) } else { HIDDEN.to_owned() };
        (key.clone(), Value::from(value))
    };
    Value::Object(options.iter().map(shown).collect::<Map<_, _>>())
}

/// A URL without who uses it: a proxy's may hold a password.
fn without_user(value: &str) -> String {
    match value.split_once("://").map(|(scheme, rest)| (scheme, rest, rest.split('/').next().unwrap_or(rest)))
    {
        Some((scheme, rest, authority)) if authority.contains('@') => {
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{HIDDEN}@{host}{}", &rest[authority.len()..])
        }
        _ => value.to_owned(),
    }
}

fn sink(sink: &Sink) -> Value {
    let partition_by: Vec<String> = sink.partition_by.iter().map(ToString::to_string).collect();
    json!({
        "type": "files",
        "url": sink.url,
        "store": shown_options(&sink.store, |key| PLAIN_STORE_OPTIONS.contains(&key)),
        "table": match &sink.table {
            Table::Named(name) => name.clone(),
            Table::ByTopic { prefix, suffix } => format!("{prefix}{{topic}}{suffix}"),
        },
        "mode": match sink.mode { Mode::Append => "append", Mode::Overwrite => "overwrite" },
        "partition_by": partition_by,
        // Null where the chain says it.
        "partition_columns": sink.partition_columns.map(|columns| columns.word()),
        "file": {
            "target_size": sink.file.target_size,
            "compression": match sink.file.compression {
                Compression::None => "none".to_owned(),
                Compression::Snappy => "snappy".to_owned(),
                Compression::Lz4 => "lz4".to_owned(),
                Compression::Gzip(level) => format!("gzip({level})"),
                Compression::Zstd(level) => format!("zstd({level})"),
            },
            "row_group_rows": sink.file.row_group_rows,
        },
    })
}

fn checkpoint(checkpoint: &Checkpoint) -> Value {
    json!({
        "interval": duration(checkpoint.interval),
        "max_records": checkpoint.max_records,
        "max_bytes": checkpoint.max_bytes,
        "timeout": duration(checkpoint.timeout),
        "retained": checkpoint.retained,
        "retained_for": duration(checkpoint.retained_for),
        "copy_grace": duration(checkpoint.copy_grace),
        "state": checkpoint.state,
    })
}
