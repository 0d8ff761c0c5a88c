//! `tidegate demo`: the whole job on one machine with nothing installed. An embedded broker, generated
//! orders, the same engine as `run`, then the audit of what it wrote.
//!
//! The broker is librdkafka's mock: it serves records and groups as a real one
//! does, but keeps no transactions apart, so the demo shows how the connector works
//! and proves nothing about exactly once. That is said to the user as well.

mod orders;

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rdkafka::mocking::MockCluster;
use tidegate_sinks::Sink;
use tokio::sync::watch;

use super::{LogArgs, audit, job, output, progress};
use crate::config::{Config, Origin};
use crate::flow::run::{self, Beginning, RunOptions};
use crate::kafka::Queries;
use crate::logs;
use crate::replica::status::Status;

/// The mock keeps 5 MiB a partition and drops what is older; compressed, this many records stay far below.
const RECORDS_PER_PARTITION: u64 = 40_000;
const MIN_PARTITIONS: u64 = 6;
const FOLDER: &str = "tidegate-demo";

#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// How many orders to generate
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    records: u64,
    /// A folder that is empty or does not exist yet [default: tidegate-demo, or with a number behind it]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

pub(super) async fn execute(args: DemoArgs, log: &LogArgs) -> Result<u8> {
    let folder = make_folder(args.dir)?;
    let count = i32::try_from((args.records / RECORDS_PER_PARTITION).max(MIN_PARTITIONS))?;
    // Never dropped: the consumer leaves its group a moment after the run, and would
    // report a broker that has gone.
    let cluster = ManuallyDrop::new(MockCluster::new(1).context("starting the embedded broker")?);
    cluster.create_topic(orders::TOPIC, count, 1).context("making the topic")?;
    let servers = cluster.bootstrap_servers();
    let (config, path) = write_job(&folder, &servers)?;
    let bar = progress::bar(orders::TOPIC);
    logs::init(
        log.log_level.as_deref().unwrap_or("warn"),
        log.log_format.map_or(config.log.format, Into::into),
        bar.clone(),
    )?;
    say(&format!("embedded broker at {servers}, topic {} with {count} partitions", orders::TOPIC))?;
    produce(&servers, count, args.records).await?;
    say(&format!("{} orders produced", args.records))?;

    let sink = Arc::new(job::open_sink(&config, false)?);
    let status = Arc::new(Status::default());
    let following = bar.map(|bar| progress::Following::start(bar, status.clone()));
    let started = std::time::Instant::now();
    let (_stop, stopped) = watch::channel(false);
    let (_unchanged, in_force) = watch::channel(Arc::new(config.clone()));
    let options = RunOptions {
        config: in_force,
        until_end: true,
        beginning: Beginning::default(),
        stop: stopped,
        asking: run::nobody_asks(),
        status,
    };
    let summary = run::run(sink.clone() as Arc<dyn Sink>, options).await?;
    drop(following);
    let seconds = started.elapsed().as_secs_f64();
    say(&format!("{} rows in {} files after {seconds:.1} s", summary.rows, summary.files))?;

    let report = audit::report(&config, &sink, true).await?;
    let found = report.rows == args.records;
    output::write(format!("\n{}\n", audit::text(&report)).as_bytes())?;
    say(&closing(&folder, &path))?;
    Ok(if report.exact && found { 0 } else { 1 })
}

fn say(line: &str) -> Result<()> {
    output::write(format!("{line}\n").as_bytes())
}

/// The folder given, if it is empty or can be made; or the first free one of the default's name.
fn make_folder(given: Option<PathBuf>) -> Result<PathBuf> {
    let folder = match given {
        Some(folder) => {
            let taken = folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
            if taken {
                bail!("{} is not empty; give --dir another folder, or remove it", folder.display());
            }
            folder
        }
        None => {
            let numbered = (2_u32..).map(|n| PathBuf::from(format!("{FOLDER}-{n}")));
            let mut names = std::iter::once(PathBuf::from(FOLDER)).chain(numbered);
            names.find(|name| !name.exists()).context("no name is free")?
        }
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    folder.canonicalize().with_context(|| format!("opening {}", folder.display()))
}

fn write_job(folder: &Path, servers: &str) -> Result<(Config, PathBuf)> {
    let warehouse = folder.join("warehouse");
    let text = orders::job_file(servers, &warehouse);
    let path = folder.join("job.yaml");
    std::fs::write(&path, &text).with_context(|| format!("writing {}", path.display()))?;
    Ok((Config::parse(&text, &Origin(path.clone()))?, path))
}

async fn produce(servers: &str, partitions: i32, records: u64) -> Result<()> {
    let servers = servers.to_owned();
    let produce = move || -> Result<()> {
        orders::produce(&servers, partitions, records)?;
        // Whatever the mock dropped, the job could not write; then the demo would show something false.
        let properties = [("bootstrap.servers".to_owned(), servers)].into();
        let queries = Queries::connect(&properties)?;
        let topics = crate::config::Topics::List(vec![orders::TOPIC.to_owned()]);
        let starts = queries.log_start(&queries.partitions(&topics)?)?;
        if starts.values().any(|start| *start > 0) {
            bail!("the embedded broker holds no more than it did; give --records a smaller number");
        }
        Ok(())
    };
    tokio::task::spawn_blocking(produce).await?
}

fn closing(folder: &Path, job: &Path) -> String {
    let (folder, job) = (folder.display(), job.display());
    format!(
        "
The job file: {job}
The table:    {folder}/warehouse/orders/
Ask it something, with DuckDB:

  duckdb -c \"SELECT country, count(*) AS orders, sum(amount) AS revenue
             FROM read_parquet('{folder}/warehouse/orders/**/*.parquet') GROUP BY country ORDER BY revenue DESC\"

or with Python (pip install pyarrow):

  python3 -c \"import pyarrow.dataset as d; t = d.dataset('{folder}/warehouse/orders', partitioning='hive').to_table(); \\
             print(t.num_rows); print(t.group_by('country').aggregate([('amount', 'sum')]).to_pylist())\"

The embedded broker is a mock that knows no transactions and is gone now: this shows how Tidegate works, and proves
nothing about exactly once. That is what the tests with a real Kafka do."
    )
}
