//! A visible file as Parquet's reader wants it: blocking, and in parts.

use std::io::{self, Read};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::{Buf, Bytes};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tidegate_sinks::{Commit, FileKind, Sink, StagedFile};
use tokio::runtime::Handle;

use super::ReadError;

/// A file up to this size is fetched at once.
const WHOLE_BYTES: u64 = 4 << 20;
/// What is fetched at a time where the reader does not say how much it wants: the header of a page.
const READ_AHEAD_BYTES: u64 = 16 << 10;
/// Rows decoded at a time; each may be as large as Kafka's largest message.
const BATCH_ROWS: usize = 256;

/// Calls `each` with every batch of the commit's rejects, and the path it is from.
/// Blocks: not for async code.
///
/// Errors: what does not read, and those of `each`.
pub fn batches<E: From<ReadError>>(
    runtime: &Handle,
    sink: &Arc<dyn Sink>,
    commit: &Commit,
    mut each: impl FnMut(&RecordBatch, &str) -> Result<(), E>,
) -> Result<(), E> {
    for file in commit.files.iter().filter(|file| file.kind == FileKind::Rejects) {
        let unreadable = |source| ReadError::Parquet { path: file.path.clone(), source };
        let missing = || ReadError::Missing { path: file.path.clone(), commit: commit.id.clone() };
        let mut remote =
            Remote { runtime: runtime.clone(), sink: sink.clone(), file: file.clone(), whole: None };
        // Asked for in any case, so that a file that is gone is told from one that does not read.
        let first = 0..file.bytes.min(WHOLE_BYTES);
        let first = runtime.block_on(sink.read_visible(file, first)).map_err(ReadError::from)?;
        let first = first.ok_or_else(missing)?;
        remote.whole = (first.len() as u64 == file.bytes).then_some(first);
        let reader = ParquetRecordBatchReaderBuilder::try_new(remote).map_err(unreadable)?;
        let reader = reader.with_batch_size(BATCH_ROWS).build().map_err(unreadable)?;
        for batch in reader {
            let batch = batch.map_err(|error| unreadable(error.into()))?;
            each(&batch, &file.path)?;
        }
    }
    Ok(())
}

#[derive(Clone)]
struct Remote {
    runtime: Handle,
    sink: Arc<dyn Sink>,
    file: StagedFile,
    whole: Option<Bytes>,
}

impl Remote {
    fn fetch(&self, from: u64, to: u64) -> io::Result<Bytes> {
        let range = from..to.min(self.file.bytes);
        if let Some(whole) = &self.whole {
            return Ok(whole.slice(range.start as usize..range.end as usize));
        }
        let answer = self.runtime.block_on(self.sink.read_visible(&self.file, range));
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the file went away while it was read");
        answer.map_err(io::Error::other)?.ok_or_else(gone)
    }
}

impl Length for Remote {
    fn len(&self) -> u64 {
        self.file.bytes
    }
}

impl ChunkReader for Remote {
    type T = Ahead;

    fn get_read(&self, start: u64) -> Result<Ahead, ParquetError> {
        Ok(Ahead { remote: self.clone(), next: start, fetched: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.fetch(start, start.saturating_add(length as u64))?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of {}", self.file.path)));
        }
        Ok(bytes)
    }
}

/// Reads on from a place, some bytes ahead.
struct Ahead {
    remote: Remote,
    next: u64,
    fetched: Bytes,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.fetched.is_empty() && self.next < self.remote.file.bytes {
            self.fetched = self.remote.fetch(self.next, self.next + READ_AHEAD_BYTES)?;
            self.next += self.fetched.len() as u64;
        }
        let count = buffer.len().min(self.fetched.len());
        self.fetched.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
