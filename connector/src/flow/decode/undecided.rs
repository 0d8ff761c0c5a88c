//! Records of a table that has no columns yet: none of them can be a row, and none may be lost.

use arrow::array::ArrayRef;

use crate::formats::{Appended, Payload, Reject, Value};

#[derive(Debug)]
pub(super) struct Undecided(Reject);

impl Undecided {
    pub(super) fn new(why: &str) -> Self {
        let error = format!("the table has no columns yet, as format.columns is left out: {why}");
        Self(Reject { error, column: None })
    }
}

impl Payload for Undecided {
    fn append(&mut self, _: Option<&[u8]>) -> Result<Appended, Reject> {
        Err(self.0.clone())
    }

    fn value(&self, _: usize, _: usize) -> Value<'_> {
        Value::Other
    }

    fn truncate(&mut self, _: usize) {}

    fn bytes(&self) -> usize {
        0
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        Vec::new()
    }
}
