//! A value of the job file and its place, for what is wrong with it.

use super::error::{Report, Wrong};
use super::raw::{Entry, Kind, Node, Scalar};
use super::section::Section;
use super::values::Parsed;

/// Characters of a value that a message repeats.
pub(super) const SHOWN_MAX_CHARS: usize = 80;

/// A value and its place.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    pub(super) path: String,
    pub(super) node: &'a Node,
    pub(super) report: &'a Report,
}

impl<'a> Value<'a> {
    pub(crate) fn wrong(&self, wrong: Wrong) {
        self.report.wrong(&self.path, Some(self.node.line), wrong);
    }

    pub(super) fn mismatch(&self, expected: &str, found: &Kind) {
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
        Section::at(self.clone()).reading(read).0
    }
}
