//! Records of a table that has no columns yet: none of them can be a row, and none may be lost.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::{Appended, Decode, Fits, Reject};
use crate::config::Tombstones;
use crate::flow::event::Record;

#[derive(Debug)]
pub(super) struct Undecided {
    schema: SchemaRef,
    tombstones: Tombstones,
    error: String,
}

impl Undecided {
    pub(super) fn new(tombstones: Tombstones, why: &str) -> Self {
        let error = format!("the table has no columns yet, as format.columns is left out: {why}");
        Self { schema: Arc::new(Schema::empty()), tombstones, error }
    }
}

impl Decode for Undecided {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn append_if(&mut self, record: &Record<'_>, _: Option<Fits<'_>>) -> Result<Appended, Reject> {
        if record.payload.is_none() && self.tombstones == Tombstones::Skip {
            return Ok(Appended::Skipped);
        }
        Err(Reject { error: self.error.clone(), column: None })
    }

    fn rows(&self) -> usize {
        0
    }

    fn bytes(&self) -> usize {
        0
    }

    fn finish(&mut self) -> RecordBatch {
        RecordBatch::new_empty(self.schema.clone())
    }
}
