//! `sink`: where the tables lie, how they are named, cut into folders and written.

use std::collections::BTreeMap;

use super::table;
use crate::config::error::Wrong;
use crate::config::section::{Parsed, Section, Value};
use crate::config::{Compression, File, Format, Mode, PartitionColumns, Sink, Topics, values};
use crate::limits::{
    FILE_MAX_BYTES, FILE_MIN_BYTES, FILE_URL_MAX_BYTES, KEY_PREFIX_MAX_BYTES, ROW_GROUP_MAX_ROWS,
};
use crate::names;

pub(super) fn check(sink: &mut Section<'_>, topics: &Topics, format: &Format) -> Sink {
    sink.get("type", kind, ());
    let url =
        sink.need("url", url, "write where the tables shall lie: file:///warehouse or s3://bucket/folder");
    let modes = [("append", Mode::Append), ("overwrite", Mode::Overwrite)];
    let store = sink.value("store").map(|value| store(&value)).unwrap_or_default();
    let (table, mode) = (table::table(sink, topics), sink.get("mode", values::word(&modes), Mode::Append));
    let partition_columns = sink.value("partition_columns").and_then(|value| value.parse(partition_columns));
    Sink {
        url: url.unwrap_or_default(),
        store,
        table,
        mode,
        partition_by: table::partition_by(sink, format, partition_columns.unwrap_or_default()),
        partition_columns,
        file: sink.section("file", file),
    }
}

fn partition_columns(value: &str) -> Parsed<PartitionColumns> {
    values::word(&PartitionColumns::ALL.map(|columns| (columns.word(), columns)))(value)
}

fn kind(value: &str) -> Parsed<()> {
    if matches!(value, "delta" | "iceberg" | "postgres") {
        return Err(Wrong::not_built("as a sink", "use files"));
    }
    values::word(&[("files", ())])(value)
}

/// A folder's URL, without slashes at its end.
pub(super) fn url(value: &str) -> Parsed<String> {
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
pub(super) fn store_of(url: &str) -> (&str, &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    (scheme, rest.split('/').next().unwrap_or(rest))
}

/// Options of the store as text; `credentials: {…}` is one level that only groups.
fn store(value: &Value<'_>) -> BTreeMap<String, String> {
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

fn file(file: &mut Section<'_>) -> File {
    let rows = values::integer(1..=ROW_GROUP_MAX_ROWS);
    File {
        target_size: file.get("target_size", values::size(FILE_MIN_BYTES..=FILE_MAX_BYTES), 128 << 20),
        compression: file.get("compression", compression, Compression::Zstd(1)),
        row_group_rows: file.get("row_group_rows", |value| rows(value).map(|rows| rows as usize), 1 << 20),
    }
}

/// `none`, `snappy`, `lz4`, `gzip(0..9)`, `zstd(1..22)`; a level left out is the codec's usual one.
fn compression(value: &str) -> Parsed<Compression> {
    let remedy = "write none, snappy, lz4, gzip(0) to gzip(9), or zstd(1) to zstd(22)";
    let unknown = || Wrong::new("is not a compression", remedy);
    let value = value.trim();
    let (codec, level) = match value.split_once('(') {
        None => (value, None),
        Some((codec, level)) => {
            let level = level.strip_suffix(')').and_then(|level| level.trim().parse::<u8>().ok());
            (codec.trim(), Some(level.ok_or_else(unknown)?))
        }
    };
    match (codec, level) {
        ("none", None) => Ok(Compression::None),
        ("snappy", None) => Ok(Compression::Snappy),
        ("lz4", None) => Ok(Compression::Lz4),
        ("gzip", None) => Ok(Compression::Gzip(6)),
        ("gzip", Some(level)) if level <= 9 => Ok(Compression::Gzip(level.into())),
        ("zstd", None) => Ok(Compression::Zstd(1)),
        ("zstd", Some(level)) if (1..=22).contains(&level) => Ok(Compression::Zstd(level.into())),
        ("gzip" | "zstd", Some(_)) => Err(Wrong::new("has a level out of bounds", remedy)),
        _ => Err(unknown()),
    }
}
