//! Reading the rejects of a commit back: each record as it came, and why it was no row.
//!
//! A small file is fetched whole, a large one page by page, so memory is bounded whatever a commit rejected.

mod file;
pub mod topic;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};

use crate::flow::event::header_bytes;
pub use file::batches;

/// Why a rejects file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] tidegate_sinks::Error),
    #[error("{path} does not read as Parquet")]
    Parquet {
        path: String,
        #[source]
        source: parquet::errors::ParquetError,
    },
    #[error("{path} is no file of rejects: it lacks the column {column}, or has it with another type")]
    Column { path: String, column: &'static str },
    #[error("{path} of commit {commit} is not there")]
    Missing { path: String, commit: tidegate_sinks::CommitId },
}

/// One rejected record, borrowed from its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    /// In their order; the same name may come more than once. Bytes of a name that are
    /// not UTF-8 are escaped, `\xff`.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// The job's column that is to blame; `None`: the record as such does not read.
    pub column: Option<&'a str>,
    /// With the column before it.
    pub error: &'a str,
}

impl Rejected<'_> {
    /// Bytes of key, payload and headers.
    pub fn bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.payload.map_or(0, <[u8]>::len) + header_bytes(&self.headers)
    }
}

/// A batch of rejects, with its columns found.
#[derive(Debug)]
pub struct Rows<'a> {
    topic: &'a StringArray,
    partition: &'a ArrayRef,
    offset: &'a ArrayRef,
    timestamp: &'a ArrayRef,
    key: &'a BinaryArray,
    payload: &'a BinaryArray,
    /// Files of before 0.1 have none.
    headers: Option<&'a ListArray>,
    column: Option<&'a StringArray>,
    error: &'a StringArray,
}

impl<'a> Rows<'a> {
    /// Errors: a column is missing or of another type; `path` is for the message.
    pub fn new(batch: &'a RecordBatch, path: &str) -> Result<Self, ReadError> {
        let lacks = |column| ReadError::Column { path: path.to_owned(), column };
        let find = |column| batch.column_by_name(column).ok_or_else(|| lacks(column));
        let text = |column| find(column)?.as_string_opt::<i32>().ok_or_else(|| lacks(column));
        let bytes = |column| find(column)?.as_binary_opt::<i32>().ok_or_else(|| lacks(column));
        let (partition, offset, timestamp) = (find("partition")?, find("offset")?, find("timestamp")?);
        if partition.as_primitive_opt::<Int32Type>().is_none() {
            return Err(lacks("partition"));
        }
        if offset.as_primitive_opt::<Int64Type>().is_none() {
            return Err(lacks("offset"));
        }
        if timestamp.as_primitive_opt::<TimestampMillisecondType>().is_none() {
            return Err(lacks("timestamp"));
        }
        Ok(Self {
            topic: text("topic")?,
            partition,
            offset,
            timestamp,
            key: bytes("key")?,
            payload: bytes("payload")?,
            headers: batch.column_by_name("headers").and_then(|column| column.as_list_opt()),
            column: batch.column_by_name("column").and_then(|column| column.as_string_opt()),
            error: text("error")?,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = Rejected<'a>> {
        (0..self.topic.len()).map(|row| self.row(row))
    }

    fn row(&self, row: usize) -> Rejected<'a> {
        let bytes = |column: &'a BinaryArray| column.is_valid(row).then(|| column.value(row));
        let timestamp = self.timestamp.as_primitive::<TimestampMillisecondType>();
        Rejected {
            topic: self.topic.value(row),
            partition: self.partition.as_primitive::<Int32Type>().value(row),
            offset: self.offset.as_primitive::<Int64Type>().value(row),
            timestamp: timestamp.is_valid(row).then(|| timestamp.value(row)),
            key: bytes(self.key),
            payload: bytes(self.payload),
            headers: self.headers.map(|headers| headers_of(headers, row)).unwrap_or_default(),
            column: self.column.filter(|column| column.is_valid(row)).map(|column| column.value(row)),
            error: self.error.value(row),
        }
    }
}

fn headers_of(headers: &ListArray, row: usize) -> Vec<(&str, Option<&[u8]>)> {
    let Some(fields) = headers.values().as_struct_opt() else { return Vec::new() };
    let (Some(names), Some(values)) =
        (fields.column(0).as_string_opt::<i32>(), fields.column(1).as_binary_opt::<i32>())
    else {
        return Vec::new();
    };
    let offsets = headers.value_offsets();
    let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
    (from..to).map(|at| (names.value(at), values.is_valid(at).then(|| values.value(at)))).collect()
}

#[cfg(test)]
mod tests;
