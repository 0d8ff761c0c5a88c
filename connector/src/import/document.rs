//! The new job file while it is made: keys in the order of the documentation, each
//! knowing which old key it came from.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Top-level keys in the order in which they are written.
const ORDER: [&str; 8] = ["job", "kafka", "format", "sink", "checkpoint", "speed", "error_limit", "log"];

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// As it is written.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

#[derive(Debug, Default)]
pub(super) struct Document {
    root: Vec<(String, Node)>,
    /// Old paths by new ones.
    origins: BTreeMap<String, String>,
}

/// A number, a word or a flow of them, which YAML takes as it stands.
pub(super) fn plain(value: impl ToString) -> Node {
    Node::Scalar(value.to_string())
}

/// Any text; a dollar sign stays one.
pub(super) fn text(value: &str) -> Node {
    Node::Scalar(quoted(&value.replace('$', "$$")))
}

/// In quotes where YAML could take it for something else.
fn quoted(text: &str) -> String {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !WORDS.contains(&text.to_lowercase().as_str());
    if is_word {
        return text.to_owned();
    }
    // JSON's quotes are YAML's, but YAML has fewer characters that may stand for themselves.
    let escaped = |c: char| match c {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            format!("\\u{:04x}", u32::from(c))
        }
        other => other.to_string(),
    };
    serde_json::Value::from(text).to_string().chars().map(escaped).collect()
}

impl Document {
    /// Puts `node` at a path of keys, none of which has a dot; `from` is the old path, or empty.
    pub(super) fn set(&mut self, path: &str, node: Node, from: &str) {
        let mut map = &mut self.root;
        let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
        for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
            map = child(map, parent);
        }
        put(map, key, node);
        self.came_from(path, from);
    }

    /// Puts an entry into the map at `path`; its key may have dots.
    pub(super) fn set_entry(&mut self, path: &str, key: &str, node: Node, from: &str) {
        let mut map = &mut self.root;
        for parent in path.split('.') {
            map = child(map, parent);
        }
        put(map, key, node);
        self.came_from(&format!("{path}.{key}"), from);
    }

    /// Remembers the old path of a new one.
    pub(super) fn came_from(&mut self, path: &str, from: &str) {
        if !from.is_empty() {
            self.origins.insert(path.to_owned(), from.to_owned());
        }
    }

    /// The old path of a new one, or of what it lies in.
    pub(super) fn origin(&self, path: &str) -> Option<&str> {
        let mut path = path;
        loop {
            if let Some(origin) = self.origins.get(path) {
                return Some(origin);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// All new paths whose old ones are known and that are still there; a path before those that it lies in.
    pub(super) fn origins(&self) -> impl Iterator<Item = &str> {
        self.origins.keys().rev().map(String::as_str).filter(|path| self.has(path))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        remove(&mut self.root.clone(), path)
    }

    /// Takes out what stands at a path; a list's item goes whole. Whether there was anything.
    pub(super) fn remove(&mut self, path: &str) -> bool {
        remove(&mut self.root, path)
    }

    /// YAML.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for key in ORDER {
            if let Some((key, node)) = self.root.iter().find(|(name, _)| name == key) {
                entry(&mut text, key, node, 0);
            }
        }
        text
    }
}

fn child<'a>(map: &'a mut Vec<(String, Node)>, key: &str) -> &'a mut Vec<(String, Node)> {
    let at = match map.iter().position(|(name, node)| name == key && matches!(node, Node::Map(_))) {
        Some(at) => at,
        None => {
            map.push((key.to_owned(), Node::Map(Vec::new())));
            map.len() - 1
        }
    };
    match &mut map[at].1 {
        Node::Map(map) => map,
        Node::Scalar(_) | Node::List(_) => unreachable!("it was looked for as a map"),
    }
}

fn put(map: &mut Vec<(String, Node)>, key: &str, node: Node) {
    map.retain(|(name, _)| name != key);
    map.push((key.to_owned(), node));
}

fn remove(map: &mut Vec<(String, Node)>, path: &str) -> bool {
    for at in 0..map.len() {
        let Some(rest) = path.strip_prefix(map[at].0.as_str()) else { continue };
        if rest.is_empty() {
            map.remove(at);
            return true;
        }
        let removed = match &mut map[at].1 {
            Node::Map(inner) => rest.strip_prefix('.').is_some_and(|rest| remove(inner, rest)),
            Node::List(items) => {
                let index =
                    rest.strip_prefix('[').and_then(|rest| rest.split(']').next()?.parse::<usize>().ok());
                let found = index.filter(|index| *index < items.len());
                found.map(|index| items.remove(index)).is_some()
            }
            Node::Scalar(_) => false,
        };
        if removed {
            return true;
        }
    }
    false
}

fn entry(text: &mut String, key: &str, node: &Node, depth: usize) {
    let (indent, key) = ("  ".repeat(depth), key_text(key));
    match node {
        Node::Map(entries) if entries.is_empty() => {}
        Node::Map(entries) => {
            line(text, format_args!("{indent}{key}:"));
            for (key, node) in entries {
                entry(text, key, node, depth + 1);
            }
        }
        Node::List(items) if items.iter().any(|item| matches!(item, Node::Map(_))) => {
            line(text, format_args!("{indent}{key}:"));
            for item in items {
                line(text, format_args!("{indent}  - {}", flow(item)));
            }
        }
        other => line(text, format_args!("{indent}{key}: {}", flow(other))),
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a string does not fail");
}

/// Keys are this program's own words, a partition's number, or a name that may be anything.
fn key_text(key: &str) -> String {
    let is_number = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { key.to_owned() } else { quoted(key) }
}

/// On one line.
fn flow(node: &Node) -> String {
    match node {
        Node::Scalar(text) => text.clone(),
        Node::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Node::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, node)| format!("{}: {}", key_text(key), flow(node))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
