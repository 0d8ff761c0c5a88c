//! Values that are taken, and what they become.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{Compression, Start, Table, Topics, Transform};
use super::{parse, parse_with, with};

#[test]
fn sizes_carry_units() {
    for (text, bytes) in [
        ("8192", 8_192),
        ("10KB", 10_000),
        ("10KiB", 10_240),
        ("1MB", 1_000_000),
        ("1MiB", 1 << 20),
        ("1.5 MiB", 3 << 19),
        ("4GiB", 4 << 30),
    ] {
        let config = parse(&with(&format!("{{sink: {{file: {{target_size: {text}}}}}}}"))).unwrap();
        assert_eq!(config.sink.file.target_size, bytes, "{text}");
    }
}

#[test]
fn durations_carry_units() {
    for (text, milliseconds) in
        [("250ms", 250), ("60s", 60_000), ("1m 30s", 90_000), ("10m", 600_000), ("1h", 3_600_000)]
    {
        let config = parse(&with(&format!("{{checkpoint: {{interval: {text}}}}}"))).unwrap();
        assert_eq!(config.checkpoint.interval, Duration::from_millis(milliseconds), "{text}");
    }
    let config = parse(&with("{http: {ready_max_commit_age: 0}}")).unwrap();
    assert_eq!(config.http.ready_max_commit_age, Duration::ZERO);
}

proptest! {
    #[test]
    fn any_size_in_bytes_is_what_it_says(bytes in 0..=u64::MAX) {
        let config = parse(&with(&format!("{{speed: {{bytes_per_second: {bytes}}}}}"))).unwrap();
        prop_assert_eq!(config.speed.bytes_per_second, bytes);
    }

    #[test]
    fn any_whole_number_of_mebibytes_is_exact(count in 0_u64..1 << 40) {
        let config = parse(&with(&format!("{{speed: {{bytes_per_second: {count}MiB}}}}"))).unwrap();
        prop_assert_eq!(config.speed.bytes_per_second, count << 20);
    }
}

#[test]
fn scalars_keep_their_spelling() {
    let text = "
job: 0042
kafka:
  bootstrap_servers: localhost:9092
  topics: [007, 1e3, true]
  properties: {client.rack: 0x1F}
sink:
  url: file:///warehouse
  store: {access_key_id: 0123, path_style: true}
";
    let config = parse(text).unwrap();
    assert_eq!(config.job, "0042");
    assert_eq!(config.kafka.topics, Topics::List(vec!["007".into(), "1e3".into(), "true".into()]));
    assert_eq!(config.kafka.properties["client.rack"], "0x1F");
    assert_eq!(config.sink.store["access_key_id"], "0123");
    assert_eq!(config.sink.store["path_style"], "true");
}

#[test]
fn substitution_reads_variables_and_files() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from a file\n").unwrap();
    let text = with(&format!(
        "{{sink: {{store: {{a: 'x-${{TEST}}-y', b: '${{file:{}}}', c: '$$${{TEST}}$', d: '$${{TEST}}'}}}}}}",
        file.path().display()
    ));
    let config = parse_with(&text, "${NOT}").unwrap();
    assert_eq!(config.sink.store["a"], "x-${NOT}-y");
    assert_eq!(config.sink.store["b"], "from a file");
    assert_eq!(config.sink.store["c"], "$${NOT}$");
    assert_eq!(config.sink.store["d"], "${TEST}");
    assert!(config.redacted()["sink"]["store"]["a"].as_str().is_some_and(|shown| shown == "x-${TEST}-y"));
}

#[test]
fn substitution_reaches_numbers_and_lists() {
    let text = with("{kafka: {topics: ['${TEST}']}, speed: {bytes_per_second: '${TEST}'}}");
    let config = parse_with(&text, "12").unwrap();
    assert_eq!(config.kafka.topics, Topics::List(vec!["12".into()]));
    assert_eq!(config.speed.bytes_per_second, 12);
}

#[test]
fn defaults_follow_from_other_keys() {
    let config = parse(&with("{sink: {url: 's3://bucket/lake//'}}")).unwrap();
    assert_eq!(config.kafka.group_id, "tidegate-orders");
    assert_eq!(config.sink.url, "s3://bucket/lake");
    assert_eq!(config.checkpoint.state, "s3://bucket/lake/_tidegate/orders");
    assert_eq!(config.format.kind.word, "json");
    assert_eq!(config.sink.table.name("a").unwrap(), "a");
    assert!(config.speed.channels >= 1);
    assert_eq!(config.memory_limit, 256 << 20);
    assert_eq!(config.sink.file.compression, Compression::Zstd(1));
    assert_eq!(parse(&with("{memory: {limit: 64MiB}}")).unwrap().speed.channels, 1);
}

#[test]
fn patterns_of_topics_are_kept_as_written() {
    let config = parse(&with("{kafka: {topics: null, topics_regex: 'shop\\.(a|b)[0-9]+'}}")).unwrap();
    assert_eq!(config.kafka.topics, Topics::Regex("shop\\.(a|b)[0-9]+".into()));
}

#[test]
fn starts_are_read() {
    let start = |text: &str| parse(&with(&format!("{{kafka: {{start: {text}}}}}"))).unwrap().kafka.start;
    assert_eq!(start("latest"), Start::Latest);
    assert_eq!(start("{timestamp: 1700000000000}"), Start::Timestamp(1_700_000_000_000));
    assert_eq!(start("{timestamp: '1970-01-01T00:00:01+00:00'}"), Start::Timestamp(1_000));
    let Start::Offsets(offsets) = start("{offsets: {orders: {0: 123, 7: 9}}}") else { panic!("no offsets") };
    assert_eq!(offsets["orders"], [(0, 123), (7, 9)].into());
}

#[test]
fn tables_and_folders_are_read() {
    let text = "{sink: {table: 'raw_{topic}.v1', partition_by: ['day(ts)', 'bucket(16, user_id)', country]}}";
    let config = parse(&with(text)).unwrap();
    assert_eq!(config.sink.table, Table::ByTopic { prefix: "raw_".into(), suffix: ".v1".into() });
    assert_eq!(config.sink.table.name("__x").unwrap(), "raw___x.v1");
    assert!(Table::ByTopic { prefix: String::new(), suffix: String::new() }.name("__x").is_err());
    let fields: Vec<_> =
        config.sink.partition_by.iter().map(|field| (field.transform, field.column.as_str())).collect();
    let expected =
        [(Transform::Day, "ts"), (Transform::Bucket(16), "user_id"), (Transform::Identity, "country")];
    assert_eq!(fields, expected);
}

#[test]
fn an_error_limit_by_ratio_takes_the_place_of_the_one_by_count() {
    let limit = |section: &str| {
        let config = parse(&with(&format!("{{error_limit: {section}}}"))).unwrap();
        (config.error_limit.records, config.error_limit.ratio, config.error_limit.window)
    };
    let window = Some(Duration::from_secs(300));
    assert_eq!(limit("{}"), (Some(0), None, None));
    assert_eq!(limit("{ratio: 0.01}"), (None, Some(0.01), None));
    assert_eq!(limit("{ratio: 0.01, window: 5m}"), (None, Some(0.01), window));
    assert_eq!(limit("{records: 7, ratio: 0, window: 5m}"), (Some(7), Some(0.0), window));
}
