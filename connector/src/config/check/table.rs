//! `sink.table` and `sink.partition_by`: the folders that files lie in.

use crate::config::error::Wrong;
use crate::config::section::{Parsed, Section, nearest};
use crate::config::{Format, FormatKind, PartitionField, Table, Topics, Transform, values};
use crate::limits::{BUCKETS_MAX_COUNT, PARTITION_FIELDS_MAX_COUNT, TABLE_NAME_MAX_CHARS};

/// By default each topic is a table of its own.
pub(super) fn table(sink: &mut Section<'_>, topics: &Topics) -> Table {
    let by_topic = Table::ByTopic { prefix: String::new(), suffix: String::new() };
    let table = sink.get("table", parse, by_topic);
    let Topics::List(topics) = topics else { return table };
    for topic in topics {
        if let Err(problem) = table.name(topic) {
            let problem = format!("the table of topic {topic} {problem}");
            sink.wrong(
                "table",
                Wrong::new(problem, "put something around it: \"t_{topic}\", or name one table"),
            );
        }
    }
    table
}

fn parse(value: &str) -> Parsed<Table> {
    let Some((prefix, suffix)) = value.split_once("{topic}") else {
        if value.contains(['{', '}']) {
            return Err(Wrong::new("has a placeholder that is not known", "the only one is {topic}"));
        }
        return values::folder_name(TABLE_NAME_MAX_CHARS)(value).map(Table::Named);
    };
    if suffix.contains("{topic}") {
        return Err(Wrong::new("has {topic} more than once", "write it once"));
    }
    // A letter stands for the topic, whose own name is checked when it is known.
    values::folder_name(TABLE_NAME_MAX_CHARS)(&format!("{prefix}t{suffix}"))?;
    Ok(Table::ByTopic { prefix: prefix.to_owned(), suffix: suffix.to_owned() })
}

pub(super) fn partition_by(sink: &mut Section<'_>, format: &Format) -> Vec<PartitionField> {
    let Some(value) = sink.value("partition_by") else { return Vec::new() };
    let items = value.items("a list such as [\"day(ts)\", country]").unwrap_or_default();
    if items.len() > PARTITION_FIELDS_MAX_COUNT {
        let problem = format!("{} folder levels are too many", items.len());
        value.wrong(Wrong::new(problem, format!("use at most {PARTITION_FIELDS_MAX_COUNT}")));
    }
    let mut fields: Vec<PartitionField> = Vec::new();
    for item in items {
        let Some(field) = item.parse(field) else { continue };
        if let Some(wrong) = misfit(&field, format) {
            item.wrong(wrong);
        } else if fields.iter().any(|other| other == &field) {
            item.wrong(Wrong::new("this level stands there already", "keep one of them"));
        }
        fields.push(field);
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
fn misfit(field: &PartitionField, format: &Format) -> Option<Wrong> {
    let mut known: Vec<(&str, &str)> =
        format.metadata.iter().map(|column| (column.column(), column.type_name())).collect();
    match (&format.columns, format.kind) {
        (Some(columns), _) => {
            known.extend(columns.iter().map(|column| (column.name.as_str(), column.type_name.as_str())));
        }
        (None, FormatKind::Raw) => known.push(("value", "binary")),
        (None, FormatKind::Json) if !field.column.starts_with('_') => return None,
        (None, FormatKind::Json) => {}
    }
    let Some((_, type_name)) = known.iter().find(|(name, _)| *name == field.column) else {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let problem = format!("there is no column {}", field.column);
        let remedy = match nearest(&field.column, &names) {
            Some(near) => format!("did you mean {near}?"),
            None if field.column.starts_with('_') => "list it under format.metadata".to_owned(),
            None => "list it under format.columns or format.metadata".to_owned(),
        };
        return Some(Wrong::new(format!("names a column that is not there: {problem}"), remedy));
    };
    let base = type_name.split(['(', '<']).next().unwrap_or_default().trim();
    let nested = matches!(base, "struct" | "list" | "map");
    let (fits, remedy) = match field.transform {
        Transform::Hour => (base == "timestamp", "it takes a timestamp"),
        Transform::Year | Transform::Month | Transform::Day => {
            (matches!(base, "timestamp" | "date"), "it takes a timestamp or a date")
        }
        Transform::Bucket(_) => (
            !nested && !matches!(base, "float" | "double" | "bool" | "uint64" | "json"),
            "it takes a whole number, a string, binary, a date, a time, a timestamp or a decimal",
        ),
        Transform::Identity => (
            !nested && !matches!(base, "float" | "double" | "binary" | "time" | "json"),
            "it takes a bool, a whole number, a string, a date, a timestamp or a decimal",
        ),
    };
    (!fits).then(|| Wrong::new(format!("does not fit column {} of type {type_name}", field.column), remedy))
}
