//! Payloads as they are, in the one column `value`: binary, or text when the job says `string`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, NullBufferBuilder, StringArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};

use super::{Appended, Columns, FormatKind, Payload, Refused, Reject, Value};
use crate::columns::{Column, ColumnError, Reading};

const VALUE: &str = "value";
/// The types that the column may have.
const BINARY: &str = "binary";
const TEXT: &str = "string";

pub static FORMAT: FormatKind = FormatKind {
    word: "raw",
    about: "the bytes as one column `value`",
    decoder: "tidegate.decode.Raw",
    columns: Columns::Fixed(|| vec![Column::new(VALUE, BINARY)]),
    has_members: false,
    check,
    open: |columns, _| match check(columns) {
        Ok(()) => Ok(Box::new(Raw::new(columns[0].type_name.trim() == TEXT))),
        Err(refused) => Err(ColumnError::new(VALUE, refused.problem)),
    },
};

fn check(columns: &[Column]) -> Result<(), Refused> {
    let is_value = |column: &Column| {
        column.name == VALUE
            && column.path.is_none()
            && column.reading == Reading::default()
            && matches!(column.type_name.trim(), BINARY | TEXT)
    };
    match columns {
        [column] if is_value(column) => Ok(()),
        _ => Err(Refused {
            problem: "format raw has the one column value, of type binary or string",
            remedy: "write [{name: value, type: string}], or leave columns out",
        }),
    }
}

#[derive(Debug)]
struct Raw {
    /// Whether the column is a string, so that payloads must be UTF-8.
    text: bool,
    data: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Raw {
    fn new(text: bool) -> Self {
        Self { text, data: Vec::new(), offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }
}

impl Payload for Raw {
    fn append(&mut self, payload: Option<&[u8]>) -> Result<Appended, Reject> {
        let reject = |error: &str| Reject { error: error.to_owned(), column: Some(VALUE.to_owned()) };
        let bytes = payload.unwrap_or_default();
        if self.text && std::str::from_utf8(bytes).is_err() {
            return Err(reject("the payload is not UTF-8"));
        }
        let end = i32::try_from(self.data.len() + bytes.len());
        self.offsets.push(end.map_err(|_| reject("a batch with more than 2 GiB of the column"))?);
        self.data.extend_from_slice(bytes);
        self.nulls.append(payload.is_some());
        Ok(Appended::Rows(1))
    }

    fn value(&self, row: usize, _: usize) -> Value<'_> {
        match (self.nulls.is_valid(row), self.text) {
            (false, _) => Value::Null,
            (true, true) => {
                Value::Text(&self.data[self.offsets[row] as usize..self.offsets[row + 1] as usize])
            }
            (true, false) => Value::Other,
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.data.truncate(self.offsets[rows] as usize);
        self.nulls.truncate(rows);
    }

    fn bytes(&self) -> usize {
        self.data.len() + size_of_val(self.offsets.as_slice()) + self.nulls.len() / 8
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        let nulls = self.nulls.finish();
        let Self { data, offsets, .. } = std::mem::replace(self, Self::new(self.text));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        vec![if self.text {
            Arc::new(StringArray::new(offsets, data.into(), nulls)) as ArrayRef
        } else {
            Arc::new(BinaryArray::new(offsets, data.into(), nulls))
        }]
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;
    use crate::formats::Unknown;

    fn open(columns: &[Column]) -> Result<Box<dyn Payload>, ColumnError> {
        (FORMAT.open)(columns, Unknown::Warn)
    }

    #[test]
    fn payloads_are_kept_to_the_byte() {
        let Columns::Fixed(fixed) = FORMAT.columns else { panic!("the column is raw's own") };
        let mut raw = open(&fixed()).unwrap();
        for round in 0..2 {
            for payload in [Some(&b"a\xff"[..]), None, Some(b"")] {
                assert_eq!(raw.append(payload), Ok(Appended::Rows(1)));
            }
            assert!(raw.bytes() > 5);
            let values = raw.finish().remove(0);
            let values: Vec<_> = values.as_binary::<i32>().iter().collect();
            assert_eq!(values, [Some(&b"a\xff"[..]), None, Some(b"")], "round {round}");
        }
    }

    #[test]
    fn text_must_be_utf8_and_can_be_asked_for() {
        let mut raw = open(&[Column::new("value", "string")]).unwrap();
        raw.append(Some("ä".as_bytes())).unwrap();
        raw.append(None).unwrap();
        assert_eq!((raw.value(0, 0), raw.value(1, 0)), (Value::Text("ä".as_bytes()), Value::Null));
        assert_eq!(raw.append(Some(b"a\xff")).unwrap_err().column.as_deref(), Some("value"));
        raw.truncate(1);
        let values = raw.finish().remove(0);
        assert_eq!(values.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("ä")]);
        assert_eq!(raw.finish()[0].len(), 0);
    }

    #[test]
    fn other_columns_are_refused() {
        let column = Column::new;
        for columns in [
            vec![column("payload", "binary")],
            vec![column("value", "int")],
            vec![column("value", "json")],
            vec![column("value", "binary"), column("key", "binary")],
            vec![Column { path: Some("a".to_owned()), ..column("value", "binary") }],
            vec![],
        ] {
            assert!(open(&columns).is_err(), "{columns:?}");
        }
    }
}
