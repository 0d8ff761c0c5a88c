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
pub(super) mod column;
pub(super) mod flaw;
mod infer;
mod iso;
pub(super) mod names;
mod nested;
mod number;
mod paths;
mod scalar;
pub(super) mod scan;
mod temporal;
#[cfg(test)]
mod tests;
mod time;

use arrow::array::ArrayRef;

pub(crate) use time::is_moment;

use super::{Appended, Columns, FormatKind, Payload, Reject, Unknown, Unmatched, Value};
use crate::columns::{self, Column, ColumnError};
use flaw::Flaw;
use names::Watch;
use paths::Paths;
use scan::{Scanner, Token};

pub static FORMAT: FormatKind = FormatKind {
    word: "json",
    about: "an object a record, its members as columns",
    decoder: "tidegate.decode.Json",
    columns: Columns::Inferred(infer::infer),
    has_members: true,
    check: |_| Ok(()),
    open: |columns, unknown| Ok(Box::new(Json::new(columns, unknown)?)),
};

#[derive(Debug)]
struct Json {
    paths: Paths,
    columns: Vec<column::Column>,
    rows: usize,
    unknown: Unknown,
    /// Counted so far; without names.
    unmatched: Unmatched,
}

impl Json {
    fn new(columns: &[Column], unknown: Unknown) -> Result<Self, ColumnError> {
        if columns.is_empty() {
            return Err(ColumnError::new("", "a JSON job needs at least one column"));
        }
        let schema = columns::schema(columns, &[])?;
        let watch = if unknown == Unknown::Reject { Watch::Reject } else { Watch::Count };
        let (paths, watches) = Paths::new(columns, watch)?;
        let fields = schema.fields().iter().zip(columns).zip(watches);
        let columns = fields
            .map(|((field, column), watch)| column::Column::new(field, &column.reading, watch))
            .collect();
        Ok(Self { paths, columns, rows: 0, unknown, unmatched: Unmatched::default() })
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

    /// Null in each column that has nothing of the row.
    fn fill(&mut self) {
        let rows = self.rows;
        self.columns.iter_mut().filter(|column| column.len() == rows).for_each(column::Column::null);
    }
}

impl Payload for Json {
    fn append(&mut self, payload: Option<&[u8]>) -> Result<Appended, Reject> {
        match payload {
            Some(payload) => self.read(payload).map_err(Flaw::reject)?,
            None => self.fill(),
        }
        self.rows += 1;
        Ok(Appended::Rows(1))
    }

    fn value(&self, row: usize, column: usize) -> Value<'_> {
        self.columns.get(column).map_or(Value::Other, |column| column.value(row))
    }

    fn truncate(&mut self, rows: usize) {
        self.rows = rows;
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    fn bytes(&self) -> usize {
        self.columns.iter().map(column::Column::bytes).sum()
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        self.rows = 0;
        self.columns.iter_mut().map(column::Column::finish).collect()
    }

    fn take_unmatched(&mut self) -> Unmatched {
        let mut unmatched = std::mem::take(&mut self.unmatched);
        if unmatched.members > 0 {
            self.paths.unmatched(&self.columns, &mut unmatched);
        }
        unmatched
    }
}
