//! A job from start to stop. The only place that knows all the stages.
//!
//! The guarantee: every committed record between a partition's start and the sink's
//! position is in exactly one visible or publishable file, or in the rejects, or
//! was a tombstone that the job skips; whatever is killed, whenever.

mod asked;
mod channels;
mod commits;
mod dropped;
mod engine;
pub(crate) mod folders;
mod group;
mod hold;
mod identity;
mod in_force;
mod look;
mod observed;
mod outcome;
mod reading;
mod restore;
mod show;
mod stalls;
pub(crate) mod start;
pub(crate) mod starts;
mod timestamps;
mod tries;
mod troubles;
pub(crate) mod unmatched;
mod unsent;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_sinks::{Checkpoint, CommitId, Error, PartitionState, Sink, TopicPartition};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

pub use asked::{Asking, nobody_asks};
pub use channels::Spawn;
pub(crate) use channels::staging_error;
pub use hold::{OnStop, run_and_hold};
pub use outcome::Summary;
pub use start::Beginning;

use crate::config::client_properties;
use crate::config::{Column, Config, PartitionColumns, PartitionField, Topics, Transform};
use crate::error::RunError;
use crate::flow::event::Command;
use crate::flow::rejects::topic::{self, Outbox};
use crate::flow::source::{Source, SourceSettings};
use crate::flow::stage::{StageSettings, Stager};
use crate::flow::tables::pins;
use crate::flow::tables::{self, Resolver, TableColumns};
use crate::kafka::cluster::{Cluster, Connected, LogBounds};
use crate::memory::Shares;
use crate::names;
use crate::replica::status::{LastCommit, Status};
use channels::Channels;
use engine::{Done, Engine, Parts};
use waiting::Waiting;

/// How long the end waits for the group to be left. A broker that is away must not hold up a stop for long.
const LEAVE_PATIENCE: Duration = Duration::from_secs(5);
/// How long an offset above the end of its log is looked at again before the job
/// stops: a broker that has just become leader may lag behind.
pub const ABOVE_END_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at it.
const ABOVE_END_PAUSE: Duration = Duration::from_secs(1);

/// The wall clock.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// Joins the group, to read what a state leaves to be read.
pub type StartSource = Box<dyn FnOnce(&Checkpoint) -> Result<Source, Error> + Send>;

/// What a job is run with. A simulation gives its own of each.
pub struct Job {
    /// The newest is in force.
    pub config: watch::Receiver<Arc<Config>>,
    pub sink: Arc<dyn Sink>,
    pub cluster: Arc<dyn Cluster>,
    /// Sends rejects to a topic; none where nothing is sent.
    pub outbox: Option<Arc<Outbox>>,
    pub source: StartSource,
    pub status: Arc<Status>,
    /// Becomes true when the job is to stop with a last checkpoint.
    pub stop: watch::Receiver<bool>,
    /// What the job is asked while it runs.
    pub asking: Asking,
    /// Stop at the ends that the partitions have now.
    pub until_end: bool,
    pub beginning: Beginning,
    pub clock: Clock,
    pub new_id: Box<dyn FnMut() -> CommitId + Send>,
    /// How the workers are run.
    pub spawn: Spawn,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("config", &self.config).field("sink", &self.sink).finish_non_exhaustive()
    }
}

/// How a job is run for real.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The newest is in force.
    pub config: watch::Receiver<Arc<Config>>,
    pub until_end: bool,
    pub beginning: Beginning,
    pub stop: watch::Receiver<bool>,
    pub asking: Asking,
    pub status: Arc<Status>,
}

/// Connects to Kafka, and runs the job until it is asked to stop, has reached its end, or cannot go on.
pub async fn run(sink: Arc<dyn Sink>, options: RunOptions) -> Result<Summary, RunError> {
    let config = options.config.borrow().clone();
    let properties = client_properties(&config);
    let (topics, group) = (config.kafka.topics.clone(), config.kafka.group_id.clone());
    let cluster = Connected::connect(properties.clone(), topics.clone(), group).await?;
    topic::check(&config).await?;
    let settings = SourceSettings {
        properties,
        topics,
        bytes_per_second: config.speed.bytes_per_second,
        budget_bytes: Shares::of(config.memory_limit).undecoded_bytes,
    };
    run_job(Job {
        config: options.config,
        // Also without a topic for rejects: an earlier job file may have left some unsent.
        outbox: Some(Arc::new(Outbox::new(&config))),
        sink,
        cluster: Arc::new(cluster),
        source: Box::new(move |state| Source::start(settings.without(&given_up(state))?)),
        status: options.status,
        stop: options.stop,
        asking: options.asking,
        until_end: options.until_end,
        beginning: options.beginning,
        clock: Arc::new(jiff::Timestamp::now),
        new_id: Box::new(CommitId::new),
        spawn: channels::on_threads(),
    })
    .await
}

/// Runs a job whose parts are given.
pub async fn run_job(mut job: Job) -> Result<Summary, RunError> {
    let config = job.config.borrow_and_update().clone();
    let pin = || async { Ok(folders::genesis(&config, tables::first_pins(&config, &*job.cluster).await?)) };
    let now = (job.clock)();
    let waiting = Waiting {
        cluster: &*job.cluster,
        status: &job.status,
        stop: job.stop.clone(),
        asking: job.asking.clone(),
        until_end: job.until_end,
    };
    let Some(state) = start::open(&config, &*job.sink, &waiting, &job.beginning, now, pin).await? else {
        return Ok(Summary { stopped_by_control: !*job.stop.borrow(), ..Summary::default() });
    };
    folders::partition_columns(&config, &state)?;
    let state = pin_tables(&config, &*job.sink, state).await?;
    // After a rollback the rest of the start may wait for minutes, and whoever looks is told for what.
    job.status.set_newest(state.clone(), (job.clock)());
    let state = start::recover(&*job.sink, state).await?;
    let ends = if job.until_end { Some(ends(&config, &*job.cluster, &state).await?) } else { None };
    let settings = stage_settings(&config, &state, config.speed.channels.max(1))?;
    if settings.partition_columns == PartitionColumns::Both {
        let by_itself = |field: &&PartitionField| field.transform == Transform::Identity;
        for field in settings.partition_by.iter().filter(by_itself).filter(|f| names::is_hidden(&f.column)) {
            tracing::warn!(
                level = field.column,
                "the table's folders begin with '_', as the job has begun so: Hive and Athena do not see them"
            );
        }
    }
    if let Topics::Regex(pattern) = &config.kafka.topics {
        let partitions = job.cluster.partitions().await?;
        if partitions.is_empty() {
            tracing::warn!(%pattern, "no topic matches kafka.topics_regex, so nothing is read before one does");
        }
        job.status.leave_out(&config.sink.table, partitions);
    }
    let (sink, cluster, status) = (job.sink.clone(), job.cluster.clone(), job.status.clone());
    let resolver = Arc::new(Resolver::new(&config, sink, cluster, status, state.clone())?);
    resolver.begin(job.until_end).await?;
    let (done, reports) = mpsc::unbounded_channel();
    let channels = start_channels(&mut job, &config, settings, &resolver, &done)?;
    let mut source = (job.source)(&state)?;
    let ended = std::mem::replace(&mut source.ended, oneshot::channel().1);
    job.status.set_started();
    job.status.set_newest(state.clone(), (job.clock)());
    job.status.set_last_commit(LastCommit { checkpoint: state.n, created: state.created });
    let commands = source.commands.clone();
    let engine = Engine::new(Parts {
        config,
        reloads: job.config,
        sink: job.sink,
        cluster: job.cluster,
        outbox: job.outbox,
        source,
        channels,
        done,
        status: job.status,
        stop: job.stop,
        asking: job.asking,
        state,
        ends,
        clock: job.clock,
        new_id: job.new_id,
    });
    let result = engine.run(reports).await;
    // Leaves the group; the thread may have ended already. A process that ended before it has left would keep
    // its partitions from the others for a session timeout.
    let _ = commands.send(Command::Close);
    if tokio::time::timeout(LEAVE_PATIENCE, ended).await.is_err() {
        tracing::warn!("the group does not answer; its other members take over after the session timeout");
    }
    result
}

fn start_channels(
    job: &mut Job,
    config: &Config,
    settings: StageSettings,
    decoders: &Arc<Resolver>,
    done: &mpsc::UnboundedSender<Done>,
) -> Result<Channels, RunError> {
    let count = config.speed.channels.max(1);
    let stager = |_| Stager::with_decoders(settings.clone(), job.sink.clone(), decoders.clone());
    let stagers: Result<Vec<_>, _> = (0..count).map(stager).collect();
    let stagers = stagers.map_err(|error| RunError::from(staging_error(error)))?;
    let done = done.clone();
    // Nobody listens any more when the run has ended.
    let report = move |report| drop(done.send(Done::Worker(report)));
    Channels::start(stagers, &job.sink, report, &mut job.spawn)
        .map_err(|error| RunError::failed(format!("starting a thread that encodes: {error}")))
}

/// Of each of `count` stagers.
///
/// Errors: `Config`, when the job file and what the chain has pinned differ.
pub(crate) fn stage_settings(
    config: &Config,
    state: &Checkpoint,
    count: usize,
) -> Result<StageSettings, RunError> {
    Ok(StageSettings {
        table: config.sink.table.clone(),
        partition_by: config.sink.partition_by.clone(),
        partition_columns: folders::partition_columns(config, state)?,
        path_bytes: tidegate_sinks::store::path_room(&config.sink.url),
        file: config.sink.file.clone(),
        memory: Shares::of(config.memory_limit).staging_bytes / count,
    })
}

/// Where a bounded run ends: the last stable offsets of now, of those partitions that have anything to read.
/// A position above its log is looked at again, as while reading, before the job is refused.
async fn ends(
    config: &Config,
    cluster: &dyn Cluster,
    state: &Checkpoint,
) -> Result<BTreeMap<TopicPartition, i64>, RunError> {
    let give_up = Instant::now() + ABOVE_END_PATIENCE;
    loop {
        let partitions = config.sink.table.named(cluster.partitions().await?).0;
        let bounds = cluster.bounds(&partitions).await?;
        let next = |partition, log: &LogBounds| {
            state.partitions.get(partition).map_or(log.start, |state: &PartitionState| state.next)
        };
        let above = bounds.iter().find(|(partition, log)| next(partition, log) > log.high_watermark);
        match above {
            None => {
                let open =
                    bounds.iter().filter(|(partition, log)| next(partition, log) < log.last_stable_offset);
                return Ok(open
                    .map(|(partition, log)| (partition.clone(), log.last_stable_offset))
                    .collect());
            }
            Some((partition, log)) if Instant::now() >= give_up => {
                return Err(above_end(partition, next(partition, log), *log));
            }
            Some(_) => tokio::time::sleep(ABOVE_END_PAUSE).await,
        }
    }
}

/// The topics that are read no more.
fn given_up(state: &Checkpoint) -> identity::Names {
    state.given_up().map(|(topic, _)| topic.into()).collect()
}

/// Not the log that the position belongs to.
fn above_end(partition: &TopicPartition, next: i64, log: LogBounds) -> RunError {
    RunError::refused(format!(
        "{partition}: offset {next} is next, but the log ends at {}: the topic was recreated, or the brokers have lost records \
         that were read already. Roll back to a checkpoint before that (`tidegate run JOB --from-checkpoint N --rollback`), or \
         give the topic up (`tidegate run JOB --forget-topic {}`): its rows stay, and another job, with a sink folder of its \
         own, reads it from its start",
        log.high_watermark, partition.topic
    ))
}

/// Holds the job's tables against what their files have in common, and pins what is new of it.
async fn pin_tables(
    config: &Config,
    sink: &dyn Sink,
    state: Arc<Checkpoint>,
) -> Result<Arc<Checkpoint>, RunError> {
    let additions = tables(config, &state, pins::topics_of(config, &state))?.accepted()?;
    pin(sink, state, &additions).await
}

/// Pins the tables of topics that were found while the job runs.
async fn pin_late(
    config: &Config,
    sink: &dyn Sink,
    state: Arc<Checkpoint>,
    partitions: &[TopicPartition],
) -> Result<Arc<Checkpoint>, RunError> {
    let mut topics: BTreeSet<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
    topics.retain(|topic| state.pinned["topics"][*topic]["table"].is_null());
    if topics.is_empty() {
        return Ok(state);
    }
    let additions = tables(config, &state, topics)?.accepted()?;
    pin(sink, state, &additions).await
}

async fn pin(
    sink: &dyn Sink,
    state: Arc<Checkpoint>,
    additions: &serde_json::Value,
) -> Result<Arc<Checkpoint>, RunError> {
    if additions.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(state);
    }
    Ok(sink.pin(state, additions).await?)
}

/// How the tables of `topics`, as the job file has them, compare with those of the chain.
pub(crate) fn tables<'t>(
    config: &Config,
    state: &Checkpoint,
    topics: impl IntoIterator<Item = &'t str>,
) -> Result<pins::Compared, RunError> {
    let columns = TableColumns::read(config, Some(state))?;
    let of_topic = |topic: &str| columns.of_topic(topic).map(<[Column]>::to_vec);
    pins::compare(config, &state.pinned, topics, of_topic)
}
