//! Shapes of topics and tables that could make memory grow: more data than the limit goes through, all of it
//! exactly once, and the process stays near the limit.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::Transactions;

use crate::support::{Job, Place, Program, Settings, unique};

/// The least that a job file may ask for.
const LIMIT_MIB: u64 = 64;
/// What the process may hold beside it and beside what it holds without a record:
/// what the allocator keeps for each thread, above all when a busy machine runs
/// them in turn. A queue without a bound holds more by the shape of large messages.
const BESIDE_MIB: u64 = 96;
/// Bytes of payload that a shape sends through at least, so that a queue without a bound shows.
const LEAST_BYTES: u64 = 72 << 20;

struct Shape {
    plan: Transactions,
    /// Names and types; the first is `id`.
    columns: Vec<(String, &'static str)>,
    sink: &'static str,
}

/// Records of about so many bytes, which go to a table of an id, a name and a body.
fn shape(records: u64, payload: fn(u64, &mut Vec<u8>)) -> Shape {
    let column = |name: &str, kind| (name.to_owned(), kind);
    Shape {
        plan: Transactions {
            records,
            partitions: 4,
            max_transaction: 4_000,
            aborted: 0.05,
            payload,
            ..Default::default()
        },
        columns: vec![column("id", "int64"), column("name", "string"), column("body", "string")],
        sink: "",
    }
}

fn mix(n: u64) -> u64 {
    let z = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB)
}

/// About `bytes` bytes that hardly compress.
fn body(n: u64, bytes: usize, into: &mut Vec<u8>) {
    write!(into, r#"{{"id":{n},"name":"n{}","body":""#, n % 1_000).expect("a Vec takes everything");
    for word in 0.. {
        if into.len() + 18 >= bytes {
            break;
        }
        write!(into, "{:016x}", mix(n << 20 | word)).expect("a Vec takes everything");
    }
    into.extend_from_slice(b"\"}");
}

fn event(n: u64, into: &mut Vec<u8>) {
    body(n, 421, into);
}

fn small(n: u64, into: &mut Vec<u8>) {
    body(n, 60, into);
}

fn large(n: u64, into: &mut Vec<u8>) {
    body(n, 990_000, into);
}

fn wide_columns() -> Vec<(String, &'static str)> {
    let kinds = ["string", "int64", "double"];
    let rest = (1..200).map(|column| (format!("c{column}"), kinds[column % kinds.len()]));
    std::iter::once(("id".to_owned(), "int64")).chain(rest).collect()
}

fn wide(n: u64, into: &mut Vec<u8>) {
    write!(into, r#"{{"id":{n}"#).expect("a Vec takes everything");
    for (column, (name, kind)) in wide_columns().iter().enumerate().skip(1) {
        let value = mix(n << 8 | column as u64) % 100_000;
        let written = match *kind {
            "string" => write!(into, r#","{name}":"value {value}""#),
            "int64" => write!(into, r#","{name}":{value}"#),
            _ => write!(into, r#","{name}":{value}.25"#),
        };
        written.expect("a Vec takes everything");
    }
    into.push(b'}');
}

/// Sends the shape through one process, and holds its output and its memory to what they must be.
async fn stays_within(shape: Shape) -> Result<()> {
    stays_within_at(Place::Folder, shape).await
}

async fn stays_within_at(place: Place, shape: Shape) -> Result<()> {
    let kafka = Kafka::shared().await?;
    let topic = unique("memory");
    kafka.create_topic(&topic, shape.plan.partitions).await?;
    let more =
        format!("memory: {{limit: {LIMIT_MIB}MiB}}\nspeed: {{channels: 2}}\ncheckpoint: {{interval: 1h}}\n");
    let job = Job::new(Settings {
        bootstrap_servers: kafka.bootstrap_servers(),
        topic: &topic,
        place,
        more: &more,
        sink: shape.sink,
        endpoint: None,
    })
    .await?;
    job.set_columns(&shape.columns)?;
    let without = peak_mib(&job).await?;
    shape.plan.produce(kafka.bootstrap_servers(), &topic).await?;
    let peak = peak_mib(&job).await?;
    let mut expected: HashMap<i64, usize> = HashMap::new();
    let mut bytes = 0;
    for (_, payload) in shape.plan.committed() {
        let json: Id = serde_json::from_slice(&payload)?;
        ensure!(expected.insert(json.id, payload.len()).is_none(), "{} is written twice", json.id);
        bytes += payload.len() as u64;
    }
    eprintln!(
        "{without} MiB without a record, at most {peak} MiB with {} of {} MiB",
        expected.len(),
        bytes >> 20
    );
    ensure!(bytes > LEAST_BYTES, "only {bytes} bytes");
    for id in job.ids().await? {
        ensure!(expected.remove(&id).is_some(), "{id} is there twice, or was never committed");
    }
    ensure!(expected.is_empty(), "{} records are missing", expected.len());
    job.run(&["audit", "--deep"]).await?;
    ensure!(
        peak <= without + LIMIT_MIB + BESIDE_MIB,
        "with a limit of {LIMIT_MIB} MiB the process held {peak} MiB, and {without} MiB without a record"
    );
    Ok(())
}

/// Runs the job to its topic's end. Returns the most memory that the process has held.
async fn peak_mib(job: &Job) -> Result<u64> {
    let mut process = job.start(Program::Plain, &["run", "--until-end"], None, None)?;
    let mut peak = 0;
    let status = loop {
        peak = process.peak_kibibytes().unwrap_or(peak).max(peak);
        match process.ended()? {
            Some(status) => break status,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    ensure!(status.success(), "{status}: {}", process.log()?);
    Ok(peak >> 10)
}

#[derive(serde::Deserialize)]
struct Id {
    id: i64,
}

impl Job {
    fn set_columns(&self, columns: &[(String, &str)]) -> Result<()> {
        let text = std::fs::read_to_string(self.file())?;
        let (before, rest) = text.split_once("  columns:\n").context("columns")?;
        let (_, after) = rest.split_once("  metadata:").context("metadata")?;
        let column = |(name, kind): &(String, &str)| format!("    - {{name: {name}, type: \"{kind}\"}}\n");
        let columns: String = columns.iter().map(column).collect();
        Ok(std::fs::write(self.file(), format!("{before}  columns:\n{columns}  metadata:{after}"))?)
    }

    /// Column `id` of all that readers see.
    async fn ids(&self) -> Result<Vec<i64>> {
        let store = self.store()?;
        let mut ids = Vec::new();
        for entry in store.list("orders").await? {
            let bytes = store.get(&entry.path).await?.with_context(|| format!("{} has gone", entry.path))?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
            let only = parquet::arrow::ProjectionMask::columns(builder.parquet_schema(), ["id"]);
            for batch in builder.with_projection(only).build()? {
                ids.extend_from_slice(batch?.column(0).as_primitive::<Int64Type>().values());
            }
        }
        Ok(ids)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_with_200_partitions() -> Result<()> {
    let events = shape(200_000, event);
    stays_within(Shape { plan: Transactions { partitions: 200, ..events.plan }, ..events }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_with_50_open_table_partitions() -> Result<()> {
    stays_within(Shape { sink: "  partition_by: [\"bucket(50, id)\"]\n", ..shape(200_000, event) }).await
}

/// Each would be an upload's part that is not full until the checkpoint: 300 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_with_50_open_table_partitions_in_a_bucket() -> Result<()> {
    let large = shape(600, large);
    let plan = Transactions { max_transaction: 4, ..large.plan };
    stays_within_at(Place::S3, Shape { sink: "  partition_by: [\"bucket(50, id)\"]\n", plan, ..large }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_with_200_columns() -> Result<()> {
    let wide = shape(28_000, wide);
    stays_within(Shape {
        columns: wide_columns(),
        plan: Transactions { max_transaction: 500, ..wide.plan },
        ..wide
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_with_messages_of_a_megabyte() -> Result<()> {
    let large = shape(320, large);
    stays_within(Shape { plan: Transactions { max_transaction: 4, ..large.plan }, ..large }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_with_messages_of_60_bytes() -> Result<()> {
    stays_within(shape(1_600_000, small)).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "no queue has met more by this shape than by those above: ./x soak"]
async fn memory_is_bounded_with_most_in_one_partition() -> Result<()> {
    let events = shape(200_000, event);
    stays_within(Shape { plan: Transactions { first: 0.9, ..events.plan }, ..events }).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "no queue has met more by this shape than by those above: ./x soak"]
async fn memory_is_bounded_with_half_of_all_aborted() -> Result<()> {
    let events = shape(400_000, event);
    stays_within(Shape { plan: Transactions { aborted: 0.5, ..events.plan }, ..events }).await
}
