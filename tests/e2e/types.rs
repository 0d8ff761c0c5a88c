//! Each type of the grammar at each depth, as Parquet's own types say it and as independent readers show it.
//! What a reader by Arrow makes of a file proves nothing: Arrow's schema lies in it.

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use serde_json::{Value, json};
use std::time::Duration;
use tidegate_testcontainers::Kafka;

use crate::readers;
use crate::support::{Job, Place, Program, Settings, unique};

/// A type, a value as records have it, the physical and the logical type of
/// Parquet, and what pyarrow and DuckDB show.
type Case = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const CASES: [Case; 26] = [
    ("bool", "true", "BOOLEAN", "None", "true", "true"),
    ("int8", "-8", "INT32", "Int(bitWidth=8, isSigned=true)", "-8", "-8"),
    ("int16", "-16", "INT32", "Int(bitWidth=16, isSigned=true)", "-16", "-16"),
    ("int32", "-32", "INT32", "None", "-32", "-32"),
    ("int64", "-64", "INT64", "None", "-64", "-64"),
    ("uint8", "8", "INT32", "Int(bitWidth=8, isSigned=false)", "8", "8"),
    ("uint16", "16", "INT32", "Int(bitWidth=16, isSigned=false)", "16", "16"),
    ("uint32", "4294967295", "INT32", "Int(bitWidth=32, isSigned=false)", "4294967295", "4294967295"),
    (
        "uint64",
        "18446744073709551615",
        "INT64",
        "Int(bitWidth=64, isSigned=false)",
        "18446744073709551615",
        "18446744073709551615",
    ),
    ("float", "0.5", "FLOAT", "None", "0.5", "0.5"),
    ("double", "0.25", "DOUBLE", "None", "0.25", "0.25"),
    ("string", "\"ä\"", "BYTE_ARRAY", "String", "\"ä\"", "\"ä\""),
    ("json", "{\"a\":[1]}", "BYTE_ARRAY", "String", "\"{\\\"a\\\":[1]}\"", "\"{\\\"a\\\":[1]}\""),
    ("binary", "\"/w==\"", "BYTE_ARRAY", "None", "\"ff\"", "\"ff\""),
    ("date", "\"2026-01-31\"", "INT32", "Date", "\"2026-01-31\"", "\"2026-01-31\""),
    (
        "time(s)",
        "\"08:00:01\"",
        "INT32",
        "Time(isAdjustedToUTC=false, timeUnit=milliseconds)",
        "\"08:00:01\"",
        "\"08:00:01\"",
    ),
    (
        "time(ms)",
        "\"08:00:00.001\"",
        "INT32",
        "Time(isAdjustedToUTC=false, timeUnit=milliseconds)",
        "\"08:00:00.001000\"",
        "\"08:00:00.001000\"",
    ),
    (
        "time(us)",
        "\"08:00:00.000001\"",
        "INT64",
        "Time(isAdjustedToUTC=false, timeUnit=microseconds)",
        "\"08:00:00.000001\"",
        "\"08:00:00.000001\"",
    ),
    (
        "timestamp(s)",
        "\"2026-01-31T08:00:01\"",
        "INT64",
        "Timestamp(isAdjustedToUTC=false, timeUnit=milliseconds)",
        "\"2026-01-31T08:00:01\"",
        "\"2026-01-31T08:00:01\"",
    ),
    (
        "timestamp(s, UTC)",
        "1769846401",
        "INT64",
        "Timestamp(isAdjustedToUTC=true, timeUnit=milliseconds)",
        "\"2026-01-31T08:00:01+00:00\"",
        "\"2026-01-31T08:00:01+00:00\"",
    ),
    (
        "timestamp(ms)",
        "\"9999-12-31T23:59:59.999\"",
        "INT64",
        "Timestamp(isAdjustedToUTC=false, timeUnit=milliseconds)",
        "\"9999-12-31T23:59:59.999000\"",
        "\"9999-12-31T23:59:59.999000\"",
    ),
    (
        "timestamp(ms, Europe/Berlin)",
        "\"2026-01-31T09:00:01\"",
        "INT64",
        "Timestamp(isAdjustedToUTC=true, timeUnit=milliseconds)",
        "\"2026-01-31T09:00:01+01:00\"",
        "\"2026-01-31T08:00:01+00:00\"",
    ),
    (
        "timestamp(us)",
        "\"0001-01-01T00:00:00.000001\"",
        "INT64",
        "Timestamp(isAdjustedToUTC=false, timeUnit=microseconds)",
        "\"0001-01-01T00:00:00.000001\"",
        "\"0001-01-01T00:00:00.000001\"",
    ),
    (
        "timestamp(us, +02:00)",
        "\"2026-01-31T08:00:00.000001Z\"",
        "INT64",
        "Timestamp(isAdjustedToUTC=true, timeUnit=microseconds)",
        "\"2026-01-31T10:00:00.000001+02:00\"",
        "\"2026-01-31T08:00:00.000001+00:00\"",
    ),
    ("decimal(9,2)", "1.5", "INT32", "Decimal(precision=9, scale=2)", "\"1.50\"", "\"1.50\""),
    (
        "decimal(38,10)",
        "\"-1.5\"",
        "FIXED_LEN_BYTE_ARRAY",
        "Decimal(precision=38, scale=10)",
        "\"-1.5000000000\"",
        "\"-1.5000000000\"",
    ),
];

/// Around a type and a value of it: the outer type, the outer value, the path of the leaf behind the column's
/// name, and how pyarrow and DuckDB show what is around it.
type Depth = (&'static str, fn(&str) -> String, fn(&str) -> String, &'static str, fn(Value) -> [Value; 2]);

const DEPTHS: [Depth; 5] = [
    ("top", |of| of.to_owned(), |v| v.to_owned(), "", |v| [v.clone(), v]),
    ("list", |of| format!("list<{of}>"), |v| format!("[{v}]"), ".list.element", |v| [json!([v]), json!([v])]),
    (
        "struct",
        |of| format!("struct<a: {of}>"),
        |v| format!("{{\"a\": {v}}}"),
        ".a",
        |v| [json!({"a": v}), json!({"a": v})],
    ),
    (
        "map",
        |of| format!("map<string, {of}>"),
        |v| format!("{{\"k\": {v}}}"),
        ".key_value.value",
        |v| [json!([["k", v]]), json!({"k": v})],
    ),
    (
        "deep",
        |of| format!("list<struct<a: map<string, list<{of}>>>>"),
        |v| format!("[{{\"a\": {{\"k\": [{v}]}}}}]"),
        ".list.element.a.key_value.value.list.element",
        |v| [json!([{"a": [["k", [v]]]}]), json!([{"a": {"k": [v]}}])],
    ),
];

const READERS: [&str; 5] = ["parquet", "pyarrow", "dataset", "pandas", "duckdb"];

/// The columns of a job file, and a record, for each type that `is_wanted` and each depth.
fn all(is_wanted: impl Fn(&str) -> bool) -> (String, String) {
    let (mut columns, mut members) = (Vec::new(), Vec::new());
    for (depth, around, value_around, ..) in DEPTHS {
        for (index, (of, value, ..)) in CASES.iter().enumerate().filter(|(_, case)| is_wanted(case.0)) {
            columns.push(format!("    - {{name: {depth}_{index}, type: '{}'}}\n", around(of)));
            members.push(format!("\"{depth}_{index}\": {}", value_around(value)));
        }
    }
    (columns.concat(), format!("{{{}}}", members.join(", ")))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_at_each_depth_is_what_independent_readers_take_it_for() -> Result<()> {
    let (columns, record) = all(|_| true);
    let Some(seen) = written_and_read(&columns, &record, &READERS).await? else { return Ok(()) };
    let leaves = &seen["parquet"]["files"][0]["leaves"];
    for (depth, _, _, path, show) in DEPTHS {
        for (index, (of, _, physical, logical, by_pyarrow, by_duckdb)) in CASES.iter().enumerate() {
            let column = format!("{depth}_{index}");
            let leaf = &leaves[format!("{column}{path}")];
            ensure!(*leaf == json!([physical, logical]), "{of}, {depth}: {leaf}");
            for (reader, place, value) in
                [("pyarrow", 0, by_pyarrow), ("dataset", 0, by_pyarrow), ("duckdb", 1, by_duckdb)]
            {
                let value = serde_json::from_str(value).with_context(|| format!("{of}: {value}"))?;
                let found = &seen[reader]["rows"][0][&column];
                let expected = &show(value)[place];
                ensure!(found == expected, "{reader}, {of}, {depth}: {found} instead of {expected}");
            }
        }
    }
    ensure!(seen["pandas"]["rows"].as_array().map(Vec::len) == Some(1), "pandas: {}", seen["pandas"]);
    Ok(())
}

/// It shows moments in the session's zone, as DuckDB does, and takes the largest whole numbers for decimals.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a virtual machine of its own: ./x soak"]
async fn spark_takes_each_type_at_each_depth_for_what_it_is() -> Result<()> {
    let (columns, record) = all(|of| !of.starts_with("time("));
    let Some(seen) = written_and_read(&columns, &record, &["spark"]).await? else { return Ok(()) };
    for (depth, _, _, _, show) in DEPTHS {
        for (index, (of, .., by_duckdb)) in CASES.iter().enumerate() {
            if of.starts_with("time(") {
                continue;
            }
            let value = match *of {
                "uint64" => json!(by_duckdb),
                _ => serde_json::from_str(by_duckdb)?,
            };
            let column = format!("{depth}_{index}");
            let found = seen["spark"]["rows"][0].get(&column).with_context(|| seen.to_string())?;
            let [expected, _] = show(value);
            ensure!(*found == expected, "{of}, {depth}: {found} instead of {expected}");
        }
    }
    Ok(())
}

/// So `validate` and the manual say it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a virtual machine of its own: ./x soak"]
async fn spark_refuses_files_with_what_it_has_no_type_for() -> Result<()> {
    for (of, value) in [("time(us)", "08:00:00"), ("timestamp(ns)", "2026-01-31T08:00:00.000000001")] {
        let column = format!("    - {{name: a, type: '{of}'}}\n");
        let record = json!({ "a": value }).to_string();
        let Some(seen) = written_and_read(&column, &record, &["spark"]).await? else { return Ok(()) };
        let error = seen["spark"]["error"].as_str().with_context(|| format!("{of} is read: {seen}"))?;
        ensure!(error.contains("PARQUET_TYPE_ILLEGAL"), "{error}");
    }
    Ok(())
}

/// They are written where they are asked for; Spark refuses such a file.
#[tokio::test(flavor = "multi_thread")]
async fn nanoseconds_are_nanoseconds_where_they_are_asked_for() -> Result<()> {
    let columns = "    - {name: a, type: 'timestamp(ns, UTC)'}\n    - {name: b, type: 'list<time(ns)>'}\n";
    let record = r#"{"a": "2026-01-31T08:00:00.123456789Z", "b": ["08:00:00.000000001"]}"#;
    let Some(seen) = written_and_read(columns, record, &READERS).await? else { return Ok(()) };
    let leaves = &seen["parquet"]["files"][0]["leaves"];
    let expected = json!({
        "a": ["INT64", "Timestamp(isAdjustedToUTC=true, timeUnit=nanoseconds)"],
        "b.list.element": ["INT64", "Time(isAdjustedToUTC=false, timeUnit=nanoseconds)"],
    });
    ensure!(*leaves == expected, "{leaves}");
    Ok(())
}

/// A job of these columns over one record, and what each reader sees of its table.
async fn written_and_read(columns: &str, record: &str, readers: &[&str]) -> Result<Option<Value>> {
    let kafka = Kafka::shared().await?;
    let topic = unique("types");
    kafka.create_topic(&topic, 1).await?;
    let producer: ThreadedProducer<_> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap_servers()).create()?;
    let sent = producer.send(BaseRecord::<(), str>::to(&topic).payload(record));
    sent.map_err(|(error, _)| error)?;
    producer.flush(Duration::from_secs(30))?;
    let job = Job::new(Settings {
        bootstrap_servers: kafka.bootstrap_servers(),
        topic: &topic,
        place: Place::Folder,
        more: "",
        sink: "",
        endpoint: None,
    })
    .await?;
    let text = std::fs::read_to_string(job.file())?;
    let (head, rest) = text.split_once("  columns:\n").context("the job file has columns")?;
    let (_, tail) = rest.split_once("sink:\n").context("the job file has a sink")?;
    std::fs::write(job.file(), format!("{head}  columns:\n{columns}sink:\n{tail}"))?;
    let mut process = job.start(Program::Plain, &["run", "--until-end"], None, None)?;
    let status = process.wait(Duration::from_secs(60)).await?;
    ensure!(status.success(), "{status}: {}", process.log()?);
    let folder = job.url.trim_start_matches("file://");
    let table = std::path::Path::new(folder).join("orders");
    readers::read(&table, readers).await
}
