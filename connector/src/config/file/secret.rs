//! Values that are never shown.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;
use subtle::ConstantTimeEq;

/// In place of a value.
pub(crate) const HIDDEN: &str = "***";

/// Text of the job file that is compared, and never logged or told.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it is `text`; how long that takes tells no more than the length.
    pub fn is(&self, text: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(text).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Options whose names are others' (a store's, the Kafka client's), without the values of those that are not
/// plain.
pub(crate) fn shown_options(options: &BTreeMap<String, String>, is_plain: impl Fn(&str) -> bool) -> Json {
    let shown = |(name, value): (&String, &String)| {
        let value = if is_plain(name) { without_user(value) } else { HIDDEN.to_owned() };
        (name.clone(), Json::from(value))
    };
    Json::Object(options.iter().map(shown).collect())
}

/// A URL without who uses it: a proxy's may hold a password.
fn without_user(value: &str) -> String {
    match value.split_once("://").map(|(scheme, rest)| (scheme, rest, rest.split('/').next().unwrap_or(rest)))
    {
        Some((scheme, rest, authority)) if authority.contains('@') => {
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{HIDDEN}@{host}{}", &rest[authority.len()..])
        }
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_itself_only_and_not_shown() {
        let secret = Secret::new("correct horse");
        assert!(secret.is(b"correct horse"));
        for other in [&b""[..], b"correct hors", b"correct horse ", b"correct hXrse"] {
            assert!(!secret.is(other));
        }
        assert_eq!(format!("{secret:?}"), "***");
    }
}
