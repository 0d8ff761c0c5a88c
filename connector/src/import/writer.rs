//! The writer: where the files lie, how they are written. Whatever wrote files becomes the sink `files`.

use serde_json::Value;

use super::Report;
use super::columns::{self, Field};
use super::document::{self, Document};
use super::section::Section;
use crate::limits::{FILE_MAX_BYTES, FILE_MIN_BYTES};

/// What the list of columns is made with.
pub(super) struct Sink {
    pub(super) columns: Option<Vec<Field>>,
    pub(super) path: String,
}

/// Settings of files that are Parquet here, or of Hadoop's.
const WITHOUT_COUNTERPART: [(&str, &str); 14] = [
    ("hadoopConfig", "is of Hadoop; the store's own settings belong in sink.store"),
    ("fieldDelimiter", "files are Parquet, which has no delimiter"),
    ("encoding", "files are Parquet, whose text is UTF-8"),
    ("charsetName", "files are Parquet, whose text is UTF-8"),
    ("rowGroupSize", "a row group is bounded by rows: sink.file.row_group_rows"),
    ("rowGroupSIze", "a row group is bounded by rows: sink.file.row_group_rows"),
    ("nextCheckRows", "sizes are checked all the time"),
    ("enableDictionary", "dictionaries are always tried"),
    ("fullColumnName", "all columns are written"),
    ("fullColumnType", "all columns are written"),
    ("filterRegex", "files of others are left alone"),
    ("jdbcUrl", "Hive is not asked; register the table's folder there"),
    ("username", "is of Hive; credentials of the store belong in sink.store, as ${VAR}"),
    ("password", "is of Hive; credentials of the store belong in sink.store, as ${VAR}"),
];

pub(super) fn read(
    writer: &mut Section<'_>,
    topics: &[String],
    document: &mut Document,
    report: &mut Report,
) -> Sink {
    let name = writer.text("name", report).unwrap_or_default();
    let plain = name.to_lowercase();
    let kind = plain.trim_end_matches("writer").trim_end_matches("sink").trim_end_matches('-');
    writer.leave("table", "the name of a table in SQL means nothing here", report);
    let mut parameter = writer.section("parameter");
    let path = parameter.path("column");
    if !matches!(kind, "hdfs" | "hive" | "file" | "filesystem" | "localfs" | "s3" | "ftp") {
        let reason =
            format!("{name:?} does not write files; sink.url and sink.table stand for it: complete them");
        report.left(writer.path("name"), reason);
        default_table(topics, document);
        document.set("sink.url", document::text("file:///warehouse"), "");
        return Sink { columns: None, path };
    }
    place(&mut parameter, kind, topics, document, report);
    file(&mut parameter, document, report);
    let listed = parameter.take("column").and_then(|value| columns::list(value, &path, report));
    let columns = listed.or_else(|| hive_columns(&mut parameter, report));
    parameter.skip("tablesColumn");
    for (key, reason) in WITHOUT_COUNTERPART {
        parameter.leave(key, reason, report);
    }
    for key in ["partition", "partitionType"] {
        let reason = "cuts folders by the time of writing; a folder here follows from the record: \
                      sink.partition_by: [\"day(ts)\"]";
        parameter.leave(key, reason, report);
    }
    parameter.finish(report);
    Sink { columns, path }
}

/// The table is the last folder of the path, and its URL what stands before.
fn place(
    parameter: &mut Section<'_>,
    kind: &str,
    topics: &[String],
    document: &mut Document,
    report: &mut Report,
) {
    let default_fs = parameter.text("defaultFS", report);
    let (path, key) = match parameter.text("path", report) {
        Some(path) => (path, parameter.path("path")),
        None => (String::new(), parameter.path("path")),
    };
    if let Some(name) = parameter.text("fileName", report) {
        let reason = format!("{name}: files lie in the table's folder, or in those of sink.partition_by");
        report.left(parameter.path("fileName"), reason);
    }
    let (scheme, rest) = match path.split_once("://") {
        Some((scheme, rest)) => (scheme.to_lowercase(), rest.to_owned()),
        None => {
            let root = default_fs.as_deref().unwrap_or("file://");
            let (scheme, host) = root.split_once("://").unwrap_or(("file", ""));
            (scheme.to_lowercase(), format!("{}/{}", host.trim_matches('/'), path.trim_start_matches('/')))
        }
    };
    let rest = rest.trim_end_matches('/');
    let (host, folders) = rest.split_once('/').unwrap_or((rest, ""));
    let (parent, table) = folders.rsplit_once('/').unwrap_or(("", folders));
    let url = match scheme.as_str() {
        "s3" | "s3a" | "s3n" => format!("s3://{host}/{parent}"),
        "gs" => format!("gs://{host}/{parent}"),
        "file" => format!("file:///{}", [host, parent].join("/").trim_matches('/')),
        other => {
            let what = if kind == "s3" { "an object's name" } else { other };
            report.left(
                if default_fs.is_some() { parameter.path("defaultFS") } else { key.clone() },
                format!("{what} is no store that can be written to: sink.url has the path as a local folder now: set it"),
            );
            format!("file:///{}", parent.trim_matches('/'))
        }
    };
    let url = match url.trim_end_matches('/') {
        "file:" | "file:/" | "file://" => "file:///warehouse",
        url => url,
    };
    document.set("sink.url", document::text(url), &key);
    if table.is_empty() {
        default_table(topics, document)
    } else {
        document.set("sink.table", document::text(table), &key)
    }
}

fn default_table(topics: &[String], document: &mut Document) {
    match topics {
        [topic] => document.set("sink.table", document::text(topic), ""),
        _ => document.set("sink.table", document::plain("\"{topic}\""), ""),
    }
}

fn file(parameter: &mut Section<'_>, document: &mut Document, report: &mut Report) {
    if let Some(kind) = parameter.text("fileType", report)
        && kind.to_lowercase() != "parquet"
    {
        report.left(parameter.path("fileType"), format!("{kind}: files are Parquet here"));
    }
    let path = parameter.path("writeMode");
    match parameter.text("writeMode", report).map(|mode| mode.to_lowercase()).as_deref() {
        None | Some("append" | "insert") => {}
        Some("overwrite") => document.set("sink.mode", document::plain("overwrite"), &path),
        Some(other) => report.left(path, format!("{other}: files are appended here")),
    }
    let path = parameter.path("compress");
    let compress = parameter.text("compress", report).or_else(|| parameter.text("compression", report));
    match compress.map(|codec| codec.to_lowercase()).as_deref() {
        None => {}
        Some(codec @ ("snappy" | "gzip" | "lz4" | "none")) => {
            document.set("sink.file.compression", document::plain(codec), &path);
        }
        Some("zstd") => document.set("sink.file.compression", document::plain("zstd(1)"), &path),
        Some(other) => report.left(path, format!("{other} is not among Parquet's here: it is zstd(1) now")),
    }
    if let Some(bytes) = parameter.number("maxFileSize", report) {
        let fits = bytes.clamp(FILE_MIN_BYTES, FILE_MAX_BYTES);
        if fits != bytes {
            report.left(parameter.path("maxFileSize"), format!("{bytes} is out of bounds: it is {fits} now"));
        }
        document.set("sink.file.target_size", document::plain(fits), &parameter.path("maxFileSize"));
    }
}

/// Hive's writer has a map of tables in a text.
fn hive_columns(parameter: &mut Section<'_>, report: &mut Report) -> Option<Vec<Field>> {
    let path = parameter.path("tablesColumn");
    let text = parameter.text("tablesColumn", report)?;
    let tables = serde_json::from_str::<Value>(&text).ok();
    let tables = tables.as_ref().and_then(Value::as_object);
    let Some((table, columns)) = tables.and_then(|tables| tables.iter().next()) else {
        report.left(path, "does not read");
        return None;
    };
    if tables.is_some_and(|tables| tables.len() > 1) {
        report.left(&path, format!("names several tables; these are the columns of {table}"));
    }
    columns::list(columns, &format!("{path}.{table}"), report)
}
