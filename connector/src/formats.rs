//! What a record's bytes may be. A format is a folder here and a line in [`FORMATS`]; whoever wants to know
//! something of a format asks that table, so that nothing else is changed for a new one.
//!
//! A format turns payloads into columns, and knows nothing of Kafka. Decoding is pure:
//! no store, no clock, no waiting. A value that would lose digits, overflow or not
//! parse is never rounded, cut or replaced by null, because nobody could tell later.

mod csv;
pub mod json;
mod payload;
pub mod raw;
mod unmatched;

use std::fmt;

pub use payload::{Appended, Payload, Preparing, Reject, Value};
pub use unmatched::Unmatched;

use crate::columns::{Column, ColumnError, Metadata};

/// All that there are; the first is that of a job file which names none.
pub static FORMATS: [&FormatKind; 3] = [&json::FORMAT, &raw::FORMAT, &csv::FORMAT];

pub type Open = fn(&[Column], Unknown) -> Result<Box<dyn Payload>, ColumnError>;

/// The columns of a sample of records, beside those of Kafka's metadata.
pub type Infer = fn(&[&[u8]], &[Metadata]) -> Result<Inferred, InferError>;

/// One format.
pub struct FormatKind {
    /// What the job file, the chain and the page call it.
    pub word: &'static str,
    /// What the manual says of it.
    pub about: &'static str,
    /// Which decoder the headers of a rejected record name.
    pub decoder: &'static str,
    pub columns: Columns,
    /// Whether records have members that no column may ask for, so that the job file
    /// says what becomes of them.
    pub has_members: bool,
    /// What is wrong with the columns that a job file lists, and what to do about it.
    /// Their names and types are right.
    pub check: fn(&[Column]) -> Result<(), Refused>,
    /// A decoder for these columns. What it says of members is for formats that have them.
    pub open: Open,
}

/// Where the columns of a table come from when the job file lists none.
#[derive(Clone, Copy, Debug)]
pub enum Columns {
    /// They are inferred from a sample of its records, and pinned.
    Inferred(Infer),
    /// They are always these.
    Fixed(fn() -> Vec<Column>),
    /// The job file has to list them.
    Listed,
}

/// Why a format does not take the columns that a job file lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub problem: &'static str,
    pub remedy: &'static str,
}

/// What becomes of members that no column asks for, and of records in which no column finds anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Counted only.
    Ignore,
    /// Counted, and told.
    Warn,
    /// The record is a reject.
    Reject,
}

/// What a sample says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    pub columns: Vec<Column>,
    /// What a user should know of them, each a sentence.
    pub notes: Vec<String>,
}

/// A sample that says nothing about columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("none of the {records} sampled records is {wanted}")]
pub struct InferError {
    pub records: usize,
    pub wanted: &'static str,
}

impl fmt::Debug for FormatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word)
    }
}

impl PartialEq for FormatKind {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl Eq for FormatKind {}

/// The words of all, as a sentence names them: `json, raw or csv`.
pub fn words() -> String {
    let [first @ .., last] = FORMATS.map(|format| format.word);
    format!("{} or {last}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_formats_have_a_word_or_a_decoder_in_common() {
        for (index, one) in FORMATS.iter().enumerate() {
            for other in &FORMATS[index + 1..] {
                assert!(one.word != other.word && one.decoder != other.decoder, "{one:?}, {other:?}");
            }
        }
    }
}
