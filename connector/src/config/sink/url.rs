//! `sink.url`, and other folders' URLs.

use crate::config::file::error::Wrong;
use crate::config::file::values::Parsed;
use crate::limits::{FILE_URL_MAX_BYTES, KEY_PREFIX_MAX_BYTES};
use crate::names;

/// A folder's URL, without slashes at its end.
pub(in crate::config) fn url(value: &str) -> Parsed<String> {
    let Some((scheme, rest)) = value.split_once("://") else {
        return Err(Wrong::new("is not a URL", "write file:///path, s3://bucket/path, gs://… or az://…"));
    };
    if !matches!(scheme, "file" | "s3" | "gs" | "az") {
        return Err(Wrong::new("has a scheme that no store has", "use file, s3, gs or az"));
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    if host.contains('@') {
        return Err(
            Wrong::new("carries credentials", "move them to sink.store, as ${VAR} or ${file:…}").secret()
        );
    }
    if scheme == "file" && (!host.is_empty() || path.is_empty()) {
        return Err(Wrong::new("is not an absolute folder", "write three slashes: file:///warehouse"));
    }
    if scheme != "file" && (host.is_empty() || !names::is_plain(host)) {
        return Err(Wrong::new("names no bucket or container", format!("write {scheme}://bucket/folder")));
    }
    if value.contains(['?', '#', '\\']) || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Wrong::new(
            "holds ?, #, \\ or blanks",
            "name a plain folder; options belong in sink.store",
        ));
    }
    if !path.is_empty() && path.split('/').any(|folder| matches!(folder, "" | "." | "..")) {
        return Err(Wrong::new("holds an empty, . or .. folder", "write the folder's plain path"));
    }
    let most = if scheme == "file" { FILE_URL_MAX_BYTES } else { KEY_PREFIX_MAX_BYTES };
    if path.len() > most {
        let problem = "leaves too little of the length that stores take for what lies below it";
        return Err(Wrong::new(problem, format!("use a folder of at most {most} bytes")));
    }
    let slash = if path.is_empty() { "" } else { "/" };
    Ok(format!("{scheme}://{host}{slash}{path}"))
}

/// Scheme and bucket of a checked URL.
pub(in crate::config) fn store_of(url: &str) -> (&str, &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    (scheme, rest.split('/').next().unwrap_or(rest))
}
