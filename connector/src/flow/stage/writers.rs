//! The open files of one attempt, within a bound of memory and of number.
//!
//! An open row group costs tens of MiB, a file between row groups next to nothing. So when memory is short
//! the largest row groups end, and the files go on: many folders cost smaller row groups, not more files.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use futures::{StreamExt, stream};
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tidegate_sinks::{Delta, Sink, StagedFile, TopicPartition};

use super::file::{OpenFile, Place};
use super::{Attempt, Error, dictionary};
use crate::config::{Compression, File};

/// Files open for rows at once: a folder each. Past it, rows of a folder not used for long start another
/// file, which costs less than a thousand more handles and buffers.
const OPEN_FILES: usize = 1_000;
/// A file that has reached this part of its target is full. One whose row group came out smaller than
/// estimated goes on with another.
const NEAR: f64 = 0.92;
/// Files that are finished at once: enough to hide a store's latency, few enough that it does not push back.
const CONCURRENT_FINISHES: usize = 16;

#[derive(Debug)]
pub(super) struct Writers {
    sink: Arc<dyn Sink>,
    properties: WriterProperties,
    target_size: usize,
    /// Bytes.
    memory_limit: usize,
    /// By table, as its first rows of the attempt have it.
    without_dictionary: BTreeMap<Arc<str>, Vec<ColumnPath>>,
    open: BTreeMap<Place, OpenFile>,
    /// Complete but for their footers.
    ended: Vec<OpenFile>,
    clock: u64,
}

impl Writers {
    /// Errors: a level of compression that does not exist.
    pub(super) fn new(sink: Arc<dyn Sink>, file: &File, memory_limit: usize) -> Result<Self, ParquetError> {
        Ok(Self {
            sink,
            properties: properties(file)?,
            target_size: usize::try_from(file.target_size).unwrap_or(usize::MAX),
            memory_limit,
            without_dictionary: BTreeMap::new(),
            open: BTreeMap::new(),
            ended: Vec::new(),
            clock: 0,
        })
    }

    /// Looks at rows of a table for which columns its files do without a dictionary.
    pub(super) fn sample(&mut self, table: &Arc<str>, batch: &RecordBatch) -> Result<(), Error> {
        if batch.num_rows() >= dictionary::MIN_SAMPLE && !self.without_dictionary.contains_key(table) {
            let columns = dictionary::outgrown(batch).map_err(Error::Settings)?;
            self.without_dictionary.insert(table.clone(), columns);
        }
        Ok(())
    }

    fn properties_of(&self, place: &Place) -> WriterProperties {
        let columns = place.table.as_ref().and_then(|table| self.without_dictionary.get(table));
        let columns = columns.into_iter().flatten().cloned();
        let builder = self.properties.clone().into_builder();
        columns.fold(builder, |builder, column| builder.set_column_dictionary_enabled(column, false)).build()
    }

    /// Writes rows to the file that is open for their place, and keeps the bounds.
    pub(super) async fn write(
        &mut self,
        attempt: &Arc<Attempt>,
        place: Place,
        batch: &RecordBatch,
        rows: &BTreeMap<TopicPartition, u64>,
    ) -> Result<(), Error> {
        self.clock += 1;
        let mut file = match self.open.remove(&place) {
            Some(file) => file,
            None => {
                self.make_room()?;
                OpenFile::create(
                    &place,
                    self.sink.clone(),
                    attempt.clone(),
                    batch.schema(),
                    self.properties_of(&place),
                )?
            }
        };
        file.used = self.clock;
        file.write(batch, rows)?;
        let full = self.roll(&mut file)?;
        file.drain().await?;
        if full {
            self.ended.push(file);
        } else {
            self.open.insert(place, file);
        }
        self.bound_memory().await
    }

    /// Ends the row group of a file that seems to have reached its target, and says whether it has.
    fn roll(&self, file: &mut OpenFile) -> Result<bool, Error> {
        if file.encoded() < self.target_size {
            return Ok(false);
        }
        file.end_row_group()?;
        Ok(file.ended_bytes() as f64 >= self.target_size as f64 * NEAR)
    }

    fn make_room(&mut self) -> Result<(), Error> {
        if self.open.len() >= OPEN_FILES
            && let Some(place) =
                self.open.iter().min_by_key(|(_, file)| file.used).map(|(place, _)| place.clone())
            && let Some(mut file) = self.open.remove(&place)
        {
            file.end_row_group()?;
            self.ended.push(file);
        }
        Ok(())
    }

    async fn bound_memory(&mut self) -> Result<(), Error> {
        while self.is_crowded(self.memory()) {
            let files = self.open.values_mut().chain(&mut self.ended);
            let Some(largest) = files.max_by_key(|file| file.reclaimable()) else { return Ok(()) };
            let before = largest.reclaimable();
            if largest.has_open_row_group() {
                largest.end_row_group()?;
            }
            largest.drain_all().await?;
            if largest.reclaimable() >= before {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether `memory`, which they hold, is more than may be. After a write: of what
    /// only the end of the files gives back.
    pub(super) fn is_crowded(&self, memory: usize) -> bool {
        memory > self.memory_limit
    }

    /// Finishes all files, with the spans of `delta` in their footers. After a failure it begins no other,
    /// and waits for those that are under way: none appears when the attempt's folder has been removed.
    pub(super) async fn finish(&mut self, delta: &Delta) -> Result<Vec<StagedFile>, Error> {
        self.without_dictionary.clear();
        let mut files = std::mem::take(&mut self.ended);
        files.extend(std::mem::take(&mut self.open).into_values());
        let failed = AtomicBool::new(false);
        let files = stream::iter(files).take_while(|_| ready(!failed.load(Ordering::Relaxed)));
        let finishes = files.map(async |file: OpenFile| {
            let finished = file.finish(delta).await;
            failed.fetch_or(finished.is_err(), Ordering::Relaxed);
            finished
        });
        let finished: Vec<_> = finishes.buffered(CONCURRENT_FINISHES).collect().await;
        finished.into_iter().collect()
    }

    pub(super) fn discard(&mut self) {
        self.without_dictionary.clear();
        self.open.clear();
        self.ended.clear();
    }

    /// Files of the attempt so far.
    pub(super) fn files(&self) -> usize {
        self.open.len() + self.ended.len()
    }

    /// Bytes encoded for the attempt so far, open row groups by estimate.
    pub(super) fn encoded(&self) -> u64 {
        self.open.values().chain(&self.ended).map(|file| file.encoded() as u64).sum()
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.open.values().chain(&self.ended).map(OpenFile::memory).sum()
    }
}

fn properties(file: &File) -> Result<WriterProperties, ParquetError> {
    let codec = match file.compression {
        Compression::None => Codec::UNCOMPRESSED,
        Compression::Snappy => Codec::SNAPPY,
        // The one whose framing the format defines.
        Compression::Lz4 => Codec::LZ4_RAW,
        Compression::Gzip(level) => Codec::GZIP(GzipLevel::try_new(level)?),
        Compression::Zstd(level) => Codec::ZSTD(ZstdLevel::try_new(level)?),
    };
    let properties = WriterProperties::builder()
        .set_compression(codec)
        .set_max_row_group_row_count(Some(file.row_group_rows.max(1)))
        // Of each row group, as readers use to skip it; of each page they cost more than they save.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("tidegate version {}", env!("CARGO_PKG_VERSION")));
    Ok(properties.build())
}
