//! The job, checked: what the rest of the program reads. A [`Config`] that exists is whole and consistent: every
//! key was known, every value fits its bounds and the others, and nothing that was asked for is silently left out.
//! `raw` is the file as written, `check` makes the one into the other.

mod check;
mod defaults;
mod error;
mod kafka;
mod properties;
mod raw;
mod redact;
mod reference;
mod reload;
mod secret;
mod section;
mod substitute;
#[cfg(test)]
mod tests;
pub mod timeouts;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use error::{ConfigError, ConfigErrors};
pub use kafka::{Kafka, OnDataLoss, Start, Topics};
pub use properties::client_properties;
pub(crate) use properties::is_secret;
pub use reference::reference;
pub use reload::{RELOADABLE, Refused, reload};
pub use secret::Secret;
use tidegate_sinks::store::Retries;

use tidegate_sinks::{RatioLimit, RejectLimit, TopicPartition};

use crate::limits::JOB_FILE_MAX_BYTES;
use crate::names;
use error::{Report, Wrong};
use substitute::Environment;

/// A checked job. It is shown without its secrets.
#[derive(Clone)]
pub struct Config {
    pub job: String,
    pub kafka: Kafka,
    pub format: Format,
    pub sink: Sink,
    pub checkpoint: Checkpoint,
    pub speed: Speed,
    /// Rejected records that the job accepts before it stops.
    pub error_limit: ErrorLimit,
    pub rejects: Rejects,
    /// Bytes that librdkafka's queue, decoded batches and open writers may take together.
    pub memory_limit: u64,
    pub timeouts: Timeouts,
    pub control: Control,
    pub savepoints: Savepoints,
    pub http: Http,
    pub log: Log,
    /// What came by substitution: JSON pointer, and what the file has there. Shown in place of the value.
    as_written: Vec<(String, String)>,
    /// Of every key, to be compared with those of a changed file.
    values: reload::Values,
}

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

/// A column as written in the job file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Column {
    pub name: String,
    /// A type of the job file's grammar: `timestamp(ms, UTC)`, `struct<a: int32>`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Where the value stands in the record, when not under `name`: keys with dots between them. See [`crate::columns::path`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(flatten)]
    pub reading: Reading,
    /// Not of the job file: whether the chain has files whose seconds are bare numbers, and goes on with them.
    #[serde(skip)]
    pub bare_seconds: bool,
}

impl Column {
    /// One that is read as its type says.
    pub fn new(name: impl Into<String>, type_name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            type_name: type_name.into(),
            path: None,
            reading: Reading::default(),
            bare_seconds: false,
        }
    }
}

/// How values are read that other writers write in their own manner, at whatever depth they lie in the column.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reading {
    /// Where the clock stood of times without an offset: `Europe/Berlin`, `+02:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How dates and times are written, in the words of strptime: `%d.%m.%Y %H:%M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Whether numbers and bools are taken out of strings, and into them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
}

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

/// Shown without its store's options.
#[derive(Clone)]
pub struct Sink {
    /// Root of the tables, without a trailing slash.
    pub url: String,
    /// Options of the store: endpoint, region, credentials.
    pub store: BTreeMap<String, String>,
    pub table: Table,
    pub mode: Mode,
    pub partition_by: Vec<PartitionField>,
    /// `None`: as the chain has begun, which is `file` for a new one.
    pub partition_columns: Option<PartitionColumns>,
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

impl Table {
    /// The table of a topic's records, or what is wrong with its name.
    pub fn name(&self, topic: &str) -> Result<String, String> {
        match self {
            Self::Named(name) => Ok(name.clone()),
            Self::ByTopic { prefix, suffix } => {
                let name = format!("{prefix}{topic}{suffix}");
                names::table(&name).map(|()| name).map_err(|bad| bad.problem)
            }
        }
    }

    /// The partitions of those topics that have a table, and the other topics with what is wrong with their tables'
    /// names: those are left out, as a pattern may meet whatever anybody has created.
    pub fn named(
        &self,
        partitions: Vec<TopicPartition>,
    ) -> (Vec<TopicPartition>, BTreeMap<Arc<str>, String>) {
        let mut left_out = BTreeMap::new();
        let mut named = partitions;
        named.retain(|partition| match self.name(&partition.topic) {
            Ok(_) => true,
            Err(problem) => {
                left_out.insert(partition.topic.clone(), problem);
                false
            }
        });
        (named, left_out)
    }
}

/// Where the values of a column stand that a folder level is made of as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionColumns {
    /// In the files; the level has a name of its own, `<column>_part`, so that no reader takes it for the column.
    #[default]
    File,
    /// In the folder's name alone, as Hive has it: the level is called as the column, which is not in the files.
    Folder,
    /// In both, under one name. Many readers of folders fail at that; chains of before have it.
    Both,
}

impl PartitionColumns {
    pub const ALL: [Self; 3] = [Self::File, Self::Folder, Self::Both];

    /// As the job file and the chain have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Both => "both",
        }
    }
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

impl fmt::Display for PartitionField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = &self.column;
        match self.transform {
            Transform::Identity => write!(f, "{column}"),
            Transform::Year => write!(f, "year({column})"),
            Transform::Month => write!(f, "month({column})"),
            Transform::Day => write!(f, "day({column})"),
            Transform::Hour => write!(f, "hour({column})"),
            Transform::Bucket(buckets) => write!(f, "bucket({buckets}, {column})"),
        }
    }
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
    /// URL of the job's state, without a trailing slash; in the same store as the sink.
    pub state: String,
}

#[derive(Clone, Debug)]
pub struct Speed {
    /// 0: no limit.
    pub bytes_per_second: u64,
    /// Threads that decode and encode; at least 1.
    pub channels: usize,
}

/// Whichever is reached first stops the job.
#[derive(Clone, Debug)]
pub struct ErrorLimit {
    /// `None`: any number.
    pub records: Option<u64>,
    /// Rejects as a part of all records committed; `None`: any.
    pub ratio: Option<f64>,
    /// Of the ratio; `None`: since the job began.
    pub window: Option<Duration>,
}

impl ErrorLimit {
    /// As a commit is judged by it.
    pub fn limit(&self) -> RejectLimit {
        let ratio = self.ratio.map(|most| RatioLimit { most, window: self.window });
        RejectLimit { records: self.records, ratio }
    }
}

/// Where records go that do not decode. Files are written in any case, in the same commit as the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejects {
    Files,
    /// To this topic as well, once the commit is in force.
    Topic(String),
}

#[derive(Clone, Debug)]
pub struct Timeouts {
    pub store_request: Duration,
    pub store_retry: Duration,
    pub broker: Duration,
    pub revoke: Duration,
    pub stop: Duration,
}

impl Timeouts {
    /// How long a store's requests may take.
    pub fn retries(&self) -> Retries {
        Retries { request_timeout: self.store_request, retry_timeout: self.store_retry }
    }
}

#[derive(Clone, Debug)]
pub struct Savepoints {
    /// Between two periodic savepoints. Zero: none.
    pub every: Duration,
    /// URL of the folder that savepoints lie in, without a trailing slash.
    pub to: String,
    /// Periodic savepoints that are kept. 0: all.
    pub retained: u64,
}

#[derive(Clone, Debug)]
pub struct Control {
    /// How often a replica looks for what it is asked.
    pub poll: Duration,
}

#[derive(Clone, Debug)]
pub struct Http {
    pub listen: std::net::SocketAddr,
    /// What changes the job must carry it, and beyond loopback whatever asks the API.
    pub token: Option<Secret>,
    /// HTTPS instead of HTTP.
    pub tls: Option<Tls>,
    /// Age of the last commit, with lag, at which the replica is no longer ready. Zero: never.
    pub ready_max_commit_age: Duration,
}

/// PEM files, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and its chain after it.
    pub cert: PathBuf,
    pub key: PathBuf,
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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())
    }
}

/// A folder's URL as a job file may have it, without slashes at its end; or what is wrong with it, and the remedy.
pub fn folder_url(url: &str) -> Result<String, String> {
    check::folder_url(url)
}

impl Config {
    /// Reads and checks a job file. Fails with everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let origin = Origin(path.to_owned());
        Self::parse(&Self::read(&origin)?, &origin)
    }

    /// The text of a job file, cut off after the first byte that is too many.
    pub fn read(origin: &Origin) -> Result<String, ConfigErrors> {
        let mut text = String::new();
        let read = std::fs::File::open(&origin.0)
            .and_then(|file| file.take(JOB_FILE_MAX_BYTES + 1).read_to_string(&mut text));
        match read {
            Err(error) => {
                let problem = format!("cannot read the job file: {error}");
                Err(ConfigErrors::whole(origin, None, problem, "name a job file that this process may read"))
            }
            Ok(_) => Ok(text),
        }
    }

    /// Checks the text of a job file; `${VAR}` is looked up in this process' environment.
    pub fn parse(text: &str, origin: &Origin) -> Result<Self, ConfigErrors> {
        Self::parse_with(text, origin, &|name| std::env::var(name).ok())
    }

    fn parse_with(text: &str, origin: &Origin, environment: Environment<'_>) -> Result<Self, ConfigErrors> {
        if text.len() as u64 > JOB_FILE_MAX_BYTES {
            let problem = format!("the job file is larger than {JOB_FILE_MAX_BYTES} bytes");
            return Err(ConfigErrors::whole(origin, None, problem, "name the right file"));
        }
        let mut root = raw::parse(text, origin)?;
        let report = Report::default();
        substitute::substitute(&mut root, "", environment, &report);
        let config = section::Section::root(&root, &report, |section| check::check(section, &report));
        if let Some(config) = &config {
            // The platform's delay is a warning, which is not for here.
            let findings = timeouts::check(config, &client_properties(config), None, Duration::MAX);
            for finding in findings.into_iter().filter(|f| f.severity == timeouts::Severity::Error) {
                report.wrong(&finding.key, None, Wrong::new(finding.problem, finding.remedy));
            }
        }
        match config {
            Some(config) if report.is_empty() => {
                let (as_written, values) = (substitute::substituted(&root), reload::Values::of(&root));
                Ok(Self { as_written, values, ..config })
            }
            _ => Err(ConfigErrors { origin: origin.to_string(), errors: report.into_errors() }),
        }
    }
}
