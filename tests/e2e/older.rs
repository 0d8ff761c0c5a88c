//! Chains made by an older version (`tests/fixtures/chain-c8f5c3a`) go on: they are read, continued,
//! replayed, rolled back, and exact after each of these.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_testcontainers::Kafka;
use tokio::sync::OnceCell;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/chain-c8f5c3a/chain.tar.gz");
const LIMIT: Duration = Duration::from_secs(60);

/// Topic, partition, offset.
type Place = (String, i32, i64);

/// A record as the fixture has it.
#[derive(Debug, Deserialize)]
struct Record {
    topic: String,
    partition: i32,
    offset: i64,
    /// Milliseconds since 1970.
    timestamp: i64,
    key: String,
    value: Option<String>,
}

/// One of the fixture's jobs, in a warehouse of its own.
struct Scene {
    dir: TempDir,
    name: &'static str,
    servers: &'static str,
    /// All that its topics hold.
    records: BTreeMap<Place, String>,
}

/// Brings the topics to what the fixture's broker had, once: the same records at
/// the same offsets, in a cluster of the same id.
async fn topics() -> Result<&'static str> {
    static WRITTEN: OnceCell<()> = OnceCell::const_new();
    let kafka = Kafka::shared().await?;
    let write = async || -> Result<()> {
        let dir = unpacked()?;
        let records = records(dir.path())?;
        for topic in records.iter().map(|record| &record.topic).collect::<BTreeSet<_>>() {
            // The records' times are the fixture's, which is older each day.
            kafka.create_topic_with(topic, 2, &[("retention.ms", "-1")]).await?;
        }
        send(kafka.bootstrap_servers(), &records).await
    };
    WRITTEN.get_or_try_init(write).await?;
    Ok(kafka.bootstrap_servers())
}

fn unpacked() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let done = Command::new("tar").arg("-xzf").arg(FIXTURE).arg("-C").arg(dir.path()).status()?;
    ensure!(done.success(), "tar: {done}");
    Ok(dir)
}

fn records(dir: &Path) -> Result<Vec<Record>> {
    let text = fs::read_to_string(dir.join("records.jsonl"))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

async fn send(servers: &str, records: &[Record]) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", servers).create()?;
    for Record { topic, partition, timestamp, key, value, .. } in records {
        let mut record = BaseRecord::to(topic).partition(*partition).timestamp(*timestamp).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        producer.send(record).map_err(|(error, _)| error)?;
    }
    tokio::task::spawn_blocking(move || producer.flush(LIMIT)).await??;
    Ok(())
}

impl Scene {
    async fn new(name: &'static str, topics_of_job: &[&str]) -> Result<Self> {
        let (servers, dir) = (topics().await?, unpacked()?);
        let records = records(dir.path())?.into_iter();
        let records = records.filter(|record| topics_of_job.contains(&record.topic.as_str()));
        let records = records.filter_map(|r| Some(((r.topic, r.partition, r.offset), r.value?))).collect();
        let scene = Self { dir, name, servers, records };
        let lake = scene.lake().display().to_string();
        scene.change("LAKE", &lake)?;
        scene.change("BROKERS", servers)?;
        Ok(scene)
    }

    fn lake(&self) -> PathBuf {
        self.dir.path().join("lake")
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(format!("{}.yaml", self.name))
    }

    /// Replaces a part of the job file.
    fn change(&self, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(self.file())?;
        ensure!(text.contains(from), "{from} is not in the job file");
        Ok(fs::write(self.file(), text.replace(from, to))?)
    }

    fn savepoint(&self, which: &str) -> Result<String> {
        let names: Value =
            serde_json::from_str(&fs::read_to_string(self.dir.path().join("savepoints.json"))?)?;
        let name = names[which][self.name].as_str().context("a savepoint")?;
        Ok(format!("file://{}/_tidegate/fixture-{}/savepoints/{name}", self.lake().display(), self.name))
    }

    /// Runs a command, whose arguments name the job file by `JOB`, to its good end.
    async fn run(&self, arguments: &[&str]) -> Result<String> {
        let program =
            std::env::var_os("TIDEGATE_BIN").context("TIDEGATE_BIN is not set; run the tests by ./x test")?;
        let mut command = Command::new(program);
        for argument in arguments {
            if *argument == "JOB" {
                command.arg(self.file())
            } else {
                command.arg(argument)
            };
        }
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let [said, log] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        ensure!(output.status.success(), "{arguments:?} ended with {}: {said}{log}", output.status);
        Ok(said)
    }

    async fn json(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&[arguments, &["--output", "json"]].concat()).await?)?)
    }

    async fn run_to_end(&self) -> Result<()> {
        self.run(&["run", "JOB", "--until-end"]).await.map(drop)
    }

    /// Adds records at the end of a topic, the first to partition 0.
    async fn add(&mut self, topic: &str, values: &[Value]) -> Result<()> {
        let mut records = Vec::new();
        for (n, value) in values.iter().enumerate() {
            let partition = (n % 2) as i32;
            let ends = self.records.keys().filter(|(of, p, _)| of == topic && *p == partition);
            // A tombstone has an offset, too; the fixture has none.
            let offset = ends.map(|(.., offset)| offset + 1).max().context("records before")?;
            let value = value.to_string();
            self.records.insert((topic.to_owned(), partition, offset), value.clone());
            let (topic, key) = (topic.to_owned(), "new".to_owned());
            records.push(Record {
                topic,
                partition,
                offset,
                timestamp: 1_767_300_000_000,
                key,
                value: Some(value),
            });
        }
        send(self.servers, &records).await
    }

    /// Parquet files of the table, by path relative to it.
    fn files(&self, table: &str) -> Result<BTreeMap<String, PathBuf>> {
        let root = self.lake().join(table);
        let (mut files, mut folders) = (BTreeMap::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.strip_prefix(&root)?.to_string_lossy().into_owned(), path);
                }
            }
        }
        Ok(files)
    }

    /// Folders and schemas of the table's files.
    fn shape(&self, table: &str) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let (mut folders, mut schemas) = (BTreeSet::new(), BTreeSet::new());
        for (path, file) in self.files(table)? {
            folders.insert(path.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned()));
            schemas
                .insert(columns(ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file)?)?.schema()));
        }
        Ok((folders, schemas))
    }

    /// Each record is one row that says what the record says, or a reject that waits; and the audit agrees.
    async fn assert_exact(&self, tables: &[(&str, &str)]) -> Result<()> {
        let mut seen = BTreeSet::new();
        for (topic, table) in tables {
            for (path, file) in self.files(table)? {
                for batch in ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file)?)?.build()? {
                    let batch = batch?;
                    let column =
                        |name: &str| batch.column_by_name(name).with_context(|| format!("{path}: no {name}"));
                    let partitions = column("_partition")?.as_primitive::<Int32Type>();
                    let offsets = column("_offset")?.as_primitive::<Int64Type>();
                    let ids = column("id")?.as_primitive::<Int64Type>();
                    let countries = column("country")?.as_string::<i32>();
                    for row in 0..batch.num_rows() {
                        let place = ((*topic).to_owned(), partitions.value(row), offsets.value(row));
                        let record = self
                            .records
                            .get(&place)
                            .with_context(|| format!("{place:?} was never written"))?;
                        let record: Value = serde_json::from_str(record)?;
                        ensure!(record["id"] == ids.value(row), "{place:?} has another id");
                        let country = countries.is_valid(row).then(|| countries.value(row));
                        ensure!(record["country"].as_str() == country, "{place:?} is in {country:?}");
                        ensure!(seen.insert(place.clone()), "{place:?} is there twice");
                    }
                }
            }
        }
        let listed = self.json(&["rejects", "JOB", "list", "--limit", "1000"]).await?;
        for reject in listed["rejects"].as_array().context("a list")? {
            let place = serde_json::from_value::<Place>(json!([
                reject["topic"],
                reject["partition"],
                reject["offset"]
            ]))?;
            ensure!(seen.insert(place.clone()), "{place:?} is a row and a reject");
        }
        let missing: Vec<_> = self.records.keys().filter(|place| !seen.contains(*place)).collect();
        ensure!(missing.is_empty() && seen.len() == self.records.len(), "missing: {missing:?}");
        self.run(&["audit", "JOB", "--deep"]).await.map(drop)
    }

    /// What is there is read by every command that looks.
    async fn is_read(&self, tables: &[(&str, &str)], waiting: u64) -> Result<()> {
        self.assert_exact(tables).await?;
        let position = self.json(&["position", "JOB"]).await?;
        let partitions = position["partitions"].as_array().context("partitions")?;
        ensure!(
            partitions.len() == 2 * tables.len() && partitions.iter().all(|at| at["lag"] == 0),
            "{position}"
        );
        let kept = self.run(&["checkpoints", "JOB", "list"]).await?;
        ensure!(kept.lines().count() > 10, "{kept}");
        let savepoints = self.json(&["savepoint", "list", "JOB"]).await?;
        ensure!(savepoints.as_array().is_some_and(|list| list.len() == 2), "{savepoints}");
        for which in ["first", "second"] {
            let uri = self.savepoint(which)?;
            let job = self.file().display().to_string();
            self.run(&["savepoint", "verify", &uri, "--against-sink", &job, "--deep"]).await?;
        }
        let rejects = self.json(&["rejects", "JOB", "list"]).await?;
        ensure!(rejects["total"] == waiting, "{rejects}");
        self.run(&["validate", "JOB"]).await.map(drop)
    }

    async fn rolls_back(&self, tables: &[(&str, &str)]) -> Result<()> {
        let uri = self.savepoint("second")?;
        self.run(&["run", "JOB", "--until-end", "--from-savepoint", &uri, "--rollback"]).await?;
        self.assert_exact(tables).await?;
        let made = self.json(&["savepoint", "create", "JOB"]).await?;
        let (uri, job) = (made["uri"].as_str().context("a URI")?, self.file().display().to_string());
        self.run(&["savepoint", "verify", uri, "--against-sink", &job, "--deep"]).await.map(drop)
    }
}

/// Names and types.
fn columns(schema: &SchemaRef) -> String {
    let fields = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
    fields.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_chain_with_inferred_columns_and_two_tables_goes_on() -> Result<()> {
    let tables = [("fixture_orders", "fixture_orders"), ("fixture_clicks", "fixture_clicks")];
    let mut scene = Scene::new("inferred", &tables.map(|(topic, _)| topic)).await?;
    scene.is_read(&tables, 6).await?;
    let before = tables.map(|(_, table)| scene.shape(table));
    let order = |id: u64| json!({"id": id, "country": "DE", "amount": 1.5, "ts": "2026-01-05T08:00:00Z", "tags": ["z"], "shop": {"name": "s", "open": true}});
    scene.add("fixture_orders", &(200..230).map(order).collect::<Vec<_>>()).await?;
    let click = |id: u64| json!({"id": id, "country": "FR", "url": "/", "ms": 1});
    scene.add("fixture_clicks", &(200..230).map(click).collect::<Vec<_>>()).await?;
    scene.add("fixture_clicks", &[json!({"id": 230, "country": "FR", "ms": "soon"})]).await?;
    scene.run_to_end().await?;
    for ((_, table), before) in tables.iter().zip(before) {
        ensure!(scene.shape(table)? == before?, "{table} has other folders or columns than before");
    }
    scene.assert_exact(&tables).await?;
    // What the older version could not read may be read by now.
    scene.run(&["rejects", "JOB", "replay"]).await?;
    scene.assert_exact(&tables).await?;
    scene.rolls_back(&tables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_chain_with_listed_columns_and_replayed_rejects_goes_on() -> Result<()> {
    let tables = [("fixture_sales", "sales")];
    let mut scene = Scene::new("listed", &["fixture_sales"]).await?;
    scene.is_read(&tables, 2).await?;
    let before = scene.shape("sales")?;
    let sale = |id: u64, net: Value| json!({"id": id, "country": "FR", "store": 0, "ts": "2026-02-01T10:00:00Z", "price": "1.5", "net": net, "gross": id, "tags": []});
    scene.add("fixture_sales", &(200..220).map(|id| sale(id, json!(id))).collect::<Vec<_>>()).await?;
    scene.add("fixture_sales", &(220..226).map(|id| sale(id, json!("n"))).collect::<Vec<_>>()).await?;
    scene.run_to_end().await?;
    ensure!(scene.shape("sales")? == before, "other folders or columns than before");
    scene.assert_exact(&tables).await?;
    ensure!(scene.json(&["rejects", "JOB", "list"]).await?["total"] == 8);
    scene.change("path: net", "path: gross")?;
    let replayed = scene.json(&["rejects", "JOB", "replay"]).await?;
    ensure!(replayed["replayed"]["rows"] == 6, "{replayed}");
    scene.assert_exact(&tables).await?;
    scene.rolls_back(&tables).await
}
