//! Every metric by name, with what it means.

use metrics::Unit;
use tidegate_sinks::store::REQUESTS;

/// Time spent waiting for the byte limit. Counters hold whole numbers, so it is counted in milliseconds and shown as
/// `tidegate_throttled_seconds_total`.
pub const THROTTLED_MILLISECONDS: &str = "tidegate_throttled_milliseconds";

/// Recorded where things happen; there from the start, at zero.
pub const COUNTERS: &[(&str, Unit, &str)] = &[
    ("tidegate_records_read_total", Unit::Count, "Records read from Kafka"),
    ("tidegate_records_written_total", Unit::Count, "Rows committed to the sink"),
    ("tidegate_bytes_read_total", Unit::Bytes, "Bytes of keys, values and headers read, after the throttle"),
    ("tidegate_bytes_written_total", Unit::Bytes, "Bytes of files committed to the sink"),
    ("tidegate_files_written_total", Unit::Count, "Files committed to the sink"),
    ("tidegate_errors_total", Unit::Count, "Errors, those that a retry healed included"),
    ("tidegate_records_rejected_total", Unit::Count, "Records committed as rejects"),
    ("tidegate_rejects_sent_total", Unit::Count, "Rejects sent to their topic by this replica"),
    (
        "tidegate_checkpoints_crowded_total",
        Unit::Count,
        "Checkpoints made early because open files held all the memory that they may",
    ),
    ("tidegate_fenced_total", Unit::Count, "Commits refused because another replica had moved a partition"),
    (THROTTLED_MILLISECONDS, Unit::Milliseconds, "Time spent waiting for the byte limit"),
];

/// Requests by `operation`, counted where they leave.
pub const STORE_REQUESTS: (&str, Unit, &str) =
    (REQUESTS, Unit::Count, "Requests to object stores, repeated ones too; a local folder takes none");

/// Recorded once a second.
pub const GAUGES: &[(&str, Unit, &str)] = &[
    ("tidegate_last_checkpoint_timestamp_seconds", Unit::Seconds, "When the newest checkpoint was made"),
    (
        "tidegate_lag_records",
        Unit::Count,
        "Records not committed, up to the last stable offset (lso) or the end (hw)",
    ),
    (
        "tidegate_lso_stall_seconds",
        Unit::Seconds,
        "How long an open transaction has held back the last stable offset; the longest of this replica's partitions",
    ),
    (
        "tidegate_reload_failed",
        Unit::Count,
        "1 while the job file has changed in a way that this process cannot take over",
    ),
    (
        "tidegate_rejects_unsent",
        Unit::Count,
        "Commits of the job whose rejects are not known to be in their topic",
    ),
    ("tidegate_memory_bytes", Unit::Bytes, "Bytes held by fetched records, batches and open writers"),
    ("tidegate_memory_limit_bytes", Unit::Bytes, "memory.limit of the job file"),
    (
        "tidegate_limit_bytes_per_second",
        Unit::Count,
        "This replica's share of the byte limit; 0 without a limit",
    ),
    ("tidegate_partitions", Unit::Count, "Partitions that this replica reads"),
    (
        "tidegate_topics_left_out",
        Unit::Count,
        "Topics of kafka.topics_regex that are not read, because no table can be called after them",
    ),
    (
        "tidegate_unpublished_commits",
        Unit::Count,
        "Commits in force that the newest checkpoint does not know to be visible",
    ),
    (
        "tidegate_staged_bytes",
        Unit::Bytes,
        "Bytes that lie staged for the job: of work under way, and left by processes that have died; at the start, and every fifty checkpoints",
    ),
    (
        "tidegate_staged_attempts",
        Unit::Count,
        "Attempts that lie staged for the job, counted with tidegate_staged_bytes",
    ),
    ("tidegate_retracted_items", Unit::Count, "Commits and files taken back that are still to be erased"),
    (
        "tidegate_reject_ratio",
        Unit::Count,
        "Rejects that were not replayed, among all records since the start of the chain, 0 to 1",
    ),
];

/// Counters with the label `table`, of tables that have any.
pub const BY_TABLE: &[(&str, Unit, &str)] = &[
    ("tidegate_unknown_members_total", Unit::Count, "Members of committed rows that no column asks for"),
    (
        "tidegate_rows_without_values_total",
        Unit::Count,
        "Committed rows in which no column found anything, so that they are all null",
    ),
];

/// How long the source read nothing because decoding was behind or memory was short, each time.
pub const SOURCE_WAIT: &str = "tidegate_source_wait_seconds";

/// Recorded in [`SECONDS`].
pub const HISTOGRAMS: &[(&str, &str)] = &[
    ("tidegate_checkpoint_duration_seconds", "From the decision to checkpoint until it is committed"),
    (
        "tidegate_checkpoint_phase_seconds",
        "Phases of a checkpoint: seal (encode what was read), stage (make files durable), commit, publish",
    ),
    (SOURCE_WAIT, "Each time that reading waited for decoding, or for memory: how long"),
];

/// Upper bounds of the buckets.
pub const SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Shown of the status at each scrape, because they come and go: name, type, help.
pub(super) const RECORD_LATENCY: Shown = (
    "tidegate_record_latency_seconds",
    "histogram",
    "From a record's timestamp, by the producer's or the broker's clock, until it is visible; sampled",
);
pub(super) const COMPLETE_THROUGH: Shown = (
    "tidegate_complete_through_timestamp_seconds",
    "gauge",
    "All records of this replica's partitions up to this time are visible, as far as the timestamps of each partition are in order; the job's is the least of its replicas; absent while it is not known",
);
pub(super) const PARTITION_LAG: Shown = (
    "tidegate_partition_lag_records",
    "gauge",
    "Records of the partition not committed, up to the last stable offset (lso) or the end (hw)",
);
pub(super) const PARTITION_POSITION: Shown =
    ("tidegate_partition_position", "gauge", "First offset of the partition that is not committed");
pub(super) const PAUSED: Shown =
    ("tidegate_paused", "gauge", "1 while the replica reads nothing because it was asked to pause");
pub(super) const STOPPED: Shown = (
    "tidegate_stopped",
    "gauge",
    "1 while the replica has stopped because it was asked to, and holds or ends",
);
pub(super) const READY: Shown = (
    "tidegate_ready",
    "gauge",
    "1 while /readyz says so, but for http.ready_max_commit_age; 0 while the replica starts, stops, or some of its work stands still",
);
pub(super) const UNREADY: Shown = (
    "tidegate_unready",
    "gauge",
    "1 for each reason why some of the work of a replica stands still, with the topic or partition that it is about; absent otherwise",
);
pub(super) const BUILD_INFO: Shown =
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

/// The names under which all of them appear.
pub fn names() -> impl Iterator<Item = &'static str> {
    let counters = COUNTERS.iter().map(|(name, ..)| match *name {
        THROTTLED_MILLISECONDS => "tidegate_throttled_seconds_total",
        name => name,
    });
    let gauges = GAUGES.iter().map(|(name, ..)| *name);
    let histograms = HISTOGRAMS.iter().map(|(name, _)| *name);
    counters
        .chain([REQUESTS])
        .chain(BY_TABLE.iter().map(|(name, ..)| *name))
        .chain(gauges)
        .chain(histograms)
        .chain(SHOWN.iter().chain(PROCESS).map(|(name, ..)| *name))
}
