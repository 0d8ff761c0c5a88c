//! What two other readers make of a document: `serde_json`, with floats to the last digit, by a tree that
//! keeps what comes twice and numbers as they are written; and `arrow-json`, by the schema.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::*;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A document as `serde_json` has it, numbers by what is written.
#[derive(Debug)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    /// `None` where it is no text: with half of a surrogate pair in it.
    Text(Option<String>),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

#[derive(Debug)]
pub(crate) struct Number {
    /// `None` where no double is near it: too large, or so small that nothing is left; or where it is written
    /// as an integer that the double would change.
    double: Option<f64>,
    /// `None` where it is no integer, or one of over 38 digits.
    integer: Option<i128>,
}

/// A value of a column.
#[derive(Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Integer(i128),
    /// Bits, so that zeros differ.
    Double(u64),
    Text(String),
    List(Vec<Cell>),
}

impl Tree {
    pub(crate) fn read(document: &[u8]) -> serde_json::Result<Self> {
        Self::of(serde_json::from_slice(document)?)
    }

    /// Whether half of a surrogate pair stands in a string or a key, which arrow-json
    /// refuses, wherever it is.
    pub(crate) fn has_no_text(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::List(trees) => trees.iter().any(Self::has_no_text),
            Self::Object(members) => members.iter().any(|(key, tree)| key == NO_TEXT || tree.has_no_text()),
            _ => false,
        }
    }

    fn of(raw: &RawValue) -> serde_json::Result<Self> {
        let text = raw.get();
        Ok(match text.as_bytes()[0] {
            b'n' => Self::Null,
            b't' | b'f' => Self::Bool(serde_json::from_str(text)?),
            b'"' => Self::Text(serde_json::from_str(text).ok()),
            b'[' => {
                let raws: Vec<&RawValue> = serde_json::from_str(text)?;
                Self::List(raws.into_iter().map(Self::of).collect::<Result<_, _>>()?)
            }
            b'{' => {
                let Members(raws) = serde_json::from_str(text)?;
                let member = |(Key(key), raw)| Ok((key, Self::of(raw)?));
                Self::Object(raws.into_iter().map(member).collect::<serde_json::Result<_>>()?)
            }
            _ => Self::Number(Number::of(text)),
        })
    }
}

impl Number {
    fn of(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_end_matches('0');
        let is_zero = !digits.contains(|c| matches!(c, '1'..='9'));
        // How far the point is to the right of the last significant digit.
        let right = digits.len() as i64 - significant.len() as i64 - fraction.len() as i64;
        let shift = exponent.parse::<i64>().ok().map(|exponent| exponent.saturating_add(right));
        let integer = match shift {
            _ if is_zero => Some(0),
            Some(shift @ 0..=38) => format!("{significant}{}", "0".repeat(shift as usize)).parse().ok(),
            _ => None,
        };
        let double: Option<f64> = serde_json::from_str(text).ok().filter(|double| *double != 0.0 || is_zero);
        let is_written_whole = !text.contains(['.', 'e', 'E']);
        let double = double.filter(|double| {
            let [exact, shortest] = [format!("{double:.0}"), format!("{double}")];
            !is_written_whole || exact == text || shortest == text
        });
        Self { double, integer }
    }
}

const NO_TEXT: &str = "no text";

/// A member's name. One that is no text is like no column's.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Key, E> {
                Ok(Key(String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| NO_TEXT.to_owned())))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// What an object holds, with what comes twice.
struct Members<'a>(Vec<(Key, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// The number that a text is, if it is one; it may have a plus and zeros before it.
fn number_in(text: &str) -> Option<Number> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (if text.starts_with('-') { "-" } else { "" }, digits),
        None => ("", text),
    };
    let significant = digits.trim_start_matches('0');
    let zero = if digits.len() > significant.len() && !significant.starts_with(|c: char| c.is_ascii_digit()) {
        "0"
    } else {
        ""
    };
    let number = format!("{sign}{zero}{significant}");
    let raw: &RawValue = serde_json::from_str(&number).ok()?;
    let is_number = raw.get() == number && number.ends_with(|c: char| c.is_ascii_digit());
    (is_number && !significant.starts_with('-')).then(|| Number::of(&number))
}

/// The row that a document is; `None` when a value does not fit its column exactly.
pub(crate) fn row(fields: &Fields, members: &[(String, Tree)]) -> Option<Vec<Cell>> {
    let cells = fields.iter().map(|field| {
        let mut found = members.iter().filter(|(key, _)| key == field.name());
        match (found.next(), found.next()) {
            (None, _) => Some(Cell::Null),
            (Some((_, tree)), None) => convert(field.data_type(), tree),
            (Some(_), Some(_)) => None,
        }
    });
    cells.collect()
}

fn convert(data_type: &DataType, tree: &Tree) -> Option<Cell> {
    let bounds = match data_type {
        DataType::Int8 => Some((i8::MIN.into(), i8::MAX.into())),
        DataType::Int32 => Some((i32::MIN.into(), i32::MAX.into())),
        DataType::Int64 => Some((i64::MIN.into(), i64::MAX.into())),
        DataType::UInt64 => Some((0, u64::MAX.into())),
        _ => None,
    };
    Some(match (data_type, tree) {
        (_, Tree::Null) => Cell::Null,
        (DataType::Boolean, Tree::Bool(value)) => Cell::Bool(*value),
        (DataType::Utf8, Tree::Text(text)) => Cell::Text(text.clone()?),
        (DataType::Float64, Tree::Number(number)) => Cell::Double(number.double?.to_bits()),
        (DataType::List(element), Tree::List(trees)) => {
            Cell::List(trees.iter().map(|tree| convert(element.data_type(), tree)).collect::<Option<_>>()?)
        }
        (DataType::Struct(fields), Tree::Object(members)) => Cell::List(row(fields, members)?),
        // An integer of 64 bits may stand in a string.
        (DataType::Int64 | DataType::UInt64, Tree::Text(text)) => {
            let (low, high) = bounds?;
            let integer = number_in(text.as_deref()?)?.integer?;
            (low..=high).contains(&integer).then_some(Cell::Integer(integer))?
        }
        (_, Tree::Number(number)) => {
            let (low, high) = bounds?;
            number.integer.filter(|integer| (low..=high).contains(integer)).map(Cell::Integer)?
        }
        _ => return None,
    })
}

/// What stands in an array.
pub(crate) fn cell(array: &dyn Array, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int8 => Cell::Integer(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int32 => Cell::Integer(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Integer(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt64 => Cell::Integer(array.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Float64 => Cell::Double(array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            Cell::List((0..values.len()).map(|index| cell(&values, index)).collect())
        }
        DataType::Struct(_) => {
            Cell::List(array.as_struct().columns().iter().map(|column| cell(column, row)).collect())
        }
        other => panic!("no cell of {other}"),
    }
}

/// Whether a character is escaped that `arrow-json` 60.1 takes for another: of a surrogate pair it puts
/// together what it should add up, which differs in every second plane from U+20000 on.
pub(crate) fn arrow_json_misreads(document: &[u8]) -> bool {
    document.windows(6).any(|window| {
        let unit = window.strip_prefix(b"\\u").and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = unit.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        unit.is_some_and(|unit| (0xD800..0xDC00).contains(&unit) && (unit - 0xD800) & 0x40 != 0)
    })
}

/// What `arrow-json` reads out of documents, one after the other; or what it has against one of them.
pub(crate) fn arrow_json(schema: &SchemaRef, documents: &[&[u8]]) -> Result<RecordBatch, String> {
    let builder = arrow_json::ReaderBuilder::new(Arc::clone(schema)).with_batch_size(documents.len() + 1);
    let mut decoder = builder.build_decoder().map_err(|error| error.to_string())?;
    for document in documents {
        for part in [document, &b"\n"[..]] {
            let read = decoder.decode(part).map_err(|error| error.to_string())?;
            if read != part.len() {
                return Err("it stops before the end".into());
            }
        }
    }
    let batch = decoder.flush().map_err(|error| error.to_string())?;
    Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema))))
}
