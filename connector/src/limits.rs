//! Every bound of the program, in one place: a limit on everything, each with its
//! unit last in the name and its reason. A bound that a user may move is a key of
//! the job file; these are the ends of what may be asked for.

use std::time::Duration;

/// A job file is written by hand; one that is larger is a mistake.
pub const JOB_FILE_MAX_BYTES: u64 = 1 << 20;
/// A secret's file, as Kubernetes mounts it; its own limit is 1 MiB for all secrets of a pod.
pub const SECRET_FILE_MAX_BYTES: u64 = 64 << 10;
/// Levels of a YAML document; the job file needs 5, and readers of it recurse.
pub const JOB_FILE_MAX_DEPTH: usize = 32;
/// The job's name becomes a folder, a group id and a metric label; file systems end at 255.
pub const JOB_NAME_MAX_CHARS: usize = 128;
/// Kafka's own limit of a topic name.
pub const TOPIC_NAME_MAX_CHARS: usize = 249;
/// A table's name becomes a folder; file systems end at 255.
pub const TABLE_NAME_MAX_CHARS: usize = 250;
/// File systems end a name here, and so do some servers of buckets.
pub const NAME_MAX_BYTES: usize = 255;
/// A folder level's name, so that 55 bytes are left for any value but a text.
pub const LEVEL_NAME_MAX_BYTES: usize = 200;
/// Of a URL in a bucket: keys end at 1,024 bytes, and a table, its levels and a file's name come after it.
pub const KEY_PREFIX_MAX_BYTES: usize = 512;
/// Of a local URL: paths end at 4,095 bytes.
pub const FILE_URL_MAX_BYTES: usize = 2_048;
/// A pattern is matched against each topic of the cluster at every metadata refresh.
pub const TOPIC_PATTERN_MAX_CHARS: usize = 1_000;

/// Each column costs a builder in decoding and a page buffer in every open writer.
pub const COLUMNS_MAX_COUNT: usize = 10_000;
/// Folder levels; each multiplies the number of small files.
pub const PARTITION_FIELDS_MAX_COUNT: usize = 8;
/// More buckets than this would be more files than any commit should write.
pub const BUCKETS_MAX_COUNT: u32 = 65_536;

/// One S3 copy call takes 5 GB.
pub const FILE_MAX_BYTES: u64 = 4 << 30;
/// Below this a file is mostly footer.
pub const FILE_MIN_BYTES: u64 = 4 << 10;
/// A row group is held in memory until it is written.
pub const ROW_GROUP_MAX_ROWS: u64 = 1 << 27;

/// An open writer takes 30 MiB, and librdkafka's queue and a batch stand beside it.
pub const MEMORY_MIN_BYTES: u64 = 64 << 20;
/// 1 TiB: more is a unit mistyped.
pub const MEMORY_MAX_BYTES: u64 = 1 << 40;
/// Threads that decode and encode.
pub const CHANNELS_MAX_COUNT: u64 = 1_024;

/// Kept checkpoints must fit one LIST page of 1,000 beside those that wait to be removed.
pub const CHECKPOINTS_RETAINED_MAX_COUNT: u64 = tidegate_sinks::MAX_RETAINED;
/// A checkpoint costs several store requests; closer together they would never end.
pub const CHECKPOINT_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Each look lists a folder of the store.
pub const CONTROL_POLL_MIN: Duration = Duration::from_millis(100);
/// What one duration of the job file may be at most: 1,000 days.
pub const DURATION_MAX: Duration = Duration::from_secs(1_000 * 24 * 3_600);

/// Partitions of a replica that have metrics of their own; each is three time series to whoever stores them.
pub const PARTITION_METRICS_MAX_COUNT: usize = 1_000;

/// Reasons of a replica that is not ready that have a metric of their own.
pub const UNREADY_METRICS_MAX_COUNT: usize = 100;
/// Open transactions that a replica names; beyond, the brokers have another trouble.
pub const OPEN_TRANSACTIONS_MAX_COUNT: usize = 100;
/// A savepoint reads every commit in force; closer together they would never end.
pub const SAVEPOINT_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// More periodic savepoints than this take a listing of several pages each time.
pub const SAVEPOINTS_RETAINED_MAX_COUNT: u64 = 10_000;
/// A savepoint's id becomes a folder; file systems end at 255.
pub const SAVEPOINT_ID_MAX_CHARS: usize = 200;
/// Files that a savepoint's manifest may name; this version writes 3.
pub const SAVEPOINT_FILES_MAX_COUNT: usize = 16;
/// A savepoint's manifest, its hash, and the job file in it are small; what is larger is not looked at.
pub const SAVEPOINT_SMALL_FILE_MAX_BYTES: u64 = 4 << 20;
/// A checkpoint of 100,000 partitions takes about 10 MB, and unknown fields in it
/// many times their size in memory.
pub const SAVEPOINT_CHECKPOINT_MAX_BYTES: u64 = 64 << 20;
/// All commits in force, about 1 KiB each with few partitions, are read into memory at once.
pub const SAVEPOINT_COMMITS_MAX_BYTES: u64 = 1 << 30;
/// Whoever has the token may stop the job; at random, so many characters are beyond guessing.
pub const TOKEN_MIN_CHARS: usize = 16;
/// What a request may bring; the largest that makes sense names a folder.
pub const REQUEST_MAX_BYTES: usize = 16 << 10;
/// How long a connection may stay without a whole request's head: who says nothing
/// must not hold a socket for ever.
pub const REQUEST_HEAD_MAX: Duration = Duration::from_secs(10);
/// How long a request may take, its body included: the store has a third of it to answer in.
pub const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Connections that are open at the same time: some dozen people, Prometheus and probes need a tenth of them.
pub const CONNECTIONS_MAX_COUNT: usize = 256;
/// Of those, from one address: a browser opens six.
pub const CONNECTIONS_MAX_COUNT_EACH: usize = 64;
/// The largest whole number that every reader of JSON keeps exact.
pub const SPEED_MAX_BYTES_PER_SECOND: u64 = (1 << 53) - 1;
/// A certificate with its chain, or a key.
pub const TLS_FILE_MAX_BYTES: u64 = 1 << 20;
