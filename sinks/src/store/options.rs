//! The options of a store, taken one by one so that none is overlooked in silence.

use std::collections::BTreeMap;

use super::open::config;
use crate::model::error::Error;

/// Holds secrets: no `Debug`.
pub(super) struct Options(BTreeMap<String, String>);

impl Options {
    pub(super) fn new(options: &BTreeMap<String, String>) -> Self {
        Self(options.iter().map(|(key, value)| (key.to_ascii_lowercase(), value.clone())).collect())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// What has not been taken.
    pub(super) fn rest(self) -> BTreeMap<String, String> {
        self.0
    }

    /// Errors: `Config`, when an option is left over.
    pub(super) fn all_used(&self, scheme: &str) -> Result<(), Error> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(config(format!("{key:?} is not an option of {scheme}:// stores"))),
        }
    }
}
