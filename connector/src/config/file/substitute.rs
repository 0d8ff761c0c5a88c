//! `${VAR}` and `${file:/run/secrets/x}` in values; `$$` is a dollar sign. What came in this way may be a
//! secret, so the spelling of the file is kept beside it, and is what messages show.

use std::io::Read;

use serde_json::Value as Json;

use super::error::{Report, Wrong};
use super::raw::{Kind, Node, Scalar};
use crate::limits::SECRET_FILE_MAX_BYTES;

/// Looks up an environment variable.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces references in every scalar below `node`; what is missing is reported.
pub(crate) fn substitute(node: &mut Node, path: &str, environment: Environment<'_>, report: &Report) {
    match &mut node.kind {
        Kind::Null => {}
        Kind::Scalar(scalar) => match expand(&scalar.value, environment) {
            Ok(None) => {}
            Ok(Some(value)) => {
                let written = std::mem::replace(&mut scalar.value, value);
                scalar.written = Some(written);
            }
            Err(wrong) => report.wrong(path, Some(node.line), wrong),
        },
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                substitute(item, &format!("{path}[{index}]"), environment, report);
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                let separator = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{separator}{}", entry.key);
                substitute(&mut entry.node, &path, environment, report);
            }
        }
    }
}

/// Puts what the file has in place of each shown value that came by substitution. A level that is not shown
/// only groups what stands in it.
pub(crate) fn as_written(node: &Node, shown: &mut Json) {
    match &node.kind {
        Kind::Null | Kind::Scalar(Scalar { written: None, .. }) => {}
        Kind::Scalar(Scalar { written: Some(written), .. }) => *shown = Json::from(written.as_str()),
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(shown) = shown.get_mut(index) {
                    as_written(item, shown);
                }
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                match shown.get_mut(&entry.key) {
                    Some(shown) => as_written(&entry.node, shown),
                    None if matches!(entry.node.kind, Kind::Map(_)) => as_written(&entry.node, shown),
                    None => {}
                }
            }
        }
    }
}

/// `None` when nothing is to be replaced. The result is not expanded again: a secret may contain `${`.
fn expand(text: &str, environment: Environment<'_>) -> Result<Option<String>, Wrong> {
    if !text.contains("${") && !text.contains("$$") {
        return Ok(None);
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((reference, after)) = after.split_once('}') else {
                return Err(Wrong::new(
                    "\"${\" without its \"}\"",
                    "close it, or write $${ for the characters",
                ));
            };
            expanded.push_str(&look_up(reference, environment)?);
            rest = after;
        } else {
            // A lone dollar ends many patterns: shop.*$
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(Some(expanded))
}

fn look_up(reference: &str, environment: Environment<'_>) -> Result<String, Wrong> {
    if let Some(path) = reference.strip_prefix("file:") {
        return read_secret(path);
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if reference.is_empty()
        || !reference.chars().all(is_word)
        || reference.starts_with(|c: char| c.is_ascii_digit())
    {
        let problem = format!("${{{reference}}} names no variable");
        return Err(Wrong::new(
            problem,
            "write ${NAME} or ${file:/path}, and $${ for the characters themselves",
        ));
    }
    environment(reference).ok_or_else(|| {
        Wrong::new(
            format!("the environment has no variable {reference}"),
            format!("set {reference}, or write $${{{reference}}} if these characters are meant"),
        )
    })
}

/// The text of a file without line ends at its end, which editors and `echo` add.
fn read_secret(path: &str) -> Result<String, Wrong> {
    let remedy = "mount the file there and let this process read it";
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_FILE_MAX_BYTES + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(Wrong::new(format!("cannot read the file {path}: {error}"), remedy)),
        Ok(bytes) if bytes as u64 > SECRET_FILE_MAX_BYTES => {
            let problem = format!("the file {path} is larger than {SECRET_FILE_MAX_BYTES} bytes");
            Err(Wrong::new(problem, "a value that is substituted must be small: point to the right file"))
        }
        Ok(_) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
    }
}
