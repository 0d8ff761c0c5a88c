//! A small topic, a job of the test's own making over it, and its output as text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMillisecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::read_committed_dump;

use crate::support::{Job, Place, Process, Program, Settings, unique};

/// Longest that anything here may take.
pub(super) const LIMIT: Duration = Duration::from_secs(90);

/// Payloads as they are, with the places that they came from.
pub(super) const RAW: &str = "{type: raw, metadata: [topic, partition, offset]}";

/// A row as column and value, as Arrow shows them: bytes in hexadecimal, null as an empty text.
pub(super) type Row = BTreeMap<String, String>;

/// What a job file has besides what every one has.
#[derive(Clone, Copy)]
pub(super) struct Sections<'a> {
    /// Lines of the `kafka` section, indented by two.
    pub(super) kafka: &'a str,
    /// The `format` section on one line.
    pub(super) format: &'a str,
    /// Lines of the `sink` section, indented by two.
    pub(super) sink: &'a str,
    /// Sections at the top level.
    pub(super) more: &'a str,
}

impl Default for Sections<'_> {
    fn default() -> Self {
        Self { kafka: "", format: RAW, sink: "", more: "" }
    }
}

pub(super) struct Scene {
    pub(super) job: Job,
    pub(super) topic: String,
    pub(super) servers: &'static str,
}

impl Scene {
    /// With a topic of its own, which is empty.
    pub(super) async fn new(partitions: i32, sections: Sections<'_>) -> Result<Self> {
        Self::at(Place::Folder, partitions, sections).await
    }

    pub(super) async fn at(place: Place, partitions: i32, sections: Sections<'_>) -> Result<Self> {
        let kafka = Kafka::shared().await?;
        let topic = unique("bad");
        // A record of 1 MiB is a little larger than what a broker takes by default.
        kafka.create_topic_with(&topic, partitions, &[("max.message.bytes", "4194304")]).await?;
        let servers = kafka.bootstrap_servers();
        let settings =
            Settings { bootstrap_servers: servers, topic: &topic, place, more: "", sink: "", endpoint: None };
        let scene = Self { job: Job::new(settings).await?, topic, servers };
        scene.write(sections)?;
        Ok(scene)
    }

    /// Writes the job file anew.
    pub(super) fn write(&self, sections: Sections<'_>) -> Result<()> {
        self.write_at(&self.job.url, self.servers, sections)
    }

    /// The same with the sink and the brokers somewhere else.
    pub(super) fn write_at(&self, url: &str, servers: &str, sections: Sections<'_>) -> Result<()> {
        let Sections { kafka, format, sink, more } = sections;
        let topics =
            if kafka.contains("topics") { String::new() } else { format!("  topics: [{}]\n", self.topic) };
        let table = if sink.contains("table:") { "" } else { "  table: t\n" };
        let store = if sink.contains("store:") || self.job.options.is_empty() {
            String::new()
        } else {
            let options: Vec<_> =
                self.job.options.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            format!("  store: {{{}}}\n", options.join(", "))
        };
        let text = format!(
            "job: {name}\nkafka:\n  bootstrap_servers: \"{servers}\"\n{topics}  group_id: ${{GROUP}}\n  \
             properties: {{session.timeout.ms: 6000, topic.metadata.refresh.interval.ms: 1000}}\n{kafka}\
             format: {format}\nsink:\n  url: {url}\n{table}{store}{sink}http: {{listen: 127.0.0.1:0}}\n{more}",
            name = self.job.name,
        );
        Ok(std::fs::write(self.job.file(), text)?)
    }

    pub(super) fn start(&self, arguments: &[&str]) -> Result<Process> {
        self.job.start(Program::Plain, arguments, None, None)
    }

    pub(super) async fn run_to_end(&self) -> Result<()> {
        self.job.run(&["run", "--until-end"]).await.map(|_| ())
    }

    /// Runs a command that must end with `code`. Returns all that it said, on stdout and stderr.
    pub(super) async fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<String> {
        self.ends_with_in_group(code, arguments, None).await
    }

    pub(super) async fn ends_with_in_group(
        &self,
        code: i32,
        arguments: &[&str],
        group: Option<&str>,
    ) -> Result<String> {
        let mut process = self.job.start(Program::Plain, arguments, group, None)?;
        let status = process.wait(LIMIT).await?;
        let said = process.output()? + process.log()?.as_str();
        ensure!(status.code() == Some(code), "{arguments:?} ended with {status}, not {code}: {said}");
        ensure!(!said.contains("panicked"), "{said}");
        Ok(said)
    }

    /// One payload after the other into one partition; `None` is a tombstone.
    pub(super) async fn produce(&self, partition: i32, payloads: &[Option<&[u8]>]) -> Result<()> {
        produce(self.servers, &self.topic, partition, payloads, None).await
    }

    /// The same into another topic.
    pub(super) async fn produce_to(&self, topic: &str, payloads: &[Option<&[u8]>]) -> Result<()> {
        produce(self.servers, topic, 0, payloads, None).await
    }

    /// Rows of a folder of the sink, in the order of their text.
    pub(super) async fn rows(&self, folder: &str) -> Result<Vec<Row>> {
        let store = self.job.store()?;
        let mut rows = Vec::new();
        for entry in store.list(folder).await? {
            ensure!(entry.path.ends_with(".parquet"), "a reader would see {}", entry.path);
            let bytes = store.get(&entry.path).await?.with_context(|| format!("{} has gone", entry.path))?;
            rows.extend(read(bytes).with_context(|| entry.path.clone())?);
        }
        rows.sort();
        Ok(rows)
    }

    pub(super) async fn rejects(&self) -> Result<Vec<Row>> {
        self.rows(&format!("_tidegate/{}/rejects", self.job.name)).await
    }

    /// The table of a raw job has each committed record of the topic once, and the audit says so too.
    pub(super) async fn assert_raw(&self) -> Result<()> {
        let dump = read_committed_dump(self.servers, &self.topic).await?;
        let expected = dump
            .into_iter()
            .map(|(partition, offset, payload)| raw(&self.topic, partition, offset, &payload));
        self.assert_rows("t", expected.collect()).await
    }

    pub(super) async fn assert_rows(&self, folder: &str, mut expected: Vec<Row>) -> Result<()> {
        expected.sort();
        let rows = self.rows(folder).await?;
        ensure!(
            rows == expected,
            "{folder} has {} rows, not {}:\n{rows:?}\n{expected:?}",
            rows.len(),
            expected.len()
        );
        self.job.run(&["audit", "--deep"]).await.map(|_| ())
    }

    /// The path of the newest checkpoint on a local folder.
    pub(super) fn newest_checkpoint(&self) -> Result<std::path::PathBuf> {
        let folder = self.folder().join("_tidegate").join(&self.job.name).join("checkpoints");
        let mut paths: Vec<_> =
            std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.pop().context("no checkpoint")
    }

    /// Where the sink lies, when it is a local folder.
    pub(super) fn folder(&self) -> std::path::PathBuf {
        self.job.url.trim_start_matches("file://").into()
    }

    /// Waits until the process has written `count` rows into the table.
    pub(super) async fn wait_for_rows(&self, count: usize, process: &mut Process) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            // A file may be on its way to its final name.
            let found = self.rows("t").await.map_or(0, |rows| rows.len());
            if found >= count {
                return Ok(());
            }
            if Instant::now() > deadline || !process.is_running()? {
                bail!("{found} of {count} rows: {}", process.log()?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The row of a raw table.
pub(super) fn raw(topic: &str, partition: i32, offset: i64, payload: &[u8]) -> Row {
    row(&[
        ("value", &hex(payload)),
        ("_topic", topic),
        ("_partition", &partition.to_string()),
        ("_offset", &offset.to_string()),
    ])
}

pub(super) fn row(columns: &[(&str, &str)]) -> Row {
    columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(bytes: Bytes) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        let batch = without_zones(batch?)?;
        let options = FormatOptions::new();
        let formatters: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()?;
        for index in 0..batch.num_rows() {
            let schema = batch.schema();
            let values = schema.fields().iter().zip(&formatters);
            rows.push(
                values.map(|(field, shown)| (field.name().clone(), shown.value(index).to_string())).collect(),
            );
        }
    }
    Ok(rows)
}

/// Zones have names, which take tables to show.
fn without_zones(batch: RecordBatch) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    for column in &mut columns {
        if let Some(times) = column.as_primitive_opt::<TimestampMillisecondType>() {
            *column = Arc::new(times.clone().with_timezone_opt(None::<&str>));
        }
    }
    let named = batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    Ok(RecordBatch::try_from_iter_with_nullable(
        named.into_iter().zip(columns).map(|(name, column)| (name, column, true)),
    )?)
}

/// Writes payloads with ascending timestamps, if any are given, and waits until the broker has them.
pub(super) async fn produce(
    servers: &str,
    topic: &str,
    partition: i32,
    payloads: &[Option<&[u8]>],
    first_timestamp: Option<i64>,
) -> Result<()> {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", servers).set("message.max.bytes", "4194304").create()?;
    for (payload, n) in payloads.iter().zip(0..) {
        let mut record = BaseRecord::to(topic).partition(partition).key(b"key");
        if let Some(payload) = payload {
            record = record.payload(*payload);
        }
        if let Some(first) = first_timestamp {
            record = record.timestamp(first + n);
        }
        producer.send(record).map_err(|(error, _)| error)?;
    }
    tokio::task::spawn_blocking(move || producer.flush(LIMIT)).await??;
    Ok(())
}

pub(super) fn admin(servers: &str) -> Result<AdminClient<DefaultClientContext>> {
    Ok(ClientConfig::new().set("bootstrap.servers", servers).create()?)
}

/// The address that the process serves HTTP at, once it has logged it.
pub(super) async fn address(process: &Process) -> Result<String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let log = process.log()?;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(address) = lines.filter_map(|line| line["address"].as_str().map(str::to_owned)).next() {
            return Ok(address);
        }
        if Instant::now() > deadline {
            bail!("no address in the log: {log}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The sum of a metric's samples.
pub(super) async fn metric(address: &str, name: &str) -> Result<f64> {
    let text = reqwest::get(format!("http://{address}/metrics")).await?.text().await?;
    let samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    let values: Vec<f64> = samples.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    ensure!(!values.is_empty(), "no metric {name} in\n{text}");
    Ok(values.iter().sum())
}
