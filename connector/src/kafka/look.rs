//! How the topics that a job must read are, as the brokers describe them now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;
use regex::Regex;

use super::{Queries, QueryError, QueryErrorKind, is_internal, kind_of, native};
use crate::kafka::Topics;

/// A topic as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicLook {
    /// It does not exist, or may not be seen.
    Missing,
    /// It may not be read.
    NotAllowed,
    Found {
        /// `None` where the brokers have none.
        id: Option<String>,
        /// Its partitions, and whether each has a leader.
        leaders: BTreeMap<i32, bool>,
    },
    /// No more than this error is known of it.
    Unknown(String),
}

/// Topics by name.
pub type Look = BTreeMap<Arc<str>, TopicLook>;

impl Queries {
    /// Looks once at the topics of a list, or at those that match a pattern and those of `known` that did.
    pub fn look(&self, topics: &Topics, known: &BTreeSet<Arc<str>>) -> Result<Look, QueryError> {
        let names = match topics {
            Topics::List(names) => names.iter().map(|name| Arc::from(name.as_str())).collect(),
            Topics::Regex(pattern) => self.names_matching(pattern, known)?,
        };
        let described = self.described("asking how the topics are", &names)?;
        Ok(described.into_iter().map(|(topic, described)| (topic.into(), look(described))).collect())
    }

    fn names_matching(
        &self,
        pattern: &str,
        known: &BTreeSet<Arc<str>>,
    ) -> Result<BTreeSet<Arc<str>>, QueryError> {
        let pattern = Regex::new(&format!("^(?:{pattern})$"))
            .map_err(|error| QueryError { kind: QueryErrorKind::Config, context: error.to_string() })?;
        let metadata = self.metadata(None)?;
        let names = metadata.topics().iter().map(|topic| Arc::from(topic.name()));
        let mut names: BTreeSet<Arc<str>> = names.chain(known.iter().cloned()).collect();
        names.retain(|name| !is_internal(name) && pattern.is_match(name));
        Ok(names)
    }
}

fn look(described: Result<native::Topic, RDKafkaErrorCode>) -> TopicLook {
    match described {
        Ok(topic) if topic.leaders.is_empty() => TopicLook::Missing,
        Ok(topic) if !topic.may_read => TopicLook::NotAllowed,
        Ok(native::Topic { id, leaders, .. }) => TopicLook::Found { id, leaders },
        Err(code) => match kind_of(code) {
            QueryErrorKind::Missing => TopicLook::Missing,
            QueryErrorKind::Unauthorized => TopicLook::NotAllowed,
            _ => TopicLook::Unknown(code.to_string()),
        },
    }
}
