//! The manual's page `docs/job-file.md`: what every section says of its keys, between a head and a tail in
//! Markdown.

use std::fmt::Write;

use serde_json::Value;

use super::{Config, Origin};

const HEAD: &str = include_str!("reference/head.md");
const TAIL: &str = include_str!("reference/tail.md");

/// The page, in Markdown.
///
/// # Panics
/// Never: the job in it is a constant, which a test parses.
pub fn reference() -> String {
    let job = "job: j\nkafka: {bootstrap_servers: \"k:9092\", topics_regex: t}\nsink: {url: \"file:///w\"}\n";
    let job = Config::parse(job, &Origin("example".into())).expect("a whole job");
    let (mut page, mut section) = (HEAD.to_owned(), None);
    let defaults = job.redacted();
    for (path, key) in &job.notes.keys {
        let this = path.split_once('.').map(|(section, _)| section);
        if section != Some(this) {
            let title = this.map_or("At the top".to_owned(), |this| format!("`{this}`"));
            let _ = write!(
                page,
                "{}## {title}\n\n| key | default | |\n|---|---|---|\n",
                if section.is_some() { "\n" } else { "" }
            );
            section = Some(this);
        }
        let default = match key.default_text {
            Some(text) => text.to_owned(),
            None => shown(defaults.pointer(&format!("/{}", path.replace('.', "/")))),
        };
        let live = if key.is_live { " **Live.**" } else { "" };
        let _ = writeln!(page, "| `{}` | {default} | {}{live} |", path, key.text);
    }
    page + TAIL
}

fn shown(default: Option<&Value>) -> String {
    match default {
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Array(items)) if items.is_empty() => "none".to_owned(),
        Some(Value::Object(map)) if map.is_empty() => "none".to_owned(),
        Some(other) => format!("`{other}`"),
        None => "none".to_owned(),
    }
}
