//! Lines of comma-separated values as RFC 4180 has them, without a header: the fields of a record are the
//! columns, in the order in which the job file lists them.
//!
//! What a record may be is narrow on purpose, so that a row says what the record said:
//! - a record is one line, with or without a line break at its end, and has a field for each column;
//! - a field in quotes may hold commas, line breaks and doubled quotes; a quote in any other is an error;
//! - an empty field is null, an empty one in quotes is an empty text; nothing is trimmed;
//! - the text of a field is read as JSON's decoder reads a string, and for a number or a bool as for a column that
//!   is `lenient`; for a column of JSON it is JSON.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};

use super::json::column::Column as Values;
use super::json::flaw::Flaw;
use super::json::names::Watch;
use super::json::scan::Scanner;
use super::{Appended, Columns, FormatKind, Payload, Refused, Reject, Value};
use crate::columns::{self, Column, Reading};

pub(super) static FORMAT: FormatKind = FormatKind {
    word: "csv",
    about: "a line of comma-separated values a record, without a header: the fields in the order of the columns",
    decoder: "tidegate.decode.Csv",
    columns: Columns::Listed,
    has_members: false,
    check,
    open: |columns, _| {
        let schema = columns::schema(columns, &[])?;
        let of = |(field, column)| CsvColumn::new(field, column);
        let columns = schema.fields().iter().map(|field| &**field).zip(columns).map(of).collect();
        Ok(Box::new(Csv { columns, field: String::new(), json: String::new() }))
    },
};

fn check(columns: &[Column]) -> Result<(), Refused> {
    if columns.iter().any(|column| column.path.is_some()) {
        let problem = "have a path, and the fields of format csv have no names";
        return Err(Refused {
            problem,
            remedy: "leave path out, and list the columns in the order of the fields",
        });
    }
    let is_nested = |field: &Field| field.data_type().is_nested();
    if columns::schema(columns, &[]).is_ok_and(|schema| schema.fields().iter().any(|field| is_nested(field)))
    {
        let problem = "have a struct, a list or a map, and a field of format csv is one value";
        return Err(Refused { problem, remedy: "use type json for fields that hold JSON" });
    }
    Ok(())
}

/// Memory that is kept for the next field; one that was larger gives back the rest with its batch.
const KEPT_BYTES: usize = 64 * 1024;

#[derive(Debug)]
struct Csv {
    columns: Vec<CsvColumn>,
    /// The text of a field in quotes, and a field as JSON has it; kept for their memory.
    field: String,
    json: String,
}

#[derive(Debug)]
struct CsvColumn {
    name: String,
    /// Whether a field is JSON, not text.
    is_json: bool,
    values: Values,
}

impl CsvColumn {
    fn new(field: &Field, column: &Column) -> Self {
        // Text is text as it is; numbers and bools are taken out of it. Digits are a date or a time only where
        // the job says so: `080000` may be eight o'clock, or so many seconds.
        let lenient = match field.data_type() {
            DataType::Utf8 => false,
            of if of.is_temporal() => column.reading.lenient,
            _ => true,
        };
        let reading = Reading { lenient, ..column.reading.clone() };
        let values = Values::new(field, &reading, Watch::Off);
        Self { name: column.name.clone(), is_json: columns::is_json(field), values }
    }

    /// Reads a field that is not null. `json` is a place for it as JSON.
    fn read(&mut self, field: &str, json: &mut String) -> Result<(), Flaw> {
        if self.is_json {
            let mut scanner = Scanner::new(field);
            self.values.read(&mut scanner)?;
            return scanner.end();
        }
        quote(field, json);
        self.values.read(&mut Scanner::new(json))
    }
}

impl Csv {
    fn read(&mut self, payload: &[u8]) -> Result<(), Flaw> {
        if payload.is_empty() {
            return Err(Flaw::new("the payload is empty"));
        }
        let text = std::str::from_utf8(payload)
            .map_err(|error| Flaw::new(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        let (expected, mut at) = (self.columns.len(), 0);
        for (index, column) in self.columns.iter_mut().enumerate() {
            let field = match line.as_bytes().get(at) {
                Some(b'"') => {
                    at = unquote(line, at, &mut self.field)?;
                    Some(self.field.as_str())
                }
                _ => {
                    let end =
                        line[at..].find([',', '"', '\r', '\n']).map_or(line.len(), |length| at + length);
                    let field = &line[at..end];
                    at = end;
                    Some(field).filter(|field| !field.is_empty())
                }
            };
            match field {
                None => column.values.null(),
                Some(field) => column
                    .read(field, &mut self.json)
                    .map_err(|flaw| flaw.column(&column.name, &column.name))?,
            }
            match (line.as_bytes().get(at), index + 1 == expected) {
                (None, true) => {}
                (None, false) => return Err(Flaw::new(format!("{} fields, expected {expected}", index + 1))),
                (Some(b','), true) => return Err(Flaw::new(format!("more than {expected} fields"))),
                (Some(b','), false) => at += 1,
                (Some(b'\r' | b'\n'), _) => return Err(Flaw::new(format!("a second line at byte {at}"))),
                (Some(b'"'), _) => {
                    return Err(Flaw::new(format!(
                        "not CSV: a quote in a field without quotes at byte {at}"
                    )));
                }
                (Some(_), _) => {
                    return Err(Flaw::new(format!("not CSV: expected a comma after a quote at byte {at}")));
                }
            }
        }
        Ok(())
    }
}

/// Puts the text of the field in quotes that begins at `start` into `out`. The place after it.
fn unquote(line: &str, start: usize, out: &mut String) -> Result<usize, Flaw> {
    out.clear();
    let mut at = start + 1;
    loop {
        let length = line[at..].find('"').ok_or_else(|| {
            Flaw::new(format!("not CSV: the field in quotes that begins at byte {start} has no end"))
        })?;
        out.push_str(&line[at..at + length]);
        at += length + 1;
        if line.as_bytes().get(at) != Some(&b'"') {
            return Ok(at);
        }
        out.push('"');
        at += 1;
    }
}

/// Makes `out` the text as a string of JSON.
fn quote(text: &str, out: &mut String) {
    out.clear();
    out.push('"');
    for part in text.split_inclusive(|symbol: char| symbol < ' ' || symbol == '"' || symbol == '\\') {
        match part.chars().next_back() {
            Some(last @ ('"' | '\\')) => {
                out.push_str(&part[..part.len() - 1]);
                out.push('\\');
                out.push(last);
            }
            Some(last) if last < ' ' => {
                out.push_str(&part[..part.len() - 1]);
                out.push_str(&format!("\\u{:04x}", u32::from(last)));
            }
            _ => out.push_str(part),
        }
    }
    out.push('"');
}

impl Payload for Csv {
    fn append(&mut self, payload: Option<&[u8]>) -> Result<Appended, Reject> {
        match payload {
            Some(payload) => self.read(payload).map_err(Flaw::reject)?,
            None => self.columns.iter_mut().for_each(|column| column.values.null()),
        }
        Ok(Appended::Rows(1))
    }

    fn value(&self, row: usize, column: usize) -> Value<'_> {
        self.columns.get(column).map_or(Value::Other, |column| column.values.value(row))
    }

    fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.values.truncate(rows));
    }

    fn bytes(&self) -> usize {
        self.columns.iter().map(|column| column.values.bytes()).sum()
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        for kept in [&mut self.field, &mut self.json] {
            kept.clear();
            kept.shrink_to(KEPT_BYTES);
        }
        self.columns.iter_mut().map(|column| column.values.finish()).collect()
    }
}

#[cfg(test)]
mod tests;
