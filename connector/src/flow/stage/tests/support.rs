//! A sink that only takes uploads, and a decoder of `id|country|milliseconds`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use async_trait::async_trait;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;
use tidegate_sinks::{
    Begin, Checkpoint, Collected, Commit, CommitId, Delta, Error, Genesis, Kind, Outcome, Plan, RejectLimit,
    Restore, Sink, Span, StagedFile, TopicPartition, Upload, Uploaded,
};

use crate::config::{Compression, File, Metadata, PartitionColumns, Table, Tombstones};
use crate::flow::decode::Rows;
use crate::flow::event::Fetch;
use crate::flow::stage::{Attempt, BoxError, StageSettings, Stager};
use crate::formats::{Appended, Payload, Preparing, Reject, Value};

#[derive(Debug, Default)]
pub(super) struct Uploads {
    finished: Arc<Mutex<BTreeMap<(CommitId, String), Bytes>>>,
    /// An upload holds what it gets, until it is finished.
    holds: bool,
    /// The first file does not finish; the others do so in their own time, whether they
    /// are waited for or not.
    fails: bool,
}

impl Uploads {
    pub(super) fn failing() -> Self {
        Self { fails: true, ..Self::default() }
    }

    pub(super) fn holding() -> Self {
        Self { holds: true, ..Self::default() }
    }

    pub(super) fn files(&self) -> BTreeMap<String, Bytes> {
        let finished = self.finished.lock().unwrap();
        finished.iter().map(|((_, name), bytes)| (name.clone(), bytes.clone())).collect()
    }
}

#[derive(Debug)]
struct Growing {
    name: (CommitId, String),
    bytes: Vec<u8>,
    finished: Arc<Mutex<BTreeMap<(CommitId, String), Bytes>>>,
    holds: bool,
    fails: bool,
}

#[async_trait]
impl Upload for Growing {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    fn held(&self) -> usize {
        if self.holds { self.bytes.len() } else { 0 }
    }

    async fn finish(self: Box<Self>) -> Result<Uploaded, Error> {
        let bytes = self.bytes.len() as u64;
        if self.fails && self.name.1 == "000.staged" {
            return Err(Error::new(Kind::Retry, "there is no room"));
        }
        if self.fails {
            let finishing = tokio::spawn(async move {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                self.finished.lock().unwrap().insert(self.name, self.bytes.into());
            });
            finishing.await.unwrap();
            return Ok(Uploaded { bytes, sha256: String::new() });
        }
        let before = self.finished.lock().unwrap().insert(self.name, self.bytes.into());
        assert!(before.is_none(), "two files of one name");
        Ok(Uploaded { bytes, sha256: String::new() })
    }
}

impl fmt::Display for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("uploads")
    }
}

#[async_trait]
impl Sink for Uploads {
    async fn load(&self) -> Result<Option<Arc<Checkpoint>>, Error> {
        unreachable!("a stager only stages")
    }

    async fn begin_chain(&self, _: Genesis) -> Result<Arc<Checkpoint>, Error> {
        unreachable!("a stager only stages")
    }

    async fn begin(&self, _: &Begin) -> Result<(), Error> {
        unreachable!("a stager only stages")
    }

    async fn stage(&self, id: &CommitId, name: &str) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(Growing {
            name: (id.clone(), name.into()),
            bytes: Vec::new(),
            finished: self.finished.clone(),
            holds: self.holds,
            fails: self.fails,
        }))
    }

    async fn commit(
        &self,
        _: Arc<Checkpoint>,
        _: Arc<Commit>,
        _: Option<RejectLimit>,
    ) -> Result<Outcome, Error> {
        unreachable!("a stager only stages")
    }

    async fn restore(&self, _: &Restore) -> Result<Arc<Checkpoint>, Error> {
        unreachable!("a stager only stages")
    }

    async fn plan_rollback(&self, _: &Checkpoint) -> Result<Plan, Error> {
        unreachable!("a stager only stages")
    }

    async fn publish(&self, _: &Checkpoint, _: &[CommitId]) -> Result<bool, Error> {
        unreachable!("a stager only stages")
    }

    async fn read_commit(&self, _: &CommitId) -> Result<Option<Commit>, Error> {
        unreachable!("a stager only stages")
    }

    async fn read_visible(&self, _: &StagedFile, _: Range<u64>) -> Result<Option<Bytes>, Error> {
        unreachable!("a stager only stages")
    }

    fn note_sent(&self, _: &Checkpoint, _: &CommitId) {
        unreachable!("a stager only stages")
    }

    async fn pin(&self, _: Arc<Checkpoint>, _: &serde_json::Value) -> Result<Arc<Checkpoint>, Error> {
        unreachable!("staging pins nothing")
    }

    async fn settle(&self, _: Arc<Checkpoint>) -> Result<Arc<Checkpoint>, Error> {
        unreachable!("a stager only stages")
    }

    fn has_finished(&self) -> bool {
        unreachable!("a stager only stages")
    }

    async fn discard(&self, _: &CommitId) -> Result<(), Error> {
        unreachable!("a stager only stages")
    }

    async fn collect(&self, _: &Checkpoint, _: bool) -> Result<Collected, Error> {
        unreachable!("a stager only stages")
    }
}

/// Between two rows of one record.
pub(super) const NEXT: char = '\u{1e}';

/// Rows of `id|country|milliseconds`, with [`NEXT`] between those of one record. One that begins with `?` can
/// only be decoded once it was prepared for, which `?!` never is.
#[derive(Debug, Default)]
struct Lines {
    rows: Vec<(i64, String, i64, Option<String>)>,
    is_prepared: bool,
}

pub(super) fn decoder() -> Rows {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("country", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        Field::new("noise", DataType::Utf8, true),
        Field::new("_topic", DataType::Utf8, false),
        Field::new("_partition", DataType::Int32, false),
        Field::new("_offset", DataType::Int64, false),
    ]);
    let metadata = [Metadata::Topic, Metadata::Partition, Metadata::Offset];
    Rows::new(schema.into(), Box::new(Lines::default()), Tombstones::Skip, &metadata)
}

impl Payload for Lines {
    fn prepare(&mut self, payloads: &mut dyn Iterator<Item = &[u8]>) -> Option<Preparing<'_>> {
        let waiting: Vec<_> = payloads.filter(|payload| payload.starts_with(b"?")).collect();
        if waiting.is_empty() || self.is_prepared {
            return None;
        }
        let is_lost = waiting.iter().any(|payload| payload.starts_with(b"?!"));
        Some(Box::pin(async move {
            tokio::task::yield_now().await;
            self.is_prepared = !is_lost;
            Ok(())
        }))
    }

    fn append(&mut self, payload: Option<&[u8]>) -> Result<Appended, Reject> {
        let text = std::str::from_utf8(payload.unwrap()).unwrap();
        if text.starts_with('?') && !self.is_prepared {
            return Ok(Appended::NotReady);
        }
        let before = self.rows.len();
        for row in text.trim_start_matches('?').split(NEXT).filter(|row| !row.is_empty()) {
            let mut fields = row.split('|');
            let id = fields.next().and_then(|id| id.parse().ok());
            let not_a_number = || Reject { error: "not a number".into(), column: Some("id".into()) };
            let (id, country) = (id.ok_or_else(not_a_number)?, fields.next().unwrap().to_owned());
            let ts = fields.next().unwrap().parse().unwrap();
            self.rows.push((id, country, ts, fields.next().map(str::to_owned)));
        }
        Ok(Appended::Rows(self.rows.len() - before))
    }

    fn value(&self, row: usize, column: usize) -> Value<'_> {
        match column {
            1 => Value::Text(self.rows[row].1.as_bytes()),
            2 => Value::Number(self.rows[row].2),
            _ => Value::Other,
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
    }

    fn bytes(&self) -> usize {
        self.rows.len() * 64
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        let rows = std::mem::take(&mut self.rows);
        let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.2));
        vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.1))),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(rows.iter().map(|row| row.3.as_deref()).collect::<StringArray>()),
        ]
    }
}

pub(crate) fn settings() -> StageSettings {
    StageSettings {
        table: Table::Named("orders".into()),
        partition_by: Vec::new(),
        partition_columns: PartitionColumns::File,
        path_bytes: 1_024,
        file: File { target_size: 128 << 20, compression: Compression::Zstd(1), row_group_rows: 1 << 20 },
        memory: 128 << 20,
    }
}

pub(super) fn stager(sink: &Arc<Uploads>, settings: StageSettings) -> Stager {
    Stager::new(settings, sink.clone(), |_| Ok::<_, BoxError>(decoder())).unwrap()
}

pub(super) fn attempt() -> Arc<Attempt> {
    let id = CommitId::new();
    Arc::new(Attempt { id, incarnation: 3, job: "job".into(), counted_as: None, next_file: Arc::default() })
}

pub(super) fn row(id: i64, country: &str, ts: i64) -> Option<String> {
    Some(format!("{id}|{country}|{ts}"))
}

/// A row with 48 characters that no encoding makes much smaller.
pub(super) fn noisy_row(id: i64, country: &str) -> Option<String> {
    let mut state = id as u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        format!("{:016x}", (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb))
    });
    let noise: String = noise.take(3).collect();
    Some(format!("{id}|{country}|0|{noise}"))
}

/// Records of one partition from an offset on; `None` is a tombstone.
pub(super) fn fetch(
    topic: &str,
    partition: i32,
    from: i64,
    payloads: impl IntoIterator<Item = Option<String>>,
) -> Fetch {
    let mut fetch = Fetch::new(TopicPartition::new(topic, partition), 1, from);
    for (offset, payload) in (from..).zip(payloads) {
        fetch.push(offset, Some(offset), None, payload.as_deref().map(str::as_bytes), []);
    }
    fetch
}

/// What the fetches cover.
pub(super) fn delta<'a>(fetches: impl IntoIterator<Item = &'a Fetch>) -> Delta {
    let mut delta = Delta::default();
    for fetch in fetches {
        let from = fetch.first().unwrap_or(fetch.next);
        let Some(own) = Span::new(from, fetch.next) else { continue };
        let span = delta.0.entry(fetch.partition.clone()).or_insert(own);
        span.to = own.to;
    }
    delta
}

pub(super) fn read(file: &Bytes) -> (Arc<ParquetMetaData>, Vec<RecordBatch>) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let metadata = reader.metadata().clone();
    (metadata, reader.build().unwrap().map(Result::unwrap).collect())
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
