//! What is wrong with a record, and where. Built only when something is, so it may
//! allocate; it never holds a value.

use std::fmt::Write;

use crate::formats::Reject;

/// Small as a result of every call on the hot path: one pointer.
#[derive(Debug)]
pub(in crate::formats) struct Flaw(Box<Details>);

#[derive(Debug)]
struct Details {
    problem: String,
    /// From the innermost outwards.
    path: Vec<Step>,
    column: Option<String>,
}

#[derive(Debug)]
enum Step {
    /// A name of the job's.
    Member(String),
    /// The index of an element, or of an entry (its key is the record's, not the job's).
    Index(usize),
}

impl Flaw {
    #[cold]
    pub(in crate::formats) fn new(problem: impl Into<String>) -> Self {
        Self(Box::new(Details { problem: problem.into(), path: Vec::new(), column: None }))
    }

    #[cold]
    pub(super) fn syntax(expected: &'static str, at: usize) -> Self {
        Self::new(format!("not JSON: expected {expected} at byte {at}"))
    }

    #[cold]
    pub(super) fn mismatch(expected: &str, found: &str) -> Self {
        Self::new(format!("expected {expected}, found {found}"))
    }

    #[cold]
    pub(super) fn twice() -> Self {
        Self::new("a key comes twice")
    }

    /// The value lies in the member `name`.
    #[cold]
    pub(super) fn member(mut self, name: &str) -> Self {
        self.0.path.push(Step::Member(name.to_owned()));
        self
    }

    /// The value is this element or entry.
    #[cold]
    pub(super) fn index(mut self, index: usize) -> Self {
        self.0.path.push(Step::Index(index));
        self
    }

    /// The column of the job that the value is for, and where it was looked for.
    #[cold]
    pub(in crate::formats) fn column(mut self, name: &str, source: &str) -> Self {
        self.0.column = Some(name.to_owned());
        self.member(source)
    }

    #[cold]
    pub(in crate::formats) fn reject(self) -> Reject {
        let Details { problem, path, column } = *self.0;
        let mut place = String::new();
        for step in path.iter().rev() {
            match step {
                Step::Member(name) if place.is_empty() => place.push_str(name),
                Step::Member(name) => drop(write!(place, ".{name}")),
                Step::Index(index) => drop(write!(place, "[{index}]")),
            }
        }
        let error = if place.is_empty() { problem } else { format!("{place}: {problem}") };
        Reject { error, column }
    }
}
