//! What a table's files have in common is pinned in the chain with the table's first
//! start, and held against the job file at each later one: a change that would make
//! the table unreadable is refused, whoever starts the job, and however often. Pure.
//!
//! Pinned is `{"tables": {"<table>": {"format": "json", "written": {"<column>":
//! "<type>"}, "partition_by": ["day(ts)"]}}, "topics": {"<topic>": {"table":
//! "<table>"}}}`, with what others pin beside it. A column that is added is pinned with
//! the others; one that is left out stays, so that it cannot come back as something else.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::FieldRef;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tidegate_sinks::Checkpoint;

use crate::columns;
use crate::config::{Column, Config};
use crate::error::RunError;
use crate::flow::decode;
use crate::formats::Columns;

/// What of a job file is another than what the chain has pinned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Compared {
    /// What is to be pinned, as nothing is in its place yet; an empty object, where that is nothing.
    pub additions: Value,
    /// Changes that make no table unreadable, each a sentence.
    pub told: Vec<String>,
    /// Changes that do.
    pub refused: Vec<String>,
}

impl Compared {
    /// What may go on, logged; or why not.
    pub(crate) fn accepted(self) -> Result<Value, RunError> {
        if !self.refused.is_empty() {
            return Err(RunError::Config(self.refused.join("\n"), None));
        }
        for told in self.told {
            tracing::info!("{told}");
        }
        Ok(self.additions)
    }
}

/// Holds the tables of `topics` against what is `pinned`. `columns` are those of the table that a topic's
/// records go to; none, where they are not known yet.
///
/// Errors: columns that make no schema.
pub(crate) fn compare<'t>(
    config: &Config,
    pinned: &Value,
    topics: impl IntoIterator<Item = &'t str>,
    columns: impl Fn(&str) -> Option<Vec<Column>>,
) -> Result<Compared, RunError> {
    let mut compared = Compared { additions: json!({}), ..Compared::default() };
    let mut tables = BTreeSet::new();
    for topic in topics {
        // A name that cannot be one is told elsewhere.
        let Ok(table) = config.sink.table.name(topic) else { continue };
        match pinned["topics"][topic]["table"].as_str() {
            Some(before) if before != table => {
                compared.refused.push(format!(
                    "sink.table: the records of topic {topic} are in table {before}, and would go on in {table}. Take the change \
                     back, or begin a new table with another job name"
                ));
                continue;
            }
            Some(_) => {}
            None => compared.additions["topics"][topic]["table"] = json!(table),
        }
        if let Some(columns) = columns(topic)
            && tables.insert(table.clone())
        {
            of_table(config, &table, pinned, &columns, &mut compared)?;
        }
    }
    Ok(compared)
}

fn of_table(
    config: &Config,
    table: &str,
    pinned: &Value,
    columns: &[Column],
    compared: &mut Compared,
) -> Result<(), RunError> {
    let (inferred, pinned) = (inferred(pinned, table), &pinned["tables"][table]);
    let mut additions = Map::new();
    let levels: Vec<String> = config.sink.partition_by.iter().map(ToString::to_string).collect();
    let or_new = "Take the change back, or begin a new table with another job name and sink.table";
    for (key, name, now) in [
        ("format", "format.type", json!(config.format.kind.word)),
        ("partition_by", "sink.partition_by", json!(levels)),
    ] {
        match pinned.get(key) {
            None => drop(additions.insert(key.to_owned(), now)),
            Some(before) if *before != now => compared.refused.push(format!(
                "table {table}: {name} was {}, is now {}: its files would not fit one another. {or_new}",
                shown(before),
                shown(&now)
            )),
            Some(_) => {}
        }
    }
    if matches!(config.format.kind.columns, Columns::Listed) {
        let mut places = Map::new();
        for (place, column) in columns.iter().enumerate() {
            match pinned["places"][place.to_string()].as_str() {
                None => drop(places.insert(place.to_string(), json!(column.name))),
                Some(before) if before != column.name => compared.refused.push(format!(
                    "table {table}: field {} of a record was column {before}, is now {}: older files have other values \
                     under that name. Add columns at the end. {or_new}",
                    place + 1,
                    column.name
                )),
                Some(_) => {}
            }
        }
        if !places.is_empty() {
            additions.insert("places".to_owned(), Value::Object(places));
        }
    }
    let decoder = decode::decoder(&config.format, columns)
        .map_err(|error| RunError::Config(format!("table {table}: {error}"), None))?;
    let (mut written, mut names) = (Map::new(), BTreeSet::new());
    for field in decoder.schema().fields() {
        let now = columns::type_name(field).unwrap_or_else(|| field.data_type().to_string());
        names.insert(field.name().as_str());
        let pinned = pinned["written"][field.name()].as_str();
        if pinned.is_none() {
            written.insert(field.name().clone(), json!(now));
        }
        match pinned.or_else(|| inferred.get(field.name()).map(String::as_str)) {
            Some(before) if before != now => compared.refused.push(format!(
                "table {table}: column {} was {before}, is now {now}: files of both cannot be read as one table. Take the \
                 change back, or write the new type to a column of another name (with path: for its place), or begin a new table \
                 with another job name and sink.table",
                field.name()
            )),
            _ => {}
        }
    }
    let before = pinned["written"].as_object();
    if before.is_some() && !written.is_empty() {
        let added: Vec<_> = written.keys().map(String::as_str).collect();
        compared
            .told
            .push(format!("table {table}: new columns, which older files do not have: {}", added.join(", ")));
    }
    let left: Vec<_> = before
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .filter(|name| !names.contains(name))
        .collect();
    if !left.is_empty() {
        compared.told.push(format!("table {table}: columns that only older files have: {}", left.join(", ")));
    }
    if !written.is_empty() {
        additions.insert("written".to_owned(), Value::Object(written));
    }
    if !additions.is_empty() {
        compared.additions["tables"][table] = Value::Object(additions);
    }
    Ok(())
}

/// The types of columns that were inferred, by name: files were written by them
/// before anything else was pinned.
fn inferred(pinned: &Value, table: &str) -> BTreeMap<String, String> {
    let lists = [&pinned["tables"][table]["columns"], &pinned["columns"]];
    let list = lists.into_iter().find_map(|list| Vec::<Column>::deserialize(list).ok());
    let schema = list.and_then(|columns| columns::schema(&columns, &[]).ok());
    let field = |field: &FieldRef| Some((field.name().clone(), columns::type_name(field)?));
    schema.iter().flat_map(|schema| schema.fields()).filter_map(field).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The topics of the job that `state` knows.
pub(crate) fn topics_of<'s>(config: &'s Config, state: &'s Checkpoint) -> BTreeSet<&'s str> {
    let mut topics: BTreeSet<_> = state.kafka_partitions().map(|(partition, _)| &*partition.topic).collect();
    topics.retain(|topic| config.kafka.topics.has(topic));
    topics
}

/// What a new chain takes over from that of a savepoint: not what its files had in
/// common, as it has none of them.
pub(crate) fn without_files(pinned: &Value) -> Value {
    let mut pinned = pinned.clone();
    let each = |pinned: &mut Value, key: &str, drop: &[&str]| {
        for entry in pinned[key].as_object_mut().into_iter().flat_map(|entries| entries.values_mut()) {
            if let Some(entry) = entry.as_object_mut() {
                entry.retain(|key, _| !drop.contains(&key.as_str()));
            }
        }
    };
    if pinned.is_object() {
        for (key, drop) in
            [("tables", &["format", "written", "partition_by", "places"][..]), ("topics", &["table"][..])]
        {
            if pinned.get(key).is_some() {
                each(&mut pinned, key, drop);
            }
        }
    }
    pinned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn config(table: &str, columns: &str, more: &str) -> Config {
        let text = format!(
            "job: j\nkafka: {{bootstrap_servers: 'h:1', topics: [t, u]}}\nformat: {{columns: [{columns}], metadata: [offset]}}\n\
             sink: {{url: 'file:///l', table: '{table}', {more}}}\n"
        );
        Config::parse(&text, &Origin("job.yaml".into())).unwrap()
    }

    fn compared(config: &Config, pinned: &Value) -> Compared {
        compare(config, pinned, ["t"], |_| config.format.columns.clone()).unwrap()
    }

    const COLUMNS: &str = "{name: id, type: int}, {name: v, type: string}";

    fn begun() -> Value {
        compared(&config("{topic}", COLUMNS, ""), &json!({})).additions
    }

    #[test]
    fn a_table_is_pinned_with_its_first_start_and_fits_itself_at_each_other() {
        let expected = json!({
            "tables": {"t": {
                "format": "json",
                "partition_by": [],
                "written": {"id": "int32", "v": "string", "_offset": "int64"},
            }},
            "topics": {"t": {"table": "t"}},
        });
        assert_eq!(begun(), expected);
        // As another hand writes the same.
        let same = config("{topic}", "{name: v, type: string}, {name: id, type: int32}", "");
        assert_eq!(compared(&same, &begun()), Compared { additions: json!({}), ..Compared::default() });
    }

    #[test]
    fn a_change_that_makes_a_table_unreadable_is_refused() {
        for (table, columns, more, words) in [
            ("{topic}", "{name: v, type: list<int64>}", "", ["column v was string", "is now list<int64>"]),
            ("{topic}", "{name: id, type: int64}", "", ["column id was int32", "is now int64"]),
            (
                "{topic}",
                "{name: id, type: int}",
                "partition_by: [id]",
                ["partition_by was none", "is now id"],
            ),
            ("all", COLUMNS, "", ["topic t are in table t", "would go on in all"]),
        ] {
            let compared = compared(&config(table, columns, more), &begun());
            assert_eq!(compared.refused.len(), 1, "{compared:?}");
            assert!(words.iter().all(|word| compared.refused[0].contains(word)), "{compared:?}");
            assert!(compared.refused[0].contains("Take the change back"));
            assert!(matches!(compared.accepted(), Err(RunError::Config(..))));
        }
    }

    #[test]
    fn another_format_of_records_is_refused() {
        let raw = "job: j\nkafka: {bootstrap_servers: 'h:1', topics: [t]}\nformat: {type: raw}\nsink: {url: 'file:///l'}\n";
        let config = Config::parse(raw, &Origin("job.yaml".into())).unwrap();
        let compared = compare(&config, &begun(), ["t"], |_| Some(Vec::new())).unwrap();
        assert!(compared.refused[0].contains("format.type was json, is now raw"), "{compared:?}");
    }

    #[test]
    fn a_field_stays_the_column_it_was_where_columns_are_told_by_their_places() {
        let config = |columns: &str| {
            let text = format!(
                "job: j\nkafka: {{bootstrap_servers: 'h:1', topics: [t]}}\n\
                 format: {{type: csv, columns: [{columns}]}}\nsink: {{url: 'file:///l', table: t}}\n"
            );
            Config::parse(&text, &Origin("job.yaml".into())).unwrap()
        };
        let [a, b, c] = ["a", "b", "c"].map(|name| format!("{{name: {name}, type: string}}"));
        let begun = compared(&config(&format!("{a}, {b}")), &json!({})).additions;
        assert_eq!(begun["tables"]["t"]["places"], json!({"0": "a", "1": "b"}));
        for columns in [format!("{b}, {a}"), format!("{a}, {c}, {b}"), b.clone()] {
            let compared = compared(&config(&columns), &begun);
            assert!(compared.refused[0].contains("of a record was column"), "{columns}: {compared:?}");
        }
        let added = compared(&config(&format!("{a}, {b}, {c}")), &begun);
        assert!(added.refused.is_empty(), "{added:?}");
        assert_eq!(added.additions["tables"]["t"]["places"], json!({"2": "c"}));
    }

    #[test]
    fn what_was_inferred_is_what_the_files_have() {
        let list = json!([{"name": "v", "type": "string"}, {"name": "id", "type": "int64"}]);
        for pinned in
            [json!({"columns": list}), json!({"columns": "by table", "tables": {"t": {"columns": list}}})]
        {
            let compared = compared(&config("{topic}", COLUMNS, ""), &pinned);
            assert_eq!(compared.refused.len(), 1, "{compared:?}");
            assert!(compared.refused[0].contains("column id was int64, is now int32"), "{compared:?}");
        }
    }

    #[test]
    fn columns_may_come_and_go_but_not_change_meanwhile() {
        let added =
            compared(&config("{topic}", &format!("{COLUMNS}, {{name: w, type: date}}"), ""), &begun());
        assert_eq!(added.additions, json!({"tables": {"t": {"written": {"w": "date"}}}}));
        assert!(added.refused.is_empty() && added.told[0].ends_with("do not have: w"), "{added:?}");
        let left = compared(&config("{topic}", "{name: id, type: int}", ""), &begun());
        assert!(left.refused.is_empty() && left.told[0].ends_with("older files have: v"), "{left:?}");
        assert_eq!(left.additions, json!({}));
    }

    #[test]
    fn a_new_chain_at_the_places_of_a_savepoint_has_no_files_to_fit() {
        let mut pinned = begun();
        pinned["tables"]["t"]["columns"] = json!([{"name": "id", "type": "int64"}]);
        pinned["topics"]["t"]["id"] = json!("x");
        let kept = json!({
            "tables": {"t": {"columns": [{"name": "id", "type": "int64"}]}}, "topics": {"t": {"id": "x"}},
        });
        assert_eq!(without_files(&pinned), kept);
        assert_eq!(without_files(&Value::Null), Value::Null);
    }
}
