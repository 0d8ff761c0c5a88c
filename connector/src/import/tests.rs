use super::*;
use crate::config::{Compression, Mode, Start, Table, Topics};

const ORDERS: &str = include_str!("../../../tests/fixtures/flinkx/orders_to_hdfs.json");
const HIVE: &str = include_str!("../../../tests/fixtures/flinkx/text_to_hive.json");
const EVENTS: &str = include_str!("../../../tests/fixtures/flinkx/chunjun_to_s3.json");
const BARE: &str = include_str!("../../../tests/fixtures/flinkx/bare.json");

fn imported(text: &str) -> (Config, Imported) {
    let imported = import(text, "job").unwrap_or_else(|error| panic!("{error}"));
    let config = Config::parse(&imported.text, &Origin(PathBuf::from("job.yaml"))).unwrap();
    (config, imported)
}

fn paths(imported: &Imported) -> Vec<&str> {
    imported.left.iter().map(|left| left.path.trim_start_matches("job.")).collect()
}

#[test]
fn a_whole_job_is_carried_over() {
    let (_, imported) = imported(ORDERS);
    let expected = "\
job: job
kafka:
  topics: [orders, refunds]
  bootstrap_servers: \"kafka-1:9092,kafka-2:9092\"
  properties:
    session.timeout.ms: \"30000\"
  group_id: warehouse
  start: latest
format:
  type: json
  columns:
    - {name: order_id, type: int64, path: id}
    - {name: ts, type: \"timestamp(us)\", format: \"%Y-%m-%d %H:%M:%S\"}
    - {name: amount, type: \"decimal(18,2)\"}
    - {name: shop, type: string}
sink:
  url: \"file:///user/hive/warehouse/shop.db\"
  table: orders
  file:
    compression: snappy
    target_size: 1073741824
  partition_by: [shop]
  partition_columns: folder
checkpoint:
  max_records: 10000
speed:
  bytes_per_second: 10485760
  channels: 3
error_limit:
  records: 100
  ratio: 0.005
log:
  level: warn
";
    assert_eq!(imported.text, expected);
    let (reader, writer) = ("content[0].reader.parameter", "content[0].writer.parameter");
    let expected = [
        format!("{reader}.consumerSettings.enable.auto.commit"),
        format!("{reader}.consumerSettings.max.poll.records"),
        format!("{reader}.consumerSettings.value.deserializer"),
        format!("{reader}.groupId"),
        format!("{reader}.mode"),
        format!("{writer}.defaultFS"),
        format!("{writer}.fieldDelimiter"),
        format!("{writer}.fileName"),
        format!("{writer}.hadoopConfig"),
        format!("{writer}.rowGroupSIze"),
        "setting.dirty".to_owned(),
        "setting.log.path".to_owned(),
        "setting.restore.restoreColumnName".to_owned(),
        "setting.speed.readerChannel".to_owned(),
        "setting.speed.writerChannel".to_owned(),
    ];
    assert_eq!(paths(&imported), expected);
}

#[test]
fn a_text_is_one_column_and_what_hive_does_is_told() {
    let (config, imported) = imported(HIVE);
    assert_eq!(config.format.kind.word, "raw");
    assert_eq!(config.format.columns.as_ref().unwrap()[0].name, "value");
    assert_eq!(config.kafka.start, Start::Timestamp(1_609_812_275_000));
    assert_eq!((config.sink.mode, config.sink.file.target_size), (Mode::Overwrite, 4 << 30));
    assert_eq!(config.sink.table, Table::Named("clicks".to_owned()));
    for path in ["fileType", "jdbcUrl", "maxFileSize", "partition", "partitionType", "password", "username"] {
        let path = format!("content[0].writer.parameter.{path}");
        assert!(paths(&imported).contains(&path.as_str()), "{path} in {:?}", imported.left);
    }
    assert!(!format!("{imported:?}").contains("correct horse"), "a secret is told");
}

#[test]
fn the_newer_form_is_read_and_the_rest_is_named() {
    let (config, imported) = imported(EVENTS);
    assert!(matches!(&config.kafka.topics, Topics::List(topics) if *topics == ["events.v1"]));
    let Start::Offsets(offsets) = &config.kafka.start else { panic!("{:?}", config.kafka.start) };
    assert_eq!(offsets["events.v1"].iter().map(|(p, o)| (*p, *o)).collect::<Vec<_>>(), [(0, 42), (1, 300)]);
    assert_eq!(config.kafka.properties["security.protocol"], "SASL_SSL");
    assert_eq!(
        (config.sink.url.as_str(), &config.sink.table),
        ("s3://lake/raw", &Table::Named("events".to_owned()))
    );
    assert_eq!(config.sink.file.compression, Compression::Zstd(1));
    let columns = config.format.columns.unwrap();
    let columns: Vec<_> =
        columns.iter().map(|column| (column.name.as_str(), column.type_name.as_str())).collect();
    let expected = [
        ("id", "int64"),
        ("tags", "list<string>"),
        ("detail", "struct<Kind: string, price: decimal(10,2)>"),
        ("place", "string"),
    ];
    assert_eq!(columns, expected);
    for path in [
        "content[0]",
        "content[1].reader.parameter.column[4]",
        "content[1].reader.parameter.consumerSettings.sasl.jaas.config",
        "content[1].reader.parameter.consumerSettings.ssl.truststore.password",
        "content[1].reader.parameter.deserialization",
        "content[1].reader.table",
        "content[1].transformer",
        "content[1].writer.parameter.column[3].type",
        "content[1].writer.parameter.compress",
        "note",
        "setting.metricPluginConf",
    ] {
        assert!(paths(&imported).contains(&path), "{path} in {:#?}", imported.left);
    }
    assert!(!format!("{imported:?}").contains("correct horse"), "a secret is told");
}

#[test]
fn what_is_missing_is_filled_in_and_told() {
    let (config, imported) = imported(BARE);
    assert_eq!(
        (config.kafka.bootstrap_servers.as_str(), config.sink.url.as_str()),
        ("localhost:9092", "file:///warehouse")
    );
    let reasons: Vec<_> =
        imported.left.iter().map(|left| (left.path.as_str(), left.reason.as_str())).collect();
    assert!(
        reasons.iter().any(|(path, why)| *path == "kafka.bootstrap_servers" && why.contains("complete")),
        "{reasons:?}"
    );
    assert!(paths(&imported).contains(&"content.writer.name"), "{reasons:?}");
}

#[test]
fn a_default_gives_way_to_a_property_that_is_carried_over() {
    let text = ORDERS.replace("session.timeout.ms\": \"30000\"", "max.poll.interval.ms\": \"1000\"");
    let (config, imported) = imported(&text);
    assert_eq!(config.kafka.properties["max.poll.interval.ms"], "1000");
    assert!(!imported.left.iter().any(|left| left.path.ends_with("max.poll.interval.ms")), "{imported:?}");
}

#[test]
fn of_two_settings_that_contradict_each_other_one_is_left() {
    let text = ORDERS.replace(
        "session.timeout.ms\": \"30000\"",
        "session.timeout.ms\": \"30000\", \"heartbeat.interval.ms\": \"40000\"",
    );
    let (config, imported) = imported(&text);
    assert_eq!(config.kafka.properties["session.timeout.ms"], "30000");
    let left = imported.left.iter().find(|left| left.path.ends_with("heartbeat.interval.ms")).unwrap();
    assert!(left.reason.contains("session.timeout.ms"), "{left:?}");
}

#[test]
fn topics_may_be_a_list_under_a_name_of_their_own() {
    for (topics, expected) in [
        (r#""topics": ["in_a", "in_b"]"#, &["in_a", "in_b"][..]),
        (r#""topics": "in_a,in_b""#, &["in_a", "in_b"]),
        (r#""topic": "in_a", "topics": ["in_b", "in_a", 5]"#, &["in_a", "in_b"]),
    ] {
        let text = serde_json::json!({"job": {"content": [{"reader": {"name": "kafkareader", "parameter":
            serde_json::from_str::<Value>(&format!("{{{topics}}}")).unwrap()}}]}});
        let (config, imported) = imported(&text.to_string());
        assert!(matches!(&config.kafka.topics, Topics::List(topics) if topics == expected), "{topics}");
        let five = paths(&imported).contains(&"content[0].reader.parameter.topics[2]");
        assert_eq!(five, topics.contains('5'), "{imported:?}");
    }
}

#[test]
fn a_negative_limit_is_none_and_what_another_mode_decides_is_told() {
    let text = ORDERS.replace("\"bytes\": 10485760", "\"bytes\": -1048576");
    let (config, imported) = imported(&text);
    assert_eq!(config.speed.bytes_per_second, 0);
    let reason = |imported: &Imported, path: &str| {
        imported.left.iter().find(|left| left.path.ends_with(path)).map(|left| left.reason.clone())
    };
    assert!(reason(&imported, "speed.bytes").unwrap().contains("no limit"), "{imported:?}");
    let text = serde_json::json!({"job": {"content": [{"reader": {"name": "kafkareader", "parameter": {
        "topic": "t", "mode": "latest-offset", "timestamp": 1000, "offset": "partition:0,offset:1"}}}]}});
    let (config, imported) = self::imported(&text.to_string());
    assert_eq!(config.kafka.start, Start::Latest);
    for path in ["timestamp", "offset"] {
        assert!(reason(&imported, path).unwrap().contains("does not apply"), "{imported:?}");
    }
}

#[test]
fn properties_of_the_java_client_get_their_names_here() {
    let text = ORDERS.replace("session.timeout.ms\": \"30000\"", "fetch.max.wait.ms\": \"100\"");
    let (config, _) = imported(&text);
    assert_eq!(config.kafka.properties["fetch.wait.max.ms"], "100");
}

#[test]
fn what_is_no_job_is_refused() {
    for (text, problem) in [
        ("job: orders", "not JSON"),
        ("{}", "no job.content"),
        ("{\"job\": {\"content\": []}}", "no Kafka reader"),
        (&ORDERS.replace("kafka11reader", "mysqlreader"), "no Kafka reader (its readers: mysqlreader)"),
    ] {
        let error = import(text, "job").unwrap_err();
        assert!(matches!(error, ImportError::Unfit(_)) && error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn a_name_is_made_fit_and_a_dollar_sign_stays_one() {
    let text = ORDERS.replace("\"warehouse\"", "\"a${HOME}b\"");
    let imported = import(&text, "_Köln job.").unwrap();
    assert!(imported.text.starts_with("job: K-ln-job\n"), "{}", imported.text);
    let config = Config::parse(&imported.text, &Origin(PathBuf::from("job.yaml"))).unwrap();
    assert_eq!(config.kafka.group_id, "a${HOME}b");
}

mod whatever {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!("parquet")),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("([a-zA-Z.]{1,8}|.{1,4})", inner, 0..4)
                    .prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever stands at any known key, what comes out checks.
        #[test]
        fn stands_there_it_checks(place in 0..24_usize, value in any_value()) {
            let places = [
                "/job/setting", "/job/setting/speed", "/job/setting/speed/bytes", "/job/setting/errorLimit/record",
                "/job/setting/errorLimit/percentage", "/job/setting/restore/maxRowNumForCheckpoint", "/job/setting/log/level",
                "/job/content/0/writer", "/job/content/0/writer/name", "/job/content/0/writer/parameter/path",
                "/job/content/0/writer/parameter/defaultFS", "/job/content/0/writer/parameter/column",
                "/job/content/0/writer/parameter/column/0", "/job/content/0/writer/parameter/column/1/type",
                "/job/content/0/writer/parameter/column/1/name", "/job/content/0/writer/parameter/maxFileSize",
                "/job/content/0/reader/parameter", "/job/content/0/reader/parameter/topic",
                "/job/content/0/reader/parameter/codec", "/job/content/0/reader/parameter/column",
                "/job/content/0/reader/parameter/column/0/name", "/job/content/0/reader/parameter/consumerSettings",
                "/job/content/0/reader/parameter/consumerSettings/bootstrap.servers",
                "/job/content/0/reader/parameter/groupId",
            ];
            let mut job: Value = serde_json::from_str(&json::plain(ORDERS)).unwrap();
            *job.pointer_mut(places[place]).unwrap() = value;
            let outcome = import(&job.to_string(), "job");
            prop_assert!(outcome.is_ok(), "{}: {}", places[place], outcome.unwrap_err());
        }
    }
}

/// Columns go by their places, so one that is left out must not move those behind it.
#[test]
fn a_column_of_one_value_moves_no_other() {
    let job = |written: &str| {
        let read = r#"[{"name": "id", "type": "bigint"}, {"name": "etl", "type": "string", "value": "x"},
            {"name": "at", "type": "timestamp", "format": "dd.MM.yyyy HH:mm"}]"#;
        let text = format!(
            r#"{{"job": {{"content": [{{
                "reader": {{"name": "kafkareader", "parameter": {{"topic": "t", "codec": "json", "column": {read},
                    "consumerSettings": {{"bootstrap.servers": "b:1"}}}}}},
                "writer": {{"name": "hdfswriter", "parameter": {{"path": "/w/t", "column": {written}}}}}
            }}]}}}}"#
        );
        imported(&text)
    };
    let names = |config: &Config| {
        let columns = config.format.columns.clone().unwrap().into_iter();
        columns.map(|column| (column.name, column.path, column.reading.format)).collect::<Vec<_>>()
    };
    let at = Some("%d.%m.%Y %H:%M".to_owned());
    let expected = [("a".into(), Some("id".into()), None), ("c".into(), Some("at".into()), at)];
    for written in [r#"["a:bigint", "b:string", "c:timestamp"]"#, r#"["a:bigint", "c:timestamp"]"#] {
        let (config, imported) = job(written);
        assert_eq!(names(&config), expected, "{written}");
        assert!(imported.left.iter().any(|left| left.reason.contains("one value")), "{written}");
    }
    let (_, imported) = job(r#"["a:bigint"]"#);
    assert!(paths(&imported).iter().any(|path| path.ends_with("column[2].format")), "its format is told");
}
