//! What the engine says of itself while it runs: written by `run`, read by HTTP and the progress bar. It
//! decides nothing; the sink's checkpoint is the truth.

pub mod conditions;
pub mod history;
mod latency;
pub mod overview;
pub mod verdict;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use tidegate_sinks::{Checkpoint, TopicPartition};
use tokio::sync::watch;

use crate::config::{Config, Table};
use crate::formats::Unmatched;
use crate::metrics;
use crate::replica::control::ReplicaState;
use history::{CheckpointRecord, History, Phase, Reading, Sample};
pub use latency::{BOUNDS, LatencyCounts};

/// Shared by the engine and those who look at it.
#[derive(Debug, Default)]
pub struct Status {
    started: AtomicBool,
    stopping: AtomicBool,
    paused: AtomicBool,
    stopped: AtomicBool,
    holding: AtomicBool,
    /// What this process calls itself among the replicas.
    replica: OnceLock<String>,
    /// Number of the newest control object carried out.
    control: watch::Sender<u64>,
    records_read: AtomicU64,
    bytes_read: AtomicU64,
    rows_written: AtomicU64,
    /// This replica's share of the byte limit; 0: none.
    limit_bytes_per_second: AtomicU64,
    /// Plus one; 0: not known.
    memory: AtomicU64,
    newest: RwLock<Option<Arc<Checkpoint>>>,
    retracted_since: RwLock<Option<Timestamp>>,
    history: RwLock<History>,
    partitions: RwLock<BTreeMap<TopicPartition, PartitionStatus>>,
    left_out: RwLock<BTreeMap<Arc<str>, String>>,
    last_commit: RwLock<Option<LastCommit>>,
    latency: RwLock<Latencies>,
    standing: RwLock<Standing>,
    behind_since: RwLock<Option<Timestamp>>,
    config: RwLock<Option<Arc<Config>>>,
    unmatched: RwLock<BTreeMap<Arc<str>, Unmatched>>,
    reload: RwLock<Option<Reload>>,
    conditions: RwLock<conditions::Conditions>,
    lost: AtomicBool,
}

/// What became of the newest change of the job file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Reload {
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// The keys that took effect.
    pub keys: Vec<String>,
    /// Why nothing did.
    pub failure: Option<String>,
}

/// Of all records so far, and of those up to the last sample.
#[derive(Debug, Default)]
struct Latencies {
    all: LatencyCounts,
    sampled: LatencyCounts,
}

/// How this replica stands beside its positions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// All records of its partitions up to this time are visible, as far as the timestamps of each partition
    /// are in order. `None` while that is not known of every partition, and without any.
    pub complete_through: Option<Timestamp>,
    /// Oldest first.
    pub open_transactions: Vec<OpenTransaction>,
}

/// A transaction that holds back what readers of committed records may see.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OpenTransaction {
    pub partition: TopicPartition,
    /// Its first offset.
    pub last_stable_offset: i64,
    pub high_watermark: i64,
    /// When this replica first saw the last stable offset stand still.
    pub since: Timestamp,
}

impl OpenTransaction {
    /// The command, of Kafka's own tools, that names the producer.
    pub fn command(&self, bootstrap_servers: &str) -> String {
        self.tool(bootstrap_servers, "describe-producers")
    }

    /// The command that ends the transaction: it begins exactly at the last stable offset.
    pub fn abort_command(&self, bootstrap_servers: &str) -> String {
        format!("{} --start-offset {}", self.tool(bootstrap_servers, "abort"), self.last_stable_offset)
    }

    fn tool(&self, bootstrap_servers: &str, verb: &str) -> String {
        let TopicPartition { topic, partition } = &self.partition;
        format!(
            "kafka-transactions.sh --bootstrap-server {bootstrap_servers} {verb} --topic {topic} --partition {partition}"
        )
    }
}

/// A partition that is assigned to this replica. Unknown offsets are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PartitionStatus {
    /// First offset that is not committed.
    pub next: Option<i64>,
    pub last_stable_offset: Option<i64>,
    pub high_watermark: Option<i64>,
}

impl PartitionStatus {
    /// Records up to the last stable offset that are not committed.
    pub fn lag(&self) -> Option<u64> {
        u64::try_from(self.last_stable_offset? - self.next?).ok()
    }
}

/// The newest checkpoint that this replica has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct LastCommit {
    pub checkpoint: u64,
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

// Whoever panicked with a lock held has only shown less.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Status {
    /// The chain is loaded and the consumer runs.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// The engine goes down; it is no longer ready.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Counts what rows of a commit had that no column asked for.
    pub fn add_unmatched(&self, table: &Arc<str>, unmatched: &Unmatched) {
        write(&self.unmatched).entry(table.clone()).or_default().merge(unmatched.clone());
    }

    /// What rows had that no column asked for, by table, since this process began.
    pub fn unmatched(&self) -> BTreeMap<Arc<str>, Unmatched> {
        read(&self.unmatched).clone()
    }

    /// Reads nothing, because that was asked, or reads on.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// The engine has ended, because that was asked; the process goes on for a while.
    pub fn set_stopped(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.set_partitions(BTreeMap::new());
        self.clear_conditions();
    }

    /// The job is stopped, and the process waits until it is resumed.
    pub fn set_holding(&self) {
        self.set_stopping();
        self.set_stopped();
        self.holding.store(true, Ordering::Relaxed);
    }

    /// The job begins again in this process.
    pub fn set_starting(&self) {
        for flag in [&self.started, &self.stopping, &self.paused, &self.stopped, &self.holding] {
            flag.store(false, Ordering::Relaxed);
        }
        self.clear_conditions();
    }

    /// A task of the process is lost, and the process ends.
    pub fn set_lost(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// A task of the process is lost, and the process ends.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// What this process calls itself among the replicas; the first call counts.
    pub fn set_replica(&self, id: &str) {
        self.replica.get_or_init(|| id.to_owned());
    }

    /// A control object has been carried out.
    pub fn set_control(&self, n: u64) {
        self.control.send_replace(n);
    }

    /// Bytes are those of keys, values and headers.
    pub fn add_read(&self, records: u64, bytes: u64) {
        self.records_read.fetch_add(records, Ordering::Relaxed);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// This replica's share of the byte limit in bytes/s; 0: none.
    pub fn set_limit(&self, bytes_per_second: u64) {
        self.limit_bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Bytes held by fetched records, batches and open writers.
    pub fn set_memory(&self, bytes: u64) {
        self.memory.store(bytes.saturating_add(1), Ordering::Relaxed);
    }

    /// The newest checkpoint of the job that this replica has seen, whoever made it.
    pub fn set_newest(&self, checkpoint: Arc<Checkpoint>, now: Timestamp) {
        let mut since = write(&self.retracted_since);
        let since_before = *since;
        *since = (!checkpoint.retracted.is_empty()).then(|| since_before.unwrap_or(now));
        *write(&self.newest) = Some(checkpoint);
    }

    /// Counts a checkpoint that this replica made, and remembers it.
    pub fn add_checkpoint(&self, record: CheckpointRecord) {
        self.rows_written.fetch_add(record.rows, Ordering::Relaxed);
        self.set_last_commit(LastCommit { checkpoint: record.n, created: record.created });
        write(&self.history).checkpoint(record);
    }

    /// Adds a step to checkpoint `n`, if it is still remembered.
    pub fn add_phase(&self, n: u64, phase: Phase) {
        write(&self.history).add_phase(n, phase);
    }

    /// Takes a sample for the history when one is due; to be called every [`history::EVERY`].
    pub fn sample(&self, now: Timestamp) {
        let partitions = self.partitions();
        let lag = |end: fn(&PartitionStatus) -> Option<i64>| {
            let lags = partitions.values().map(|status| Some((end(status)? - status.next?).max(0) as u64));
            lags.sum::<Option<u64>>()
        };
        let reading = Reading {
            records_read: self.records_read(),
            bytes_read: self.bytes_read(),
            rows_written: self.rows_written.load(Ordering::Relaxed),
            lag_lso: lag(|status| status.last_stable_offset),
            lag_hw: lag(|status| status.high_watermark),
            limit_bytes_per_second: self.limit(),
            latency: self.sample_latency(),
        };
        write(&self.history).read(now, reading);
    }

    /// Percentiles of what came since the last time.
    fn sample_latency(&self) -> Option<history::Latency> {
        let mut latency = write(&self.latency);
        let more = latency.all.since(&latency.sampled);
        latency.sampled = latency.all;
        more.percentiles()
    }

    /// Counts records that have become visible.
    pub fn add_latency(&self, counts: &LatencyCounts) {
        write(&self.latency).all.merge(counts);
    }

    pub fn set_standing(&self, standing: Standing) {
        *write(&self.standing) = standing;
    }

    /// Notes since when the replica is behind, after its partitions were brought up to date.
    pub fn note_lag(&self, now: Timestamp) {
        let behind = self.partitions().values().any(|partition| partition.lag().is_some_and(|lag| lag > 0));
        let mut since = write(&self.behind_since);
        let since_before = since.filter(|_| !self.paused());
        *since = behind.then(|| since_before.unwrap_or(now));
    }

    /// Replaces what is known of the assigned partitions.
    pub fn set_partitions(&self, partitions: BTreeMap<TopicPartition, PartitionStatus>) {
        *write(&self.partitions) = partitions;
    }

    /// Changes what is known of one assigned partition; others are left alone.
    pub fn update_partition(&self, partition: &TopicPartition, change: impl FnOnce(&mut PartitionStatus)) {
        if let Some(status) = write(&self.partitions).get_mut(partition) {
            change(status);
        }
    }

    /// Keeps those partitions whose topics have a table, and tells each other topic once.
    pub fn leave_out(&self, table: &Table, partitions: Vec<TopicPartition>) -> Vec<TopicPartition> {
        let (named, left_out) = table.named(partitions);
        let mut known = write(&self.left_out);
        for (topic, problem) in left_out {
            let Entry::Vacant(new) = known.entry(topic) else { continue };
            tracing::warn!(
                topic = %new.key(),
                "leaving the topic out, its records are not read: its table's name {problem}; rename the topic, \
                 change what sink.table puts around it (\"t_{{topic}}\"), or let kafka.topics_regex not match it"
            );
            new.insert(problem);
        }
        metrics::TOPICS_LEFT_OUT.gauge().set(known.len() as f64);
        named
    }

    /// Topics that are not read, because no table can be called after them, and why.
    pub fn left_out(&self) -> BTreeMap<Arc<str>, String> {
        read(&self.left_out).clone()
    }

    pub fn set_last_commit(&self, commit: LastCommit) {
        *write(&self.last_commit) = Some(commit);
    }

    /// A changed job file has taken effect, or could not.
    pub fn set_reload(&self, reload: Reload, config: Option<Arc<Config>>) {
        metrics::RELOAD_FAILED.gauge().set(if reload.failure.is_some() { 1.0 } else { 0.0 });
        *write(&self.reload) = Some(reload);
        if config.is_some() {
            *write(&self.config) = config;
        }
    }

    /// `None` while the job file has not changed.
    pub fn reload(&self) -> Option<Reload> {
        read(&self.reload).clone()
    }

    /// The job file in force, of a process that was started with `config`.
    pub fn in_force(&self, config: &Arc<Config>) -> Arc<Config> {
        read(&self.config).as_ref().unwrap_or(config).clone()
    }

    pub fn started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// Reads nothing, because that was asked.
    pub fn paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub fn state(&self) -> ReplicaState {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if is(&self.holding) {
            ReplicaState::Holding
        } else if is(&self.stopped) {
            ReplicaState::Stopped
        } else if is(&self.stopping) {
            ReplicaState::Stopping
        } else if !is(&self.started) {
            ReplicaState::Starting
        } else if is(&self.paused) {
            ReplicaState::Paused
        } else {
            ReplicaState::Running
        }
    }

    /// What this process calls itself among the replicas, once it does.
    pub fn replica(&self) -> Option<&str> {
        self.replica.get().map(String::as_str)
    }

    /// Number of the newest control object carried out, and whoever waits for the next.
    pub fn control(&self) -> watch::Receiver<u64> {
        self.control.subscribe()
    }

    /// Bytes of keys, values and headers.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    pub fn records_read(&self) -> u64 {
        self.records_read.load(Ordering::Relaxed)
    }

    pub fn partitions(&self) -> BTreeMap<TopicPartition, PartitionStatus> {
        read(&self.partitions).clone()
    }

    pub fn last_commit(&self) -> Option<LastCommit> {
        *read(&self.last_commit)
    }

    /// This replica's share of the byte limit in bytes/s, if there is one.
    pub fn limit(&self) -> Option<u64> {
        Some(self.limit_bytes_per_second.load(Ordering::Relaxed)).filter(|limit| *limit > 0)
    }

    /// Of all records that this replica has made visible.
    pub fn latency(&self) -> LatencyCounts {
        read(&self.latency).all
    }

    pub fn standing(&self) -> Standing {
        read(&self.standing).clone()
    }

    /// Since when there have been records to commit, without a moment in which there were none, or a pause.
    pub fn behind_since(&self) -> Option<Timestamp> {
        *read(&self.behind_since)
    }

    /// Bytes held by fetched records, batches and open writers.
    pub fn memory(&self) -> Option<u64> {
        self.memory.load(Ordering::Relaxed).checked_sub(1)
    }

    /// The newest checkpoint of the job that this replica has seen, whoever made it.
    pub fn newest(&self) -> Option<Arc<Checkpoint>> {
        read(&self.newest).clone()
    }

    /// Since when the newest checkpoints have listed something that is still to be erased.
    pub fn retracted_since(&self) -> Option<Timestamp> {
        *read(&self.retracted_since)
    }

    pub fn samples(&self) -> Vec<Sample> {
        read(&self.history).samples().copied().collect()
    }

    /// The checkpoints that this replica made, oldest first.
    pub fn checkpoints(&self) -> Vec<CheckpointRecord> {
        read(&self.history).checkpoints().cloned().collect()
    }
}
