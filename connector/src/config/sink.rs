//! `sink`: where the tables lie, how they are named, cut into folders and written.

mod files;
mod folders;
mod store;
mod table;
mod url;

use std::collections::BTreeMap;
use std::fmt;

use super::file::error::Wrong;
use super::file::section::{Section, key};
use super::file::values::{self, Parsed};
use super::{Format, Topics};
pub use crate::columns::{PartitionColumns, PartitionField, Transform};
pub use files::{Compression, File};
pub use table::Table;
pub(super) use url::{store_of, url};

/// Shown without its store's options.
#[derive(Clone)]
pub struct Sink {
    /// Root of the tables, without a trailing slash.
    pub url: String,
    /// Options of the store: endpoint, region, credentials.
    pub store: BTreeMap<String, String>,
    pub table: Table,
    pub mode: Mode,
    pub partition_by: Vec<PartitionField>,
    /// `None`: as the chain has begun, which is `file` for a new one.
    pub partition_columns: Option<PartitionColumns>,
    pub file: File,
}

/// What a table may have for itself.
#[derive(Clone, Debug)]
pub struct Layout {
    pub partition_by: Vec<PartitionField>,
    pub partition_columns: Option<PartitionColumns>,
    pub file: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Append,
    Overwrite,
}

const MODES: [(&str, Mode); 2] = [("append", Mode::Append), ("overwrite", Mode::Overwrite)];

pub(super) fn read(sink: &mut Section<'_>, topics: &Topics, format: &Format) -> Sink {
    sink.read(
        key("type", "`files`: Parquet files in folders."),
        |value| value.and_then(|value| value.parse(kind)),
        |_| Some("files".into()),
    );
    let url = sink.need(
        key(
            "url",
            "Where the tables lie: `file:///folder`, `s3://bucket/folder`, `gs://…`, `az://container/…`. A \
             table lies at `<url>/<table>/`.",
        ),
        url,
        "write where the tables shall lie: file:///warehouse or s3://bucket/folder",
    );
    sink.not_built(&["staging", "write", "key", "key_order", "postgres", "mysql", "delta", "iceberg"]);
    let (store, table) = (store::read(sink), table::read(sink, topics));
    let mode = sink.word(
        key(
            "mode",
            "`append`; or `overwrite`: clears the table of others' files once, when the job starts without a \
             position. What this job has committed it clears only with `--new-incarnation`.",
        ),
        &MODES,
        Mode::Append,
    );
    let Layout { partition_by, partition_columns, file } = layout(sink, format);
    Sink { url: url.unwrap_or_default(), store, table, mode, partition_by, partition_columns, file }
}

fn layout(sink: &mut Section<'_>, format: &Format) -> Layout {
    Layout {
        partition_by: folders::partition_by(sink, format),
        partition_columns: folders::partition_columns(sink),
        file: sink.section("file", files::read),
    }
}

/// The keys of a table's own `sink`, which is laid over the job's.
pub(super) fn of_table(sink: &mut Section<'_>, format: &Format) -> Layout {
    for name in ["type", "url", "store", "table", "mode"] {
        sink.refuse(name, Wrong::new("belongs to the whole job", format!("say it in sink.{name}")));
    }
    sink.not_built(&["write", "key", "key_order"]);
    layout(sink, format)
}

fn kind(value: &str) -> Parsed<()> {
    if matches!(value, "delta" | "iceberg" | "postgres" | "mysql" | "clickhouse") {
        return Err(Wrong::not_built("as a sink", "use files"));
    }
    values::word(&[("files", ())])(value)
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink")
            .field("url", &self.url)
            .field("store", &self.store.keys())
            .field("table", &self.table)
            .field("mode", &self.mode)
            .field("partition_by", &self.partition_by)
            .field("partition_columns", &self.partition_columns)
            .field("file", &self.file)
            .finish()
    }
}
