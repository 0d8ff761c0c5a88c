//! `rejects`: where records go that do not decode.

use serde_json::json;

use super::Topics;
use super::file::error::Wrong;
use super::file::section::{Section, item_key, key};
use super::file::value::Value;
use super::file::values;

/// Where records go that do not decode. Files are written in any case, in the same commit as the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejects {
    Files,
    /// To this topic as well, once the commit is in force.
    Topic(String),
}

pub(super) fn read(rejects: &mut Section<'_>, inputs: &Topics) -> Rejects {
    rejects.read(
        key(
            "to",
            "`files`: a table beside the data, in the same commit. `{topic: NAME}`: to that topic as well, each \
             exactly once; it must exist, and not be one that the job reads. See [Rejects](rejects.md).",
        ),
        |to| to.map_or(Rejects::Files, |to| place(to, inputs)),
        |rejects| {
            Some(match rejects {
                Rejects::Files => json!("files"),
                Rejects::Topic(topic) => json!({ "topic": topic }),
            })
        },
    )
}

/// `files`, or `{topic: NAME}`.
fn place(to: &Value<'_>, inputs: &Topics) -> Rejects {
    if to.is_scalar() {
        to.parse(values::word(&[("files", ())]));
        return Rejects::Files;
    }
    to.section(|to| {
        let remedy = "name the topic, or write rejects: {to: files}";
        let Some(topic) = to.need(item_key("topic"), values::topic_name, remedy) else {
            return Rejects::Files;
        };
        if inputs.has(&topic) {
            let problem = "names a topic that the job reads, so that each reject would be read again";
            to.wrong("topic", Wrong::new(problem, "name a topic that is not among kafka.topics"));
        }
        Rejects::Topic(topic)
    })
}
