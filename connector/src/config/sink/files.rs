//! `sink.file`: the files themselves.

use serde_json::Value as Json;

use crate::config::file::error::Wrong;
use crate::config::file::section::{Section, key};
use crate::config::file::values::{self, Parsed, Shown};
use crate::limits::{FILE_MAX_BYTES, FILE_MIN_BYTES, ROW_GROUP_MAX_ROWS};

#[derive(Clone, Debug)]
pub struct File {
    /// Bytes at which a file is rolled.
    pub target_size: u64,
    pub compression: Compression,
    pub row_group_rows: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Snappy,
    Lz4,
    Gzip(u32),
    Zstd(i32),
}

impl Shown for Compression {
    fn shown(&self) -> Json {
        Json::from(match self {
            Self::None => "none".to_owned(),
            Self::Snappy => "snappy".to_owned(),
            Self::Lz4 => "lz4".to_owned(),
            Self::Gzip(level) => format!("gzip({level})"),
            Self::Zstd(level) => format!("zstd({level})"),
        })
    }
}

pub(super) fn read(file: &mut Section<'_>) -> File {
    let rows = values::integer(1..=ROW_GROUP_MAX_ROWS);
    File {
        target_size: file.get(
            key("target_size", "Bytes at which a file is closed and the next one begun. At most 4GiB.")
                .default_text("`128MiB`"),
            values::size(FILE_MIN_BYTES..=FILE_MAX_BYTES),
            128 << 20,
        ),
        compression: file.get(
            key("compression", "`none`, `snappy`, `lz4`, `gzip(0)` to `gzip(9)`, `zstd(1)` to `zstd(22)`."),
            compression,
            Compression::Zstd(1),
        ),
        row_group_rows: file.get(
            key("row_group_rows", "Rows of a row group. Memory may close one earlier."),
            |value| rows(value).map(|rows| rows as usize),
            1 << 20,
        ),
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
