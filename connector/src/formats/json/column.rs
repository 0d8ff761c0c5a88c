//! A column while it is built: plain vectors that a value is read into straight from the text, and that are
//! cut back to the last whole row when a record turns out to be none.

use std::cmp::Ordering;
use std::fmt;

use arrow::array::{ArrayRef, NullBufferBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};

use super::flaw::Flaw;
use super::names::Watch;
use super::nested::{List, Map, Struct};
use super::scalar;
use super::scan::{Scanner, Token};
use crate::columns::Reading;
use crate::formats::{Unmatched, Value};

/// The values of one type. A failed `read` may leave a part of a value behind; the caller truncates.
pub(super) trait Values: fmt::Debug + Send {
    /// Reads and appends a value, which is not null.
    fn read(&mut self, token: Token, json: &mut Scanner<'_>) -> Result<(), Flaw>;

    /// Appends what stands under a null.
    fn null(&mut self);

    fn truncate(&mut self, len: usize);

    /// A value, which is not null, where a folder may be named by it.
    fn value(&self, _index: usize) -> Value<'_> {
        Value::Other
    }

    fn bytes(&self) -> usize;

    /// Takes all values, and starts anew with the same capacity.
    fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef;

    /// Names members in the values, which lie at `place`, that nobody asks for.
    fn unmatched(&self, _place: &str, _out: &mut Unmatched) {}
}

/// Values that may be the keys of a map.
pub(super) trait KeyValues: Values {
    /// A total order, in which only equal values are equal.
    fn compare(&self, left: usize, right: usize) -> Ordering;
}

/// Values and which of them are null.
#[derive(Debug)]
pub(in crate::formats) struct Column {
    values: Box<dyn Values>,
    nulls: NullBufferBuilder,
}

impl Column {
    /// `reading` is of all that lies in it.
    pub(in crate::formats) fn new(field: &Field, reading: &Reading, watch: Watch) -> Self {
        let values: Box<dyn Values> = match field.data_type() {
            DataType::Struct(members) => Box::new(Struct::new(members, reading, watch)),
            DataType::List(element) => Box::new(List::new(element, reading, watch)),
            DataType::Map(entries, _) => Box::new(Map::new(entries, reading, watch)),
            _ => scalar::values(field, reading),
        };
        Self { values, nulls: NullBufferBuilder::new(0) }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    #[inline]
    pub(in crate::formats) fn read(&mut self, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        match json.token()? {
            Token::Null => {
                json.null()?;
                self.null();
            }
            token => {
                self.values.read(token, json)?;
                self.nulls.append_non_null();
            }
        }
        Ok(())
    }

    pub(in crate::formats) fn null(&mut self) {
        self.values.null();
        self.nulls.append_null();
    }

    pub(in crate::formats) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    pub(in crate::formats) fn value(&self, index: usize) -> Value<'_> {
        if self.nulls.is_valid(index) { self.values.value(index) } else { Value::Null }
    }

    pub(super) fn unmatched(&self, place: &str, out: &mut Unmatched) {
        self.values.unmatched(place, out);
    }

    pub(in crate::formats) fn bytes(&self) -> usize {
        self.values.bytes() + self.nulls.len() / 8
    }

    pub(in crate::formats) fn finish(&mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        self.values.finish(nulls)
    }
}
