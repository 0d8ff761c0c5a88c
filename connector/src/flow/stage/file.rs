//! One staged file: encoded in memory, sent on in chunks while it grows, and left open at its end until the
//! commit's spans are known, because they stand in its footer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use tidegate_sinks::{Delta, FileKind, FinalName, Sink, StagedFile, TopicPartition, Upload};

use super::chunks::Chunks;
use super::footer::{self, FileSpan};
use super::{Attempt, Error};

/// Bytes that an open row group takes for each column beside what its writer counts: the compressor's tables,
/// and buffers that have room for more than they hold.
const COLUMN_BYTES: usize = 64 << 10;
/// Bytes that a file takes even between row groups: buffers, and the metadata of its row groups.
const FILE_BYTES: usize = 16 << 10;

/// Where a row belongs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// `None`: the rejects.
    pub(super) table: Option<Arc<str>>,
    /// `day=2026-01-31/country=DE`, empty without `partition_by`.
    pub(super) folder: String,
}

#[derive(Debug)]
pub(super) struct OpenFile {
    kind: FileKind,
    staged: String,
    path: String,
    sink: Arc<dyn Sink>,
    attempt: Arc<Attempt>,
    writer: ArrowWriter<Chunks>,
    /// Opened by the first chunk: a small file takes no handle and no request before its end.
    upload: Option<Box<dyn Upload>>,
    rows: BTreeMap<TopicPartition, u64>,
    /// Columns, nested ones too.
    columns: usize,
    /// Bytes that the open row group would have if it ended here, by the encoder's estimate, which takes what
    /// waits for the compressor as it is. Counting over all columns is too slow to do it at each question.
    open_bytes: usize,
    /// Bytes, without what the upload holds; counted as seldom.
    memory: usize,
    /// When it was last written to, by the clock of its owner.
    pub(super) used: u64,
}

impl OpenFile {
    pub(super) fn create(
        place: &Place,
        sink: Arc<dyn Sink>,
        attempt: Arc<Attempt>,
        schema: SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self, Error> {
        let number = attempt.next_file.fetch_add(1, Ordering::Relaxed);
        let name = FinalName { incarnation: attempt.incarnation, commit: attempt.id.clone(), number };
        let (kind, path) = match &place.table {
            None => (FileKind::Rejects, name.to_string()),
            Some(table) if place.folder.is_empty() => (FileKind::Data, format!("{table}/{name}")),
            Some(table) => (FileKind::Data, format!("{table}/{}/{name}", place.folder)),
        };
        let columns = schema.flattened_fields().len();
        let writer = ArrowWriter::try_new(Chunks::default(), schema, Some(properties))
            .map_err(|source| Error::Encode { path: path.clone(), source })?;
        Ok(Self {
            kind,
            staged: format!("{number:03}.staged"),
            path,
            sink,
            attempt,
            writer,
            upload: None,
            rows: BTreeMap::new(),
            columns,
            open_bytes: 0,
            memory: FILE_BYTES,
            used: 0,
        })
    }

    /// Encodes rows that came from the partitions as counted.
    pub(super) fn write(
        &mut self,
        batch: &RecordBatch,
        rows: &BTreeMap<TopicPartition, u64>,
    ) -> Result<(), Error> {
        self.writer.write(batch).map_err(|source| self.encode(source))?;
        for (partition, rows) in rows {
            *self.rows.entry(partition.clone()).or_default() += rows;
        }
        self.measure();
        Ok(())
    }

    /// Ends the row group, so that its memory becomes bytes that can be sent.
    pub(super) fn end_row_group(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(|source| self.encode(source))?;
        self.measure();
        Ok(())
    }

    /// Sends what has become whole chunks.
    pub(super) async fn drain(&mut self) -> Result<(), Error> {
        while let Some(chunk) = self.writer.inner_mut().pop() {
            send(&self.sink, &self.attempt, &self.staged, &mut self.upload, chunk).await?;
            self.measure();
        }
        Ok(())
    }

    /// Sends everything that is encoded; for when memory is short, since stores like large pieces better.
    pub(super) async fn drain_all(&mut self) -> Result<(), Error> {
        self.drain().await?;
        if let Some(rest) = self.writer.inner_mut().pop_rest() {
            send(&self.sink, &self.attempt, &self.staged, &mut self.upload, rest).await?;
            self.measure();
        }
        Ok(())
    }

    /// Writes the footer with the spans of `delta` and makes the file durable.
    pub(super) async fn finish(mut self, delta: &Delta) -> Result<StagedFile, Error> {
        self.end_row_group()?;
        for (key, value) in footer::entries(&self.attempt.job, &self.attempt.id, &self.spans(delta)?) {
            self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        self.writer.finish().map_err(|source| self.encode(source))?;
        self.drain_all().await?;
        let upload = self.upload.take().expect("a footer has bytes, and sending the first of them opened it");
        let uploaded = upload.finish().await?;
        let written = self.writer.bytes_written() as u64;
        if uploaded.bytes != written {
            return Err(Error::Torn { path: self.path, written, stored: uploaded.bytes });
        }
        Ok(StagedFile {
            kind: self.kind,
            staged: self.staged,
            path: self.path,
            bytes: uploaded.bytes,
            rows: self.rows.values().sum(),
            sha256: uploaded.sha256,
            partitions: self.rows,
        })
    }

    fn spans(&self, delta: &Delta) -> Result<Vec<FileSpan>, Error> {
        let span = |(partition, rows): (&TopicPartition, &u64)| {
            let span = delta.0.get(partition).ok_or_else(|| Error::Uncovered(partition.clone()))?;
            Ok(FileSpan {
                topic: partition.topic.clone(),
                partition: partition.partition,
                from: span.from,
                to: span.to,
                rows: *rows,
            })
        };
        self.rows.iter().map(span).collect()
    }

    /// Bytes of the row groups that have ended.
    pub(super) fn ended_bytes(&self) -> usize {
        self.writer.bytes_written()
    }

    /// Bytes of the file so far, its open row group by estimate.
    pub(super) fn encoded(&self) -> usize {
        self.ended_bytes() + self.open_bytes
    }

    pub(super) fn memory(&self) -> usize {
        self.memory + self.held()
    }

    /// Bytes of memory that ending the row group and sending everything gives back. An
    /// upload keeps what is not enough for it to send.
    pub(super) fn reclaimable(&self) -> usize {
        self.memory - FILE_BYTES
    }

    fn held(&self) -> usize {
        self.upload.as_ref().map_or(0, |upload| upload.held())
    }

    pub(super) fn has_open_row_group(&self) -> bool {
        self.writer.in_progress_rows() > 0
    }

    fn measure(&mut self) {
        let columns = if self.has_open_row_group() { self.columns * COLUMN_BYTES } else { 0 };
        self.open_bytes = self.writer.in_progress_size();
        self.memory = FILE_BYTES + columns + self.writer.memory_size() + self.writer.inner().memory();
    }

    fn encode(&self, source: ParquetError) -> Error {
        Error::Encode { path: self.path.clone(), source }
    }
}

async fn send(
    sink: &Arc<dyn Sink>,
    attempt: &Attempt,
    staged: &str,
    upload: &mut Option<Box<dyn Upload>>,
    bytes: bytes::Bytes,
) -> Result<(), Error> {
    let upload = match upload {
        Some(upload) => upload,
        None => upload.insert(sink.stage(&attempt.id, staged).await?),
    };
    Ok(upload.write(bytes).await?)
}
