//! The job, checked: what the rest of the program reads. [`raw`] is the file as written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A checked job.
#[derive(Clone, Debug)]
pub struct Config {
    pub job: String,
    pub kafka: Kafka,
    pub format: Format,
    pub sink: Sink,
    pub checkpoint: Checkpoint,
    pub speed: Speed,
    /// Rejected records that the job accepts before it stops.
    pub error_limit: ErrorLimit,
    /// Bytes that librdkafka's queue, decoded batches and open writers may take together.
    pub memory_limit: u64,
    pub timeouts: Timeouts,
    pub http: Http,
    pub log: Log,
}

#[derive(Clone, Debug)]
pub struct Kafka {
    pub bootstrap_servers: String,
    pub topics: Topics,
    pub group_id: String,
    pub start: Start,
    pub on_data_loss: OnDataLoss,
    /// librdkafka properties of the user's, checked against those that Tidegate owns.
    pub properties: BTreeMap<String, String>,
    pub transaction_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    List(Vec<String>),
    /// Anchored at both ends.
    Regex(String),
}

/// Where to begin, only where no position exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    /// Milliseconds since 1970.
    Timestamp(i64),
    /// Offset by topic and partition; others begin at the earliest.
    Offsets(BTreeMap<String, BTreeMap<i32, i64>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDataLoss {
    Fail,
    Record,
}

#[derive(Clone, Debug)]
pub struct Format {
    pub kind: FormatKind,
    pub tombstones: Tombstones,
    /// `None`: inferred from a sample, and pinned.
    pub columns: Option<Vec<Column>>,
    pub metadata: Vec<Metadata>,
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

/// A column as written in the job file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Column {
    pub name: String,
    /// A type of the job file's grammar: `timestamp(ms, UTC)`, `struct<a: int32>`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Where the value stands in the record, when not under `name`: keys separated by dots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Kafka metadata as columns `_topic`, `_partition`, `_offset`, `_timestamp`, `_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
}

#[derive(Clone, Debug)]
pub struct Sink {
    /// Root of the tables, without a trailing slash.
    pub url: String,
    /// Options of the store: endpoint, region, credentials.
    pub store: BTreeMap<String, String>,
    pub table: Table,
    pub mode: Mode,
    pub partition_by: Vec<PartitionField>,
    pub file: File,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    Named(String),
    /// `"{topic}"` with what stands around it.
    ByTopic {
        prefix: String,
        suffix: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Append,
    Overwrite,
}

/// A folder level: `day(ts)`, `bucket(16, user_id)`, `country`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionField {
    pub transform: Transform,
    pub column: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    Identity,
    Year,
    Month,
    Day,
    Hour,
    Bucket(u32),
}

#[derive(Clone, Debug)]
pub struct File {
    /// Bytes at which a file is rolled.
    pub target_size: u64,
    pub compression: Compression,
    pub row_group_rows: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Snappy,
    Lz4,
    Gzip(u32),
    Zstd(i32),
}

#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub interval: Duration,
    /// 0: no trigger.
    pub max_records: u64,
    /// 0: no trigger.
    pub max_bytes: u64,
    pub timeout: Duration,
    pub retained: u64,
    pub retained_for: Duration,
    pub copy_grace: Duration,
    /// URL of the job's state.
    pub state: String,
}

#[derive(Clone, Debug)]
pub struct Speed {
    /// 0: no limit.
    pub bytes_per_second: u64,
    /// Threads that decode and encode; at least 1.
    pub channels: usize,
}

#[derive(Clone, Debug)]
pub struct ErrorLimit {
    /// `None`: any number.
    pub records: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Timeouts {
    pub store_request: Duration,
    pub store_retry: Duration,
    pub revoke: Duration,
    pub stop: Duration,
}

#[derive(Clone, Debug)]
pub struct Http {
    pub listen: std::net::SocketAddr,
    /// Age of the last commit, with lag, at which the replica is no longer ready. Zero: never.
    pub ready_max_commit_age: Duration,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}

/// Where the job file came from, for messages.
#[derive(Clone, Debug)]
pub struct Origin(pub PathBuf);
