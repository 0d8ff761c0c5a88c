//! `format.columns`: the columns that records become, and how their values are read.

use std::collections::BTreeSet;

use crate::columns::{Column, Metadata, Reading, path};
use crate::config::file::error::Wrong;
use crate::config::file::section::{Section, item_key};
use crate::config::file::value::Value;
use crate::config::file::values::{self, Parsed};
use crate::limits::COLUMNS_MAX_COUNT;

/// The items of `format.columns`. No column has the name of one of the metadata's.
pub(super) fn columns(value: &Value<'_>, metadata: &[Metadata]) -> Vec<Column> {
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
    let name = section.need(item_key("name"), values::text, "name the column");
    if !section.has("type") {
        section.missing("type", "write its type, such as string or int64");
    }
    let type_name = section.read(item_key("type"), |value| value.and_then(type_name), |_| None);
    let path = section.optional(item_key("path"), keys);
    let reading = Reading {
        zone: section.optional(item_key("zone"), values::text),
        format: section.optional(item_key("format"), values::text),
        lenient: section.word(item_key("lenient"), &[("true", true), ("false", false)], false),
    };
    let column = Column { path, reading, ..Column::new(name?, type_name?) };
    if let Ok(schema) = crate::columns::schema(&[Column::new("c", &column.type_name)], &[])
        && let Err((key, problem)) = crate::columns::reading::check(schema.field(0), &column.reading)
    {
        // It may repeat the value, which by substitution may be anything.
        let substituted = section.peek(key, |value| Some(value.is_substituted())).unwrap_or_default();
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
pub(in crate::config) fn keys(value: &str) -> Parsed<String> {
    path::keys(value).map_err(|(problem, remedy)| Wrong::new(problem, remedy))?;
    Ok(value.to_owned())
}

/// A type of the grammar. What is wrong may repeat a part of it, so that is only said of what the file itself
/// has.
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
