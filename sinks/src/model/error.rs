//! One error type: its kind says what to do, its source chain says why.

use std::error::Error as StdError;
use std::fmt;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It may pass: try again with back-off.
    Retry,
    /// The job file, the rights or the environment must be changed; trying again does not help.
    Config,
    /// Stored state is damaged, cut short or contradicts itself: stop, and let a person
    /// look. No option goes past it.
    Corrupt,
    /// Going on could lose or double records: stop, unless a person says otherwise.
    Refused,
}

/// An error of a sink.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    /// What was being done, to which object, and the remedy where there is one. Never a
    /// record's content or a secret.
    pub context: String,
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub fn new(kind: Kind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
