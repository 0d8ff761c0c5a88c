//! `sink.table`: the table of each topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use tidegate_sinks::TopicPartition;

use crate::config::Topics;
use crate::config::file::error::Wrong;
use crate::config::file::section::{Section, key};
use crate::config::file::values::{self, Parsed, Shown};
use crate::limits::TABLE_NAME_MAX_CHARS;
use crate::names;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    Named(String),
    /// `"{topic}"` with what stands around it.
    ByTopic {
        prefix: String,
        suffix: String,
    },
}

impl Table {
    /// The table of a topic's records, or what is wrong with its name.
    pub fn name(&self, topic: &str) -> Result<String, String> {
        match self {
            Self::Named(name) => Ok(name.clone()),
            Self::ByTopic { prefix, suffix } => {
                let name = format!("{prefix}{topic}{suffix}");
                names::table(&name).map(|()| name).map_err(|bad| bad.problem)
            }
        }
    }

    /// The partitions of those topics that have a table, and the other topics with what is wrong with their
    /// tables' names: those are left out, as a pattern may meet whatever anybody has created.
    pub fn named(
        &self,
        partitions: Vec<TopicPartition>,
    ) -> (Vec<TopicPartition>, BTreeMap<Arc<str>, String>) {
        let mut left_out = BTreeMap::new();
        let mut named = partitions;
        named.retain(|partition| match self.name(&partition.topic) {
            Ok(_) => true,
            Err(problem) => {
                left_out.insert(partition.topic.clone(), problem);
                false
            }
        });
        (named, left_out)
    }
}

impl Shown for Table {
    fn shown(&self) -> Json {
        match self {
            Self::Named(name) => Json::from(name.as_str()),
            Self::ByTopic { prefix, suffix } => Json::from(format!("{prefix}{{topic}}{suffix}")),
        }
    }
}

/// By default each topic is a table of its own.
pub(super) fn read(sink: &mut Section<'_>, topics: &Topics) -> Table {
    let table = sink.get(
        key(
            "table",
            "The table's name. `{topic}` in it stands for the topic: several tables, one commit. It stays: see \
             [Changing a table](operations.md#changing-a-table).",
        ),
        parse,
        Table::ByTopic { prefix: String::new(), suffix: String::new() },
    );
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
