//! Rows out of records: what is the same for all formats.
//!
//! The guarantee: all rows of a record are in the batch, or none, whatever a format has left behind of it.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::metadata::MetadataColumns;
use crate::config::{Metadata, Tombstones};
use crate::flow::event::{Fetch, Record};
use crate::formats::{Appended, Payload, Preparing, Reject, Unmatched, Value};

/// What else a row must be fit for, where its columns alone do not decide whether it is one.
pub type Fits<'a> = &'a (dyn Fn(&Row<'_>) -> Result<(), Reject> + Sync);

/// Builds batches of one schema out of records: the columns of a payload, and behind them Kafka's own.
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    payload: Box<dyn Payload>,
    metadata: MetadataColumns,
    tombstones: Tombstones,
    rows: usize,
}

/// A row that has been read, and may be taken back.
#[derive(Debug)]
pub struct Row<'a> {
    rows: &'a Rows,
    record: &'a Record<'a>,
    at: usize,
}

impl Row<'_> {
    /// By the column's place in the schema.
    pub fn value(&self, column: usize) -> Value<'_> {
        let metadata = &self.rows.metadata;
        match column.checked_sub(self.rows.schema.fields().len() - metadata.len()) {
            Some(column) => metadata.value(column, self.record),
            None => self.rows.payload.value(self.at, column),
        }
    }
}

impl Rows {
    /// `schema`: the columns of `payload`, then those of `metadata`.
    pub fn new(
        schema: SchemaRef,
        payload: Box<dyn Payload>,
        tombstones: Tombstones,
        metadata: &[Metadata],
    ) -> Self {
        Self { schema, payload, metadata: MetadataColumns::new(metadata), tombstones, rows: 0 }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// To be awaited before the records of `fetch` are appended: see [`Payload::prepare`].
    pub fn prepare(&mut self, fetch: &Fetch) -> Option<Preparing<'_>> {
        self.payload.prepare(&mut fetch.records().filter_map(|record| record.payload))
    }

    /// Appends the rows of one record. Unless the answer is rows, nothing of it is left in the batch.
    pub fn append(&mut self, record: &Record<'_>) -> Result<Appended, Reject> {
        self.append_if(record, None)
    }

    /// The same, unless one of the rows does not fit.
    pub fn append_if(&mut self, record: &Record<'_>, fits: Option<Fits<'_>>) -> Result<Appended, Reject> {
        if record.payload.is_none() && self.tombstones == Tombstones::Skip {
            return Ok(Appended::Skipped);
        }
        let rows = match self.payload.append(record.payload) {
            Ok(Appended::Rows(rows)) => rows,
            other => {
                self.payload.truncate(self.rows);
                return other;
            }
        };
        if let Err(reject) = self.complete(record, rows, fits) {
            self.payload.truncate(self.rows);
            return Err(reject);
        }
        self.rows += rows;
        Ok(Appended::Rows(rows))
    }

    /// Kafka's part of `rows` rows that the payload has.
    #[inline]
    fn complete(&mut self, record: &Record<'_>, rows: usize, fits: Option<Fits<'_>>) -> Result<(), Reject> {
        if let Some(fits) = fits {
            for at in self.rows..self.rows + rows {
                fits(&Row { rows: self, record, at })?;
            }
        }
        self.metadata.append(record, rows)
    }

    /// Rows in the batch so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of memory that the batch holds so far. Walks the columns: ask once a fetch, not once a record.
    /// A column of text can't pass 2 GiB in one batch, so finish well before.
    pub fn bytes(&self) -> usize {
        self.payload.bytes() + self.metadata.bytes()
    }

    /// Takes the rows, and starts anew.
    pub fn finish(&mut self) -> RecordBatch {
        let rows = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        let columns: Vec<ArrayRef> =
            self.payload.finish().into_iter().chain(self.metadata.finish()).collect();
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &rows);
        batch.expect("one column a field, one value a row")
    }

    /// What rows had that no column asks for, since this was last called.
    pub fn take_unmatched(&mut self) -> Unmatched {
        self.payload.take_unmatched()
    }
}
