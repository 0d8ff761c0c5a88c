//! What a format is to everybody who decodes by it.

use std::fmt;

use arrow::array::ArrayRef;
use futures::future::BoxFuture;

use super::Unmatched;

/// What a record became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// As many rows as the record says; none, if it says nothing.
    Rows(usize),
    /// A tombstone, which the job wants skipped.
    Skipped,
    /// Nothing yet: what it takes to decode it is not there, and [`Payload::prepare`]
    /// gets it. Neither a row nor a reject.
    NotReady,
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

/// What has to be awaited before some records can be decoded.
///
/// Errors: their kind says whether trying again may help.
pub type Preparing<'a> = BoxFuture<'a, Result<(), tidegate_sinks::Error>>;

/// Columns that grow by what payloads say. Rows keep the order of the records.
pub trait Payload: Send + fmt::Debug {
    /// Gets what these payloads need before they can be decoded, such as a schema that is kept elsewhere: all
    /// that must be waited for, so that decoding never waits. `None`, at once, where there is nothing to get.
    fn prepare(&mut self, _payloads: &mut dyn Iterator<Item = &[u8]>) -> Option<Preparing<'_>> {
        None
    }

    /// Appends the rows of a payload, or a row of nulls for a tombstone (`None`). Unless the answer is rows,
    /// a part of them may be left behind, and the caller truncates.
    fn append(&mut self, payload: Option<&[u8]>) -> Result<Appended, Reject>;

    /// Of a row that is there, by the column's place.
    fn value(&self, row: usize, column: usize) -> Value<'_>;

    /// Keeps the first rows.
    fn truncate(&mut self, rows: usize);

    /// Bytes of memory that the columns hold so far.
    fn bytes(&self) -> usize;

    /// Takes the columns, all of one length, and starts anew.
    fn finish(&mut self) -> Vec<ArrayRef>;

    /// What rows had that no column asks for, since this was last called.
    fn take_unmatched(&mut self) -> Unmatched {
        Unmatched::default()
    }
}
