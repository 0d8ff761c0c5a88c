//! Which topics a job reads, and where it begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    List(Vec<String>),
    /// Matched against a topic's whole name, never against an internal topic's (`__…`). It means the same to
    /// the regex crate and to librdkafka, which asks the C library.
    Regex(String),
}

impl Topics {
    /// Whether a topic of this name is among them.
    pub fn has(&self, topic: &str) -> bool {
        self.matcher()(topic)
    }

    /// The same for many names: a pattern is compiled once.
    pub(crate) fn matcher(&self) -> impl Fn(&str) -> bool + '_ {
        let pattern = match self {
            Self::List(_) => None,
            Self::Regex(pattern) => regex::Regex::new(&format!("^(?:{pattern})$")).ok(),
        };
        move |topic| match self {
            Self::List(topics) => topics.iter().any(|listed| listed == topic),
            Self::Regex(_) => !is_internal(topic) && pattern.as_ref().is_some_and(|p| p.is_match(topic)),
        }
    }

    /// A list without some of its topics. A pattern stays as it is.
    pub(crate) fn without(self, left_out: &BTreeSet<Arc<str>>) -> Self {
        match self {
            Self::List(mut topics) => {
                topics.retain(|topic| !left_out.contains(topic.as_str()));
                Self::List(topics)
            }
            pattern => pattern,
        }
    }
}

/// Where to begin, only where no position exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    /// Milliseconds since 1970.
    Timestamp(i64),
    /// Offset by topic and partition; others begin at the earliest.
    Offsets(BTreeMap<String, BTreeMap<i32, i64>>),
}

/// Whether a topic is Kafka's own or a tool's, by the convention of two
/// underscores. A pattern never matches those.
pub(crate) fn is_internal(topic: &str) -> bool {
    topic.starts_with("__")
}
