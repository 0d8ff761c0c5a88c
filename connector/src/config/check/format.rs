//! `format`: what a record's bytes are, and which columns they become.

use std::collections::BTreeSet;

use crate::columns::path;
use crate::config::error::Wrong;
use crate::config::section::{Parsed, Section, Value};
use crate::config::{Column, Format, FormatKind, Metadata, Reading, Tombstones, Unknown, values};
use crate::limits::COLUMNS_MAX_COUNT;

const METADATA: [(&str, Metadata); 6] = [
    ("topic", Metadata::Topic),
    ("partition", Metadata::Partition),
    ("offset", Metadata::Offset),
    ("timestamp", Metadata::Timestamp),
    ("key", Metadata::Key),
    ("headers", Metadata::Headers),
];

pub(super) fn check(format: &mut Section<'_>) -> Format {
    let kind = format.get("type", kind, FormatKind::Json);
    let tombstones = [("skip", Tombstones::Skip), ("nulls", Tombstones::Nulls)];
    let tombstones = format.get("tombstones", values::word(&tombstones), Tombstones::Skip);
    let metadata = format.value("metadata").map(|value| metadata(&value)).unwrap_or_default();
    let columns = format.value("columns").map(|value| columns(&value, &metadata));
    let is_value = |column: &Column| {
        column.name == "value"
            && column.path.is_none()
            && column.reading == Reading::default()
            && matches!(column.type_name.trim(), "binary" | "string")
    };
    if let (FormatKind::Raw, Some(columns)) = (kind, &columns)
        && !matches!(columns.as_slice(), [column] if is_value(column))
    {
        let problem = "format raw has the one column value, of type binary or string";
        format.wrong(
            "columns",
            Wrong::new(problem, "write [{name: value, type: string}], or leave columns out"),
        );
    }
    let unknown = format.value("unknown").and_then(|value| {
        if kind == FormatKind::Raw {
            value.wrong(Wrong::new("is for records with members, and raw has none", "leave it out"));
        }
        value.parse(unknown)
    });
    Format { kind, tombstones, columns, metadata, unknown: unknown.unwrap_or(Unknown::Warn) }
}

fn unknown(value: &str) -> Parsed<Unknown> {
    if value == "add" {
        return Err(Wrong::not_built("for members that no column asks for", "use ignore, warn or reject"));
    }
    let words = [("ignore", Unknown::Ignore), ("warn", Unknown::Warn), ("reject", Unknown::Reject)];
    values::word(&words)(value)
}

fn kind(value: &str) -> Parsed<FormatKind> {
    if matches!(value, "avro" | "protobuf" | "debezium-json" | "canal-json") {
        return Err(Wrong::not_built("as a format", "use json or raw"));
    }
    values::word(&[("json", FormatKind::Json), ("raw", FormatKind::Raw)])(value)
}

fn metadata(value: &Value<'_>) -> Vec<Metadata> {
    let mut metadata = Vec::new();
    for item in value.items("a list such as [topic, partition, offset]").unwrap_or_default() {
        match item.parse(values::word(&METADATA)) {
            Some(column) if metadata.contains(&column) => {
                item.wrong(Wrong::new("stands there a second time", "name each column once"));
            }
            Some(column) => metadata.push(column),
            None => {}
        }
    }
    metadata
}

fn columns(value: &Value<'_>, metadata: &[Metadata]) -> Vec<Column> {
    let Some(items) = value.items("a list of {name: …, type: …}") else { return Vec::new() };
    if items.is_empty() {
        value.wrong(Wrong::new("names no column", "name at least one, or leave columns out to infer them"));
    }
    if items.len() > COLUMNS_MAX_COUNT {
        let problem = format!("{} columns are too many", items.len());
        value.wrong(Wrong::new(problem, format!("name at most {COLUMNS_MAX_COUNT}")));
        return Vec::new();
    }
    let mut names: BTreeSet<String> = metadata.iter().map(|column| column.column().to_owned()).collect();
    let mut columns = Vec::new();
    for item in items {
        let Some(column) = item.section(|section| column(section, &mut names)) else { continue };
        columns.push(column);
    }
    columns
}

fn column(section: &mut Section<'_>, names: &mut BTreeSet<String>) -> Option<Column> {
    let name = section.need("name", values::text, "name the column");
    let type_name = match section.value("type") {
        Some(value) => type_name(&value),
        None => {
            section.missing("type", "write its type, such as string or int64");
            None
        }
    };
    let path = section.value("path").and_then(|path| path.parse(keys));
    let reading = Reading {
        zone: section.value("zone").and_then(|zone| zone.parse(values::text)),
        format: section.value("format").and_then(|format| format.parse(values::text)),
        lenient: section.get("lenient", values::word(&[("true", true), ("false", false)]), false),
    };
    let column = Column { path, reading, ..Column::new(name?, type_name?) };
    if let Ok(schema) = crate::columns::schema(&[Column::new("c", &column.type_name)], &[])
        && let Err((key, problem)) = crate::columns::reading::check(schema.field(0), &column.reading)
    {
        // It may repeat the value, which by substitution may be anything.
        let substituted = section.value(key).is_some_and(|value| value.is_substituted());
        let problem = if substituted { "does not fit the type".to_owned() } else { problem };
        section.wrong(key, Wrong::new(problem, "see docs/job-file.md, \"How values are read\""));
    }
    if !names.insert(column.name.clone()) {
        let problem = "another column has this name";
        section.wrong(
            "name",
            Wrong::new(problem, "give each column a name of its own, with path: for its place"),
        );
    }
    Some(column)
}

/// A path by which something can be found.
fn keys(value: &str) -> Parsed<String> {
    path::keys(value).map_err(|(problem, remedy)| Wrong::new(problem, remedy))?;
    Ok(value.to_owned())
}

/// A type of the grammar. What is wrong may repeat a part of it, so that is only said of what the file itself has.
fn type_name(value: &Value<'_>) -> Option<String> {
    let type_name = value.parse(values::text)?;
    let column = Column::new("c", &type_name);
    match crate::columns::schema(&[column], &[]) {
        Ok(_) => Some(type_name),
        Err(error) => {
            let problem = if value.is_substituted() { "is not a type".to_owned() } else { error.problem };
            value.wrong(Wrong::new(
                problem,
                "write one of docs/job-file.md, such as int64, string, decimal(18,2), timestamp(ms, UTC)",
            ));
            None
        }
    }
}
