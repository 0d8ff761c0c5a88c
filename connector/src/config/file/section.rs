//! A map of the job file while it is read. A key is said once, where it is read: its name, its text for the manual,
//! whether it is live, how it is parsed, its default and how it is shown. What the manual, the shown job and a reload
//! know of it is noted meanwhile; and since a key is known because it was asked for, whatever nobody asked for is
//! reported with the nearest key that is known.

use serde_json::{Map, Value as Json};

use super::error::{Report, Wrong};
use super::raw::{Entry, Kind, Node, Scalar};
use super::secret::{HIDDEN, Secret};
use super::substitute;
use super::values::{self, Shown};

pub(crate) type Parsed<T> = Result<T, Wrong>;

/// Characters of a value that a message repeats.
const SHOWN_MAX_CHARS: usize = 80;

/// What is said of a key besides how its value is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    name: &'static str,
    /// In Markdown, for the manual.
    pub(crate) text: &'static str,
    /// What the manual says in place of the default that a small job has, where that depends on the machine or on
    /// other keys.
    pub(crate) default: Option<&'static str>,
    /// Whether a running job takes over another value.
    pub(crate) is_live: bool,
}

pub(crate) const fn key(name: &'static str, text: &'static str) -> Key {
    Key { name, text, default: None, is_live: false }
}

/// A key of a list's items: the text of the list tells it.
pub(crate) const fn item_key(name: &'static str) -> Key {
    key(name, "")
}

impl Key {
    pub(crate) const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    pub(crate) const fn live(self) -> Self {
        Self { is_live: true, ..self }
    }
}

/// What reading notes besides the values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// Every key that the program reads, whether the file has it or not, in the manual's order; each with its path
    /// from the root, as in `sink.file.target_size`.
    pub(crate) keys: Vec<(String, Key)>,
    /// The value in effect of each, without secrets; what came by substitution as the file has it.
    pub(crate) shown: Map<String, Json>,
}

/// A map, or what stands for one that is not there.
pub(crate) struct Section<'a> {
    path: String,
    line: Option<u64>,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
    notes: Notes,
    report: &'a Report,
}

impl<'a> Section<'a> {
    /// Reads the whole file with `read`, then reports the keys that it did not ask for.
    pub(crate) fn root<T>(
        node: &'a Node,
        report: &'a Report,
        read: impl FnOnce(&mut Self) -> T,
    ) -> (T, Notes) {
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
        Self { path, line, entries, asked: Vec::new(), notes: Notes::default(), report }
    }

    fn reading<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> (T, Notes) {
        let result = read(&mut self);
        for entry in self.entries {
            if !self.asked.contains(&entry.key.as_str()) {
                let wrong = unknown_key(&entry.key, &self.asked);
                self.report.wrong(&self.place(&entry.key), Some(entry.node.line), wrong);
            }
        }
        (result, self.notes)
    }

    fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value at `path` below this section; `None` where it is missing or left empty.
    fn find(&self, path: &str) -> Option<Value<'a>> {
        let (mut entries, mut found) = (self.entries, None);
        for key in path.split('.') {
            let node = &entries.iter().find(|entry| entry.key == key)?.node;
            entries = if let Kind::Map(entries) = &node.kind { entries } else { &[] };
            found = Some(node);
        }
        let node = found.filter(|node| !matches!(node.kind, Kind::Null))?;
        Some(Value { path: self.place(path), node, report: self.report })
    }

    /// Whether the file says anything under `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A value that decides about other keys and is read, and judged, elsewhere or later.
    pub(crate) fn peek<T>(&self, path: &str, read: impl FnOnce(&Value<'_>) -> Option<T>) -> Option<T> {
        let Value { path, node, .. } = self.find(path)?;
        read(&Value { path, node, report: &Report::default() })
    }

    /// The map under `name`, all defaults where it is missing.
    pub(crate) fn section<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Section<'a>) -> T) -> T {
        self.asked.push(name);
        let section = Section::of(self.find(name), self.place(name), self.report);
        let (result, notes) = section.reading(read);
        self.notes.keys.extend(notes.keys);
        self.notes.shown.insert(name.to_owned(), Json::Object(notes.shown));
        result
    }

    /// Whatever `read` makes of the value, or of its absence. It is shown as `show` says, or not at all.
    pub(crate) fn read<T>(
        &mut self,
        key: Key,
        read: impl FnOnce(Option<&Value<'a>>) -> T,
        show: impl FnOnce(&T) -> Option<Json>,
    ) -> T {
        self.asked.push(key.name);
        let value = self.find(key.name);
        let result = read(value.as_ref());
        if let Some(mut shown) = show(&result) {
            if let Some(value) = &value {
                substitute::as_written(value.node, &mut shown);
            }
            self.notes.shown.insert(key.name.to_owned(), shown);
        }
        self.notes.keys.push((self.place(key.name), key));
        result
    }

    /// The scalar, or `default` where it is missing or wrong (and reported).
    pub(crate) fn get<T: Shown>(&mut self, key: Key, parse: impl FnOnce(&str) -> Parsed<T>, default: T) -> T {
        let read = |value: Option<&Value<'a>>| value.and_then(|value| value.parse(parse)).unwrap_or(default);
        self.read(key, read, |value| Some(value.shown()))
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy + PartialEq>(&mut self, key: Key, words: &[(&str, T)], default: T) -> T {
        let parse = values::word(words);
        let read = |value: Option<&Value<'a>>| value.and_then(|value| value.parse(parse)).unwrap_or(default);
        self.read(key, read, |value| values::shown_word(words, *value))
    }

    /// As [`Self::get`], where empty quotes stand for the default.
    pub(crate) fn get_unless_blank<T: Shown>(
        &mut self,
        key: Key,
        parse: impl FnOnce(&str) -> Parsed<T>,
        default: T,
    ) -> T {
        let read = |value: Option<&Value<'a>>| {
            let value = value.filter(|value| !value.is_blank());
            value.and_then(|value| value.parse(parse)).unwrap_or(default)
        };
        self.read(key, read, |value| Some(value.shown()))
    }

    /// The scalar, if it is there. It is shown only then.
    pub(crate) fn optional<T: Shown>(
        &mut self,
        key: Key,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> Option<T> {
        let read = |value: Option<&Value<'a>>| value.and_then(|value| value.parse(parse));
        self.read(key, read, |value| value.as_ref().map(Shown::shown))
    }

    /// The scalar; its absence is reported with `remedy`.
    pub(crate) fn need<T: Shown>(
        &mut self,
        key: Key,
        parse: impl FnOnce(&str) -> Parsed<T>,
        remedy: &str,
    ) -> Option<T> {
        if !self.has(key.name) {
            self.missing(key.name, remedy);
        }
        self.optional(key.default("required"), parse)
    }

    /// Text that no message repeats and that is never shown, held against `check`. Empty quotes are none; an empty
    /// variable is wrong, so that one that is empty by mistake never stands for none.
    pub(crate) fn secret(
        &mut self,
        key: Key,
        check: impl FnOnce(&str) -> Result<(), Wrong>,
    ) -> Option<Secret> {
        let parse = |text: &str| check(text).map(|()| Secret::new(text)).map_err(Wrong::secret);
        let read = |value: Option<&Value<'a>>| {
            let is_none = |value: &&Value<'a>| value.is_blank() && !value.is_substituted();
            value.filter(|value| !is_none(value))?.parse(parse)
        };
        self.read(key.default("none"), read, |secret| Some(secret.as_ref().map_or("", |_| HIDDEN).into()))
    }

    pub(crate) fn missing(&self, name: &str, remedy: &str) {
        self.report.wrong(&self.place(name), self.line, Wrong::new("is missing", remedy));
    }

    /// Reports on this section, or on the key `name` below it.
    pub(crate) fn wrong(&self, name: &str, wrong: Wrong) {
        let entry = self.entries.iter().find(|entry| entry.key == name);
        self.report.wrong(&self.place(name), entry.map(|entry| entry.node.line).or(self.line), wrong);
    }
}

/// A value and its place.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    path: String,
    node: &'a Node,
    report: &'a Report,
}

impl<'a> Value<'a> {
    pub(crate) fn wrong(&self, wrong: Wrong) {
        self.report.wrong(&self.path, Some(self.node.line), wrong);
    }

    fn mismatch(&self, expected: &str, found: &Kind) {
        let problem = format!("expected {expected}, found {}", found.name());
        self.wrong(Wrong::new(problem, format!("write {expected}")));
    }

    pub(crate) fn is_scalar(&self) -> bool {
        matches!(self.node.kind, Kind::Scalar(_))
    }

    /// Whether there is nothing in the quotes, which for many keys means the same as to leave them out.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(&self.node.kind, Kind::Scalar(Scalar { value, .. }) if value.is_empty())
    }

    /// Whether the value came by substitution, and may not be shown.
    pub(crate) fn is_substituted(&self) -> bool {
        matches!(&self.node.kind, Kind::Scalar(Scalar { written: Some(_), .. }))
    }

    /// The scalar as text; anything else is reported. It may be a secret.
    pub(crate) fn text(&self) -> Option<&'a str> {
        match &self.node.kind {
            Kind::Scalar(scalar) => Some(&scalar.value),
            Kind::Null => Some(""),
            other => {
                self.mismatch("a single value", other);
                None
            }
        }
    }

    pub(crate) fn parse<T>(&self, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
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
    pub(crate) fn items(&self, expected: &str) -> Option<Vec<Value<'a>>> {
        let Kind::List(items) = &self.node.kind else {
            self.mismatch(expected, &self.node.kind);
            return None;
        };
        let item =
            |(index, node)| Value { path: format!("{}[{index}]", self.path), node, report: self.report };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The entries of a map whose keys are the user's own; anything else is reported.
    pub(crate) fn entries(&self, expected: &str) -> Option<Vec<(&'a str, Value<'a>)>> {
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
    pub(crate) fn section<T>(&self, read: impl FnOnce(&mut Section<'a>) -> T) -> T {
        Section::of(Some(self.clone()), self.path.clone(), self.report).reading(read).0
    }
}

/// Names the nearest of `known`, or all of them when none is near.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> Wrong {
    let problem = format!("unknown key {:?}", key.chars().take(SHOWN_MAX_CHARS).collect::<String>());
    match nearest(key, known) {
        Some(near) => Wrong::new(problem, format!("did you mean {near}?")),
        None => Wrong::new(problem, format!("known here: {}", known.join(", "))),
    }
}

/// The known word within a third of its letters, or that the word was written in another manner (`targetSize`).
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', '.'], "");
    let distance = |candidate: &str| strsim::damerau_levenshtein(&plain(candidate), &plain(word));
    let (near, edits) =
        known.iter().map(|candidate| (*candidate, distance(candidate))).min_by_key(|(_, edits)| *edits)?;
    (edits <= near.len().div_ceil(3)).then_some(near)
}
