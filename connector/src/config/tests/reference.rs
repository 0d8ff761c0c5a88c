use std::collections::BTreeSet;

use super::*;
use crate::config::reference::{KEYS, reference};

/// What the parser asks for in the map at `path`; nothing, where no map with fixed keys stands.
fn known_below(path: &str) -> Option<Vec<String>> {
    const UNKNOWN: &str = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq";
    let keys: Vec<&str> = path.split('.').filter(|key| !key.is_empty()).chain([UNKNOWN]).collect();
    let text = keys.iter().rev().fold("1".to_owned(), |inner, key| format!("{{{key}: {inner}}}"));
    let errors = Config::parse(&text, &Origin("test".into())).expect_err("it is not a whole job").errors;
    let remedy = errors.into_iter().find(|error| error.path == keys.join("."))?.remedy;
    Some(remedy.strip_prefix("known here: ")?.split(", ").map(str::to_owned).collect())
}

fn collect(path: &str, leaves: &mut BTreeSet<String>) {
    match known_below(path) {
        None => drop(leaves.insert(path.to_owned())),
        Some(keys) => {
            for key in keys {
                collect(&if path.is_empty() { key } else { format!("{path}.{key}") }, leaves);
            }
        }
    }
}

#[test]
fn the_manual_has_every_key_that_is_read_and_no_other() {
    let mut read = BTreeSet::new();
    collect("", &mut read);
    let mut told: BTreeSet<_> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    // A value, or a map of one key.
    assert!(told.remove("rejects.to"));
    assert_eq!(told, read);
}

#[test]
fn the_page_in_the_manual_is_this_one() {
    let page = std::fs::read_to_string("../docs/job-file.md").expect("docs/job-file.md");
    assert!(page == reference(), "docs/job-file.md is not what the code says: run ./x docs");
}
