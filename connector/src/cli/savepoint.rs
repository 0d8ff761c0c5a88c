//! `tidegate savepoint`: makes savepoints, and looks after them with or without the job at hand.

mod create;
mod text;

use anyhow::Result;
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;
use tidegate_sinks::store::Retries;
use tidegate_sinks::{FileKind, PartitionState, TopicPartition};

use super::job::{self, Job};
use super::output::OutputArg;
use super::{JobArg, LogArgs};
use crate::config::{Config, LogFormat};
use crate::job::savepoint::{self, Compared, Savepoint, StoreOptions};
use crate::logs;

#[derive(Debug, Subcommand)]
pub(super) enum SavepointCommand {
    /// Make one of the newest state
    Create(create::CreateArgs),
    /// Those of a job, or of a folder
    List(ListArgs),
    /// What stands in one
    Show(ShowArgs),
    /// Check one: every hash, and that its parts fit together; with --against-sink,
    /// also that its files are there
    Verify(VerifyArgs),
    /// What lies between two: offsets, files, schema, settings
    Diff(DiffArgs),
    /// Remove one
    Dispose(DisposeArgs),
}

/// How the store that holds a savepoint is reached; its credentials come from the environment otherwise.
#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// Job file whose sink.store options are used, when the savepoint lies in the same kind of store
    #[arg(long = "job", value_name = "JOB", value_hint = clap::ValueHint::FilePath)]
    job: Option<std::path::PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    job: JobArg,
    /// Folder to look in, instead of savepoints.to
    #[arg(long, value_name = "URI")]
    to: Option<String>,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// The savepoint's folder
    uri: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// The savepoint's folder
    uri: String,
    /// Job file of the sink in which every file is looked for by name and size
    #[arg(long, value_name = "JOB", value_hint = clap::ValueHint::FilePath)]
    against_sink: Option<std::path::PathBuf>,
    /// Read every file, and compare its hash
    #[arg(long, requires = "against_sink")]
    deep: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
pub(super) struct DiffArgs {
    /// The first savepoint's folder
    a: String,
    /// The second savepoint's folder
    b: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, clap::Args)]
pub(super) struct DisposeArgs {
    /// The savepoint's folder
    uri: String,
    #[command(flatten)]
    store: StoreArgs,
}

/// How a savepoint is reached.
struct Access {
    job: Option<Config>,
    retries: Retries,
}

impl Access {
    /// For commands that look: they log warnings only, unless asked for more.
    fn open(job: Option<&std::path::Path>, log: &LogArgs) -> Result<Self> {
        let job = job.map(Config::load).transpose()?;
        let retries = job.as_ref().map_or_else(Retries::default, |job| job.timeouts.retries());
        match &job {
            Some(job) => job::init_logs(log, "warn", job, None)?,
            None => {
                let level = log.log_level.as_deref().unwrap_or("warn");
                logs::init(level, log.log_format.map_or(LogFormat::Auto, Into::into), None)?;
            }
        }
        Ok(Self { job, retries })
    }

    fn options(&self, uri: &str) -> StoreOptions {
        self.job.as_ref().map(|job| savepoint::store_options(job, uri)).unwrap_or_default()
    }

    async fn read(&self, uri: &str) -> Result<Savepoint> {
        Ok(savepoint::read(uri, &self.options(uri), self.retries).await?)
    }
}

/// A savepoint in a few figures.
#[derive(Debug, Serialize)]
struct Summary {
    id: String,
    uri: String,
    job: String,
    created: Timestamp,
    checkpoint: u64,
    incarnation: u32,
    cluster_id: Option<String>,
    sink: String,
    format: u32,
    tool: String,
    commits: usize,
    /// Data files, and what they hold.
    files: usize,
    bytes: u64,
    rows: u64,
    rejects: u64,
    /// Commits whose files were not all visible when it was made.
    unpublished: usize,
}

impl Summary {
    fn new(uri: &str, savepoint: &Savepoint) -> Self {
        let Savepoint { manifest, checkpoint, commits, .. } = savepoint;
        let data = || savepoint.files().filter(|file| file.kind == FileKind::Data);
        Self {
            id: manifest.id.clone(),
            uri: uri.trim_end_matches('/').to_owned(),
            job: manifest.job.clone(),
            created: manifest.created,
            checkpoint: manifest.checkpoint,
            incarnation: manifest.incarnation,
            cluster_id: manifest.cluster_id.clone(),
            sink: manifest.sink.clone(),
            format: manifest.format,
            tool: manifest.tool.clone(),
            commits: commits.len(),
            files: data().count(),
            bytes: data().map(|file| file.bytes).sum(),
            rows: checkpoint.partitions.values().map(|state| state.rows).sum(),
            rejects: checkpoint.rejects,
            unpublished: checkpoint.unpublished.len(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    summary: Summary,
    partitions: Vec<PartitionRow>,
    pinned: &'a serde_json::Value,
    job_file: &'a serde_json::Value,
}

#[derive(Debug, Serialize)]
struct PartitionRow {
    partition: TopicPartition,
    #[serde(flatten)]
    state: PartitionState,
}

#[derive(Debug, Serialize)]
struct Verified {
    #[serde(flatten)]
    summary: Summary,
    /// That it reads at all is the proof; anything else is an error.
    sound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_sink: Option<Compared>,
}

pub(super) async fn execute(command: SavepointCommand, log: &LogArgs) -> Result<u8> {
    match command {
        SavepointCommand::Create(args) => create::execute(args, log).await,
        SavepointCommand::List(args) => list(args, log).await,
        SavepointCommand::Show(args) => show(args, log).await,
        SavepointCommand::Verify(args) => verify(args, log).await,
        SavepointCommand::Diff(args) => diff(args, log).await,
        SavepointCommand::Dispose(args) => dispose(args, log).await,
    }
}

async fn list(args: ListArgs, log: &LogArgs) -> Result<u8> {
    let Job { config, .. } = Job::open_to_look(&args.job, log)?;
    let to = args.to.unwrap_or_else(|| savepoint::default_to(&config));
    let options = savepoint::store_options(&config, &to);
    let listed = savepoint::list(&to, &options, config.timeouts.retries()).await?;
    args.output.print(&listed, || text::list(&listed))?;
    Ok(0)
}

async fn show(args: ShowArgs, log: &LogArgs) -> Result<u8> {
    let savepoint = Access::open(args.store.job.as_deref(), log)?.read(&args.uri).await?;
    let row = |(partition, state): (&TopicPartition, &PartitionState)| PartitionRow {
        partition: partition.clone(),
        state: *state,
    };
    let shown = Shown {
        summary: Summary::new(&args.uri, &savepoint),
        partitions: savepoint.checkpoint.partitions.iter().map(row).collect(),
        pinned: &savepoint.checkpoint.pinned,
        job_file: &savepoint.job,
    };
    args.output.print(&shown, || text::show(&shown))?;
    Ok(0)
}

async fn verify(args: VerifyArgs, log: &LogArgs) -> Result<u8> {
    let job = args.store.job.as_deref().or(args.against_sink.as_deref());
    let savepoint = Access::open(job, log)?.read(&args.uri).await?;
    let against_sink = match &args.against_sink {
        None => None,
        Some(path) => {
            let config = Config::load(path)?;
            let sink = job::open_sink(&config, false)?;
            Some(savepoint::compare(&savepoint, &sink, &config.job, args.deep).await?)
        }
    };
    let exact = against_sink.as_ref().is_none_or(|compared| compared.problems.is_empty());
    let verified = Verified { summary: Summary::new(&args.uri, &savepoint), sound: true, against_sink };
    args.output.print(&verified, || text::verify(&verified))?;
    Ok(if exact { 0 } else { 1 })
}

async fn diff(args: DiffArgs, log: &LogArgs) -> Result<u8> {
    let access = Access::open(args.store.job.as_deref(), log)?;
    let diff = savepoint::diff(&access.read(&args.a).await?, &access.read(&args.b).await?);
    args.output.print(&diff, || text::diff(&diff))?;
    Ok(0)
}

async fn dispose(args: DisposeArgs, log: &LogArgs) -> Result<u8> {
    let access = Access::open(args.store.job.as_deref(), log)?;
    savepoint::dispose(&args.uri, &access.options(&args.uri), access.retries).await?;
    Ok(0)
}
