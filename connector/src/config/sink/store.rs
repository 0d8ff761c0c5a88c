//! `sink.store`: options of the store that tables and state lie in.

use std::collections::BTreeMap;

use crate::config::file::error::Wrong;
use crate::config::file::secret::shown_options;
use crate::config::file::section::{Section, key};
use crate::config::file::value::Value;

/// Options of a store that hold no secret; whatever else a store takes is not shown.
const PLAIN_STORE_OPTIONS: [&str; 13] = [
    "endpoint",
    "region",
    "path_style",
    "allow_http",
    "ca_file",
    "profile",
    "account",
    "account_name",
    "project",
    "proxy",
    "role_arn",
    "web_identity_token_file",
    "virtual_hosted_style",
];
pub(super) fn read(sink: &mut Section<'_>) -> BTreeMap<String, String> {
    sink.read(
        key(
            "store",
            "Options of the store: `endpoint`, `region`, `path_style`, `allow_http`, `ca_file`, and its \
             credentials. See [Stores and their rights](stores.md).",
        ),
        |value| value.map(options).unwrap_or_default(),
        |options| Some(shown_options(options, |name| PLAIN_STORE_OPTIONS.contains(&name))),
    )
}

/// Options of the store as text; `credentials: {…}` is one level that only groups.
fn options(value: &Value<'_>) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    for (key, option) in value.entries("a map of options").unwrap_or_default() {
        if key == "credentials" {
            for (key, credential) in option.entries("a map of credentials").unwrap_or_default() {
                put(&mut options, key, &credential);
            }
        } else {
            put(&mut options, key, &option);
        }
    }
    options
}

fn put(options: &mut BTreeMap<String, String>, key: &str, value: &Value<'_>) {
    let Some(text) = value.text() else { return };
    // An endpoint is part of each request's error. A proxy's is not, so it may.
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    if !key.contains("proxy") && authority.is_some_and(|authority| authority.contains('@')) {
        value.wrong(Wrong::new("it carries credentials", "move them to options of their own").secret());
    }
    if options.insert(key.to_owned(), text.to_owned()).is_some() {
        value.wrong(Wrong::new("is set a second time", "set each option once"));
    }
}
