//! The job file as written: a tree that remembers the line of every value and the spelling of every scalar.
//!
//! Reading it in two steps, tree then typed values, is what lets all mistakes of a file be told at once, each
//! with its place; a deserializer straight into structs ends at the first.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

use super::error::ConfigErrors;
use super::error::Origin;
use crate::limits::JOB_FILE_MAX_DEPTH;

/// A value and where it stands.
pub(crate) struct Node {
    /// From 1.
    pub(crate) line: u64,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// Text, numbers and booleans alike, as they are spelt: `007` stays what it is until a key says what it
/// wants.
pub(crate) struct Scalar {
    /// After substitution; it may be a secret then.
    pub(crate) value: String,
    /// As the file has it, when that differs; safe to show.
    pub(crate) written: Option<String>,
}

pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) node: Node,
}

impl Kind {
    /// For "expected a list, found …".
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Parses YAML. Fails on bad syntax, duplicate keys, tags, several documents and excessive depth.
pub(crate) fn parse(text: &str, origin: &Origin) -> Result<Node, ConfigErrors> {
    // The reader has no document to start with; what is missing is better told key by key.
    if text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#')) {
        return Ok(Node { line: 1, kind: Kind::Null });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: JOB_FILE_MAX_DEPTH },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Content>>(text, options) {
        Ok(content) => Ok(node(content, text)),
        Err(error) => {
            let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
            let message = error.without_snippet().render_with_formatter(&UserMessageFormatter);
            // The line is told once, before the message.
            let message = message.split(" at line ").next().unwrap_or_default();
            let remedy = if text.contains("${") {
                "correct the syntax there; inside { } and [ ], quotes around ${…} are needed"
            } else {
                "correct the syntax there"
            };
            Err(ConfigErrors::whole(origin, line, format!("not valid YAML: {message}"), remedy))
        }
    }
}

/// What the YAML reader makes of a node before the spelling is looked up.
enum Content {
    Null,
    /// A string, already without quotes and escapes.
    Text(String),
    /// A plain number or boolean; the reader's rendering of it, used where the spelling cannot be found.
    Plain(String),
    List(Vec<Spanned<Content>>),
    Map(Vec<(String, Spanned<Content>)>),
}

fn node(content: Spanned<Content>, text: &str) -> Node {
    let line = content.referenced.line();
    let scalar = |value| Kind::Scalar(Scalar { value, written: None });
    let kind = match content.value {
        Content::Null => Kind::Null,
        Content::Text(value) => scalar(value),
        Content::Plain(value) => {
            scalar(spelling(text, content.defined).map(ToOwned::to_owned).unwrap_or(value))
        }
        Content::List(items) => Kind::List(items.into_iter().map(|item| node(item, text)).collect()),
        Content::Map(entries) => {
            let entry = |(key, value)| Entry { key, node: node(value, text) };
            Kind::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { line, kind }
}

/// The characters of the file that a plain scalar was read from.
fn spelling(text: &str, location: Location) -> Option<&str> {
    let span = location.span();
    let from = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let range: Range<usize> = from..from.checked_add(length)?;
    text.get(range).map(str::trim).filter(|spelling| !spelling.is_empty())
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Plain(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Content, E> {
        Ok(Content::Plain(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Content, E> {
        Ok(Content::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Plain(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Content::Map(entries))
    }
}
