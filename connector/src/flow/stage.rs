//! From records to Parquet files that wait under temporary names.
//!
//! The guarantee: each row that was accepted is in exactly one of the files that [`Stager::seal`] returns,
//! and counted there under its partition; in each file the rows of a partition keep the order in which they
//! were accepted; each reject is a row of a rejects file of the same commit. Nothing becomes visible here: a
//! stager knows a sink only as a place to upload to.
//!
//! A stager runs on one thread. Decoding and encoding are plain work on it, only uploads are awaited, so a
//! slow store slows the reading down by itself.

mod bucket;
mod chunks;
mod dictionary;
mod file;
pub mod footer;
mod partition;
mod rejects;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod writers;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use arrow::datatypes::Schema;
use async_trait::async_trait;
use parquet::errors::ParquetError;
use tidegate_sinks::{CommitId, Delta, FileKind, Kind, Sink, StagedFile, TopicPartition};

pub use self::partition::{PartitionError, Partitioner};
pub(crate) use self::rejects::describe;
use self::table::{OpenTable, Pending, RejectTable};
use self::writers::Writers;
use crate::config::{File, PartitionColumns, PartitionField, Table};
use crate::flow::decode::{Appended, Fits, Row, Rows, Unmatched};
use crate::flow::event::Fetch;

/// Bytes of keys and payloads at which a batch goes to its files.
const BATCH_BYTES: usize = 4 << 20;
/// Of a file's name, which is made of two numbers and a commit's id.
const FILE_NAME_BYTES: usize = 64;
/// One part in this many of a stager's memory is for batches, the rest for writers.
const BATCHES_SHARE: usize = 4;

/// One attempt to commit; its stagers share it.
#[derive(Debug)]
pub struct Attempt {
    pub id: CommitId,
    pub incarnation: u32,
    pub job: Arc<str>,
    /// The partition that rows and rejects are counted under; `None`: that of their fetch.
    pub counted_as: Option<TopicPartition>,
    /// Numbers the files.
    pub next_file: Arc<AtomicU32>,
}

/// What a stager has staged for an attempt.
#[derive(Debug, Default)]
pub struct Staged {
    pub files: Vec<StagedFile>,
    /// Rows of each partition, without rejects.
    pub rows: BTreeMap<TopicPartition, u64>,
    pub rejects: u64,
    /// Records that are neither a row nor a reject.
    pub skipped: u64,
    pub first_reject: Option<RejectAt>,
    /// What no column asked for, of each table that had any.
    pub unmatched: BTreeMap<Arc<str>, Unmatched>,
}

/// A reject, as it may be logged: where it is, not what it holds.
#[derive(Clone, Debug)]
pub struct RejectAt {
    pub partition: TopicPartition,
    pub offset: i64,
    pub error: String,
}

/// Where an attempt stands on one stager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows accepted, without rejects.
    pub rows: u64,
    pub rejects: u64,
    /// Bytes of Parquet, open row groups by estimate.
    pub bytes_written: u64,
    /// Files begun. Each keeps a little memory, and a handle of the store, until the attempt is sealed.
    pub files: usize,
    /// They hold more memory than they may, and only sealing the attempt gives it back.
    pub crowded: bool,
    /// Bytes that batches and open writers take.
    pub memory: usize,
}

#[derive(Clone, Debug)]
pub struct StageSettings {
    pub table: Table,
    pub partition_by: Vec<PartitionField>,
    pub partition_columns: PartitionColumns,
    /// What a file's path below the sink's URL may take, in bytes.
    pub path_bytes: usize,
    pub file: File,
    /// Bytes that batches and open writers of this stager may take together.
    pub memory: usize,
}

impl StageSettings {
    /// Of a table with these columns.
    pub(crate) fn partitioner(&self, table: &str, schema: &Schema) -> Result<Partitioner, Error> {
        // With a slash after the table's name; each level brings its own.
        let room = self.path_bytes.saturating_sub(table.len() + 1 + FILE_NAME_BYTES);
        Ok(Partitioner::new(&self.partition_by, self.partition_columns, schema, room)?)
    }
}

/// Why staging stopped. The attempt is then to be discarded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Sink(#[from] tidegate_sinks::Error),
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// Never read: such a topic is left out before.
    #[error("the table of topic {topic} {problem}")]
    Table { topic: Arc<str>, problem: String },
    #[error("no decoder for topic {topic}")]
    Decoder {
        topic: Arc<str>,
        #[source]
        source: BoxError,
    },
    /// What it takes to decode its records is not to be had.
    #[error("preparing to decode topic {topic}")]
    Prepare {
        topic: Arc<str>,
        #[source]
        source: tidegate_sinks::Error,
    },
    /// All that was to be awaited was, and still it cannot be decoded.
    #[error("the record {partition} @ {offset} cannot be decoded yet")]
    NotReady { partition: TopicPartition, offset: i64 },
    #[error("sink.file does not make a Parquet writer")]
    Settings(#[source] ParquetError),
    #[error("cannot encode {path}")]
    Encode {
        path: String,
        #[source]
        source: ParquetError,
    },
    #[error("{0} has rows, but no span in the commit")]
    Uncovered(TopicPartition),
    #[error("{path} was {written} bytes when it was sent, and is {stored} in the store")]
    Torn { path: String, written: u64, stored: u64 },
}

impl Error {
    /// What to do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Sink(error) | Self::Prepare { source: error, .. } => error.kind,
            Self::Torn { .. } | Self::NotReady { .. } => Kind::Retry,
            Self::Uncovered(_) => Kind::Corrupt,
            Self::Partition(_)
            | Self::Table { .. }
            | Self::Decoder { .. }
            | Self::Settings(_)
            | Self::Encode { .. } => Kind::Config,
        }
    }
}

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A decoder for the records of a topic.
#[derive(Debug)]
pub enum Opened {
    /// Of the table that they go to.
    Table(Rows),
    /// The table has no columns yet, so that none of them is a row. Good for one fetch.
    NotYet(Rows),
}

/// Makes the decoders of tables.
#[async_trait]
pub trait Decoders: Send + Sync {
    /// The decoder of the table that the records of `first`'s topic go to. `first` are the first of them that
    /// this thread sees, or that it has seen while the table had no columns.
    async fn decoder(&self, first: &Fetch) -> Result<Opened, Error>;
}

type MakeDecoder = dyn Fn(&str) -> Result<Rows, BoxError> + Send + Sync;

/// By the topic's name alone.
struct ByTopic(Box<MakeDecoder>);

#[async_trait]
impl Decoders for ByTopic {
    async fn decoder(&self, first: &Fetch) -> Result<Opened, Error> {
        let topic = &first.partition.topic;
        let failed = |source| Error::Decoder { topic: topic.clone(), source };
        (self.0)(topic).map(Opened::Table).map_err(failed)
    }
}

/// Decodes fetches and stages their rows. One thread's.
pub struct Stager {
    settings: StageSettings,
    decoders: Arc<dyn Decoders>,
    writers: Writers,
    attempt: Option<Arc<Attempt>>,
    /// By name.
    tables: BTreeMap<Arc<str>, OpenTable>,
    rejects: RejectTable,
    rows: BTreeMap<TopicPartition, u64>,
    skipped: u64,
}

impl Stager {
    /// `make_decoder` makes the decoder of the table that a topic's records go to.
    ///
    /// Errors: settings of which Parquet makes no writer.
    pub fn new<E: Into<BoxError>>(
        settings: StageSettings,
        sink: Arc<dyn Sink>,
        make_decoder: impl Fn(&str) -> Result<Rows, E> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let by_topic = ByTopic(Box::new(move |topic| make_decoder(topic).map_err(Into::into)));
        Self::with_decoders(settings, sink, Arc::new(by_topic))
    }

    /// The same, where a decoder may take a while.
    pub fn with_decoders(
        settings: StageSettings,
        sink: Arc<dyn Sink>,
        decoders: Arc<dyn Decoders>,
    ) -> Result<Self, Error> {
        let writers = Writers::new(sink, &settings.file, settings.memory - settings.memory / BATCHES_SHARE)
            .map_err(Error::Settings)?;
        Ok(Self {
            settings,
            decoders,
            writers,
            attempt: None,
            tables: BTreeMap::new(),
            rejects: RejectTable::default(),
            rows: BTreeMap::new(),
            skipped: 0,
        })
    }

    /// Decodes a fetch and writes what is complete. Awaits only uploads, and what decoding takes.
    ///
    /// After an error, and when the future was dropped before its end, only [`Stager::discard`] makes sense.
    pub async fn accept(&mut self, attempt: &Arc<Attempt>, fetch: &Fetch) -> Result<Progress, Error> {
        let current = self.attempt.get_or_insert_with(|| attempt.clone());
        assert_eq!(current.id, attempt.id, "an attempt is sealed or discarded before the next one begins");
        if fetch.is_empty() {
            return Ok(self.progress());
        }
        let name = self.table_name(&fetch.partition.topic)?;
        if !self.tables.contains_key(&name) {
            match self.decoders.decoder(fetch).await? {
                Opened::Table(decode) => {
                    let table = self.open_table(decode, &name)?;
                    self.tables.insert(name.clone(), table);
                }
                Opened::NotYet(decode) => return self.reject(attempt, fetch, decode).await,
            }
        }
        let batch_bytes = self.batch_bytes();
        let table = self.tables.get_mut(&name).expect("it is there, or was put there just now");
        let counted_as = attempt.counted_as.as_ref().unwrap_or(&fetch.partition);
        let partitioner = table.partitioner.clone();
        let judge = |row: &Row<'_>| partitioner.judge(row);
        let fits: Option<Fits<'_>> = partitioner.judges().then_some(&judge);
        if let Some(preparing) = table.decode.prepare(fetch) {
            let topic = &fetch.partition.topic;
            preparing.await.map_err(|source| Error::Prepare { topic: topic.clone(), source })?;
        }
        let mut rows = 0;
        for record in fetch.records() {
            match table.decode.append_if(&record, fits) {
                Ok(Appended::Rows(0) | Appended::Skipped) => self.skipped += 1,
                Ok(Appended::Rows(of_record)) => {
                    rows += of_record as u64;
                    table.pending.add(&record, of_record, counted_as);
                }
                Ok(Appended::NotReady) => {
                    return Err(Error::NotReady {
                        partition: fetch.partition.clone(),
                        offset: record.offset,
                    });
                }
                Err(reject) => self.rejects.append(&record, &reject, counted_as),
            }
            if table.pending.is_full(batch_bytes) {
                table.flush(&name, attempt, &mut self.writers).await?;
            }
            if self.rejects.pending.is_full(batch_bytes) {
                self.rejects.flush(attempt, &mut self.writers).await?;
            }
        }
        if rows > 0 {
            *self.rows.entry(counted_as.clone()).or_default() += rows;
        }
        if self.pending_bytes() > self.settings.memory / BATCHES_SHARE {
            self.flush(attempt).await?;
        }
        Ok(self.progress())
    }

    /// Takes a fetch of which nothing is a row.
    async fn reject(
        &mut self,
        attempt: &Arc<Attempt>,
        fetch: &Fetch,
        mut decode: Rows,
    ) -> Result<Progress, Error> {
        let (batch_bytes, counted_as) =
            (self.batch_bytes(), attempt.counted_as.as_ref().unwrap_or(&fetch.partition));
        for record in fetch.records() {
            match decode.append(&record) {
                Ok(_) => self.skipped += 1,
                Err(reject) => self.rejects.append(&record, &reject, counted_as),
            }
            if self.rejects.pending.is_full(batch_bytes) {
                self.rejects.flush(attempt, &mut self.writers).await?;
            }
        }
        Ok(self.progress())
    }

    /// Ends the attempt: all rows are in files, durable under their temporary names,
    /// with the spans of `delta` in their footers. `delta` covers each partition that
    /// has rows. Whatever comes out, nothing of the attempt is left.
    pub async fn seal(&mut self, delta: &Delta) -> Result<Staged, Error> {
        let sealed = self.seal_files(delta).await;
        let (rows, rejects, first_reject) =
            (std::mem::take(&mut self.rows), self.rejects.count, self.rejects.first.take());
        let skipped = self.skipped;
        let unmatched = self
            .tables
            .iter_mut()
            .map(|(name, table)| (name.clone(), table.decode.take_unmatched()))
            .collect();
        self.discard().await;
        let files = sealed?;
        let staged = |kind| files.iter().filter(|file| file.kind == kind).map(|file| file.rows).sum::<u64>();
        assert_eq!(staged(FileKind::Data), rows.values().sum::<u64>(), "each row is in exactly one file");
        assert_eq!(staged(FileKind::Rejects), rejects, "each reject is a row of the rejects");
        Ok(Staged { files, rows, rejects, skipped, first_reject, unmatched })
    }

    async fn seal_files(&mut self, delta: &Delta) -> Result<Vec<StagedFile>, Error> {
        if let Some(attempt) = self.attempt.clone() {
            self.flush(&attempt).await?;
        }
        self.writers.finish(delta).await
    }

    /// Drops all open work of the attempt. What it uploaded is the sink's to remove.
    pub async fn discard(&mut self) {
        self.attempt = None;
        self.rows.clear();
        self.skipped = 0;
        self.writers.discard();
        self.rejects = RejectTable::default();
        for table in self.tables.values_mut() {
            table.discard();
        }
    }

    /// A batch is small against the memory it is in and the file it goes to.
    fn batch_bytes(&self) -> usize {
        let file = usize::try_from(self.settings.file.target_size / 16).unwrap_or(usize::MAX);
        BATCH_BYTES.min(self.settings.memory / BATCHES_SHARE / 2).min(file)
    }

    async fn flush(&mut self, attempt: &Arc<Attempt>) -> Result<(), Error> {
        for (name, table) in &mut self.tables {
            table.flush(name, attempt, &mut self.writers).await?;
        }
        self.rejects.flush(attempt, &mut self.writers).await
    }

    fn open_table(&self, decode: Rows, name: &str) -> Result<OpenTable, Error> {
        let partitioner = self.settings.partitioner(name, decode.schema())?;
        Ok(OpenTable { decode, partitioner: Arc::new(partitioner), pending: Pending::default() })
    }

    fn table_name(&self, topic: &Arc<str>) -> Result<Arc<str>, Error> {
        let name = self.settings.table.name(topic);
        name.map(Into::into).map_err(|problem| Error::Table { topic: topic.clone(), problem })
    }

    fn pending_bytes(&self) -> usize {
        self.tables.values().map(|table| table.decode.bytes()).sum::<usize>() + self.rejects.pending.bytes()
    }

    fn progress(&self) -> Progress {
        let held = self.writers.memory();
        Progress {
            rows: self.rows.values().sum(),
            rejects: self.rejects.count,
            bytes_written: self.writers.encoded(),
            files: self.writers.files(),
            crowded: self.writers.is_crowded(held),
            memory: held + self.pending_bytes(),
        }
    }
}

impl fmt::Debug for Stager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stager")
            .field("settings", &self.settings)
            .field("attempt", &self.attempt)
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}
