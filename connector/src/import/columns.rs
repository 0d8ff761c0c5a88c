//! Columns of both sides, made into one list: the reader's names are where a value
//! stands in the record, the writer's what its column is called.

use serde_json::Value;

use super::Report;
use super::document::{self, Document, Node};
use super::reader::Source;
use super::section::Section;
use super::types;
use super::writer::Sink;
use crate::columns::path;
use crate::config::{Column, Reading};

/// A column of either side.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// As the old job file has it.
    pub(super) type_text: Option<String>,
    /// How its texts are written, in Java's letters, and where that stands.
    pub(super) format: Option<(String, String)>,
    /// A folder level rather than a value of the file.
    pub(super) is_partition: bool,
    /// It has one value, which no record holds; it counts where the two sides are paired by their places.
    pub(super) is_constant: bool,
    /// Where it stands.
    pub(super) path: String,
}

/// A list of names, of `name:type`, or of maps; `None` for `*`, and for what is no list.
pub(super) fn list(value: &Value, path: &str, report: &mut Report) -> Option<Vec<Field>> {
    let items = match value {
        Value::Array(items) => items,
        Value::String(text) if text.trim() == "*" => {
            report.left(path, "*: the columns are inferred from a sample, and pinned, at the first start");
            return None;
        }
        _ => {
            report.left(path, "a list of columns was expected");
            return None;
        }
    };
    if let [Value::String(all)] = items.as_slice()
        && all.trim() == "*"
    {
        report.left(path, "*: the columns are inferred from a sample, and pinned, at the first start");
        return None;
    }
    let fields = items.iter().enumerate().filter_map(|(n, item)| field(item, format!("{path}[{n}]"), report));
    Some(fields.collect())
}

fn field(item: &Value, path: String, report: &mut Report) -> Option<Field> {
    if let Value::String(text) = item {
        let (name, type_text) = match text.split_once(':') {
            Some((name, type_text)) => (name.trim(), Some(type_text.trim().to_owned())),
            None => (text.trim(), None),
        };
        let name = name.to_owned();
        return Some(Field { name, type_text, format: None, is_partition: false, is_constant: false, path });
    }
    let mut section = Section::of(Some(item), path.clone());
    section.skip("index");
    section.skip("comment");
    let name = section.text("name", report).or_else(|| section.text("key", report));
    let is_partition = ["isPart", "part"]
        .map(|key| section.text(key, report).is_some_and(|is| is == "true"))
        .contains(&true);
    let type_text = section.text("type", report);
    let format = section.text("format", report).map(|format| (format, section.path("format")));
    let is_constant = section.text("value", report).is_some();
    section.finish(report);
    if is_constant {
        report.left(path.as_str(), "a column of one value: it is left out, as a query can add it");
    } else if name.is_none() {
        report.left(path, "a column without a name is left out");
        return None;
    }
    Some(Field { name: name.unwrap_or_default(), type_text, format, is_partition, is_constant, path })
}

/// Writes the columns and the folder levels.
pub(super) fn merge(source: Source, sink: Sink, document: &mut Document, report: &mut Report) {
    let Sink { columns: written, path: writer_path } = sink;
    if source.is_text {
        let fields = source.columns.into_iter().chain(written).flatten();
        raw(fields.filter(|field| !field.is_constant), document, report);
        return;
    }
    let (read, path) = (source.columns.filter(|read| !read.is_empty()), source.path);
    let written = written.filter(|written| !written.is_empty());
    let columns: Vec<(Field, Option<String>)> = match (read, written) {
        (Some(read), Some(written)) => match pairs(&read, &written, report) {
            Some(pairs) => pairs,
            None => {
                report.left(
                    &path,
                    "is not as long as the writer's list, so the writer's names are looked for in the record",
                );
                for (format, path) in read.into_iter().filter_map(|field| field.format) {
                    report.left(path, format!("{format}: of which of the writer's columns is not plain"));
                }
                values_of(written).map(|field| (field, None)).collect()
            }
        },
        (Some(fields), None) | (None, Some(fields)) => values_of(fields).map(|field| (field, None)).collect(),
        (None, None) => {
            report.left(
                writer_path,
                "no columns are listed: they are inferred from a sample, and pinned, at the first start",
            );
            return;
        }
    };
    let mut nodes = Vec::new();
    let mut levels = Vec::new();
    for (field, from) in columns {
        let mapped = types::map(field.type_text.as_deref().unwrap_or("string"));
        if let Some(note) = mapped.note {
            report.left(format!("{}.type", field.path), note);
        }
        let mut entries = vec![
            ("name".to_owned(), document::text(&field.name)),
            ("type".to_owned(), document::text(&mapped.type_name)),
        ];
        if let Some(from) = from.filter(|from| *from != field.name) {
            let path = if path::keys(&from).is_ok() { from } else { path::quoted(&from) };
            entries.push(("path".to_owned(), document::text(&path)));
        }
        if let Some((format, path)) = field.format {
            match readable(&mapped.type_name, &format) {
                Some(format) => entries.push(("format".to_owned(), document::text(&format))),
                None => report.left(
                    path,
                    format!("{format}: the column is read as ISO 8601, or as numbers since 1970; `format` may say otherwise"),
                ),
            }
        }
        if field.is_partition {
            levels.push(document::text(&field.name));
        }
        document.came_from(&format!("format.columns[{}]", nodes.len()), &field.path);
        nodes.push(Node::Map(entries));
    }
    document.set("format.columns", Node::List(nodes), &path);
    if !levels.is_empty() {
        document.set("sink.partition_by", Node::List(levels), &writer_path);
        // The table is Hive's, which looks for the column in the folders' names alone.
        document.set("sink.partition_columns", document::text("folder"), &writer_path);
    }
}

/// Columns, each with its name in the record: by their places, of which a constant may have one on the
/// writer's side or none. `None` where the lists do not go together.
fn pairs(read: &[Field], written: &[Field], report: &mut Report) -> Option<Vec<(Field, Option<String>)>> {
    let are_all_written = read.len() == written.len();
    let read: Vec<_> = read.iter().filter(|field| are_all_written || !field.is_constant).collect();
    if read.len() != written.len() {
        return None;
    }
    let pair = |(read, written): (&Field, &Field)| {
        let type_text = written.type_text.clone().or(read.type_text.clone());
        let format = read.format.clone().or(written.format.clone());
        (Field { type_text, format, ..written.clone() }, Some(read.name.clone()))
    };
    let (values, others): (Vec<_>, Vec<_>) =
        read.into_iter().zip(written).partition(|(read, written)| !read.is_constant && !written.is_constant);
    for (read, written) in others {
        let value = [read, written].into_iter().find(|field| !field.is_constant);
        if let Some(value) = value {
            let reason = "stands where the other side has a column of one value, so it is left out with it; add it \
                          to format.columns if it is wanted";
            report.left(value.path.as_str(), reason);
        }
    }
    Some(values.into_iter().map(pair).collect())
}

/// Those that records hold.
fn values_of(fields: Vec<Field>) -> impl Iterator<Item = Field> {
    fields.into_iter().filter(|field| !field.is_constant)
}

/// The pattern as a column of the type has it, if it may.
fn readable(type_name: &str, pattern: &str) -> Option<String> {
    let format = super::format::strptime(pattern)?;
    let reading = Reading { format: Some(format.clone()), ..Reading::default() };
    let column = Column { reading, ..Column::new("c", type_name) };
    crate::columns::schema(&[column], &[]).is_ok().then_some(format)
}

/// A record as one text is the column `value`, whatever it was called.
fn raw(fields: impl Iterator<Item = Field>, document: &mut Document, report: &mut Report) {
    let value =
        [("name", "value"), ("type", "string")].map(|(key, value)| (key.to_owned(), document::text(value)));
    document.set("format.columns", Node::List(vec![Node::Map(value.into())]), "");
    for field in fields {
        let reason = match field.name.as_str() {
            "message" => "the record's text is the column value here",
            _ => "the codec is text, so a record is one column, value; with codec json it would have columns",
        };
        report.left(field.path, reason);
    }
}
