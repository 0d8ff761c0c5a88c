//! Which columns each table has: those of the job file, the same for all, or those inferred from a sample of
//! the table's own topics and pinned in the chain. No record is ever decoded by the columns of another table.
//!
//! Pinned is `{"columns": …, "tables": {"<table>": {"columns": [{"name": …, "type": …}, …]}}}`. The outer
//! `columns` is a list in chains that earlier versions have begun: one for all tables, and it stays so for
//! topics that they have read. In newer chains it is a text, which those versions refuse to read: without,
//! they would take such a chain for one without columns.

pub(crate) mod pins;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_sinks::{Checkpoint, TopicPartition};

pub use resolve::{Found, KnownOnly, Resolver, first_pins, look};

use crate::columns;
use crate::config::{Column, Config, Table};
use crate::error::RunError;

/// What stands in the place of the one list of old chains.
const ONE_LIST_PER_TABLE: &str =
    "each table has its own list, under tables; this needs a newer version of tidegate";

/// The columns of the job's tables, as far as they are known.
#[derive(Clone, Debug)]
pub struct TableColumns {
    table: Table,
    lists: Lists,
}

#[derive(Clone, Debug)]
enum Lists {
    /// Those of the job file or of the format.
    Written(Vec<Column>),
    Pinned {
        by_table: BTreeMap<String, Vec<Column>>,
        /// Of a chain begun by an earlier version.
        of_all: Option<OfAll>,
    },
}

/// The one list for the whole job.
#[derive(Clone, Debug)]
struct OfAll {
    columns: Vec<Column>,
    /// Those whose records have been decoded by it, or might have been.
    topics: BTreeSet<Arc<str>>,
}

impl TableColumns {
    /// As of `state`; none where no chain has begun.
    ///
    /// Errors: pinned columns that do not read.
    pub fn read(config: &Config, state: Option<&Checkpoint>) -> Result<Self, RunError> {
        if let Some(written) = config.format.known_columns() {
            let bare = state.is_some_and(|state| columns::are_seconds_bare(&state.pinned));
            let lists = Lists::Written(with_seconds(written, bare));
            return Ok(Self { table: config.sink.table.clone(), lists });
        }
        let mut lists = Self::inferred(config);
        if let Some(state) = state {
            lists.add_pinned(state)?;
        }
        Ok(lists)
    }

    /// Of a job whose tables all have none, whatever the job file says.
    pub fn inferred(config: &Config) -> Self {
        let lists = Lists::Pinned { by_table: BTreeMap::new(), of_all: None };
        Self { table: config.sink.table.clone(), lists }
    }

    /// Takes over what `state` has pinned.
    fn add_pinned(&mut self, state: &Checkpoint) -> Result<(), RunError> {
        let Lists::Pinned { by_table, of_all } = &mut self.lists else { return Ok(()) };
        let bare = columns::are_seconds_bare(&state.pinned);
        let read = |of: &str, list: &Value| {
            let columns = serde_json::from_value::<Vec<Column>>(list.clone()).map_err(|error| {
                RunError::failed(format!("checkpoint {}: pinned columns{of} do not read: {error}", state.n))
            })?;
            Ok::<_, RunError>(with_seconds(columns, bare))
        };
        let tables = state.pinned.get("tables").and_then(Value::as_object);
        for (name, table) in tables.into_iter().flatten() {
            if let Some(list) = table.get("columns") {
                by_table.insert(name.clone(), read(&format!(" of table {name}"), list)?);
            }
        }
        *of_all = match state.pinned.get("columns") {
            None | Some(Value::Null | Value::String(_)) => None,
            Some(list) => Some(OfAll {
                columns: read("", list)?,
                topics: of_all.take().map_or_else(|| begun(state), |known| known.topics),
            }),
        };
        Ok(())
    }

    /// All lists that are known.
    pub(crate) fn lists(&self) -> Vec<&[Column]> {
        match &self.lists {
            Lists::Written(columns) => vec![columns],
            Lists::Pinned { by_table, of_all } => {
                by_table.values().chain(of_all.as_ref().map(|all| &all.columns)).map(Vec::as_slice).collect()
            }
        }
    }

    /// Whether the job file names none.
    pub fn are_inferred(&self) -> bool {
        matches!(self.lists, Lists::Pinned { .. })
    }

    /// Whether those of any table are known.
    pub fn are_known(&self) -> bool {
        match &self.lists {
            Lists::Written(_) => true,
            Lists::Pinned { by_table, of_all } => !by_table.is_empty() || of_all.is_some(),
        }
    }

    /// The columns of the table that a topic's records go to; none where they are not known yet.
    pub fn of_topic(&self, topic: &str) -> Option<&[Column]> {
        let (by_table, of_all) = match &self.lists {
            Lists::Written(columns) => return Some(columns),
            Lists::Pinned { by_table, of_all } => (by_table, of_all),
        };
        let table = self.table_of(topic);
        let one_table = matches!(self.table, Table::Named(_));
        let of_all = || of_all.as_ref().filter(|all| one_table || all.topics.contains(topic));
        by_table.get(&table).or_else(|| of_all().map(|all| &all.columns)).map(Vec::as_slice)
    }

    /// The table that a topic's records go to. A name that cannot be one is told elsewhere.
    pub fn table_of(&self, topic: &str) -> String {
        match &self.table {
            Table::Named(name) => name.clone(),
            Table::ByTopic { prefix, suffix } => format!("{prefix}{topic}{suffix}"),
        }
    }

    /// The tables of these topics and the columns of each, as far as they are known.
    pub fn by_table<'t>(
        &self,
        topics: impl IntoIterator<Item = &'t str>,
    ) -> BTreeMap<String, Option<Vec<Column>>> {
        let mut tables: BTreeMap<_, _> = topics
            .into_iter()
            .map(|topic| (self.table_of(topic), self.of_topic(topic).map(<[Column]>::to_vec)))
            .collect();
        if let Lists::Pinned { by_table, .. } = &self.lists {
            // Of topics that are gone, as well.
            for (name, columns) in by_table {
                tables.entry(name.clone()).or_insert_with(|| Some(columns.clone()));
            }
        }
        tables
    }

    /// Those of `partitions` whose table has no columns yet, by table.
    pub(crate) fn unknown(&self, partitions: &[TopicPartition]) -> BTreeMap<String, Vec<TopicPartition>> {
        let mut unknown: BTreeMap<String, Vec<TopicPartition>> = BTreeMap::new();
        let is_unknown = |partition: &&TopicPartition| {
            // A topic without a table is left out.
            self.table.name(&partition.topic).is_ok() && self.of_topic(&partition.topic).is_none()
        };
        for partition in partitions.iter().filter(is_unknown) {
            unknown.entry(self.table_of(&partition.topic)).or_default().push(partition.clone());
        }
        unknown
    }
}

/// The columns, with seconds as the chain has begun to write them.
fn with_seconds(mut columns: Vec<Column>, bare: bool) -> Vec<Column> {
    columns.iter_mut().for_each(|column| column.bare_seconds = bare);
    columns
}

/// Topics of which records may have been decoded.
fn begun(state: &Checkpoint) -> BTreeSet<Arc<str>> {
    let begun = state.kafka_partitions().filter(|(_, at)| at.next > at.start || at.rows > 0);
    begun.map(|(partition, _)| partition.topic.clone()).collect()
}

/// What is pinned for tables whose columns were inferred.
pub(crate) fn pins<'t>(columns: impl IntoIterator<Item = (&'t String, &'t Vec<Column>)>) -> Value {
    let tables: serde_json::Map<_, _> =
        columns.into_iter().map(|(table, columns)| (table.clone(), json!({ "columns": columns }))).collect();
    if tables.is_empty() {
        return json!({});
    }
    json!({ "columns": ONE_LIST_PER_TABLE, "tables": tables })
}
