//! JSON objects to rows, by the schema and in one pass: a value goes from the text straight into its column.
//!
//! What a record may be is narrow on purpose, so that a row says what the record said:
//! - a missing member and null are null; members that no column asks for are checked as JSON and left out, counted, and
//!   told or rejected as the job wants it, and so are records in which no column finds anything;
//! - a key that a column asks for, or of a map, must not come twice;
//! - an integer or a decimal is taken digit by digit and must fit exactly (`1.0` and `1e3` are integers, `1.5` is
//!   not; a decimal may be a string); a `float` or `double` is the nearest one, because two bases can't do better, but
//!   nothing that overflows or vanishes, and no integer of which digits would be lost;
//! - a string is a string, a bool is a bool: nothing is converted, but where the column is `lenient`, and integers of 64
//!   bits in strings, which is how Protobuf's JSON has them;
//! - `binary` is standard base64 in a string; `json` is the text of any value, verbatim, and null for null;
//! - a `timestamp` is ISO 8601 (with an offset if the type has a zone, without if not) or a number of its unit since
//!   1970; a `date` is `2026-01-31` or days since 1970, a `time` is `23:59:59.999` or a number since midnight; all of it
//!   from the year 1 to 9999; digits of a fraction that the unit can't hold are an error unless they are zero, and so is a
//!   leap second;
//! - half of a surrogate pair is no text, but is passed over where no text is made of it.

mod base64;
mod column;
pub(super) mod flaw;
mod iso;
mod names;
mod nested;
pub(super) mod number;
mod paths;
mod scalar;
pub(super) mod scan;
mod temporal;
#[cfg(test)]
mod tests;
pub(super) mod time;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::metadata::MetadataColumns;
use super::{Appended, Decode, Fits, Reject, Row, Unmatched, Value};
use crate::columns::{self, ColumnError};
use crate::config::{Column, Format, Tombstones, Unknown};
use crate::flow::event::Record;
use flaw::Flaw;
use names::Watch;
use paths::Paths;
use scan::{Scanner, Token};

#[derive(Debug)]
pub(super) struct Json {
    schema: SchemaRef,
    tombstones: Tombstones,
    paths: Paths,
    columns: Vec<column::Column>,
    metadata: MetadataColumns,
    rows: usize,
    unknown: Unknown,
    /// Counted so far; without names.
    unmatched: Unmatched,
}

impl Json {
    pub(super) fn new(format: &Format, columns: &[Column]) -> Result<Self, ColumnError> {
        if columns.is_empty() {
            return Err(ColumnError::new("", "a JSON job needs at least one column"));
        }
        let schema = columns::schema(columns, &format.metadata)?;
        let watch = if format.unknown == Unknown::Reject { Watch::Reject } else { Watch::Count };
        let (paths, watches) = Paths::new(columns, watch)?;
        let fields = schema.fields().iter().zip(columns).zip(watches);
        let columns = fields
            .map(|((field, column), watch)| column::Column::new(field, &column.reading, watch))
            .collect();
        let metadata = MetadataColumns::new(&format.metadata);
        Ok(Self {
            schema,
            tombstones: format.tombstones,
            paths,
            columns,
            metadata,
            rows: 0,
            unknown: format.unknown,
            unmatched: Unmatched::default(),
        })
    }

    /// Appends what the payload has a value for, and null to all other columns.
    fn read(&mut self, payload: &[u8]) -> Result<(), Flaw> {
        if payload.is_empty() {
            return Err(Flaw::new("the payload is empty"));
        }
        let text = std::str::from_utf8(payload)
            .map_err(|error| Flaw::new(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        let mut json = Scanner::new(text);
        let is_full = match json.token()? {
            Token::Object => self.paths.read(&mut json, &mut self.columns)?,
            token => {
                // Text may begin like JSON and be none: "no json" like a null.
                json.skip()?;
                json.end()?;
                return Err(Flaw::mismatch("an object", token.name()));
            }
        };
        json.end()?;
        if !is_full {
            self.complete()?;
        }
        self.unmatched.members += json.unmatched;
        Ok(())
    }

    /// Null in each column that the record has nothing for, unless that is every column and not wanted.
    fn complete(&mut self) -> Result<(), Flaw> {
        let rows = self.rows;
        if self.columns.iter().all(|column| column.len() == rows) {
            if self.unknown == Unknown::Reject {
                return Err(Flaw::new(
                    "no column finds anything in the record, and format.unknown is reject",
                ));
            }
            self.unmatched.rows += 1;
        }
        self.fill();
        Ok(())
    }

    fn fill(&mut self) {
        let rows = self.rows;
        self.columns.iter_mut().filter(|column| column.len() == rows).for_each(column::Column::null);
    }
}

/// The row that was read last, whose metadata are still the record's.
struct JsonRow<'a> {
    json: &'a Json,
    record: &'a Record<'a>,
}

impl Row for JsonRow<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        match self.json.columns.get(column) {
            Some(column) => column.last(),
            None => self.json.metadata.value(column - self.json.columns.len(), self.record),
        }
    }
}

impl Decode for Json {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn append_if(&mut self, record: &Record<'_>, fits: Option<Fits<'_>>) -> Result<Appended, Reject> {
        match record.payload {
            Some(payload) => {
                if let Err(flaw) = self.read(payload) {
                    self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
                    return Err(flaw.reject());
                }
            }
            None if self.tombstones == Tombstones::Skip => return Ok(Appended::Skipped),
            None => self.fill(),
        }
        if let Some(fits) = fits
            && let Err(reject) = fits(&JsonRow { json: self, record })
        {
            self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
            return Err(reject);
        }
        if let Err(reject) = self.metadata.append(record) {
            self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
            return Err(reject);
        }
        self.rows += 1;
        Ok(Appended::Row)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.columns.iter().map(column::Column::bytes).sum::<usize>() + self.metadata.bytes()
    }

    fn take_unmatched(&mut self) -> Unmatched {
        let mut unmatched = std::mem::take(&mut self.unmatched);
        if unmatched.members > 0 {
            self.paths.unmatched(&self.columns, &mut unmatched);
        }
        unmatched
    }

    fn finish(&mut self) -> RecordBatch {
        self.rows = 0;
        let columns =
            self.columns.iter_mut().map(column::Column::finish).chain(self.metadata.finish()).collect();
        RecordBatch::try_new(self.schema.clone(), columns).expect("one column a field, one value a row")
    }
}
