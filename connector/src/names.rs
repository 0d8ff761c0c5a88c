//! What a name may be, for everything that becomes a folder: one rule, whether the name comes from the job
//! file, from a topic that a pattern meets, from an inferred column or from Kafka's metadata.
//!
//! Readers of folders (Hive, Spark, Trino, pyarrow) pass over what begins with `_`
//! or `.`, so no table and no level does, unless its user was told.

use crate::limits::{LEVEL_NAME_MAX_BYTES, TABLE_NAME_MAX_CHARS, TOPIC_NAME_MAX_CHARS};

/// Why a name cannot be taken, and what to do about it. Neither repeats the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName {
    pub problem: String,
    pub remedy: String,
}

impl BadName {
    fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

/// Letters, digits, `.`, `_` and `-`: what every store, Kafka and the metrics agree on.
pub fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Whether readers pass over a folder of this name.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}

/// The name of a folder that readers see and no store mistakes for anything else.
pub fn folder(name: &str, max_chars: usize) -> Result<(), BadName> {
    let remedy = "use letters, digits, '-', '_' and '.', beginning with a letter or digit";
    if name.is_empty() {
        return Err(BadName::new("is empty", remedy));
    }
    if !is_plain(name) {
        return Err(BadName::new("holds characters that a folder's name may not", remedy));
    }
    if is_hidden(name) {
        return Err(BadName::new("begins with '_' or '.', which hides a folder from readers", remedy));
    }
    if name.len() > max_chars {
        return Err(BadName::new("is too long", format!("use at most {max_chars} characters")));
    }
    Ok(())
}

pub fn table(name: &str) -> Result<(), BadName> {
    folder(name, TABLE_NAME_MAX_CHARS)
}

/// A name that Kafka takes for a topic.
pub fn topic(name: &str) -> Result<(), BadName> {
    if name.is_empty() || !is_plain(name) || matches!(name, "." | "..") {
        return Err(BadName::new(
            "is not a topic's name",
            "use letters, digits, '.', '_' and '-'; a pattern belongs under kafka.topics_regex",
        ));
    }
    if name.len() > TOPIC_NAME_MAX_CHARS {
        return Err(BadName::new(
            "is too long",
            format!("Kafka takes at most {TOPIC_NAME_MAX_CHARS} characters"),
        ));
    }
    Ok(())
}

/// A column of the files, which may be called as its records have it.
pub fn column(name: &str) -> Result<(), BadName> {
    if name.is_empty() { Err(BadName::new("a column needs a name", "name the column")) } else { Ok(()) }
}

/// A folder level up to its `=`. Where it is the column's own name, readers look for just that.
pub fn level(name: &str) -> Result<(), BadName> {
    let renamed = "give the column another name, with path: for its place in the record";
    if name.is_empty() {
        return Err(BadName::new("leaves no name for a folder level", renamed));
    }
    if is_hidden(name) {
        return Err(BadName::new(
            "makes a folder level that begins with '_' or '.', which readers do not see",
            "leave sink.partition_columns out: the level then gets a name of its own",
        ));
    }
    if name.contains(|c: char| is_special(c) || c.is_whitespace()) {
        return Err(BadName::new(
            "makes a folder level whose name not every reader takes",
            "leave sink.partition_columns out: the level then gets a name of its own",
        ));
    }
    if name.len() > LEVEL_NAME_MAX_BYTES {
        let problem = format!("makes a folder level of more than {LEVEL_NAME_MAX_BYTES} bytes");
        return Err(BadName::new(problem, renamed));
    }
    Ok(())
}

/// What a level that is not called as its column is called after: the column's name
/// as far as every reader takes it.
pub fn plain_level(column: &str) -> String {
    let plain = |c: char| if is_special(c) || c.is_whitespace() || c.is_control() { '_' } else { c };
    let name: String = column.chars().map(plain).collect();
    name.trim_start_matches(['_', '.']).to_owned()
}

/// What Hive percent-encodes in a folder's name.
pub fn is_special(c: char) -> bool {
    c.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_leads_out_or_is_too_long_is_no_table() {
        for name in ["orders", "a.b_c-1", "0", &"x".repeat(250)] {
            assert_eq!(table(name), Ok(()), "{name}");
        }
        for name in
            ["", ".", "..", ".x", "_x", "_tidegate", "a/b", "a b", "a\\b", "a\nb", "ü", &"x".repeat(251)]
        {
            assert!(table(name).is_err(), "{name}");
        }
    }

    #[test]
    fn topics_are_kafkas_which_may_be_hidden() {
        assert!(topic(".x").is_ok() && topic("_schemas").is_ok() && topic(&"x".repeat(249)).is_ok());
        for name in ["", ".", "..", "a/b", "a b", &"x".repeat(250)] {
            assert!(topic(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_level_of_its_own_is_seen_by_all_readers_whatever_the_column() {
        let columns = ["_partition", ".x", "a/b", "a=b c", "__", "%", "plz", "ü", "\u{7f}x", "_/x"];
        let names = columns.map(plain_level);
        assert_eq!(names, ["partition", "x", "a_b", "a_b_c", "", "", "plz", "ü", "x", "x"]);
        for name in names.iter().filter(|name| !name.is_empty()) {
            assert_eq!(level(name), Ok(()), "{name}");
        }
        for name in ["", "_partition", ".x", "a/b", "a b", &"x".repeat(201)] {
            assert!(level(name).is_err(), "{name}");
        }
    }
}
