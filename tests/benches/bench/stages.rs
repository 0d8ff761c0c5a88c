//! The product's stages one at a time, on one thread each: consuming alone, decoding alone, encoding alone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use criterion::{Criterion, SamplingMode, Throughput};
use tidegate::config::{PartitionColumns, Tombstones, client_properties};
use tidegate::flow::decode::{self, Rows};
use tidegate::flow::event::{Assignment, Command, Event, Fetch};
use tidegate::flow::source::{Source, SourceSettings};
use tidegate::flow::stage::{Attempt, StageSettings, Stager};
use tidegate::formats::{Appended, Payload, Reject, Value};
use tidegate::memory::Shares;
use tidegate_sinks::memory::Memory;
use tidegate_sinks::{Begin, CommitId, Delta, Sink, Span, TopicPartition};

use super::job::{Job, Settings};
use super::measure::{self, Cost};
use super::workload::{Shape, for_each_event};

const BATCH_ROWS: usize = 8_192;
const FETCH_RECORDS: u64 = 4_096;
const PARTITIONS: u64 = 4;
const QUICK_RECORDS: u64 = 200_000;
const QUICK_SAMPLES: usize = 20;
/// Records that decoding and encoding are measured with: they are held in memory, decoded and not.
const HELD_RECORDS: u64 = 500_000;

/// Reads `records` records through the product's source, as a member of a group, and hands out the fetches.
pub(crate) async fn consume(job: &Job, records: u64, mut take: impl FnMut(Fetch)) -> Result<()> {
    let mut source = Source::start(SourceSettings {
        properties: client_properties(&job.config),
        topics: job.config.kafka.topics.clone(),
        bytes_per_second: 0,
        budget_bytes: Shares::of(job.config.memory_limit).undecoded_bytes,
    })?;
    let mut taken = 0;
    while taken < records {
        match source.events.recv().await.context("the source has ended")? {
            Event::Fetched(fetch, _permit) => {
                taken += fetch.len() as u64;
                take(fetch);
            }
            Event::Assigned(partitions) => {
                let from_start = |partition| Assignment { partition, offset: 0, generation: 1, epoch: None };
                source.commands.send(Command::Assign(partitions.into_iter().map(from_start).collect()))?;
            }
            Event::Failed(error) => return Err(error.into()),
            other => bail!("nothing but records was expected, but {other:?} came"),
        }
    }
    ensure!(taken == records, "{taken} records came instead of {records}");
    source.commands.send(Command::Close)?;
    Ok(())
}

/// Rows measured, and what decoding and what encoding them cost.
pub(crate) async fn consumed(job: &Job, records: u64) -> Result<(u64, Cost, Cost)> {
    let mut held = Vec::new();
    let mut rows = 0;
    consume(job, records, |fetch| {
        if rows < HELD_RECORDS {
            rows += fetch.len() as u64;
            held.push(fetch);
        }
    })
    .await?;
    let (decoding, encoding) = decode_and_encode(job, &held).await?;
    Ok((rows, decoding, encoding))
}

/// The standard workload's first records, as if they had been consumed; no broker takes part.
pub(crate) fn made(records: u64) -> Vec<Fetch> {
    let fetch = |number: u64| {
        let partition = TopicPartition::new("events", (number % PARTITIONS) as i32);
        let (from, to) = (number * FETCH_RECORDS, records.min((number + 1) * FETCH_RECORDS));
        let mut fetch = Fetch::new(partition, 1, from as i64);
        for_each_event(from..to, |number, key, json| {
            fetch.push(number as i64, Some(0), Some(key.as_bytes()), Some(json.as_bytes()), []);
        });
        fetch
    };
    (0..records.div_ceil(FETCH_RECORDS)).map(fetch).collect()
}

/// What decoding and what encoding the records cost.
pub(crate) async fn decode_and_encode(job: &Job, held: &[Fetch]) -> Result<(Cost, Cost)> {
    let (schema, batches, decoding) = decode(job, held)?;
    let encoding = encode(job, held, schema, batches).await?;
    Ok((decoding, encoding))
}

fn decode(job: &Job, held: &[Fetch]) -> Result<(SchemaRef, VecDeque<RecordBatch>, Cost)> {
    let mut decoder = decode::decoder(&job.config.format, job.columns())?;
    let (batches, cost) = measure::thread(|| {
        let mut batches = VecDeque::new();
        for record in held.iter().flat_map(Fetch::records) {
            decoder.append(&record)?;
            if decoder.rows() == BATCH_ROWS {
                batches.push_back(decoder.finish());
            }
        }
        batches.push_back(decoder.finish());
        Ok(batches)
    })?;
    Ok((decoder.schema().clone(), batches, cost))
}

/// Runs a stager whose decoder gives out what was decoded before.
async fn encode(
    job: &Job,
    held: &[Fetch],
    schema: SchemaRef,
    batches: VecDeque<RecordBatch>,
) -> Result<Cost> {
    let config = &job.config;
    let settings = StageSettings {
        table: config.sink.table.clone(),
        partition_by: Vec::new(),
        partition_columns: PartitionColumns::default(),
        path_bytes: 1_024,
        file: config.sink.file.clone(),
        memory: Shares::of(config.memory_limit).staging_bytes,
    };
    let sink = Arc::new(Memory::new("bench"));
    let replay = Replay { schema: schema.clone(), batches, rows: 0 };
    let replay = std::sync::Mutex::new(Some(Rows::new(schema, Box::new(replay), Tombstones::Skip, &[])));
    let decoder = move |_: &str| {
        replay.lock().ok().and_then(|mut replay| replay.take()).ok_or("only one table is written")
    };
    let mut stager = Stager::new(settings, sink.clone(), decoder)?;
    let id = CommitId::new();
    let attempt = Attempt {
        id: id.clone(),
        incarnation: 1,
        job: "bench".into(),
        counted_as: None,
        next_file: Arc::new(AtomicU32::new(0)),
    };
    let begin = Begin::new(id, 1, BTreeMap::new());
    sink.begin(&begin).await?;
    let spans: BTreeMap<TopicPartition, Span> =
        held.iter().map(|fetch| (fetch.partition.clone(), Span { from: 0, to: fetch.next })).collect();
    let (attempt, delta) = (Arc::new(attempt), Delta(spans));
    let runtime = tokio::runtime::Handle::current();
    let (staged, cost) = tokio::task::block_in_place(|| {
        measure::thread(|| {
            runtime.block_on(async {
                for fetch in held {
                    stager.accept(&attempt, fetch).await?;
                }
                Ok(stager.seal(&delta).await?)
            })
        })
    })?;
    let (staged, rows): (u64, usize) = (staged.rows.values().sum(), held.iter().map(Fetch::len).sum());
    ensure!(staged == rows as u64, "{staged} rows were staged instead of {rows}");
    Ok(cost)
}

/// A decoder that has done its work already.
#[derive(Debug)]
struct Replay {
    schema: SchemaRef,
    batches: VecDeque<RecordBatch>,
    rows: usize,
}

impl Payload for Replay {
    fn append(&mut self, _payload: Option<&[u8]>) -> Result<Appended, Reject> {
        self.rows += 1;
        Ok(Appended::Rows(1))
    }

    fn value(&self, _row: usize, _column: usize) -> Value<'_> {
        Value::Other
    }

    fn truncate(&mut self, rows: usize) {
        self.rows = rows;
    }

    fn bytes(&self) -> usize {
        0
    }

    /// The stager checks that it has as many rows as were appended.
    fn finish(&mut self) -> Vec<ArrayRef> {
        let batch = if std::mem::take(&mut self.rows) == 0 { None } else { self.batches.pop_front() };
        batch.unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone())).columns().to_vec()
    }
}

/// Rows a second of CPU time that one core decodes and encodes, without a broker;
/// compared with the last time by criterion.
pub(crate) fn quick() -> Result<()> {
    let runtime = tokio::runtime::Handle::current();
    let job = Settings::new("quick", &Shape::events(0)).alone()?;
    let held = made(QUICK_RECORDS);
    let (schema, batches, _) = decode(&job, &held)?;
    let mut criterion = Criterion::default();
    let mut group = criterion.benchmark_group("stages");
    group.sampling_mode(SamplingMode::Flat).sample_size(QUICK_SAMPLES);
    group.throughput(Throughput::Elements(QUICK_RECORDS));
    group.bench_function("decode", |bencher| {
        bencher.iter_custom(|times| {
            let once = |_| decode(&job, &held).expect("what is made can be decoded").2;
            (0..times).map(once).map(cpu).sum()
        });
    });
    group.bench_function("encode", |bencher| {
        bencher.iter_custom(|times| {
            let once = |_| runtime.block_on(encode(&job, &held, schema.clone(), batches.clone()));
            (0..times).map(|time| cpu(once(time).expect("what was decoded can be encoded"))).sum()
        });
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn cpu(cost: Cost) -> Duration {
    Duration::from_secs_f64(cost.cpu_seconds)
}
