//! A map of the job file while it is read. A key is known because it was asked for, so no list of known keys can
//! drift from what is read; whatever nobody asked for is reported with the nearest key that is known.

use super::error::{Report, Wrong};
use super::raw::{Entry, Kind, Node, Scalar};

pub(super) type Parsed<T> = Result<T, Wrong>;

/// Characters of a value that a message repeats.
const SHOWN_MAX_CHARS: usize = 80;

/// A map, or what stands for one that is not there.
pub(super) struct Section<'a> {
    path: String,
    line: Option<u64>,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
    report: &'a Report,
}

impl<'a> Section<'a> {
    /// Reads the whole file with `read`, then reports the keys that it did not ask for.
    pub(super) fn root<T>(node: &'a Node, report: &'a Report, read: impl FnOnce(&mut Self) -> T) -> T {
        Self::of(Some(Value { path: String::new(), node, report }), String::new(), report).reading(read)
    }

    fn of(value: Option<Value<'a>>, path: String, report: &'a Report) -> Self {
        let (line, entries) = match value {
            None => (None, &[] as &[Entry]),
            Some(value) => {
                let line = Some(value.node.line);
                match &value.node.kind {
                    Kind::Map(entries) => (line, entries.as_slice()),
                    Kind::Null => (line, &[] as &[Entry]),
                    other => {
                        value.mismatch("a map of keys", other);
                        (line, &[] as &[Entry])
                    }
                }
            }
        };
        Self { path, line, entries, asked: Vec::new(), report }
    }

    fn reading<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let result = read(&mut self);
        for entry in self.entries {
            if !self.asked.contains(&entry.key.as_str()) {
                let wrong = unknown_key(&entry.key, &self.asked);
                self.report.wrong(&self.place(&entry.key), Some(entry.node.line), wrong);
            }
        }
        result
    }

    fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value under `key`; `None` where it is missing or left empty.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        if matches!(entry.node.kind, Kind::Null) {
            return None;
        }
        Some(Value { path: self.place(key), node: &entry.node, report: self.report })
    }

    /// The map under `key`, all defaults where it is missing.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'a>) -> T) -> T {
        let value = self.value(key);
        Section::of(value, self.place(key), self.report).reading(read)
    }

    /// The scalar under `key`, or `default` where it is missing or wrong (and reported).
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Parsed<T>,
        default: T,
    ) -> T {
        self.value(key).and_then(|value| value.parse(parse)).unwrap_or(default)
    }

    /// The scalar under `key`; its absence is reported with `remedy`.
    pub(super) fn need<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Parsed<T>,
        remedy: &str,
    ) -> Option<T> {
        match self.value(key) {
            Some(value) => value.parse(parse),
            None => {
                self.missing(key, remedy);
                None
            }
        }
    }

    pub(super) fn missing(&self, key: &str, remedy: &str) {
        self.report.wrong(&self.place(key), self.line, Wrong::new("is missing", remedy));
    }

    /// Reports on this section, or on `key` below it.
    pub(super) fn wrong(&self, key: &str, wrong: Wrong) {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        self.report.wrong(&self.place(key), entry.map(|entry| entry.node.line).or(self.line), wrong);
    }
}

/// A value and its place.
pub(super) struct Value<'a> {
    path: String,
    node: &'a Node,
    report: &'a Report,
}

impl<'a> Value<'a> {
    pub(super) fn wrong(&self, wrong: Wrong) {
        self.report.wrong(&self.path, Some(self.node.line), wrong);
    }

    fn mismatch(&self, expected: &str, found: &Kind) {
        let problem = format!("expected {expected}, found {}", found.name());
        self.wrong(Wrong::new(problem, format!("write {expected}")));
    }

    pub(super) fn is_scalar(&self) -> bool {
        matches!(self.node.kind, Kind::Scalar(_))
    }

    /// Whether the value came by substitution, and may not be shown.
    pub(super) fn is_substituted(&self) -> bool {
        matches!(&self.node.kind, Kind::Scalar(Scalar { written: Some(_), .. }))
    }

    /// The scalar as text; anything else is reported. It may be a secret.
    pub(super) fn text(&self) -> Option<&'a str> {
        match &self.node.kind {
            Kind::Scalar(scalar) => Some(&scalar.value),
            Kind::Null => Some(""),
            other => {
                self.mismatch("a single value", other);
                None
            }
        }
    }

    pub(super) fn parse<T>(&self, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        match parse(self.text()?) {
            Ok(parsed) => Some(parsed),
            Err(wrong) => {
                let shown = if wrong.is_secret { "the value".to_owned() } else { self.shown() };
                self.wrong(Wrong { problem: format!("{shown} {}", wrong.problem), ..wrong });
                None
            }
        }
    }

    /// The value in quotes for a message; what came by substitution as the file has it.
    fn shown(&self) -> String {
        let Kind::Scalar(Scalar { value, written }) = &self.node.kind else {
            return self.node.kind.name().to_owned();
        };
        let text = written.as_ref().unwrap_or(value);
        let cut: String = text.chars().take(SHOWN_MAX_CHARS).filter(|c| !c.is_control()).collect();
        let dots = if text.chars().nth(SHOWN_MAX_CHARS).is_some() { "…" } else { "" };
        format!("\"{cut}{dots}\"")
    }

    /// The items of a list; anything else is reported.
    pub(super) fn items(&self, expected: &str) -> Option<Vec<Value<'a>>> {
        let Kind::List(items) = &self.node.kind else {
            self.mismatch(expected, &self.node.kind);
            return None;
        };
        let item =
            |(index, node)| Value { path: format!("{}[{index}]", self.path), node, report: self.report };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The entries of a map whose keys are the user's own; anything else is reported.
    pub(super) fn entries(&self, expected: &str) -> Option<Vec<(&'a str, Value<'a>)>> {
        let Kind::Map(entries) = &self.node.kind else {
            self.mismatch(expected, &self.node.kind);
            return None;
        };
        let entry = |entry: &'a Entry| {
            let path = format!("{}.{}", self.path, entry.key);
            (entry.key.as_str(), Value { path, node: &entry.node, report: self.report })
        };
        Some(entries.iter().map(entry).collect())
    }

    /// The map with fixed keys that stands here.
    pub(super) fn section<T>(self, read: impl FnOnce(&mut Section<'a>) -> T) -> T {
        let (path, report) = (self.path.clone(), self.report);
        Section::of(Some(self), path, report).reading(read)
    }
}

/// Names the nearest of `known`, or all of them when none is near.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> Wrong {
    let problem = format!("unknown key {:?}", key.chars().take(SHOWN_MAX_CHARS).collect::<String>());
    match nearest(key, known) {
        Some(near) => Wrong::new(problem, format!("did you mean {near}?")),
        None => Wrong::new(problem, format!("known here: {}", known.join(", "))),
    }
}

/// The known word within a third of its letters, or that the word was written in another manner (`targetSize`).
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', '.'], "");
    let distance = |candidate: &str| strsim::damerau_levenshtein(&plain(candidate), &plain(word));
    let (near, edits) =
        known.iter().map(|candidate| (*candidate, distance(candidate))).min_by_key(|(_, edits)| *edits)?;
    (edits <= near.len().div_ceil(3)).then_some(near)
}
