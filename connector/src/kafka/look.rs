//! How the topics that a job must read are, as the brokers describe them now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use regex::Regex;

use super::{Queries, QueryError, QueryErrorKind, is_internal, kind_of};
use crate::kafka::Topics;

/// A topic as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicLook {
    /// It does not exist, or may not be seen.
    Missing,
    NotAllowed,
    /// Its partitions, and whether each has a leader.
    Partitions(BTreeMap<i32, bool>),
    /// No more than this error is known of it.
    Unknown(String),
}

/// Topics by name.
pub type Look = BTreeMap<Arc<str>, TopicLook>;

impl Queries {
    /// Looks once at the topics of a list, or at those that match a pattern and those of `known` that did.
    pub fn look(&self, topics: &Topics, known: &BTreeSet<Arc<str>>) -> Result<Look, QueryError> {
        match topics {
            Topics::List(names) => names.iter().map(|name| self.look_at(name)).collect(),
            Topics::Regex(pattern) => self.look_at_matching(pattern, known),
        }
    }

    fn look_at(&self, name: &str) -> Result<(Arc<str>, TopicLook), QueryError> {
        let metadata = self.metadata(Some(name))?;
        let look =
            metadata.topics().iter().find(|topic| topic.name() == name).map_or(TopicLook::Missing, look);
        Ok((name.into(), look))
    }

    fn look_at_matching(&self, pattern: &str, known: &BTreeSet<Arc<str>>) -> Result<Look, QueryError> {
        let pattern = Regex::new(&format!("^(?:{pattern})$"))
            .map_err(|error| QueryError { kind: QueryErrorKind::Config, context: error.to_string() })?;
        let metadata = self.metadata(None)?;
        let matches = |name: &str| !is_internal(name) && pattern.is_match(name);
        let known = known.iter().filter(|name| matches(name)).map(|name| (name.clone(), TopicLook::Missing));
        let mut looks: Look = known.collect();
        let found = metadata.topics().iter().filter(|topic| matches(topic.name()));
        looks.extend(found.map(|topic| (topic.name().into(), look(topic))));
        Ok(looks)
    }
}

fn look(topic: &MetadataTopic) -> TopicLook {
    match topic.error().map(RDKafkaErrorCode::from) {
        None if topic.partitions().is_empty() => TopicLook::Missing,
        None => {
            let partitions = topic.partitions().iter();
            TopicLook::Partitions(partitions.map(|one| (one.id(), one.leader() >= 0)).collect())
        }
        Some(code) => match kind_of(code) {
            QueryErrorKind::Missing => TopicLook::Missing,
            QueryErrorKind::Unauthorized => TopicLook::NotAllowed,
            _ => TopicLook::Unknown(code.to_string()),
        },
    }
}
