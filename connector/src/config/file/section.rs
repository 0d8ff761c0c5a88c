//! A map of the job file while it is read. A key is said once, where it is read: its name, its text for the
//! manual, whether it is live, how it is parsed, its default and how it is shown. What the manual, the shown
//! job and a reload know of it is noted meanwhile; and since a key is known because it was asked for,
//! whatever nobody asked for is reported with the nearest key that is known.

use serde_json::{Map, Value as Json};

use super::error::{Report, Wrong};
use super::raw::{Entry, Kind, Node};
use super::secret::{HIDDEN, Secret};
use super::substitute;
use super::value::{SHOWN_MAX_CHARS, Value};
use super::values::{self, Parsed, Shown};

/// What is said of a key besides how its value is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    name: &'static str,
    /// In Markdown, for the manual.
    pub(crate) text: &'static str,
    /// What the manual says in place of the default that a small job has, where that depends on the machine
    /// or on other keys.
    pub(crate) default_text: Option<&'static str>,
    /// Whether a running job takes over another value.
    pub(crate) is_live: bool,
}

pub(crate) const fn key(name: &'static str, text: &'static str) -> Key {
    Key { name, text, default_text: None, is_live: false }
}

/// A key of a list's items: the text of the list tells it.
pub(crate) const fn item_key(name: &'static str) -> Key {
    key(name, "")
}

impl Key {
    pub(crate) const fn default_text(self, text: &'static str) -> Self {
        Self { default_text: Some(text), ..self }
    }

    pub(crate) const fn live(self) -> Self {
        Self { is_live: true, ..self }
    }
}

/// What reading notes besides the values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// Every key that the program reads, whether the file has it or not, in the manual's order; each with its
    /// path from the root, as in `sink.file.target_size`.
    pub(crate) keys: Vec<(String, Key)>,
    /// The value in effect of each, without secrets; what came by substitution as the file has it.
    pub(crate) shown: Map<String, Json>,
}

/// A map that another section is laid over: whatever that leaves out is looked up here.
#[derive(Clone)]
pub(crate) struct Base<'a> {
    path: String,
    entries: &'a [Entry],
}

impl Base<'_> {
    fn below(&self, name: &str) -> Self {
        let entries = match node_at(self.entries, name).map(|node| &node.kind) {
            Some(Kind::Map(entries)) => entries,
            _ => &[] as &[Entry],
        };
        Self { path: place(&self.path, name), entries }
    }
}

/// A map, or what stands for one that is not there.
pub(crate) struct Section<'a> {
    path: String,
    line: Option<u64>,
    entries: &'a [Entry],
    /// What says the keys that this section leaves out.
    base: Option<Base<'a>>,
    asked: Vec<&'static str>,
    not_built: &'static [&'static str],
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
        Self::at(Value { path: String::new(), node, report }).reading(read)
    }

    /// The map that stands here; anything else is reported.
    pub(super) fn at(value: Value<'a>) -> Self {
        let mut section = Self::missing_at(value.path.clone(), value.report);
        section.line = Some(value.node.line);
        match &value.node.kind {
            Kind::Map(entries) => section.entries = entries,
            Kind::Null => {}
            other => value.mismatch("a map of keys", other),
        }
        section
    }

    /// One that the file does not have: all defaults.
    fn missing_at(path: String, report: &'a Report) -> Self {
        let (asked, notes) = (Vec::new(), Notes::default());
        Self { path, line: None, entries: &[], base: None, asked, not_built: &[], notes, report }
    }

    pub(super) fn reading<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> (T, Notes) {
        let result = read(&mut self);
        for entry in self.entries {
            let key = entry.key.as_str();
            if !self.asked.contains(&key) {
                let wrong = if self.not_built.contains(&key) {
                    Wrong::not_built("what this key is for", "leave it out")
                } else {
                    unknown_key(key, &self.asked)
                };
                self.report.wrong(&self.place(key), Some(entry.node.line), wrong);
            }
        }
        (result, self.notes)
    }

    /// Keys that later versions shall have. They are refused by name, not as misspellings of others.
    pub(crate) fn not_built(&mut self, names: &'static [&'static str]) {
        self.not_built = names;
    }

    fn place(&self, key: &str) -> String {
        place(&self.path, key)
    }

    /// The value at `path` below this section, or below what it is laid over; `None` where it is missing or
    /// left empty.
    pub(crate) fn find(&self, path: &str) -> Option<Value<'a>> {
        let own = node_at(self.entries, path).map(|node| (self.place(path), node));
        let (path, node) = own.or_else(|| {
            let base = self.base.as_ref()?;
            Some((place(&base.path, path), node_at(base.entries, path)?))
        })?;
        Some(Value { path, node, report: self.report })
    }

    /// The map under `name`, for others to be laid over.
    pub(crate) fn base(&self, name: &str) -> Base<'a> {
        Base { path: self.path.clone(), entries: self.entries }.below(name)
    }

    /// The map under `name`, laid over `base` key by key, whatever their depth. A list
    /// takes the place of a list.
    pub(crate) fn section_over<T>(
        &mut self,
        name: &'static str,
        base: Option<Base<'a>>,
        read: impl FnOnce(&mut Section<'a>) -> T,
    ) -> T {
        self.asked.push(name);
        let mut section = match node_at(self.entries, name) {
            Some(node) => Section::at(Value { path: self.place(name), node, report: self.report }),
            None => Section::missing_at(self.place(name), self.report),
        };
        section.base = base;
        let (result, notes) = section.reading(read);
        self.notes.keys.extend(notes.keys);
        self.notes.shown.insert(name.to_owned(), Json::Object(notes.shown));
        result
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
        self.section_over(name, self.base.as_ref().map(|base| base.below(name)), read)
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
        self.optional(key.default_text("required"), parse)
    }

    /// Text that no message repeats and that is never shown, held against `check`. Empty quotes are none; an
    /// empty variable is wrong, so that one that is empty by mistake never stands for none.
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
        self.read(key.default_text("none"), read, |secret| {
            Some(secret.as_ref().map_or("", |_| HIDDEN).into())
        })
    }

    /// Reports a key of this section, if it has it, which another section knows.
    pub(crate) fn refuse(&mut self, name: &'static str, wrong: Wrong) {
        if let Some(entry) = self.entries.iter().find(|entry| entry.key == name) {
            self.asked.push(name);
            self.report.wrong(&self.place(name), Some(entry.node.line), wrong);
        }
    }

    pub(crate) fn missing(&self, name: &str, remedy: &str) {
        self.report.wrong(&self.place(name), self.line, Wrong::new("is missing", remedy));
    }

    /// Reports on the key at `name`, or on this section where it is missing.
    pub(crate) fn wrong(&self, name: &str, wrong: Wrong) {
        match self.find(name) {
            Some(value) => value.wrong(wrong),
            None => self.report.wrong(&self.place(name), self.line, wrong),
        }
    }
}

fn place(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What stands at `path` and is not left empty.
fn node_at<'a>(mut entries: &'a [Entry], path: &str) -> Option<&'a Node> {
    let mut found = None;
    for key in path.split('.') {
        let node = &entries.iter().find(|entry| entry.key == key)?.node;
        entries = if let Kind::Map(entries) = &node.kind { entries } else { &[] };
        found = Some(node);
    }
    found.filter(|node| !matches!(node.kind, Kind::Null))
}

/// Names the nearest of `known`, or all of them when none is near.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> Wrong {
    let problem = format!("unknown key {:?}", key.chars().take(SHOWN_MAX_CHARS).collect::<String>());
    match nearest(key, known) {
        Some(near) => Wrong::new(problem, format!("did you mean {near}?")),
        None => Wrong::new(problem, format!("known here: {}", known.join(", "))),
    }
}

/// The known word within a third of its letters, or that the word was written in another manner
/// (`targetSize`).
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', '.'], "");
    let distance = |candidate: &str| strsim::damerau_levenshtein(&plain(candidate), &plain(word));
    let (near, edits) =
        known.iter().map(|candidate| (*candidate, distance(candidate))).min_by_key(|(_, edits)| *edits)?;
    (edits <= near.len().div_ceil(3)).then_some(near)
}
