//! `sink.partition_by` and `sink.partition_columns`: the folders that files lie in.

use arrow::datatypes::Schema;
use serde_json::json;

use crate::columns::levels::{self, LevelError};
use crate::columns::{Column, PartitionColumns, PartitionField, Transform};
use crate::config::Format;
use crate::config::file::error::Wrong;
use crate::config::file::section::{Section, key, nearest};
use crate::config::file::value::Value;
use crate::config::file::values::{self, Parsed};
use crate::limits::{BUCKETS_MAX_COUNT, PARTITION_FIELDS_MAX_COUNT};

pub(super) fn partition_by(sink: &mut Section<'_>, format: &Format) -> Vec<PartitionField> {
    let columns = sink.peek("partition_columns", |value| value.parse(partition_columns_word));
    sink.read(
        key(
            "partition_by",
            "Folder levels, as Hive has them: `country`, `year(ts)`, `month(ts)`, `day(ts)`, `hour(ts)`, \
             `bucket(16, user_id)`. Each level multiplies the number of files.",
        ),
        |value| value.map(|value| fields(value, format, columns.unwrap_or_default())).unwrap_or_default(),
        |fields| Some(fields.iter().map(ToString::to_string).collect()),
    )
}

pub(super) fn partition_columns(sink: &mut Section<'_>) -> Option<PartitionColumns> {
    sink.read(
        key(
            "partition_columns",
            "Where the values of a column stand that names a folder as it is, as in `partition_by: [country]`. \
             `file`: in the files, with their type; the level is called `country_part`, so no reader takes it \
             for the column. `folder`: only in the folder's name, as Hive has it: the level is called \
             `country`, the column is not in the files, and a text that a folder's name cannot tell from null \
             is a reject. `both`: in both under one name, as jobs begun before this key have it, whose folders \
             stay as they are while it is left out. See [reading](reading.md#folders).",
        )
        .default_text("`file`"),
        |value| value.and_then(|value| value.parse(partition_columns_word)),
        // Null where the chain says it.
        |columns| Some(json!(columns.map(PartitionColumns::word))),
    )
}

fn partition_columns_word(value: &str) -> Parsed<PartitionColumns> {
    values::word(&PartitionColumns::ALL.map(|columns| (columns.word(), columns)))(value)
}

fn fields(value: &Value<'_>, format: &Format, columns: PartitionColumns) -> Vec<PartitionField> {
    let items = value.items("a list such as [\"day(ts)\", country]").unwrap_or_default();
    if items.len() > PARTITION_FIELDS_MAX_COUNT {
        let problem = format!("{} folder levels are too many", items.len());
        value.wrong(Wrong::new(problem, format!("use at most {PARTITION_FIELDS_MAX_COUNT}")));
    }
    let (schema, is_inferred) = (known(format), format.known_columns().is_none());
    let (mut fields, mut sound): (Vec<PartitionField>, _) = (Vec::new(), true);
    for item in items {
        let Some(field) = item.parse(field) else { continue };
        if let Some(wrong) = misfit(&field, columns, &schema, is_inferred) {
            sound = false;
            item.wrong(wrong);
        } else if fields.iter().any(|other| other == &field) {
            sound = false;
            item.wrong(Wrong::new("this level stands there already", "keep one of them"));
        }
        fields.push(field);
    }
    // Their names, of which each depends on the others; of a column that is inferred, `run` tells.
    let known: Vec<_> =
        fields.iter().filter(|field| schema.column_with_name(&field.column).is_some()).cloned().collect();
    if sound && let Err(error) = levels::levels(&known, columns, &schema) {
        value.wrong(Wrong::new("makes no folders that all readers read", error.to_string()));
    }
    fields
}

/// `column`, `day(column)` or `bucket(16, column)`.
fn field(value: &str) -> Parsed<PartitionField> {
    let remedy = "write a column, year(c), month(c), day(c), hour(c) or bucket(16, c)";
    let Some((name, arguments)) = value.trim().split_once('(') else {
        let column = values::text(value)?;
        return Ok(PartitionField { transform: Transform::Identity, column: column.trim().to_owned() });
    };
    let Some(arguments) = arguments.strip_suffix(')') else {
        return Err(Wrong::new("lacks its closing parenthesis", remedy));
    };
    let (transform, column) = match name.trim() {
        "year" => (Transform::Year, arguments),
        "month" => (Transform::Month, arguments),
        "day" => (Transform::Day, arguments),
        "hour" => (Transform::Hour, arguments),
        "bucket" => {
            let counted = arguments
                .split_once(',')
                .and_then(|(count, column)| Some((count.trim().parse::<u32>().ok()?, column)))
                .filter(|(count, _)| (1..=BUCKETS_MAX_COUNT).contains(count));
            let Some((count, column)) = counted else {
                let remedy = format!("write bucket(16, column) with 1 to {BUCKETS_MAX_COUNT} buckets");
                return Err(Wrong::new("lacks its number of buckets", remedy));
            };
            (Transform::Bucket(count), column)
        }
        _ => return Err(Wrong::new("is not a folder level that is known", remedy)),
    };
    let column = column.trim();
    if column.is_empty() {
        return Err(Wrong::new("names no column", remedy));
    }
    Ok(PartitionField { transform, column: column.to_owned() })
}

/// Why the column cannot be cut so. Without `format.columns` only the sample knows, and `run` checks again.
fn misfit(
    field: &PartitionField,
    columns: PartitionColumns,
    schema: &Schema,
    is_inferred: bool,
) -> Option<Wrong> {
    if let Some((_, column)) = schema.column_with_name(&field.column) {
        return levels::fits(field.transform, columns, column).err().map(|error| match error {
            LevelError::Type { column, type_name, takes, .. } => Wrong::new(
                format!("does not fit column {column} of type {type_name}"),
                format!("it takes {takes}"),
            ),
            error => Wrong::new(error.to_string(), "choose another column"),
        });
    }
    if is_inferred && !field.column.starts_with('_') {
        return None;
    }
    let names: Vec<&str> = schema.fields().iter().map(|column| column.name().as_str()).collect();
    let problem = format!("there is no column {}", field.column);
    let remedy = match nearest(&field.column, &names) {
        Some(near) => format!("did you mean {near}?"),
        None if field.column.starts_with('_') => "list it under format.metadata".to_owned(),
        None => "list it under format.columns or format.metadata".to_owned(),
    };
    Some(Wrong::new(format!("names a column that is not there: {problem}"), remedy))
}

/// The columns that are known before any record is: all, unless they are inferred.
fn known(format: &Format) -> Schema {
    let listed = format.known_columns().unwrap_or_default();
    // What is wrong with them is told where they stand.
    let of = |columns: &[Column]| crate::columns::schema(columns, &format.metadata).ok();
    of(&listed).or_else(|| of(&[])).map_or_else(Schema::empty, |schema| Schema::clone(&schema))
}
