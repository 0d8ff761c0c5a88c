//! Every metric, once: its name, its unit, and what it means. Whoever records one
//! takes it from here, so that none is recorded that is not described.

use metrics::{Counter, Gauge, Histogram, SharedString, Unit};
use tidegate_sinks::store::REQUESTS;

/// Name, unit and help.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub unit: Unit,
    pub help: &'static str,
}

impl Metric {
    pub fn counter(self) -> Counter {
        metrics::counter!(self.name)
    }

    pub fn counter_of(self, label: &'static str, value: impl Into<SharedString>) -> Counter {
        metrics::counter!(self.name, label => value.into())
    }

    pub fn gauge(self) -> Gauge {
        metrics::gauge!(self.name)
    }

    pub fn gauge_of(self, label: &'static str, value: impl Into<SharedString>) -> Gauge {
        metrics::gauge!(self.name, label => value.into())
    }

    pub fn histogram(self) -> Histogram {
        metrics::histogram!(self.name)
    }

    pub fn histogram_of(self, label: &'static str, value: impl Into<SharedString>) -> Histogram {
        metrics::histogram!(self.name, label => value.into())
    }
}

/// A constant for each, and a list of all.
macro_rules! list {
    ($(#[$about:meta])* $list:ident: $($(#[$doc:meta])* $metric:ident = $name:literal, $unit:ident, $help:literal;)+) => {
        $($(#[$doc])* pub const $metric: Metric = Metric { name: $name, unit: Unit::$unit, help: $help };)+
        $(#[$about])* pub const $list: &[Metric] = &[$($metric),+];
    };
}

list! {
    /// Recorded where things happen; there from the start, at zero.
    COUNTERS:
    RECORDS_READ = "tidegate_records_read_total", Count, "Records read from Kafka";
    RECORDS_WRITTEN = "tidegate_records_written_total", Count, "Rows committed to the sink";
    BYTES_READ = "tidegate_bytes_read_total", Bytes, "Bytes of keys, values and headers read, after the throttle";
    BYTES_WRITTEN = "tidegate_bytes_written_total", Bytes, "Bytes of files committed to the sink";
    FILES_WRITTEN = "tidegate_files_written_total", Count, "Files committed to the sink";
    ERRORS = "tidegate_errors_total", Count, "Errors, those that a retry healed included";
    RECORDS_REJECTED = "tidegate_records_rejected_total", Count, "Records committed as rejects";
    REJECTS_SENT = "tidegate_rejects_sent_total", Count, "Rejects sent to their topic by this replica";
    CHECKPOINTS_CROWDED = "tidegate_checkpoints_crowded_total", Count, "Checkpoints made early because open files held all the memory that they may";
    FENCED = "tidegate_fenced_total", Count, "Commits refused because another replica had moved a partition";
    /// Counters hold whole numbers, so it is counted in milliseconds and shown as
    /// `tidegate_throttled_seconds_total`.
    THROTTLED_MILLISECONDS = "tidegate_throttled_milliseconds", Milliseconds, "Time spent waiting for the byte limit";
}

list! {
    /// Counters with the label `table`, of tables that have any.
    BY_TABLE:
    UNKNOWN_MEMBERS = "tidegate_unknown_members_total", Count, "Members of committed rows that no column asks for";
    ROWS_WITHOUT_VALUES = "tidegate_rows_without_values_total", Count, "Committed rows in which no column found anything, so that they are all null";
}

list! {
    /// Recorded once a second.
    GAUGES:
    LAST_CHECKPOINT_TIMESTAMP = "tidegate_last_checkpoint_timestamp_seconds", Seconds, "When the newest checkpoint was made";
    LAG_RECORDS = "tidegate_lag_records", Count, "Records not committed, up to the last stable offset (lso) or the end (hw)";
    LSO_STALL_SECONDS = "tidegate_lso_stall_seconds", Seconds, "How long an open transaction has held back the last stable offset; the longest of this replica's partitions";
    RELOAD_FAILED = "tidegate_reload_failed", Count, "1 while the job file has changed in a way that this process cannot take over";
    REJECTS_UNSENT = "tidegate_rejects_unsent", Count, "Commits of the job whose rejects are not known to be in their topic";
    MEMORY_BYTES = "tidegate_memory_bytes", Bytes, "Bytes held by fetched records, batches and open writers";
    MEMORY_LIMIT_BYTES = "tidegate_memory_limit_bytes", Bytes, "memory.limit of the job file";
    LIMIT_BYTES_PER_SECOND = "tidegate_limit_bytes_per_second", Count, "This replica's share of the byte limit; 0 without a limit";
    PARTITIONS = "tidegate_partitions", Count, "Partitions that this replica reads";
    TOPICS_LEFT_OUT = "tidegate_topics_left_out", Count, "Topics of kafka.topics_regex that are not read, because no table can be called after them";
    UNPUBLISHED_COMMITS = "tidegate_unpublished_commits", Count, "Commits in force that the newest checkpoint does not know to be visible";
    STAGED_BYTES = "tidegate_staged_bytes", Bytes, "Bytes that lie staged for the job: of work under way, and left by processes that have died; at the start, and every fifty checkpoints";
    STAGED_ATTEMPTS = "tidegate_staged_attempts", Count, "Attempts that lie staged for the job, counted with tidegate_staged_bytes";
    RETRACTED_ITEMS = "tidegate_retracted_items", Count, "Commits and files taken back that are still to be erased";
    REJECT_RATIO = "tidegate_reject_ratio", Count, "Rejects that were not replayed, among all records since the start of the chain, 0 to 1";
}

list! {
    /// Recorded in buckets of [`SECONDS`].
    HISTOGRAMS:
    CHECKPOINT_DURATION = "tidegate_checkpoint_duration_seconds", Seconds, "From the decision to checkpoint until it is committed";
    CHECKPOINT_PHASE = "tidegate_checkpoint_phase_seconds", Seconds, "Phases of a checkpoint: seal (encode what was read), stage (make files durable), commit, publish";
    SOURCE_WAIT = "tidegate_source_wait_seconds", Seconds, "Each time that reading waited for decoding, or for memory: how long";
}

/// Requests by `operation`, counted where they leave.
pub const STORE_REQUESTS: Metric = Metric {
    name: REQUESTS,
    unit: Unit::Count,
    help: "Requests to object stores, repeated ones too; a local folder takes none",
};

/// Upper bounds of the buckets.
pub const SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Shown of the status at each scrape, because they come and go: name, type, help.
pub(crate) const RECORD_LATENCY: Shown = (
    "tidegate_record_latency_seconds",
    "histogram",
    "From a record's timestamp, by the producer's or the broker's clock, until it is visible; sampled",
);
pub(crate) const COMPLETE_THROUGH: Shown = (
    "tidegate_complete_through_timestamp_seconds",
    "gauge",
    "All records of this replica's partitions up to this time are visible, as far as the timestamps of each partition are in order; the job's is the least of its replicas; absent while it is not known",
);
pub(crate) const PARTITION_LAG: Shown = (
    "tidegate_partition_lag_records",
    "gauge",
    "Records of the partition not committed, up to the last stable offset (lso) or the end (hw)",
);
pub(crate) const PARTITION_POSITION: Shown =
    ("tidegate_partition_position", "gauge", "First offset of the partition that is not committed");
pub(crate) const PAUSED: Shown =
    ("tidegate_paused", "gauge", "1 while the replica reads nothing because it was asked to pause");
pub(crate) const STOPPED: Shown = (
    "tidegate_stopped",
    "gauge",
    "1 while the replica has stopped because it was asked to, and holds or ends",
);
pub(crate) const READY: Shown = (
    "tidegate_ready",
    "gauge",
    "1 while /readyz says so, but for http.ready_max_commit_age; 0 while the replica starts, stops, or some of its work stands still",
);
pub(crate) const UNREADY: Shown = (
    "tidegate_unready",
    "gauge",
    "1 for each reason why some of the work of a replica stands still, with the topic or partition that it is about; absent otherwise",
);
pub(crate) const BUILD_INFO: Shown =
    ("tidegate_build_info", "gauge", "1, with the version and the name of the job");

/// Name, type and help.
pub type Shown = (&'static str, &'static str, &'static str);

/// All that is shown of the status.
pub const SHOWN: &[Shown] = &[
    PAUSED,
    STOPPED,
    READY,
    UNREADY,
    RECORD_LATENCY,
    COMPLETE_THROUGH,
    PARTITION_LAG,
    PARTITION_POSITION,
    BUILD_INFO,
];

/// What Prometheus' own client libraries say of a process, by the same names.
pub const PROCESS: &[Shown] = &[
    ("process_start_time_seconds", "gauge", "When the process started"),
    ("process_cpu_seconds_total", "counter", "Processor time, of user and system"),
    ("process_resident_memory_bytes", "gauge", "Memory that is in RAM"),
    ("process_open_fds", "gauge", "Open file descriptors"),
    ("process_threads", "gauge", "Threads"),
];

/// The name under which [`THROTTLED_MILLISECONDS`] is shown.
pub const THROTTLED_SECONDS: &str = "tidegate_throttled_seconds_total";

/// The names under which all of them appear.
pub fn names() -> impl Iterator<Item = &'static str> {
    let recorded = [COUNTERS, BY_TABLE, GAUGES, HISTOGRAMS, &[STORE_REQUESTS]].into_iter().flatten();
    let recorded = recorded.map(|metric| match metric.name {
        name if name == THROTTLED_MILLISECONDS.name => THROTTLED_SECONDS,
        name => name,
    });
    recorded.chain(SHOWN.iter().chain(PROCESS).map(|(name, ..)| *name))
}
