//! `tables`: tables of one job with topics, columns and folders of their own. What a table leaves out, the
//! job says. All of it is judged here, but nothing writes such tables yet, so the key is refused by name.

use super::file::error::Wrong;
use super::file::section::{Base, Section, item_key};
use super::file::value::Value;
use super::file::values;
use super::format::{self, Format};
use super::kafka::{Topics, read_topics};
use super::sink::{self, Layout};
use crate::limits::TABLE_NAME_MAX_CHARS;

#[derive(Clone, Debug)]
pub struct TableJob {
    pub name: String,
    pub topics: Topics,
    /// `None`: all records of its topics.
    pub record: Option<Record>,
    pub format: Format,
    pub layout: Layout,
}

/// Which records of a topic are the table's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Those whose schema has this name.
    Named(String),
    Header {
        header: String,
        is: String,
    },
    Field {
        field: String,
        is: String,
    },
}

/// What becomes of records that no table takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    Reject,
    Stop,
    Ignore,
}

const UNROUTED: [(&str, Unrouted); 3] =
    [("reject", Unrouted::Reject), ("stop", Unrouted::Stop), ("ignore", Unrouted::Ignore)];

/// The tables, of which each topic's records belong to one.
pub(super) fn read(root: &Section<'_>) -> (Vec<TableJob>, Unrouted) {
    let unrouted = root.find("unrouted").and_then(|value| value.parse(values::word(&UNROUTED)));
    let mut tables: Vec<TableJob> = Vec::new();
    let items = root.find("tables").and_then(|value| value.items("a list of {name: …, topics: […]}"));
    if items.is_some() && root.has("sink.table") {
        let problem = "stands beside tables, of which each has its own name";
        root.wrong("sink.table", Wrong::new(problem, "keep one of them"));
    }
    let (format, sink) = (root.base("format"), root.base("sink"));
    for item in items.unwrap_or_default() {
        let Some(table) = item.section(|table| self::table(table, &format, &sink)) else { continue };
        if tables.iter().any(|other| other.name == table.name) {
            item.wrong(Wrong::new("has the name of a table before it", "give each table its own name"));
        } else if let Some((other, topic)) = tables.iter().find_map(|other| clash(&table, other)) {
            let problem = format!("takes the same records of {topic} as table {other}");
            let remedy = "give both a record: that tells them apart, or each its own topics";
            item.wrong(Wrong::new(problem, remedy));
        }
        tables.push(table);
    }
    (tables, unrouted.unwrap_or(Unrouted::Reject))
}

fn table<'a>(table: &mut Section<'a>, format: &Base<'a>, sink: &Base<'a>) -> Option<TableJob> {
    let name = table.need(item_key("name"), values::folder_name(TABLE_NAME_MAX_CHARS), "name the table");
    let topics = read_topics(table, true);
    let record = table.read(item_key("record"), |value| value.and_then(record), |_| None);
    let format = table.section_over("format", Some(format.clone()), format::read);
    let layout = table.section_over("sink", Some(sink.clone()), |sink| sink::of_table(sink, &format));
    Some(TableJob { name: name?, topics, record, format, layout })
}

/// The name of a record's schema, or `{header: …, is: …}`, or `{field: …, is: …}`.
fn record(value: &Value<'_>) -> Option<Record> {
    if value.is_scalar() {
        return value.parse(values::text).map(Record::Named);
    }
    value.section(|record| {
        let header = record.optional(item_key("header"), values::text);
        let field = record.optional(item_key("field"), format::path_keys);
        let is =
            record.need(item_key("is"), values::text, "write the value that the table's records have there");
        match (header, field) {
            (Some(header), None) => Some(Record::Header { header, is: is? }),
            (None, Some(field)) => Some(Record::Field { field, is: is? }),
            _ => {
                let remedy = "write {header: NAME, is: VALUE} or {field: PATH, is: VALUE}";
                record.wrong("header", Wrong::new("does not say where to look", remedy));
                None
            }
        }
    })
}

/// The other's name, and a topic of which both take the same records.
fn clash(table: &TableJob, other: &TableJob) -> Option<(String, String)> {
    if table.record.is_some() && other.record.is_some() && table.record != other.record {
        return None;
    }
    let listed = |topics: &Topics| match topics {
        Topics::List(topics) => topics.clone(),
        Topics::Regex(_) => Vec::new(),
    };
    let both = |topic: &String| table.topics.has(topic) && other.topics.has(topic);
    let topic = listed(&table.topics).into_iter().chain(listed(&other.topics)).find(both);
    let same = || match (&table.topics, &other.topics) {
        (Topics::Regex(pattern), Topics::Regex(other)) if pattern == other => Some(pattern.clone()),
        _ => None,
    };
    topic.or_else(same).map(|topic| (other.name.clone(), topic))
}
