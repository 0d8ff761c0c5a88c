//! A job on disk, the program that runs it, and a reader that knows nothing of either.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, TimestampMillisecondType};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use tidegate_sinks::store::{self, Retries, Store};
use tidegate_sinks::{Checkpoint, Sink, SinkSettings};
use tidegate_testcontainers::transactions::{json_payload, read_committed_dump};
use tidegate_testcontainers::{Kafka, MinIO};
use tokio::sync::OnceCell;

/// Partition and offset of a record, and its payload.
pub(crate) type Row = ((i32, i64), Vec<u8>);

/// Records by partition and offset.
pub(crate) type Rows = BTreeMap<(i32, i64), Vec<u8>>;

/// Where a job's tables lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Folder,
    S3,
}

/// A job file in a folder of its own, with what it takes to look at its output.
pub(crate) struct Job {
    dir: TempDir,
    pub(crate) name: String,
    pub(crate) url: String,
    table: String,
    pub(crate) options: BTreeMap<String, String>,
    starts: AtomicU32,
}

/// What differs between jobs; the rest is the same.
pub(crate) struct Settings<'a> {
    pub(crate) bootstrap_servers: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) place: Place,
    /// Further lines of the job file, at its top level.
    pub(crate) more: &'a str,
    /// Further lines of its `sink` section, indented by two.
    pub(crate) sink: &'a str,
    /// Instead of MinIO's own.
    pub(crate) endpoint: Option<&'a str>,
}

pub(crate) const CHECKPOINTS: &str = "checkpoint: {interval: 200ms, copy_grace: 1s}\n";

/// Stands for the job file among arguments; where it is not given, the job file is
/// the second, but of `savepoint`.
pub(crate) const JOB_FILE: &str = "{job}";

/// A name that no other test uses.
pub(crate) fn unique(prefix: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The one MinIO of all tests that do not harm it, with a bucket.
pub(crate) async fn minio() -> Result<&'static MinIO> {
    static SHARED: OnceCell<MinIO> = OnceCell::const_new();
    let start = || async {
        let minio = MinIO::start().await?;
        minio.create_bucket("lake").await?;
        anyhow::Ok(minio)
    };
    SHARED.get_or_try_init(start).await
}

/// A topic with the default transactions in it, for all tests that only read.
pub(crate) async fn orders() -> Result<(&'static str, &'static str)> {
    static TOPIC: OnceCell<String> = OnceCell::const_new();
    let kafka = Kafka::shared().await?;
    let fill = || async {
        let topic = unique("orders");
        kafka.create_topic(&topic, 3).await?;
        let plan =
            tidegate_testcontainers::transactions::Transactions { records: 4_000, ..Default::default() };
        plan.produce(kafka.bootstrap_servers(), &topic).await?;
        anyhow::Ok(topic)
    };
    Ok((kafka.bootstrap_servers(), TOPIC.get_or_try_init(fill).await?))
}

impl Job {
    pub(crate) async fn new(settings: Settings<'_>) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let name = unique("job");
        let mut options = BTreeMap::new();
        let url = match settings.place {
            Place::Folder => format!("file://{}", dir.path().join("lake").display()),
            Place::S3 => {
                let endpoint = minio().await?.endpoint().to_owned();
                let mut option = |key: &str, value: &str| options.insert(key.to_owned(), value.to_owned());
                option("endpoint", &endpoint);
                option("region", "us-east-1");
                option("path_style", "true");
                option("allow_http", "true");
                option("access_key_id", "minioadmin");
                option("secret_access_key", "minioadmin");
                format!("s3://lake/{name}")
            }
        };
        let mut store: Vec<String> = Vec::new();
        for (key, value) in &options {
            let value = if key == "endpoint" { settings.endpoint.unwrap_or(value) } else { value };
            store.push(format!("{key}: {value}"));
        }
        let text = format!(
            "job: {name}\n\
             kafka:\n  bootstrap_servers: \"{servers}\"\n  topics: [{topic}]\n  group_id: ${{GROUP}}\n  \
             properties: {{session.timeout.ms: 6000, topic.metadata.refresh.interval.ms: 1000}}\n\
             format:\n  columns:\n    - {{name: id, type: int64}}\n    - {{name: ts, type: \"timestamp(ms, UTC)\"}}\n    \
             - {{name: country, type: string}}\n    - {{name: amount, type: \"decimal(18,2)\"}}\n  \
             metadata: [partition, offset]\n\
             sink:\n  url: {url}\n  table: orders\n  store: {{{store}}}\n{sink}\
             http: {{listen: 127.0.0.1:0}}\n{more}",
            servers = settings.bootstrap_servers,
            topic = settings.topic,
            store = store.join(", "),
            sink = settings.sink,
            more = settings.more,
        );
        std::fs::write(dir.path().join("job.yaml"), text)?;
        Ok(Self { dir, name, url, table: "orders".into(), options, starts: AtomicU32::new(0) })
    }

    /// Changes the job so that each topic has a table of its own.
    pub(crate) fn by_topic(&mut self, topic: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.file())?.replace("table: orders", "table: \"{topic}\"");
        self.table = topic.to_owned();
        Ok(std::fs::write(self.file(), text)?)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("job.yaml")
    }

    /// Starts the program. Every start has a consumer group of its own unless one is given: the group decides
    /// nothing, and a killed member would be waited for.
    pub(crate) fn start(
        &self,
        program: Program,
        arguments: &[&str],
        group: Option<&str>,
        kill_at: Option<&str>,
    ) -> Result<Process> {
        self.start_in(&[], program, arguments, group, kill_at)
    }

    /// The same with further variables of the environment.
    pub(crate) fn start_in(
        &self,
        environment: &[(&str, &str)],
        program: Program,
        arguments: &[&str],
        group: Option<&str>,
        kill_at: Option<&str>,
    ) -> Result<Process> {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let log = self.dir.path().join(format!("{number}.log"));
        let mut command = Command::new(program.path()?);
        let file = self.file();
        if arguments[0] == "savepoint" || arguments.contains(&JOB_FILE) {
            let named = |argument: &&str| if *argument == JOB_FILE { file.clone() } else { argument.into() };
            command.args(arguments.iter().map(named));
        } else {
            command.args(&arguments[..1]).arg(file).args(&arguments[1..]);
        }
        if arguments[0] == "checkpoints" {
            bail!("give its subcommand by hand");
        }
        let own = format!("{}-{number}", self.name);
        command.env("GROUP", group.unwrap_or(&own)).env_remove("TIDEGATE_KILL_AT");
        if let Some(point) = kill_at {
            command.env("TIDEGATE_KILL_AT", point);
        }
        let child = command
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(self.dir.path().join(format!("{number}.out")))?)
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("starting {}", program.path().unwrap_or_default().display()))?;
        let out = self.dir.path().join(format!("{number}.out"));
        Ok(Process { child, log, out })
    }

    /// Runs a command to its end, which must be a good one.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut process = self.start(Program::Plain, arguments, None, None)?;
        let status = process.wait(Duration::from_secs(120)).await?;
        ensure!(status.success(), "{arguments:?} ended with {status}: {}", process.log()?);
        process.output()
    }

    /// The incarnation of the newest checkpoint.
    pub(crate) async fn incarnation(&self) -> Result<u32> {
        Ok(self.newest().await?.incarnation)
    }

    /// The number of the newest checkpoint.
    pub(crate) async fn newest_checkpoint(&self) -> Result<u64> {
        Ok(self.newest().await?.n)
    }

    async fn newest(&self) -> Result<Arc<Checkpoint>> {
        let settings = SinkSettings {
            options: self.options.clone(),
            ..SinkSettings::new(self.name.clone(), self.url.clone())
        };
        tidegate_sinks::open(settings)?.load().await?.context("the job has no chain")
    }

    /// What any reader sees: every record of every visible Parquet file of the table.
    pub(crate) async fn visible(&self) -> Result<Vec<Row>> {
        let store = self.store()?;
        let mut rows = Vec::new();
        for entry in store.list(&self.table).await? {
            ensure!(entry.path.ends_with(".parquet"), "a reader would see {}", entry.path);
            let bytes = store.get(&entry.path).await?.with_context(|| format!("{} has gone", entry.path))?;
            rows.extend(read(bytes).with_context(|| entry.path.clone())?);
        }
        Ok(rows)
    }

    pub(crate) fn store(&self) -> Result<Arc<dyn Store>> {
        let retries =
            Retries { request_timeout: Duration::from_secs(10), retry_timeout: Duration::from_secs(30) };
        Ok(store::open(&self.url, &self.options, retries)?)
    }

    /// The output is exactly what a committed reader of the topic sees, and the audit agrees.
    pub(crate) async fn assert_exact(&self, bootstrap_servers: &str, topic: &str) -> Result<()> {
        let dump = read_committed_dump(bootstrap_servers, topic).await?;
        self.assert_equals(&dump.into_iter().map(|(p, o, payload)| ((p, o), payload)).collect()).await
    }

    pub(crate) async fn assert_equals(&self, expected: &Rows) -> Result<()> {
        let visible = self.visible().await?;
        let mut seen = Rows::new();
        for (place, payload) in visible {
            ensure!(seen.insert(place, payload).is_none(), "{place:?} is there twice");
        }
        for (place, payload) in expected {
            let found = seen.get(place).with_context(|| format!("{place:?} is missing"))?;
            ensure!(found == payload, "{place:?} differs");
        }
        ensure!(seen.len() == expected.len(), "{} records too many", seen.len() - expected.len());
        self.run(&["audit", "--deep"]).await?;
        Ok(())
    }
}

/// The rows of a file, each as the record that it must have come from.
fn read(bytes: Bytes) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        let batch = batch?;
        let column = |name: &str| batch.column_by_name(name).with_context(|| format!("no column {name}"));
        let partitions = column("_partition")?.as_primitive::<Int32Type>();
        let offsets = column("_offset")?.as_primitive::<Int64Type>();
        let ids = column("id")?.as_primitive::<Int64Type>();
        let times = column("ts")?.as_primitive::<TimestampMillisecondType>();
        let amounts = column("amount")?.as_primitive::<Decimal128Type>();
        let countries = column("country")?.as_string::<i32>();
        for row in 0..batch.num_rows() {
            ensure!(ids.is_valid(row) && times.is_valid(row) && amounts.is_valid(row), "a null");
            let id = ids.value(row);
            let mut payload = Vec::new();
            json_payload(id as u64, &mut payload);
            // Every column must say the same of the record that its id says.
            let json: serde_json::Value = serde_json::from_slice(&payload)?;
            ensure!(json["country"] == countries.value(row), "country of {id}");
            ensure!(amounts.value(row) == i128::from(id), "amount of {id}");
            let (day, second) = (id / 86_400 % 28, id % 86_400);
            ensure!(times.value(row) == 1_767_225_600_000 + (day * 86_400 + second) * 1_000, "ts of {id}");
            rows.push(((partitions.value(row), offsets.value(row)), payload));
        }
    }
    Ok(rows)
}

/// Which build of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    Plain,
    Failpoints,
}

impl Program {
    fn path(self) -> Result<PathBuf> {
        let name = match self {
            Self::Plain => "TIDEGATE_BIN",
            Self::Failpoints => "TIDEGATE_BIN_FAILPOINTS",
        };
        let path = std::env::var_os(name)
            .with_context(|| format!("{name} is not set; run the tests by ./x test"))?;
        Ok(Path::new(&path).to_path_buf())
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) kibibytes: u64,
    pub(crate) handles: u64,
    pub(crate) threads: u64,
}

/// A running program; killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    out: PathBuf,
}

impl Process {
    pub(crate) async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("still running after {limit:?}: {}", self.log()?);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.ended()?.is_none())
    }

    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    pub(crate) fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a process id is small");
        // SAFETY: the child has not been waited for, so its id is still its own.
        unsafe { libc::kill(pid, signal) };
    }

    /// Where it listens for HTTP, once it does.
    pub(crate) async fn listening(&mut self) -> Result<String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let log = self.log()?;
            let line = log.lines().find(|line| line.contains("listening for HTTP"));
            if let Some(line) = line {
                let line: serde_json::Value = serde_json::from_str(line)?;
                return Ok(line["address"].as_str().context("an address")?.to_owned());
            }
            ensure!(self.is_running()? && Instant::now() < deadline, "it does not listen: {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The most memory that it has held so far; none once it has ended.
    pub(crate) fn peak_kibibytes(&self) -> Option<u64> {
        self.status("VmHWM:")
    }

    pub(crate) fn held(&self) -> Result<Held> {
        Ok(Held {
            kibibytes: self.status("VmRSS:").context("memory")?,
            handles: std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count() as u64,
            threads: self.status("Threads:").context("threads")?,
        })
    }

    /// A number of the kernel's about the process.
    fn status(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    }

    /// Whether the process sleeps, as after SIGSTOP.
    pub(crate) fn is_stopped(&self) -> Result<bool> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok(status.lines().any(|line| line.starts_with("State:") && line.contains("T (stopped)")))
    }

    pub(crate) fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    pub(crate) fn output(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.out)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_if_running();
    }
}

impl Process {
    fn signal_if_running(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // A stopped process takes SIGKILL as well.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
