//! `error_limit` and `rejects`: how many records may fail to decode, and where they go.

use std::time::Duration;

use crate::config::error::Wrong;
use crate::config::section::{Parsed, Section};
use crate::config::{ErrorLimit, Rejects, Topics, values};

/// A shorter window would be a commit or two.
const WINDOW_MIN: Duration = Duration::from_secs(1);

pub(super) fn error_limit(limit: &mut Section<'_>) -> ErrorLimit {
    let records = limit.value("records").and_then(|value| value.parse(values::integer(0..=u64::MAX)));
    let given = limit.value("ratio");
    let ratio = given.as_ref().and_then(|value| value.parse(ratio));
    let window = limit.value("window").and_then(|value| value.parse(values::duration(WINDOW_MIN)));
    if window.is_some() && given.is_none() {
        limit.wrong("window", Wrong::new("has no ratio", "set error_limit.ratio too, or remove the window"));
    }
    // Who gives neither wants none to pass unseen.
    let records = records.or(given.is_none().then_some(0));
    ErrorLimit { records, ratio, window }
}

fn ratio(value: &str) -> Parsed<f64> {
    match value.trim().parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(Wrong::new("is not a ratio", "write a number from 0 to 1: 0.01 is one record of a hundred")),
    }
}

/// `to: files`, or `to: {topic: NAME}`.
pub(super) fn rejects(rejects: &mut Section<'_>, inputs: &Topics) -> Rejects {
    let Some(to) = rejects.value("to") else { return Rejects::Files };
    if to.is_scalar() {
        to.parse(values::word(&[("files", ())]));
        return Rejects::Files;
    }
    to.section(|to| {
        let Some(topic) =
            to.need("topic", values::topic_name, "name the topic, or write rejects: {to: files}")
        else {
            return Rejects::Files;
        };
        if inputs.has(&topic) {
            let problem = "names a topic that the job reads, so that each reject would be read again";
            to.wrong("topic", Wrong::new(problem, "name a topic that is not among kafka.topics"));
        }
        Rejects::Topic(topic)
    })
}
