//! What two other readers make of a document: `serde_json`, with floats to the last digit, by a tree that keeps what
//! comes twice; and `arrow-json`, by the schema.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::*;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// A document as `serde_json` has it.
#[derive(Debug)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Integer(i128),
    Double(f64),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// A value of a column.
#[derive(Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Bool(bool),
    Integer(i128),
    /// Bits, so that zeros differ.
    Double(u64),
    Text(String),
    List(Vec<Cell>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Integer(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut trees = Vec::new();
        while let Some(tree) = access.next_element()? {
            trees.push(tree);
        }
        Ok(Tree::List(trees))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}

/// The row that a document is; `None` when a value does not fit its column exactly.
pub(super) fn row(fields: &Fields, members: &[(String, Tree)]) -> Option<Vec<Cell>> {
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
        (DataType::Utf8, Tree::Text(text)) => Cell::Text(text.clone()),
        (DataType::Float64, Tree::Integer(value)) => Cell::Double((*value as f64).to_bits()),
        (DataType::Float64, Tree::Double(value)) => Cell::Double(value.to_bits()),
        (DataType::List(element), Tree::List(trees)) => {
            Cell::List(trees.iter().map(|tree| convert(element.data_type(), tree)).collect::<Option<_>>()?)
        }
        (DataType::Struct(fields), Tree::Object(members)) => Cell::List(row(fields, members)?),
        (_, Tree::Integer(_) | Tree::Double(_)) => {
            let value = match tree {
                Tree::Integer(value) => *value,
                // A larger one may be any of several integers.
                Tree::Double(value) if value.fract() == 0.0 && value.abs() < 2_f64.powi(53) => *value as i128,
                _ => return None,
            };
            bounds.filter(|(low, high)| (*low..=*high).contains(&value)).map(|_| Cell::Integer(value))?
        }
        _ => return None,
    })
}

/// What stands in an array.
pub(super) fn cell(array: &dyn Array, row: usize) -> Cell {
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

/// Whether a character is escaped that `arrow-json` 60.1 takes for another: of a surrogate pair it puts together what
/// it should add up, which differs in every second plane from U+20000 on.
pub(super) fn arrow_json_misreads(document: &[u8]) -> bool {
    document.windows(6).any(|window| {
        let unit = window.strip_prefix(b"\\u").and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = unit.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        unit.is_some_and(|unit| (0xD800..0xDC00).contains(&unit) && (unit - 0xD800) & 0x40 != 0)
    })
}

/// What `arrow-json` reads out of documents, one after the other; or what it has against one of them.
pub(super) fn arrow_json(schema: &SchemaRef, documents: &[&[u8]]) -> Result<RecordBatch, String> {
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
