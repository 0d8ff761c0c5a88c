//! Kafka's own columns of a row: where the record came from.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
};

use super::headers::Headers;
use crate::config::Metadata;
use crate::flow::event::Record;
use crate::formats::json::is_moment;
use crate::formats::{Reject, Value};

/// Builders of the metadata columns, in the job's order.
#[derive(Debug)]
pub(super) struct MetadataColumns(Vec<Builder>);

#[derive(Debug)]
enum Builder {
    Topic(StringBuilder),
    Partition(Int32Builder),
    Offset(Int64Builder),
    Timestamp(TimestampMillisecondBuilder),
    Key(BinaryBuilder),
    Headers(Headers),
}

impl MetadataColumns {
    pub(super) fn new(metadata: &[Metadata]) -> Self {
        Self(metadata.iter().map(|&kind| Builder::new(kind)).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// For all `rows` of one record. After an error nothing of it is in the columns.
    #[inline]
    pub(super) fn append(&mut self, record: &Record<'_>, rows: usize) -> Result<(), Reject> {
        if self.0.is_empty() || rows == 0 { Ok(()) } else { self.append_all(record, rows) }
    }

    fn append_all(&mut self, record: &Record<'_>, rows: usize) -> Result<(), Reject> {
        let reject = |metadata: Metadata, error: &str| Reject {
            error: error.to_owned(),
            column: Some(metadata.column().to_owned()),
        };
        let has_timestamp = self.0.iter().any(|builder| matches!(builder, Builder::Timestamp(_)));
        if has_timestamp && !record.timestamp.is_none_or(is_moment) {
            // A producer sets it as it likes, and may count otherwise than in milliseconds.
            let error = "the record's time is out of the years 1 to 9999";
            return Err(reject(Metadata::Timestamp, error));
        }
        for _ in 0..rows {
            // Before all others, as nothing else can fail; if it does, it is with the first row.
            for builder in &mut self.0 {
                if let Builder::Headers(headers) = builder {
                    let not_text = |_| reject(Metadata::Headers, "a header's name is not UTF-8");
                    headers.append(record).map_err(not_text)?;
                }
            }
            for builder in &mut self.0 {
                match builder {
                    Builder::Topic(topics) => topics.append_value(&record.partition.topic),
                    Builder::Partition(partitions) => partitions.append_value(record.partition.partition),
                    Builder::Offset(offsets) => offsets.append_value(record.offset),
                    Builder::Timestamp(timestamps) => timestamps.append_option(record.timestamp),
                    Builder::Key(keys) => keys.append_option(record.key),
                    Builder::Headers(_) => {}
                }
            }
        }
        Ok(())
    }

    /// What [`MetadataColumns::append`] would append to the column.
    pub(super) fn value<'a>(&self, column: usize, record: &'a Record<'_>) -> Value<'a> {
        match self.0.get(column) {
            Some(Builder::Topic(_)) => Value::Text(record.partition.topic.as_bytes()),
            Some(Builder::Partition(_)) => Value::Number(record.partition.partition.into()),
            Some(Builder::Offset(_)) => Value::Number(record.offset),
            Some(Builder::Timestamp(_)) => record.timestamp.map_or(Value::Null, Value::Number),
            Some(Builder::Key(_) | Builder::Headers(_)) | None => Value::Other,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(Builder::bytes).sum()
    }

    pub(super) fn finish(&mut self) -> impl Iterator<Item = ArrayRef> {
        self.0.iter_mut().map(|builder| -> ArrayRef {
            match builder {
                Builder::Topic(topics) => Arc::new(topics.finish()),
                Builder::Partition(partitions) => Arc::new(partitions.finish()),
                Builder::Offset(offsets) => Arc::new(offsets.finish()),
                Builder::Timestamp(timestamps) => Arc::new(timestamps.finish()),
                Builder::Key(keys) => Arc::new(keys.finish()),
                Builder::Headers(headers) => Arc::new(headers.finish()),
            }
        })
    }
}

impl Builder {
    fn new(kind: Metadata) -> Self {
        match kind {
            Metadata::Topic => Self::Topic(StringBuilder::new()),
            Metadata::Partition => Self::Partition(Int32Builder::new()),
            Metadata::Offset => Self::Offset(Int64Builder::new()),
            Metadata::Timestamp => Self::Timestamp(TimestampMillisecondBuilder::new().with_timezone("UTC")),
            Metadata::Key => Self::Key(BinaryBuilder::new()),
            Metadata::Headers => Self::Headers(Headers::new()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Topic(topics) => topics.values_slice().len() + size_of_val(topics.offsets_slice()),
            Self::Partition(partitions) => size_of_val(partitions.values_slice()),
            Self::Offset(offsets) => size_of_val(offsets.values_slice()),
            Self::Timestamp(timestamps) => size_of_val(timestamps.values_slice()),
            Self::Key(keys) => keys.values_slice().len() + size_of_val(keys.offsets_slice()),
            Self::Headers(headers) => headers.bytes(),
        }
    }
}
