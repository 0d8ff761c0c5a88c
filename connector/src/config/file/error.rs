//! What is wrong with a job file: all of it at once, each with its place, and what to do about it. No message
//! carries a value that came by substitution, nor one that stands under a secret's key.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Where the job file came from, for messages.
#[derive(Clone, Debug)]
pub struct Origin(pub PathBuf);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// Keys from the root, as in `sink.file.target_size`; empty for the file as a whole.
    pub path: String,
    /// Line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.line) {
            ("", None) => {}
            ("", Some(line)) => write!(f, "line {line}: ")?,
            (path, None) => write!(f, "{path}: ")?,
            (path, Some(line)) => write!(f, "{path} (line {line}): ")?,
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

/// Everything that is wrong with one job file; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigErrors {
    pub origin: String,
    pub errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// A failure of the file as a whole.
    pub(crate) fn whole(origin: &Origin, line: Option<u64>, problem: String, remedy: &str) -> Self {
        let error = ConfigError { path: String::new(), line, problem, remedy: remedy.to_owned() };
        Self { origin: origin.to_string(), errors: vec![error] }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for error in &self.errors {
            write!(f, "{separator}{}: {error}", self.origin)?;
            separator = "\n";
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects failures while the file is read, so that one does not hide the next.
#[derive(Default)]
pub(crate) struct Report(RefCell<Vec<ConfigError>>);

impl Report {
    pub(crate) fn wrong(&self, path: &str, line: Option<u64>, wrong: Wrong) {
        let Wrong { problem, remedy, .. } = wrong;
        let error = ConfigError { path: path.to_owned(), line, problem, remedy };
        let mut errors = self.0.borrow_mut();
        // A value that tables share is judged once for each.
        if !errors.contains(&error) {
            errors.push(error);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(crate) fn into_errors(self) -> Vec<ConfigError> {
        let mut errors = self.0.into_inner();
        errors.sort_by_key(|error| error.line.unwrap_or(u64::MAX));
        errors
    }
}

/// Why a value cannot be taken. `problem` goes on after the quoted value where one is shown, and never
/// repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) problem: String,
    pub(crate) remedy: String,
    /// The value may hold a secret, so that no message shows it.
    pub(crate) is_secret: bool,
}

impl Wrong {
    pub(crate) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into(), is_secret: false }
    }

    pub(crate) fn secret(self) -> Self {
        Self { is_secret: true, ..self }
    }

    /// For what the job file may one day say: refused by name rather than ignored.
    pub(crate) fn not_built(what: &str, remedy: impl Into<String>) -> Self {
        Self::new(format!("{what} is not built yet"), remedy)
    }
}
