//! From the job's column list to an Arrow schema: every column is nullable, its type
//! is what the job says, and a list that could mean two things (a name twice, a name
//! of Kafka's metadata) is refused before any record. The files, the decoder and the
//! pinned schema of a checkpoint all read this one schema, so they can't differ.

mod column;
mod grammar;
pub(crate) mod headers;
pub mod levels;
pub mod path;
mod print;
pub(crate) mod reading;
#[cfg(test)]
mod tests;
mod words;
pub(crate) mod zone;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

use crate::names;
pub use column::{Column, Metadata, PartitionColumns, PartitionField, Reading, Transform};
use grammar::Seconds;

/// Metadata key of a field whose type says less than the job's: JSON text, which Arrow knows only as Utf8,
/// and seconds, which are written as milliseconds.
const TYPE_KEY: &str = "tidegate.type";
const JSON: &str = "json";
const SECONDS: &str = "s";

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
        let seconds = if column.bare_seconds { Seconds::Bare } else { Seconds::Milliseconds };
        let field = grammar::parse(&column.type_name, &column.name, seconds)
            .map_err(|at| ColumnError::new(&column.name, at))?;
        if let Err((key, problem)) = reading::check(&field, &column.reading) {
            return Err(ColumnError::new(&column.name, format!("{key}: {problem}")));
        }
        fields.push(field);
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

/// Names beside one another, at any depth, that differ only in letter case: Spark, Hive, Trino and Athena
/// refuse such a table, or take them for one column. Each is a sentence.
pub fn twins(schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    twins_in(schema.fields(), "", &mut found);
    found
}

fn twins_in(fields: &[FieldRef], place: &str, found: &mut Vec<String>) {
    let mut names: HashMap<String, &str> = HashMap::new();
    for field in fields {
        let name = field.name();
        if let Some(first) = names.insert(name.to_lowercase(), name) {
            found.push(format!(
                "`{place}{first}` and `{place}{name}` differ only in letter case: many readers refuse both, or take them \
                 for one; give one of them another name, with path: for its place"
            ));
        }
    }
    for field in fields {
        let place = format!("{place}{}", field.name());
        match field.data_type() {
            DataType::Struct(members) => twins_in(members, &format!("{place}."), found),
            DataType::List(element) => twins_in(std::slice::from_ref(element), &format!("{place}."), found),
            DataType::Map(entries, _) => twins_in(std::slice::from_ref(entries), &format!("{place}."), found),
            _ => {}
        }
    }
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

/// What a checkpoint pins of seconds from its first on; chains of before do not have it.
const PINNED_SECONDS: &str = "seconds";

/// Adds to what the first checkpoint pins that seconds are written as milliseconds.
pub(crate) fn pin_seconds(pinned: Value) -> Value {
    let mut pinned = if pinned.is_object() { pinned } else { json!({}) };
    pinned[PINNED_SECONDS] = "ms".into();
    pinned
}

/// Whether the chain has files whose seconds are bare numbers. It goes on with them: beside them milliseconds
/// would be numbers a thousand times as large to readers that know the column as a number.
pub(crate) fn are_seconds_bare(pinned: &Value) -> bool {
    pinned.get(PINNED_SECONDS).is_none()
}

/// What some readers of the files will not do with these columns, a sentence each.
pub(crate) fn cautions(columns: &[Column]) -> Vec<String> {
    let mut cautions = Vec::new();
    for column in columns {
        let Ok(schema) = schema(std::slice::from_ref(column), &[]) else { continue };
        let leaves = leaves(schema.field(0));
        let has = |of: TimeUnit| leaves.iter().any(|leaf| unit(leaf) == Some(of));
        let name = &column.name;
        if has(TimeUnit::Nanosecond) {
            cautions.push(format!(
                "column `{name}` has nanoseconds: readers such as Spark refuse a file with them, whatever they ask of it; \
                 all take microseconds (us)"
            ));
        }
        if leaves.iter().any(|leaf| matches!(leaf.data_type(), DataType::Time32(_) | DataType::Time64(_))) {
            cautions.push(format!(
                "column `{name}` has times of a day: Spark up to 4.0 refuses a file with them, whatever it asks of it; text \
                 (string) is read by all"
            ));
        }
        if column.bare_seconds && has(TimeUnit::Second) {
            cautions.push(format!(
                "column `{name}` has seconds, which this chain was begun with as bare numbers, as most readers see them; it \
                 goes on so; in a table of a new job they are times"
            ));
        }
    }
    cautions
}

/// Whether the field holds the text of any JSON value, not a string.
pub(crate) fn is_json(field: &Field) -> bool {
    field.metadata().get(TYPE_KEY).is_some_and(|kind| kind == JSON)
}

/// In which the job counts the field's times; `None` for what is no time. The files may have a finer one.
pub(crate) fn unit(field: &Field) -> Option<TimeUnit> {
    match field.data_type() {
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) => {
            let seconds = field.metadata().get(TYPE_KEY).is_some_and(|kind| kind == SECONDS);
            Some(if seconds { TimeUnit::Second } else { *unit })
        }
        _ => None,
    }
}

/// The fields that hold values, at whatever depth below `field`.
pub(crate) fn leaves(field: &Field) -> Vec<&Field> {
    match field.data_type() {
        DataType::Struct(members) => members.iter().flat_map(|member| leaves(member)).collect(),
        DataType::List(inner) | DataType::Map(inner, _) => leaves(inner),
        _ => vec![field],
    }
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
