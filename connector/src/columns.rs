//! From the job's column list to an Arrow schema: every column is nullable, its type is what the job says, and
//! a list that could mean two things (a name twice, a name of Kafka's metadata) is refused before any record.
//! The files, the decoder and the pinned schema of a checkpoint all read this one schema, so they can't differ.

mod grammar;
pub mod levels;
mod print;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::config::{Column, Metadata};
use crate::decode::headers;
use crate::names;

/// Metadata key of a field that holds JSON text, which Arrow knows only as Utf8.
const TYPE_KEY: &str = "tidegate.type";

/// A column that the job may not have: which one, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}`: {problem}")]
pub struct ColumnError {
    pub column: String,
    pub problem: String,
}

impl ColumnError {
    pub(crate) fn new(column: &str, problem: impl fmt::Display) -> Self {
        Self { column: column.to_owned(), problem: problem.to_string() }
    }
}

/// The schema of the job's files: its columns in their order, then Kafka's metadata in the order asked for.
pub fn schema(columns: &[Column], metadata: &[Metadata]) -> Result<SchemaRef, ColumnError> {
    let mut fields = Vec::with_capacity(columns.len() + metadata.len());
    for column in columns {
        names::column(&column.name).map_err(|bad| ColumnError::new(&column.name, bad.problem))?;
        fields.push(
            grammar::parse(&column.type_name, &column.name)
                .map_err(|at| ColumnError::new(&column.name, at))?,
        );
    }
    fields.extend(metadata.iter().map(|&kind| metadata_field(kind)));
    let mut names = HashSet::new();
    for field in &fields {
        if !names.insert(field.name()) {
            return Err(ColumnError::new(field.name(), "this name comes twice"));
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// A field's type in the grammar of the job file, such that [`schema`] makes the same type of it again.
/// `None` for an Arrow type that the grammar has no words for.
pub fn type_name(field: &Field) -> Option<String> {
    print::print(field)
}

/// A name as a type writes it inside `struct<…>`: in quotes where it must be.
pub(crate) fn quoted(name: &str) -> String {
    print::quoted(name)
}

/// Whether the field holds the text of any JSON value, not a string.
pub(crate) fn is_json(field: &Field) -> bool {
    field.metadata().get(TYPE_KEY).is_some_and(|kind| kind == "json")
}

fn metadata_field(kind: Metadata) -> Field {
    match kind {
        Metadata::Topic => Field::new("_topic", DataType::Utf8, false),
        Metadata::Partition => Field::new("_partition", DataType::Int32, false),
        Metadata::Offset => Field::new("_offset", DataType::Int64, false),
        Metadata::Timestamp => {
            Field::new("_timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true)
        }
        Metadata::Key => Field::new("_key", DataType::Binary, true),
        Metadata::Headers => headers::field("_headers"),
    }
}
