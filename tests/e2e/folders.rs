//! Every kind of folder level, read by readers that know nothing of us, with their defaults.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use tidegate_testcontainers::Kafka;

use crate::readers;
use crate::support::{Job, Place, Program, Settings, unique};

const READERS: [&str; 4] = ["pyarrow", "dataset", "pandas", "duckdb"];

/// A job over a topic of its own, whose records are `{"id": n, "p": value}`.
struct Scene {
    job: Job,
    topic: String,
    servers: &'static str,
}

impl Scene {
    async fn new(values: &[Value]) -> Result<Self> {
        let kafka = Kafka::shared().await?;
        let (topic, servers) = (unique("folders"), kafka.bootstrap_servers());
        kafka.create_topic(&topic, 1).await?;
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", servers).create()?;
        for (id, value) in values.iter().enumerate() {
            let payload = json!({ "id": id, "p": value }).to_string();
            let record: BaseRecord<'_, (), _> = BaseRecord::to(&topic).payload(payload.as_bytes());
            producer.send(record).map_err(|(error, _)| error)?;
        }
        tokio::task::spawn_blocking(move || producer.flush(Duration::from_secs(30))).await??;
        let settings = Settings {
            bootstrap_servers: servers,
            topic: &topic,
            place: Place::Folder,
            more: "",
            sink: "",
            endpoint: None,
        };
        Ok(Self { job: Job::new(settings).await?, topic, servers })
    }

    /// Writes the job file: the type of `p`, and further lines of `sink`.
    fn write(&self, type_name: &str, sink: &str) -> Result<()> {
        let Self { job, topic, servers } = self;
        let text = format!(
            "job: {}\nkafka:\n  bootstrap_servers: \"{servers}\"\n  topics: [{topic}]\n  group_id: ${{GROUP}}\n\
             format:\n  columns: [{{name: id, type: int64}}, {{name: p, type: \"{type_name}\"}}]\n\
             sink:\n  url: {}\n  table: t\n{sink}http: {{listen: 127.0.0.1:0}}\nerror_limit: {{records: 100}}\n",
            job.name, job.url
        );
        Ok(std::fs::write(job.file(), text)?)
    }

    async fn ends_with(&self, code: i32) -> Result<String> {
        let mut process = self.job.start(Program::Plain, &["run", "--until-end"], None, None)?;
        let status = process.wait(Duration::from_secs(60)).await?;
        ensure!(status.code() == Some(code), "{status}: {}", process.log()?);
        process.log()
    }

    fn table(&self) -> PathBuf {
        PathBuf::from(self.job.url.trim_start_matches("file://")).join("t")
    }

    /// The names of the outermost folders, sorted.
    fn levels(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(self.table())?;
        let mut names: Vec<_> = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
        Ok(names)
    }
}

/// What a reader tells of a column, in the order of the ids.
fn column(seen: &Value, reader: &str, name: &str) -> Result<Vec<Value>> {
    let rows = seen[reader]["rows"].as_array().with_context(|| format!("{reader}: {}", seen[reader]))?;
    let mut rows: Vec<_> = rows.iter().map(|row| (row["id"].as_i64(), row[name].clone())).collect();
    rows.sort_by_key(|(id, _)| *id);
    Ok(rows.into_iter().map(|(_, value)| value).collect())
}

/// pandas has no whole number that may be null, and not a number for a text that is none.
fn alike(found: &Value, expected: &Value) -> bool {
    found == expected
        || (expected.is_null() && found == "nan")
        || found.as_f64().is_some_and(|number| Some(number) == expected.as_f64())
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_every_reader_tells_the_columns_that_folders_are_named_by() -> Result<()> {
    told_by_default(&READERS).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a virtual machine for each kind of level: ./x soak"]
async fn by_default_spark_tells_the_columns_that_folders_are_named_by() -> Result<()> {
    told_by_default(&["spark"]).await
}

async fn told_by_default(readers: &[&str]) -> Result<()> {
    let texts = json!([
        "007",
        "",
        null,
        "null",
        "__HIVE_DEFAULT_PARTITION__",
        "a/b=c%",
        "2026-01-31",
        "1",
        "..",
        " "
    ]);
    let cases = [
        ("string", "p", "p_part", texts),
        ("int64", "p", "p_part", json!([1, -5, null, 9_007_199_254_740_991_i64])),
        ("date", "p", "p_part", json!(["2026-01-31", null, "0001-01-01"])),
        ("bool", "p", "p_part", json!([true, false, null])),
        ("decimal(9,2)", "p", "p_part", json!(["1.50", "-0.05", null])),
        ("timestamp(us)", "p", "p_part", json!(["2026-01-31T22:30:00", null])),
        ("timestamp(us)", "day(p)", "day", json!(["2026-01-31T22:30:00", null])),
        ("timestamp(us)", "hour(p)", "hour", json!(["2026-01-31T22:30:00", null])),
        ("date", "month(p)", "month", json!(["2026-01-31", null])),
        ("date", "year(p)", "year", json!(["2026-01-31", null])),
        ("string", "bucket(4, p)", "bucket", json!(["007", "", null, "null"])),
    ];
    for (type_name, by, level, values) in cases {
        let values = values.as_array().context("a list")?;
        let scene = Scene::new(values).await?;
        scene.write(type_name, &format!("  partition_by: [\"{by}\"]\n"))?;
        scene.ends_with(0).await?;
        ensure!(scene.levels()?.iter().all(|name| name.starts_with(&format!("{level}="))), "{by}");
        let Some(seen) = readers::read(&scene.table(), readers).await? else { return Ok(()) };
        for reader in readers {
            let found = column(&seen, reader, "p").with_context(|| format!("{type_name} by {by}"))?;
            let right = found.len() == values.len() && found.iter().zip(values).all(|(f, e)| alike(f, e));
            ensure!(right, "{type_name} by {by}: {reader} tells {found:?}, not {values:?}");
        }
        let types = match type_name {
            "string" => ["string", "VARCHAR", "string"],
            "int64" => ["int64", "BIGINT", "bigint"],
            "date" => ["date32[day]", "DATE", "date"],
            "bool" => ["bool", "BOOLEAN", "boolean"],
            "decimal(9,2)" => ["decimal128(9, 2)", "DECIMAL(9,2)", "decimal(9,2)"],
            _ => ["timestamp[us]", "TIMESTAMP", "timestamp_ntz"],
        };
        let types = [("pyarrow", types[0]), ("dataset", types[0]), ("duckdb", types[1]), ("spark", types[2])];
        for (reader, expected) in types.into_iter().filter(|(reader, _)| readers.contains(reader)) {
            let schema = &seen[reader]["schema"];
            ensure!(schema["p"] == expected, "{type_name} by {by}: {schema}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hives_way_has_the_column_in_the_folder_and_rejects_what_that_cannot_tell() -> Result<()> {
    told_in_hives_way(&["pyarrow", "dataset", "duckdb"]).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a virtual machine of its own: ./x soak"]
async fn in_hives_way_spark_tells_the_column_that_is_in_the_folder() -> Result<()> {
    told_in_hives_way(&["spark"]).await
}

async fn told_in_hives_way(readers: &[&str]) -> Result<()> {
    let values = json!(["DE", "a/b", null, "", "__HIVE_DEFAULT_PARTITION__", "NULL", "ü"]);
    let scene = Scene::new(values.as_array().context("a list")?).await?;
    scene.write("string", "  partition_by: [p]\n  partition_columns: folder\n")?;
    scene.ends_with(0).await?;
    ensure!(
        scene.levels()? == ["p=DE", "p=__HIVE_DEFAULT_PARTITION__", "p=a%2Fb", "p=ü"],
        "{:?}",
        scene.levels()?
    );
    let rejects = scene.job.run(&["rejects", "list"]).await?;
    ensure!(rejects.matches("read as null").count() == 3, "{rejects}");
    scene.job.run(&["audit", "--deep"]).await?;
    let all = [&["parquet"], readers].concat();
    let Some(seen) = readers::read(&scene.table(), &all).await? else { return Ok(()) };
    for file in seen["parquet"]["files"].as_array().context("files")? {
        ensure!(file["leaves"].get("p").is_none(), "{file}");
    }
    for reader in readers {
        let found = column(&seen, reader, "p")?;
        ensure!(found == [json!("DE"), json!("a/b"), Value::Null, json!("ü")], "{reader}: {found:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_keeps_the_folders_that_it_has_begun_with() -> Result<()> {
    let scene = Scene::new(&[json!("DE"), json!("")]).await?;
    scene.write("string", "  partition_by: [p]\n")?;
    scene.ends_with(0).await?;
    for other in ["folder", "both"] {
        scene.write("string", &format!("  partition_by: [p]\n  partition_columns: {other}\n"))?;
        let said = scene.ends_with(2).await?;
        ensure!(said.contains("another job name") && said.contains("begun with file"), "{said}");
        let mut validate = scene.job.start(Program::Plain, &["validate"], None, None)?;
        ensure!(validate.wait(Duration::from_secs(60)).await?.code() == Some(2), "{}", validate.output()?);
    }
    scene.write("string", "  partition_by: [p]\n  partition_columns: file\n")?;
    scene.ends_with(0).await?;
    ensure!(scene.levels()? == ["p_part=DE", "p_part=null"], "{:?}", scene.levels()?);
    Ok(())
}
