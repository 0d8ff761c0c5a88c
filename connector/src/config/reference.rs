//! What every key of the job file means, as the manual's page `docs/job-file.md` has it. The keys are held against
//! those that the parser asks for, and the defaults are taken from a parsed job, so that neither can drift.

use std::fmt::Write;

use serde_json::Value;

use super::{Config, Origin, RELOADABLE};

pub(super) struct Key {
    /// From the root, as in `sink.file.target_size`.
    pub(super) path: &'static str,
    /// Told instead of the default that the code has, where that depends on the machine or on other keys.
    default: Option<&'static str>,
    text: &'static str,
}

const fn key(path: &'static str, text: &'static str) -> Key {
    Key { path, default: None, text }
}

const fn with(path: &'static str, default: &'static str, text: &'static str) -> Key {
    Key { path, default: Some(default), text }
}

const REQUIRED: &str = "required";
const NONE: &str = "none";

pub(super) const KEYS: &[Key] = &[
    with(
        "job",
        REQUIRED,
        "The job's name. Its state, its consumer group and its metrics carry it. Never change it: another name is another job.",
    ),
    with("kafka.bootstrap_servers", REQUIRED, "`host:port` of one or more brokers, separated by commas."),
    with("kafka.topics", "required, or `topics_regex`", "The topics to read, as a list. Each must exist."),
    with(
        "kafka.topics_regex",
        "required, or `topics`",
        "A pattern that must match a topic's whole name. Topics that appear later are found while the job runs. Names that begin with `__` never match.",
    ),
    with(
        "kafka.group_id",
        "`tidegate-<job>`",
        "The consumer group that spreads partitions over replicas. Its committed offsets are for lag tools; the job never reads from them.",
    ),
    key(
        "kafka.start",
        "Where to begin, only where the job has no position yet: `earliest`, `latest`, `{timestamp: 2026-01-31T00:00:00Z}`, or `{offsets: {orders: {0: 123}}}`. Partitions that appear later begin at their start. See [Where reading begins](kafka.md#where-reading-begins).",
    ),
    key(
        "kafka.on_data_loss",
        "When Kafka has deleted records before they were read: `fail` stops with exit code 3; `record` goes on, writes the gap into the checkpoint and counts it.",
    ),
    key(
        "kafka.properties",
        "Further properties of librdkafka, by their own names: TLS, SASL, timeouts. Those on which exactly once rests are refused, with the key to use instead. Numbers stand without a unit, in the one that the name says.",
    ),
    key(
        "kafka.transaction_timeout",
        "Of the transactions that send rejects to a topic. At most the broker's `transaction.max.timeout.ms`.",
    ),
    key("format.type", "`json`, or `raw`: the bytes as one column `value`."),
    key("format.tombstones", "Records without a value: `skip` them, or write a row of `nulls`."),
    with(
        "format.columns",
        "inferred for each table from a sample of its topics, and kept",
        "A list of `{name, type, path, zone, format, lenient}`. `path` says where the value stands, when not under `name`: keys with a dot between two of them, and a key that has a dot or a bracket in it in double quotes (`a.\"b.c\"`); `.` is the whole record; the last three say [how values are read](#how-values-are-read). A record that does not fit is rejected, never rounded or cut.",
    ),
    key(
        "format.unknown",
        "Members that no column asks for, and records in which no column finds anything: `ignore` them, `warn` (counted, and some keys named in the log and on the status page), or `reject` such records.",
    ),
    key(
        "format.metadata",
        "Kafka's own data as columns: any of `topic`, `partition`, `offset`, `timestamp`, `key`, `headers`. They become `_topic`, `_partition`, `_offset`, `_timestamp`, `_key`, `_headers` (a list of `{name, value}`).",
    ),
    key("sink.type", "`files`: Parquet files in folders."),
    with(
        "sink.url",
        REQUIRED,
        "Where the tables lie: `file:///folder`, `s3://bucket/folder`, `gs://…`, `az://container/…`. A table lies at `<url>/<table>/`.",
    ),
    key(
        "sink.store",
        "Options of the store: `endpoint`, `region`, `path_style`, `allow_http`, `ca_file`, and its credentials. See [Stores and their rights](stores.md).",
    ),
    key(
        "sink.table",
        "The table's name. `{topic}` in it stands for the topic: several tables, one commit. It stays: see [Changing a table](operations.md#changing-a-table).",
    ),
    key(
        "sink.mode",
        "`append`; or `overwrite`: clears the table of others' files once, when the job starts without a position. What this job has \
         committed it clears only with `--new-incarnation`.",
    ),
    key(
        "sink.partition_by",
        "Folder levels, as Hive has them: `country`, `year(ts)`, `month(ts)`, `day(ts)`, `hour(ts)`, `bucket(16, user_id)`. Each level multiplies the number of files.",
    ),
    with(
        "sink.partition_columns",
        "`file`",
        "Where the values of a column stand that names a folder as it is, as in `partition_by: [country]`. `file`: in the files, with their type; the level is called `country_part`, so no reader takes it for the column. `folder`: only in the folder's name, as Hive has it: the level is called `country`, the column is not in the files, and a text that a folder's name cannot tell from null is a reject. `both`: in both under one name, as jobs begun before this key have it, whose folders stay as they are while it is left out. See [reading](reading.md#folders).",
    ),
    with(
        "sink.file.target_size",
        "`128MiB`",
        "Bytes at which a file is closed and the next one begun. At most 4GiB.",
    ),
    key("sink.file.compression", "`none`, `snappy`, `lz4`, `gzip(0)` to `gzip(9)`, `zstd(1)` to `zstd(22)`."),
    key("sink.file.row_group_rows", "Rows of a row group. Memory may close one earlier."),
    key(
        "checkpoint.interval",
        "Time between checkpoints. Readers see records at a checkpoint, so this is most of the latency; shorter means more and smaller files.",
    ),
    key(
        "checkpoint.max_records",
        "A checkpoint after this many records of a replica as well. 0: no such trigger.",
    ),
    key("checkpoint.max_bytes", "A checkpoint after this many bytes read as well. 0: no such trigger."),
    key("checkpoint.timeout", "How long a checkpoint may take before the job stops."),
    key("checkpoint.retained", "Checkpoints kept at least, for `--from-checkpoint`. At most 900."),
    key("checkpoint.retained_for", "And kept for at least this long, up to 900."),
    key(
        "checkpoint.copy_grace",
        "How long a copy inside the store may take at most. A rollback waits for it before it erases.",
    ),
    with(
        "checkpoint.state",
        "`<url>/_tidegate/<job>`",
        "Where the job's state lies: in the same bucket as the tables.",
    ),
    with(
        "speed.bytes_per_second",
        "`0`: no limit",
        "Bytes of keys, values and headers that all replicas together may read in a second.",
    ),
    with(
        "speed.channels",
        "`0`: one per core, as far as `memory.limit` has 64 MiB for each",
        "Threads that decode and encode.",
    ),
    key(
        "error_limit.records",
        "Rejects that the job accepts before it stops, with nothing lost. 0: the first one stops it. Without a value, but with a ratio: any number.",
    ),
    with(
        "error_limit.ratio",
        NONE,
        "Rejects as a part of all records, from 0 to 1; judged from 100 records on.",
    ),
    with("error_limit.window", "the whole job", "The time that `ratio` looks back."),
    key(
        "rejects.to",
        "`files`: a table beside the data, in the same commit. `{topic: NAME}`: to that topic as well, each exactly once. See [Rejects](rejects.md).",
    ),
    with("rejects.to.topic", NONE, "The topic. It must exist, and not be one that the job reads."),
    with(
        "memory.limit",
        "`256MiB`",
        "What the client's queue, decoded batches and open files may hold together. When it is reached, row groups close early and reading waits.",
    ),
    key("timeouts.store_request", "Of one request to the store; of a copy by the store, five times as long."),
    key(
        "timeouts.broker",
        "How long a start waits for a Kafka broker to answer. A job that runs waits as long as it takes.",
    ),
    key(
        "timeouts.store_retry",
        "How long a request is repeated before the job stops. Above `store_request`, below `checkpoint.timeout`; the default of each of the three gives way to what the others are set to.",
    ),
    key(
        "timeouts.revoke",
        "For the last checkpoint of partitions that the group takes away. Below `max.poll.interval.ms`; each default gives way to the other.",
    ),
    key(
        "timeouts.stop",
        "For the last checkpoint after SIGTERM. Below the platform's kill delay (`TIDEGATE_KILL_DELAY`, 30s).",
    ),
    with("savepoints.every", "`0`: never", "Time between periodic savepoints."),
    with(
        "savepoints.to",
        "`<state>/savepoints`",
        "The folder for savepoints. It may lie in another store of the same kind.",
    ),
    with(
        "savepoints.retained",
        "`0`: all",
        "Periodic savepoints that are kept. Those that you made are never removed.",
    ),
    key("control.poll", "How often a replica looks for what `pause`, `stop` and their like have asked."),
    key("http.listen", "Address and port. Port 0: any free one, which is logged."),
    with(
        "http.token",
        NONE,
        "What requests must carry that change the job, and beyond loopback all of the API. At least 16 characters, as `${VAR}` or `${file:/path}`.",
    ),
    with(
        "http.tls.cert",
        NONE,
        "PEM file with the certificate and its chain: HTTPS instead of HTTP. Read again when it changes.",
    ),
    with("http.tls.key", NONE, "PEM file with its key."),
    with(
        "http.ready_max_commit_age",
        "`0`: never",
        "Age of the last commit, with something to commit, at which `/readyz` fails.",
    ),
    key(
        "log.level",
        "`error`, `warn`, `info`, `debug`, `trace`, or by module: `info,tidegate::flow::stage=debug`.",
    ),
    key("log.format", "`text`, `json`, or `auto`: text on a terminal, JSON otherwise."),
];

const HEAD: &str = "# Job file

<!-- Made by `./x docs` out of connector/src/config/reference.rs. Edit it there. -->

A job file is YAML, of at most 1 MiB. A key that is not known is an error that names the nearest one. All mistakes are told at once, by
`tidegate validate JOB`. Examples lie in `config/examples/`.

- **Durations** carry a unit: `500ms`, `60s`, `10m`, `24h`. **Sizes** are bytes, or carry one: `1MB` is 1,000,000 bytes, `1MiB` is 1,048,576.
- **`${VAR}`** in a value becomes a variable of the environment, **`${file:/path}`** the text of a file without line ends at its end. `$$` is a dollar
  sign. What comes in this way is never shown. Inside `{ }` and `[ ]`, write quotes around it.
- Keys marked **live** are taken over by a running job, on SIGHUP or when the file changes. All others take a restart, and a change of one
  is refused as a whole.

";

const TYPES: &str = "
## Types of columns

`bool`, `int8` to `int64`, `uint8` to `uint64` (`int` is `int32`), `float`, `double`, `string`, `binary`, `date`, `time(unit)`, `timestamp(unit)` or
`timestamp(unit, zone)`, `decimal(precision, scale)`, `struct<name: type, …>`, `list<type>`, `map<type, type>`, and `json`, which is kept as text. Units
are `s`, `ms`, `us`, `ns`. A value that would lose digits, overflow or not parse is a reject.

- A **zone** is `UTC`, a name of the tz database in its own letters (`Europe/Berlin`), or an offset from `-18:00` to `+18:00`.
- **`s`**: Parquet has no seconds, so they are written as milliseconds. A chain begun before that has them as bare numbers, as most readers see them, and goes on
  so, because one table with both would mislead readers. To change it, write a new table under another job name.
- **`ns`** is refused by many readers, Spark among them, whatever they ask of the file. It is never inferred: times with more than six digits of the second
  are inferred as `string`.
- **`float`** and **`double`** are the nearest binary value of what is written with a point or an exponent: no digits of 0.1 are exact in them. A number
  written as an integer must be that integer (or the shortest text of the float, as JavaScript writes it): 16777217 in a `float` is a reject. NaN and
  Infinity are not JSON, so a record with them is a reject; in quotes a lenient column takes them.

## How values are read

- **Numbers** of a `date` are days since 1970, of a `timestamp` its units since 1970, of a `time` its units since midnight.
- **Texts** of dates and times are ISO 8601, as Java, .NET, Python and Jackson write it: `2026-01-31T08:00:00.123Z`, without seconds (`08:00Z`), with `+0100`, `+01` or
  ` UTC`, a space for the `T`, a comma before the fraction, 24:00, a zone behind the offset (`+01:00[Europe/Berlin]`, which must agree with it), without hyphens
  and colons (`20260131T080000Z`), by week (`2026-W05-6`) and by day of the year (`2026-031`). Leap seconds, fractions of minutes, and a date for a timestamp
  are rejects.
- **Range**: the years 1 to 9999, which is what readers hold, in UTC and by the clock of the type's zone. Anything outside is a reject, as a text and as a number.
- **Strings**: half of a UTF-16 surrogate pair (`\"\\ud83d\"`, from a text cut inside an emoji) is no text, so in a `string` it is a reject. Where no text is made of it, in a
  `json` column or a member that no column asks for, it passes.

Three keys of a column are for other writers. They hold at any depth in it, in lists, structs and maps, for the types that they fit; where they fit none, the job file
is refused.

| key | for | |
|---|---|---|
| `zone: Europe/Berlin` | timestamps with a zone | where the clock stood of texts without an offset. Left out, it is the zone of the type, unless that is UTC: then such a text is a reject. A time that the clock shows twice, in autumn, is the first; one that it skips, in spring, is a reject. |
| `format: \"%d.%m.%Y %H:%M\"` | dates, times, timestamps | how texts are written, in the [words of strptime](https://docs.rs/jiff/latest/jiff/fmt/strtime/index.html#conversion-specifications); others are rejects then, also ISO 8601. It must say a whole date or time, and for a timestamp with a zone an offset (`%z`), unless `zone` is given. Months and days of the week are English. |
| `lenient: true` | numbers, bools, strings, dates and times | takes `\"123\"` for a number, `\"true\"`, 0, 1, `\"0\"` and `\"1\"` for a bool, 5 for a string (as it is written), `\"NaN\"`, `\"Infinity\"` and `\"-Infinity\"` for a float. What it takes is held to the same exactness. An `int64`, `uint64` or `decimal` takes strings in any case, as Protobuf's JSON has them. |

## What the program itself reads of its environment

| variable | meaning |
|---|---|
| `TIDEGATE_LOG` | as `--log-level`; it wins over `log.level` |
| `TIDEGATE_KILL_DELAY` | how long the platform waits between SIGTERM and SIGKILL; `timeouts.stop` is held against it. 30s |
| `AWS_…`, `AZURE_…`, `GOOGLE_…` | credentials and settings of the store, as the vendors' own tools read them; `sink.store` wins |
| `OTEL_EXPORTER_OTLP_ENDPOINT` and OpenTelemetry's others | traces of checkpoints, off while it is not set |
";

/// The page, in Markdown.
///
/// # Panics
/// Never: the job in it is a constant, which a test parses.
pub fn reference() -> String {
    let job = "job: j\nkafka: {bootstrap_servers: \"k:9092\", topics_regex: t}\nsink: {url: \"file:///w\"}\n";
    let defaults = Config::parse(job, &Origin("example".into())).expect("a whole job").redacted();
    let (mut page, mut section) = (HEAD.to_owned(), None);
    for key in KEYS {
        let this = key.path.split_once('.').map(|(section, _)| section);
        if section != Some(this) {
            let title = this.map_or("At the top".to_owned(), |this| format!("`{this}`"));
            let _ = write!(
                page,
                "{}## {title}\n\n| key | default | |\n|---|---|---|\n",
                if section.is_some() { "\n" } else { "" }
            );
            section = Some(this);
        }
        let default = match key.default {
            Some(default) => default.to_owned(),
            None => shown(defaults.pointer(&format!("/{}", key.path.replace('.', "/")))),
        };
        let live =
            RELOADABLE.iter().any(|live| key.path == *live || key.path.starts_with(&format!("{live}.")));
        let live = if live { " **Live.**" } else { "" };
        let _ = writeln!(page, "| `{}` | {default} | {}{live} |", key.path, key.text);
    }
    page + TYPES
}

fn shown(default: Option<&Value>) -> String {
    match default {
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Array(items)) if items.is_empty() => NONE.to_owned(),
        Some(Value::Object(map)) if map.is_empty() => NONE.to_owned(),
        Some(other) => format!("`{other}`"),
        None => NONE.to_owned(),
    }
}
