//! From records to record batches, column by column. A record becomes exactly one row or a [`Reject`]: a value that
//! would lose digits, overflow or not parse is never rounded, cut or replaced by null, because nobody could tell later.
//!
//! Decoding is pure: no store, no clock, no waiting. Rows keep the order of the records.

pub(crate) mod headers;
pub mod infer;
mod json;
mod metadata;
mod raw;
mod undecided;
mod unmatched;

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

pub use unmatched::Unmatched;

use crate::columns::ColumnError;
use crate::config::{Column, Format, FormatKind};
use crate::flow::event::Record;

/// What a record became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Row,
    /// A tombstone, which the job wants skipped.
    Skipped,
}

/// A record that is no row of the job's columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Reject {
    /// Where in the record, and what was wrong; never the value itself, which may be anybody's secret.
    pub error: String,
    /// The job's column, when the record as such could be read.
    pub column: Option<String>,
}

/// A value of a row, as far as more is asked of it than its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    /// UTF-8.
    Text(&'a [u8]),
    /// A whole number, or that behind a date or a time, in its column's unit.
    Number(i64),
    Other,
}

/// A row that has been read, and is not in the batch yet.
pub trait Row {
    /// By the column's place in the schema.
    fn value(&self, column: usize) -> Value<'_>;
}

/// What else a row must be fit for, where its columns alone do not decide whether it is one.
pub type Fits<'a> = &'a (dyn Fn(&dyn Row) -> Result<(), Reject> + Sync);

/// Builds batches of one schema out of records.
pub trait Decode: Send + fmt::Debug {
    fn schema(&self) -> &SchemaRef;

    /// Appends one record as one row. After an error nothing of it is left in the batch.
    fn append(&mut self, record: &Record<'_>) -> Result<Appended, Reject> {
        self.append_if(record, None)
    }

    /// The same, unless the row does not fit.
    fn append_if(&mut self, record: &Record<'_>, fits: Option<Fits<'_>>) -> Result<Appended, Reject>;

    /// Rows in the batch so far.
    fn rows(&self) -> usize;

    /// Bytes of memory that the batch holds so far. Walks the columns: ask once a fetch, not once a record.
    /// A column of text can't pass 2 GiB in one batch, so finish well before.
    fn bytes(&self) -> usize;

    /// Takes the rows, and starts anew.
    fn finish(&mut self) -> RecordBatch;

    /// What rows had that no column asks for, since this was last called.
    fn take_unmatched(&mut self) -> Unmatched {
        Unmatched::default()
    }
}

/// Of a table that has no columns yet: it rejects what would be a row.
pub(crate) fn undecided(format: &Format, why: &str) -> Box<dyn Decode> {
    Box::new(undecided::Undecided::new(format.tombstones, why))
}

/// The decoder of the job's format. `columns` are the job's, or those inferred; a raw job may have none.
pub fn decoder(format: &Format, columns: &[Column]) -> Result<Box<dyn Decode>, ColumnError> {
    Ok(match format.kind {
        FormatKind::Raw => Box::new(raw::Raw::new(format, columns)?),
        FormatKind::Json => Box::new(json::Json::new(format, columns)?),
    })
}
