//! The job, checked: what the rest of the program reads. A [`Config`] that exists is whole and consistent:
//! every key was known, every value fits its bounds and the others, and nothing that was asked for is
//! silently left out: whatever this version cannot do is refused by name.
//!
//! A module a section of the job file, with its values and, each once, its keys: what a key is called, what
//! the manual says of it, whether it is live, how it is parsed, its default, how it is shown. The manual's
//! page (`reference`), the job as it is shown ([`Config::redacted`]) and what a running job takes over
//! (`reload`) are made of that.

mod checkpoint;
mod control;
mod error_limit;
mod file;
mod format;
mod http;
mod kafka;
mod log;
mod memory;
mod reference;
mod rejects;
mod reload;
mod savepoints;
mod sink;
mod speed;
mod tables;
#[cfg(test)]
mod tests;
pub mod timeouts;

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

pub use checkpoint::Checkpoint;
pub use control::Control;
pub use error_limit::ErrorLimit;
pub use file::error::{ConfigError, ConfigErrors, Origin};
pub use file::secret::Secret;
pub use format::{Column, Format, Metadata, Reading, Tombstones, Unknown};
pub use http::{Http, Tls};
pub(crate) use kafka::is_secret;
pub use kafka::{Kafka, OnDataLoss, Start, Topics, client_properties};
pub use log::{Log, LogFormat};
pub use reference::reference;
pub use rejects::Rejects;
pub use reload::{Refused, reload};
pub use savepoints::Savepoints;
pub use sink::{Compression, File, Layout, Mode, PartitionColumns, PartitionField, Sink, Table, Transform};
pub use speed::Speed;
pub use tables::{Record, TableJob, Unrouted};
pub use timeouts::Timeouts;

use crate::limits::{JOB_FILE_MAX_BYTES, JOB_NAME_MAX_CHARS};
use file::error::{Report, Wrong};
use file::section::{Notes, Section, key};
use file::substitute::{self, Environment};
use file::{raw, values};

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
    /// Every key, and the job as it is shown.
    notes: Notes,
    /// Of every key, to be compared with those of a changed file.
    values: reload::Values,
}

/// A folder's URL as a job file may have it, without slashes at its end; or what is wrong with it, and the
/// remedy. Never repeats the URL.
pub fn folder_url(url: &str) -> Result<String, String> {
    sink::url(url).map_err(|wrong| format!("{}; {}", wrong.problem, wrong.remedy))
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
        let (config, notes) = Section::root(&root, &report, |section| read(section, &report));
        if let Some(config) = &config {
            // The platform's delay is a warning, which is not for here.
            let findings = timeouts::check(config, &client_properties(config), None, Duration::MAX);
            for finding in findings.into_iter().filter(|f| f.severity == timeouts::Severity::Error) {
                report.wrong(&finding.key, None, Wrong::new(finding.problem, finding.remedy));
            }
        }
        match config {
            Some(config) if report.is_empty() => {
                let values = reload::Values::of(&root);
                Ok(Self { notes, values, ..config })
            }
            _ => Err(ConfigErrors { origin: origin.to_string(), errors: report.into_errors() }),
        }
    }

    /// The job file in effect, without secrets. Without substitutions and secrets it parses to the same job.
    /// It is what was read: a field that is changed afterwards is not.
    pub fn redacted(&self) -> serde_json::Value {
        self.notes.shown.clone().into()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config {:#}", self.redacted())
    }
}

/// Reads every key, in the manual's order. The result is whole only if `report` stays empty: what was wrong
/// stands there as its default.
fn read(root: &mut Section<'_>, report: &Report) -> Option<Config> {
    let job = root.need(
        key(
            "job",
            "The job's name. Its state, its consumer group and its metrics carry it. Never change it: another \
             name is another job.",
        ),
        values::folder_name(JOB_NAME_MAX_CHARS),
        "name the job; its state carries the name",
    );
    let name = job.clone().unwrap_or_default();
    let (store_timeouts, memory_limit) = (timeouts::Defaults::of(root), memory::peek(root));
    let has_tables = root.has("tables");
    let kafka = root.section("kafka", |section| kafka::read(section, &name, !has_tables));
    let format = root.section("format", format::read);
    let sink = root.section("sink", |section| sink::read(section, &kafka.topics, &format));
    let checkpoint =
        root.section("checkpoint", |section| checkpoint::read(section, &store_timeouts, &name, &sink.url));
    let speed = root.section("speed", |section| speed::read(section, memory_limit));
    let error_limit = root.section("error_limit", error_limit::read);
    let rejects = root.section("rejects", |section| rejects::read(section, &kafka.topics));
    let memory_limit = root.section("memory", memory::read);
    let timeouts = root.section("timeouts", |section| timeouts::read(section, &store_timeouts, &kafka));
    let savepoints = root.section("savepoints", |section| savepoints::read(section, &checkpoint.state));
    let control = root.section("control", control::read);
    let http = root.section("http", http::read);
    let log = root.section("log", log::read);
    tables::read(root);
    root.not_built(&["registry", "tables", "unrouted", "schema"]);
    report.is_empty().then_some(Config {
        job: job?,
        kafka,
        format,
        sink,
        checkpoint,
        speed,
        error_limit,
        rejects,
        memory_limit,
        timeouts,
        control,
        savepoints,
        http,
        log,
        notes: Notes::default(),
        values: reload::Values::default(),
    })
}
