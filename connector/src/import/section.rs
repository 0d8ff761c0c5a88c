//! A map of the old job file while it is read: a key is known because it was asked
//! for, so whatever nobody asked for is reported.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Report;

#[derive(Debug)]
pub(super) struct Section<'a> {
    path: String,
    entries: Option<&'a Map<String, Value>>,
    /// What stands there when it is no map.
    other: bool,
    taken: BTreeSet<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn of(value: Option<&'a Value>, path: String) -> Self {
        let entries = value.and_then(Value::as_object);
        let other = value.is_some_and(|value| !value.is_null()) && entries.is_none();
        Self { path, entries, other, taken: BTreeSet::new() }
    }

    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value under `key`; `None` where it is missing, null, or an empty text.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a Value> {
        self.taken.insert(key);
        let value = self.entries?.get(key)?;
        if value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty()) {
            None
        } else {
            Some(value)
        }
    }

    /// A single value as text.
    pub(super) fn text(&mut self, key: &'static str, report: &mut Report) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Null => None,
            Value::Array(_) | Value::Object(_) => {
                report.left(self.path(key), "a single value was expected");
                None
            }
        }
    }

    /// A whole number that is not negative.
    pub(super) fn number(&mut self, key: &'static str, report: &mut Report) -> Option<u64> {
        let text = self.text(key, report)?;
        let number = text.parse().ok();
        if number.is_none() {
            report.left(self.path(key), format!("{text:?} is not a whole number from 0"));
        }
        number
    }

    /// A bound, where nothing, 0 and the largest number are none, and so is what is negative, which is told.
    pub(super) fn bound(&mut self, key: &'static str, report: &mut Report) -> Option<u64> {
        let text = self.text(key, report)?;
        match text.parse::<i128>() {
            Ok(number) if number < 0 => {
                report.left(
                    self.path(key),
                    format!("{text} is negative, which means no limit: there is none here either"),
                );
                None
            }
            Ok(number) if number < i128::from(i64::MAX) => {
                u64::try_from(number).ok().filter(|number| *number > 0)
            }
            Ok(_) => None,
            Err(_) => {
                report.left(self.path(key), format!("{text:?} is not a whole number"));
                None
            }
        }
    }

    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        let value = self.take(key);
        Section::of(value, self.path(key))
    }

    /// The entries of a map whose keys are the user's own.
    pub(super) fn entries(&mut self, key: &'static str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.take(key).and_then(Value::as_object).into_iter().flatten()
    }

    /// Reports a key, if it is there, with the reason why it is left.
    pub(super) fn leave(&mut self, key: &'static str, reason: &str, report: &mut Report) {
        if self.take(key).is_some() {
            report.left(self.path(key), reason);
        }
    }

    /// What need not be told.
    pub(super) fn skip(&mut self, key: &'static str) {
        self.taken.insert(key);
    }

    /// Reports what nobody asked for.
    pub(super) fn finish(self, report: &mut Report) {
        if self.other {
            report.left(self.path.clone(), "a map was expected");
        }
        for key in self.entries.into_iter().flat_map(Map::keys) {
            if !self.taken.contains(key.as_str()) {
                report.left(self.path(key), "there is nothing like it here");
            }
        }
    }
}
