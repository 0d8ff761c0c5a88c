//! Job files that are refused, and what is said of each.

use proptest::prelude::*;

use super::{MINIMAL, parse, parse_with, with};

/// What is laid over the minimal job, the path that is complained about, and a part of the message.
const BAD: &[(&str, &str, &str)] = &[
    // Unknown keys, with the nearest known one.
    ("{sink: {file: {target_sise: 1MiB}}}", "sink.file.target_sise", "did you mean target_size?"),
    ("{kafka: {bootstrapServers: 'a:1'}}", "kafka.bootstrapServers", "did you mean bootstrap_servers?"),
    ("{chekpoint: {}}", "chekpoint", "did you mean checkpoint?"),
    ("{sink: {xyzzy: 1}}", "sink.xyzzy", "known here: type, url, store"),
    ("{format: {columns: [{name: a, type: string, nul: 1}]}}", "format.columns[0].nul", "unknown key"),
    // Wrong shapes and types.
    ("{kafka: 5}", "kafka", "expected a map of keys, found a single value"),
    ("{kafka: {topics: orders}}", "kafka.topics", "expected a list of topics: [name, …]"),
    ("{job: [a]}", "job", "expected a single value, found a list"),
    ("{checkpoint: {max_records: many}}", "checkpoint.max_records", "is not a whole number"),
    ("{checkpoint: {max_records: -1}}", "checkpoint.max_records", "is not a whole number"),
    ("{checkpoint: {max_records: 1.5}}", "checkpoint.max_records", "\"1.5\" is not a whole number"),
    ("{kafka: {properties: {fetch.min.bytes: [1]}}}", "kafka.properties.fetch.min.bytes", "single value"),
    // Sizes and durations.
    ("{sink: {file: {target_size: 12 parsecs}}}", "sink.file.target_size", "\"12 parsecs\" is not a size"),
    ("{sink: {file: {target_size: 5GiB}}}", "sink.file.target_size", "choose from 4.0 KiB to 4.0 GiB"),
    ("{sink: {file: {target_size: -1}}}", "sink.file.target_size", "is not a size"),
    ("{memory: {limit: 1KB}}", "memory.limit", "out of bounds"),
    ("{checkpoint: {interval: 60}}", "checkpoint.interval", "\"60\" has no unit"),
    ("{checkpoint: {interval: soon}}", "checkpoint.interval", "is not a duration"),
    ("{checkpoint: {interval: 0}}", "checkpoint.interval", "out of bounds"),
    ("{checkpoint: {retained: 901}}", "checkpoint.retained", "choose from 1 to 900"),
    ("{checkpoint: {retained: 0}}", "checkpoint.retained", "choose from 1 to 900"),
    // Names.
    ("{job: _orders}", "job", "begins with '_' or '.'"),
    ("{job: a/b}", "job", "characters that a folder's name may not"),
    ("{job: ''}", "job", "is empty"),
    ("{sink: {table: 'a/b'}}", "sink.table", "characters"),
    ("{sink: {table: '{topic}{topic}'}}", "sink.table", "more than once"),
    ("{sink: {table: '{partition}'}}", "sink.table", "the only one is {topic}"),
    ("{kafka: {topics: [__orders]}}", "sink.table", "hides a folder"),
    ("{kafka: {topics: ['a b']}}", "kafka.topics[0]", "is not a topic's name"),
    ("{kafka: {topics: [a, a]}}", "kafka.topics[1]", "second time"),
    ("{kafka: {topics: []}}", "kafka.topics", "names no topic"),
    ("{kafka: {topics_regex: 'a.*'}}", "kafka.topics_regex", "both topics and topics_regex"),
    ("{kafka: {topics: null, topics_regex: 'a('}}", "kafka.topics_regex", "unclosed group"),
    ("{kafka: {topics: null, topics_regex: 'a\\d+'}}", "kafka.topics_regex", "librdkafka does not know"),
    ("{kafka: {topics: null, topics_regex: '(?i)a'}}", "kafka.topics_regex", "librdkafka does not know"),
    ("{kafka: {topics: null, topics_regex: '[a\\.]'}}", "kafka.topics_regex", "takes it literally"),
    ("{kafka: {topics: null, topics_regex: '[--a]'}}", "kafka.topics_regex", "librdkafka does not know"),
    ("{kafka: {topics: null}}", "kafka.topics", "is missing"),
    // Kafka.
    ("{kafka: {bootstrap_servers: localhost}}", "kafka.bootstrap_servers", "host:port"),
    ("{kafka: {start: yesterday}}", "kafka.start", "earliest"),
    ("{kafka: {start: {timestamp: yesterday}}}", "kafka.start.timestamp", "is not a time"),
    ("{kafka: {start: {offsets: {a: {x: 1}}}}}", "kafka.start.offsets.a.x", "not a partition"),
    ("{kafka: {start: {after: 1}}}", "kafka.start", "does not say where to start"),
    ("{kafka: {start: {offsets: {a: {0: -1}}}}}", "kafka.start.offsets.a.0", "is not a whole number"),
    ("{kafka: {start: {offsets: {a: {0: 1, '00': 2}}}}}", "kafka.start.offsets.a.00", "partition again"),
    (
        "{kafka: {properties: {fetch.min.bytes: '${TEST}1k'}}}",
        "kafka.properties.fetch.min.bytes",
        "not a plain number",
    ),
    (
        "{kafka: {properties: {isolation.level: a}}}",
        "kafka.properties.isolation.level",
        "belongs to Tidegate",
    ),
    ("{kafka: {properties: {group.id: a}}}", "kafka.properties.group.id", "set kafka.group_id"),
    ("{kafka: {properties: {auto.offset.reset: a}}}", "kafka.properties.auto.offset.reset", "kafka.start"),
    (
        "{kafka: {properties: {topic.auto.offset.reset: a}}}",
        "kafka.properties.topic.auto.offset.reset",
        "kafka.start",
    ),
    ("{kafka: {properties: {enable.auto.comit: a}}}", "kafka.properties.enable.auto.comit", "No such"),
    (
        "{kafka: {properties: {fetch.min.bytes: 0}}}",
        "kafka.properties.fetch.min.bytes",
        "outside allowed range",
    ),
    // Format.
    ("{format: {type: xml}}", "format.type", "write one of: json, raw"),
    ("{format: {metadata: [ofset]}}", "format.metadata[0]", "did you mean offset?"),
    ("{format: {metadata: [key, key]}}", "format.metadata[1]", "second time"),
    ("{format: {unknown: add}}", "format.unknown", "not built"),
    ("{format: {unknown: warm}}", "format.unknown", "did you mean warn?"),
    ("{format: {type: raw, unknown: warn}}", "format.unknown", "raw has none"),
    ("{format: {columns: [{name: a, type: int, path: $.a.b}]}}", "format.columns[0].path", "JSONPath"),
    ("{format: {columns: [{name: a, type: int, path: 'l[0].b'}]}}", "format.columns[0].path", "an index"),
    ("{format: {columns: [{name: a, type: int, path: /a/b}]}}", "format.columns[0].path", "JSON Pointer"),
    ("{format: {columns: [{name: a, type: int, path: a..b}]}}", "format.columns[0].path", "an empty key"),
    ("{format: {columns: []}}", "format.columns", "names no column"),
    ("{format: {columns: [{name: a}]}}", "format.columns[0].type", "is missing"),
    (
        "{format: {columns: [{name: a, type: string}, {name: a, type: int64}]}}",
        "format.columns[1].name",
        "another column",
    ),
    (
        "{format: {metadata: [key], columns: [{name: _key, type: string}]}}",
        "format.columns[0].name",
        "another column",
    ),
    ("{format: {columns: [{name: a, type: strng}]}}", "format.columns[0].type", "string"),
    ("{format: {columns: [{name: a, type: 'list<int'}]}}", "format.columns[0].type", "missing"),
    ("{format: {type: raw, columns: [{name: a, type: string}]}}", "format.columns", "the one column value"),
    // Sink.
    ("{sink: {url: /warehouse}}", "sink.url", "write file:///path"),
    ("{sink: {url: 'file://warehouse'}}", "sink.url", "three slashes"),
    ("{sink: {url: 'file:///'}}", "sink.url", "three slashes"),
    ("{sink: {url: 'ftp://a/b'}}", "sink.url", "use file, s3, gs or az"),
    ("{sink: {url: 's3:///b'}}", "sink.url", "names no bucket"),
    ("{sink: {url: 's3://key:word@b/c'}}", "sink.url", "move them to sink.store"),
    ("{sink: {url: 'file:///a/../b'}}", "sink.url", ".. folder"),
    ("{checkpoint: {state: 's3://other/state'}}", "checkpoint.state", "another store"),
    ("{sink: {file: {compression: zstd(23)}}}", "sink.file.compression", "zstd(1) to zstd(22)"),
    ("{sink: {file: {compression: zstd(0)}}}", "sink.file.compression", "level out of bounds"),
    ("{sink: {file: {compression: brotli}}}", "sink.file.compression", "is not a compression"),
    ("{sink: {file: {compression: snappy(1)}}}", "sink.file.compression", "is not a compression"),
    ("{sink: {file: {compression: 'gzip(1'}}}", "sink.file.compression", "is not a compression"),
    ("{sink: {partition_by: ['day(']}}", "sink.partition_by[0]", "closing parenthesis"),
    ("{sink: {partition_by: ['week(ts)']}}", "sink.partition_by[0]", "is not a folder level"),
    ("{sink: {partition_by: ['bucket(ts)']}}", "sink.partition_by[0]", "number of buckets"),
    ("{sink: {partition_by: ['bucket(0, ts)']}}", "sink.partition_by[0]", "number of buckets"),
    ("{sink: {partition_by: [_offset]}}", "sink.partition_by[0]", "list it under format.metadata"),
    ("{sink: {partition_by: ['day(a)', 'day(a)']}}", "sink.partition_by[1]", "stands there already"),
    (
        "{format: {columns: [{name: ts, type: string}]}, sink: {partition_by: ['day(ts)']}}",
        "sink.partition_by[0]",
        "does not fit",
    ),
    (
        "{format: {columns: [{name: a, type: string}]}, sink: {partition_by: [a], partition_columns: folder}}",
        "sink.partition_by",
        "no column is left for the files",
    ),
    (
        "{format: {columns: [{name: user, type: string}]}, sink: {partition_by: [usr]}}",
        "sink.partition_by[0]",
        "did you mean user?",
    ),
    // Running.
    ("{http: {listen: 'localhost:8080'}}", "http.listen", "write an IP address and a port"),
    ("{http: {token: abc}}", "http.token", "is shorter than 16 characters"),
    ("{http: {token: '${TEST}'}}", "http.token", "is shorter than 16 characters"),
    ("{http: {token: 'sixteen letters and blanks'}}", "http.token", "a header does not carry"),
    ("{http: {tls: {cert: /a}}}", "http.tls.key", "is missing"),
    ("{http: {tls: {key: /b, cert: ''}}}", "http.tls.cert", "name both PEM files"),
    ("{log: {level: inffo}}", "log.level", "is not a log level"),
    ("{log: {format: xml}}", "log.format", "auto, text, json"),
    ("{rejects: {to: nowhere}}", "rejects.to", "write one of: files"),
    ("{control: {poll: 1ms}}", "control.poll", "choose from 100ms"),
    ("{rejects: {to: {topic: orders}}}", "rejects.to.topic", "names a topic that the job reads"),
    (
        "{kafka: {topics: null, topics_regex: 'or.*'}, rejects: {to: {topic: orders}}}",
        "rejects.to.topic",
        "names a topic that the job reads",
    ),
    ("{rejects: {to: {topic: 'a b'}}}", "rejects.to.topic", "is not a topic's name"),
    ("{rejects: {to: {topc: dead}}}", "rejects.to.topic", "is missing"),
    ("{error_limit: {ratio: 1.5}}", "error_limit.ratio", "from 0 to 1"),
    ("{error_limit: {ratio: NaN}}", "error_limit.ratio", "from 0 to 1"),
    ("{error_limit: {window: 5m}}", "error_limit.window", "set error_limit.ratio too"),
    ("{error_limit: {ratio: 0.1, window: 10ms}}", "error_limit.window", "1s"),
    ("{savepoints: {every: 60}}", "savepoints.every", "has no unit"),
    ("{savepoints: {every: 10ms}}", "savepoints.every", "choose from 1s"),
    ("{savepoints: {to: '/backup'}}", "savepoints.to", "write file:///path"),
    ("{savepoints: {to: 's3://key:word@b/c'}}", "savepoints.to", "carries credentials"),
    ("{savepoints: {retained: many}}", "savepoints.retained", "is not a whole number"),
    // Timeouts that do not fit one another.
    (
        "{timeouts: {revoke: 6m}, kafka: {properties: {max.poll.interval.ms: 300000}}}",
        "timeouts.revoke",
        "max.poll.interval.ms (5m)",
    ),
    (
        "{kafka: {transaction_timeout: 20s, properties: {socket.timeout.ms: 30000}}}",
        "kafka.transaction_timeout",
        "socket.timeout.ms",
    ),
    // Named, and not built yet.
    ("{format: {type: avro}}", "format.type", "\"avro\" as a format is not built yet"),
    ("{format: {type: debezium-json}}", "format.type", "not built yet"),
    ("{sink: {type: iceberg}}", "sink.type", "\"iceberg\" as a sink is not built yet"),
    ("{sink: {type: mysql}}", "sink.type", "\"mysql\" as a sink is not built yet"),
    ("{tables: [{name: a, topics: [orders]}]}", "tables", "not built yet; leave it out"),
    ("{unrouted: reject}", "unrouted", "not built yet"),
    ("{format: {envelope: debezium}}", "format.envelope", "not built yet"),
    ("{sink: {write: upsert}}", "sink.write", "not built yet"),
    ("{tabels: []}", "tabels", "unknown key"),
    // Substitution.
    ("{kafka: {group_id: '${NO_SUCH}'}}", "kafka.group_id", "the environment has no variable NO_SUCH"),
    ("{kafka: {group_id: '${file:/no/such}'}}", "kafka.group_id", "cannot read the file /no/such"),
    ("{kafka: {group_id: '${TEST'}}", "kafka.group_id", "without its \"}\""),
    ("{kafka: {group_id: '${}'}}", "kafka.group_id", "names no variable"),
];

#[test]
fn each_mistake_is_named_with_its_place_and_its_remedy() {
    for (addition, path, message) in BAD {
        let Err(errors) = parse(&with(addition)) else { panic!("accepted: {addition}") };
        let error = errors.errors.iter().find(|error| error.path == *path);
        let Some(error) = error else { panic!("{addition}: nothing about {path} in\n{errors}") };
        let text = error.to_string();
        assert!(text.contains(message), "{addition}: {message:?} is not in\n{text}");
        assert!(!error.remedy.is_empty(), "{addition}: no remedy");
    }
}

#[test]
fn the_minimal_job_is_what_the_mistakes_are_laid_over() {
    parse(MINIMAL).unwrap();
    parse(&with("{kafka: {group_id: '${TEST}x'}}")).unwrap();
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let text = "
job: orders
kafka:
  bootstrap_servers: localhost
  topics: [a, 'b c']
sink:
  file: {target_sise: 1}
speed: {channels: -1}
";
    let errors = parse(text).unwrap_err();
    let found: Vec<_> = errors.errors.iter().map(|error| (error.path.as_str(), error.line)).collect();
    let expected = [
        ("kafka.bootstrap_servers", Some(4)),
        ("kafka.topics[1]", Some(5)),
        ("sink.url", Some(7)),
        ("sink.file.target_sise", Some(7)),
        ("speed.channels", Some(8)),
    ];
    for entry in &expected {
        assert!(found.contains(entry), "{entry:?} is not in {found:?}");
    }
    assert_eq!(found.len(), expected.len(), "{errors}");
}

#[test]
fn bad_yaml_is_told_with_its_line() {
    for (text, line) in
        [("a: [1", 1), ("job: a\njob: b\n", 2), ("a: b\n  c: d\n", 2), ("a: 1\n---\nb: 2\n", 2)]
    {
        let errors = parse(text).unwrap_err();
        assert_eq!(errors.errors.len(), 1, "{text:?}: {errors}");
        let found = errors.errors[0].line.unwrap_or(0);
        assert!(found.abs_diff(line) <= 1, "{text:?}: line {found}: {errors}");
    }
    let unquoted = parse("http: {token: ${VAR}}").unwrap_err().to_string();
    assert!(unquoted.contains("quotes around ${"), "{unquoted}");
    assert!(parse("").unwrap_err().to_string().contains("job (line 1): is missing"));
    assert!(parse("5").unwrap_err().to_string().contains("expected a map"));
    let deep = "[".repeat(10_000);
    assert!(parse(&deep).is_err());
    let wide = "a: b #".to_owned() + &"x".repeat(2 << 20);
    assert!(parse(&wide).unwrap_err().to_string().contains("larger than"));
}

/// Every place of a job file at which a value may stand.
const PLACES: &[&str] = &[
    "{kafka: {bootstrap_servers: X}}",
    "{kafka: {topics: [X]}}",
    "{kafka: {topics: null, topics_regex: X}}",
    "{kafka: {start: X}}",
    "{kafka: {start: {timestamp: X}}}",
    "{kafka: {start: {offsets: {orders: {0: X}}}}}",
    "{kafka: {on_data_loss: X}}",
    "{kafka: {properties: {sasl.password: X}}}",
    "{kafka: {properties: {client.rack: X}}}",
    "{kafka: {properties: {fetch.min.bytes: X}}}",
    "{kafka: {properties: {security.protocol: X}}}",
    "{kafka: {transaction_timeout: X}}",
    "{format: {type: X}}",
    "{format: {metadata: [X]}}",
    "{format: {columns: [{name: a, type: X}]}}",
    "{sink: {type: X}}",
    "{sink: {url: X}}",
    "{sink: {store: {secret_access_key: X}}}",
    "{sink: {store: {region: X}}}",
    "{sink: {store: {credentials: {secret_access_key: X}}}}",
    "{sink: {mode: X}}",
    "{sink: {partition_by: ['day(a)', X]}}",
    "{sink: {file: {target_size: X}}}",
    "{sink: {file: {compression: X}}}",
    "{checkpoint: {interval: X}}",
    "{checkpoint: {state: X}}",
    "{speed: {bytes_per_second: X}}",
    "{error_limit: {records: X}}",
    "{error_limit: {ratio: X}}",
    "{rejects: {to: X}}",
    "{rejects: {to: {topic: X}}}",
    "{http: {token: X}}",
    "{http: {listen: X}}",
    "{log: {level: X}}",
];

#[test]
fn what_came_by_substitution_is_never_shown() {
    let secret = "hunter2!()";
    for place in PLACES {
        let text = with(&place.replace('X', "'${TEST}'"));
        let shown = match parse_with(&text, secret) {
            Ok(config) => format!("{config:?} {}", config.redacted()),
            Err(errors) => format!("{errors} {errors:?}"),
        };
        assert!(!shown.contains("hunter2"), "{place}: {shown}");
    }
}

#[test]
fn secrets_written_into_the_file_are_never_shown() {
    let text = with(
        "{kafka: {properties: {sasl.password: hunter2, ssl.key.password: hunter2}},
          sink: {store: {secret_access_key: hunter2, credentials: {token: hunter2}, region: here}},
          http: {token: hunter2hunter2hunter2}}",
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.kafka.properties["sasl.password"], "hunter2");
    assert_eq!(config.sink.store["secret_access_key"], "hunter2");
    assert_eq!(config.sink.store["token"], "hunter2");
    let shown = format!("{config:?} {:?} {:?} {:?}", config.kafka, config.sink, config.http);
    assert!(!shown.contains("hunter2") && shown.contains("here"), "{shown}");
}

#[test]
fn secrets_in_the_wrong_place_are_not_repeated() {
    let with_credentials = with("{sink: {url: 's3://key:hunter2@bucket/folder'}}");
    for text in ["sink: {store: {secret_access_key: 'hunter2}}", &with_credentials] {
        let errors = parse(text).unwrap_err();
        assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{errors}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "([a-z${}:\\[\\],'\"\n &*#!|>0-9.-]| {2,4}|job: |kafka:\n|sink:\n|url: ){0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn arbitrary_values_never_panic(place in 0..PLACES.len(), text in any::<String>()) {
        let job = with(&PLACES[place].replace('X', "'${TEST}'"));
        let _ = parse_with(&job, &text);
    }
}
