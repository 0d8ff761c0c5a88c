//! `kafka.topics` and `kafka.topics_regex`: what is read.

use std::collections::BTreeSet;

use serde_json::json;

use crate::config::file::error::Wrong;
use crate::config::file::section::{Section, key};
use crate::config::file::value::Value;
use crate::config::file::values::{self, Parsed};
use crate::kafka::Topics;
use crate::limits::TOPIC_PATTERN_MAX_CHARS;

/// One of the two keys; where both are wrong or missing, an empty list.
pub(in crate::config) fn read(kafka: &mut Section<'_>, is_needed: bool) -> Topics {
    let is_list = kafka.has("topics");
    let topics = kafka.read(
        key("topics", "The topics to read, as a list. Each must exist.")
            .default_text("required, or `topics_regex`"),
        |value| value.map(topic_list),
        |topics| topics.as_ref().map(|topics| json!(topics)),
    );
    let pattern = kafka.optional(
        key(
            "topics_regex",
            "A pattern that must match a topic's whole name. Topics that appear later are found while the job \
             runs. Names that begin with `__` never match.",
        )
        .default_text("required, or `topics`"),
        topic_pattern,
    );
    match (is_list, kafka.has("topics_regex")) {
        (true, true) => {
            let problem = "both topics and topics_regex are set";
            kafka.wrong("topics_regex", Wrong::new(problem, "keep one of them"));
        }
        (false, true) => return Topics::Regex(pattern.unwrap_or_default()),
        (true, false) => {}
        (false, false) if !is_needed => {}
        (false, false) => kafka.missing("topics", "write topics: [name, …] or topics_regex: pattern"),
    }
    Topics::List(topics.unwrap_or_default())
}

fn topic_list(value: &Value<'_>) -> Vec<String> {
    let Some(items) = value.items("a list of topics: [name, …]") else { return Vec::new() };
    if items.is_empty() {
        value.wrong(Wrong::new("names no topic", "name at least one"));
    }
    let mut seen = BTreeSet::new();
    let mut topics = Vec::new();
    for item in items {
        let Some(topic) = item.parse(values::topic_name) else { continue };
        if seen.insert(topic.clone()) {
            topics.push(topic);
        } else {
            item.wrong(Wrong::new("names a topic for the second time", "name each topic once"));
        }
    }
    topics
}

/// Refuses what this program and librdkafka, which asks the C library, would read
/// differently: a topic that only one of them takes for ours would be lost without a word.
fn topic_pattern(value: &str) -> Parsed<String> {
    if value.is_empty() || value.len() > TOPIC_PATTERN_MAX_CHARS {
        let remedy = format!("write a pattern of 1 to {TOPIC_PATTERN_MAX_CHARS} characters");
        return Err(Wrong::new("is empty or too long", remedy));
    }
    if let Err(error) = regex::Regex::new(value) {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            // The parser's last line is the reason; those before it repeat the pattern.
            other => other
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error:")
                .trim()
                .to_owned(),
        };
        return Err(Wrong::new(format!("is not a pattern ({reason})"), "correct the regular expression"));
    }
    if let Some(problem) = ambiguous(value) {
        return Err(Wrong::new(
            problem,
            "write the pattern with . * + ? | ( ) { } [ ] ^ $ and \\ before a sign",
        ));
    }
    Ok(value.to_owned())
}

fn ambiguous(pattern: &str) -> Option<&'static str> {
    let mut in_class = false;
    let mut previous = ' ';
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_class => {
                return Some("has a backslash inside [ ], where librdkafka takes it literally");
            }
            '\\' => match chars.next() {
                Some(escaped) if escaped.is_alphanumeric() || matches!(escaped, '`' | '\'' | '<' | '>') => {
                    return Some("has a class such as \\d, which librdkafka does not know");
                }
                _ => {}
            },
            '[' if in_class && chars.peek() != Some(&':') => {
                return Some("has a set inside a set, which librdkafka does not know");
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '&' | '~' | '-' if in_class && previous == c => {
                return Some("has &&, ~~ or -- inside [ ], which librdkafka does not know");
            }
            '?' if !in_class && matches!(previous, '(' | '*' | '+' | '?' | '}') => {
                return Some("has (?…) or a lazy repetition, which librdkafka does not know");
            }
            _ => {}
        }
        previous = c;
    }
    None
}
