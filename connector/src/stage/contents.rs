//! Counts what a file really holds, partition by partition, against what its footer says. This is the deep end of an
//! audit: it believes no count that it did not make itself.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use tidegate_sinks::TopicPartition;

use super::footer::{Footer, ReadError};

/// The columns that say where a row came from, in jobs that keep them.
const TOPIC: &str = "_topic";
const PARTITION: &str = "_partition";
const OFFSET: &str = "_offset";

/// What a file holds, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub rows: u64,
    /// `None` when the rows do not say where they came from.
    pub partitions: Option<BTreeMap<TopicPartition, Counted>>,
}

/// Rows of one partition, whose offsets ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub rows: u64,
    pub first: i64,
    pub last: i64,
}

impl Contents {
    /// Reads the columns that say where the rows came from; all columns when those are not there, so that at least
    /// each row has been decoded. Takes the memory of one row group of them.
    ///
    /// Errors: `Contents` when a partition has an offset twice, or out of order.
    pub async fn read(
        size: u64,
        metadata: &Arc<ParquetMetaData>,
        fetch: &impl AsyncFn(Range<u64>) -> Result<Bytes, tidegate_sinks::Error>,
    ) -> Result<Self, ReadError> {
        let reader = ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new())?;
        let schema = metadata.file_metadata().schema_descr();
        let has = |name: &str| reader.schema().column_with_name(name).is_some();
        let traced = has(PARTITION) && has(OFFSET);
        let mask = match traced {
            true => ProjectionMask::columns(schema, [TOPIC, PARTITION, OFFSET]),
            false => ProjectionMask::all(),
        };
        let only_topic = only_topic(&Footer::parse(metadata));
        let traced = traced && (has(TOPIC) || only_topic.is_some());
        let mut contents = Self { rows: 0, partitions: traced.then(BTreeMap::new) };
        for (number, row_group) in metadata.row_groups().iter().enumerate() {
            let chunks = row_group.columns().iter().enumerate();
            let ranges =
                chunks.filter(|(leaf, _)| mask.leaf_included(*leaf)).map(|(_, chunk)| chunk.byte_range());
            let mut pieces = Pieces { size, pieces: BTreeMap::new() };
            for (start, length) in ranges {
                pieces.pieces.insert(start, fetch(start..start + length).await?);
            }
            let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(pieces, reader.clone())
                .with_row_groups(vec![number])
                .with_projection(mask.clone())
                .build()?;
            for batch in batches {
                contents.add(&batch.map_err(ParquetError::from)?, only_topic.as_ref())?;
            }
        }
        Ok(contents)
    }

    fn add(&mut self, batch: &RecordBatch, only_topic: Option<&Arc<str>>) -> Result<(), ReadError> {
        self.rows += batch.num_rows() as u64;
        let Some(counted) = &mut self.partitions else { return Ok(()) };
        let column = |name: &str, data_type: &DataType| match batch.column_by_name(name) {
            Some(column) => cast(column, data_type).map(Some).map_err(ParquetError::from),
            None => Ok(None),
        };
        let topics = column(TOPIC, &DataType::Utf8)?;
        let topics = topics.as_ref().map(|column| column.as_string::<i32>());
        let (Some(partitions), Some(offsets)) =
            (column(PARTITION, &DataType::Int32)?, column(OFFSET, &DataType::Int64)?)
        else {
            return Ok(());
        };
        let partitions = partitions.as_primitive::<Int32Type>().values();
        let offsets = offsets.as_primitive::<Int64Type>().values();
        let mut last: Option<TopicPartition> = None;
        for (row, (partition, offset)) in partitions.iter().zip(offsets).enumerate() {
            let topic = topics.map(|topics| topics.value(row)).or(only_topic.map(|topic| &**topic));
            let topic = topic.unwrap_or_default();
            let partition = match last.take() {
                Some(last) if last.partition == *partition && &*last.topic == topic => last,
                _ => TopicPartition::new(topic, *partition),
            };
            count(counted, &partition, *offset)?;
            last = Some(partition);
        }
        Ok(())
    }

    /// Says where the file holds something else than its footer says, if it does.
    pub fn contradiction(&self, footer: &Footer) -> Option<String> {
        if self.rows != footer.rows {
            return Some(format!("holds {} rows, and says {}", self.rows, footer.rows));
        }
        let spans = footer.spans.as_ref()?;
        let said: u64 = spans.iter().map(|span| span.rows).sum();
        if said != self.rows {
            return Some(format!("holds {} rows, and its spans say {said}", self.rows));
        }
        let counted = self.partitions.as_ref()?;
        // As many rows in all, and each span's: so none is of a partition without a span.
        spans.iter().find_map(|span| {
            let partition = TopicPartition::new(span.topic.clone(), span.partition);
            let Some(own) = counted.get(&partition) else {
                return Some(format!("holds no row of {partition}, and says {}", span.rows));
            };
            let (rows, first, last) = (own.rows, own.first, own.last);
            (rows != span.rows || first < span.from || last >= span.to).then(|| {
                format!(
                    "holds {rows} rows of {partition} at offsets {first} to {last}, and says {} of [{}, {})",
                    span.rows, span.from, span.to
                )
            })
        })
    }
}

fn count(
    counted: &mut BTreeMap<TopicPartition, Counted>,
    partition: &TopicPartition,
    offset: i64,
) -> Result<(), ReadError> {
    match counted.get_mut(partition) {
        None => {
            counted.insert(partition.clone(), Counted { rows: 1, first: offset, last: offset });
        }
        Some(own) if own.last < offset => {
            own.rows += 1;
            own.last = offset;
        }
        Some(own) => {
            let text = format!("offset {offset} of {partition} comes after offset {}", own.last);
            return Err(ReadError::Contents(text));
        }
    }
    Ok(())
}

/// The topic of all rows, when the footer names just one: then rows need not name it.
fn only_topic(footer: &Footer) -> Option<Arc<str>> {
    let spans = footer.spans.as_ref()?;
    let topic = &spans.first()?.topic;
    spans.iter().all(|span| span.topic == *topic).then(|| topic.clone())
}

/// Those column chunks of a file that were fetched.
struct Pieces {
    size: u64,
    /// By their start.
    pieces: BTreeMap<u64, Bytes>,
}

impl Pieces {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let piece = self.pieces.range(..=start).next_back();
        let rest = piece.and_then(|(from, bytes)| {
            let skip = usize::try_from(start - from).ok()?;
            (skip <= bytes.len()).then(|| bytes.slice(skip..))
        });
        rest.ok_or_else(|| ParquetError::EOF(format!("byte {start} lies outside the columns that are read")))
    }
}

impl Length for Pieces {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Pieces {
    type T = io::BufReader<Cursor<Bytes>>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(io::BufReader::new(Cursor::new(self.from(start)?)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            let text = format!("{length} bytes at {start} reach past the columns that are read");
            return Err(ParquetError::EOF(text));
        }
        Ok(bytes.slice(..length))
    }
}
