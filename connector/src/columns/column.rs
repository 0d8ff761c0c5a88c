//! What the job file says of a table's columns: its own, Kafka's metadata, and the
//! levels of folders made of them.

use std::fmt;

/// A column as written in the job file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Column {
    pub name: String,
    /// A type of the job file's grammar: `timestamp(ms, UTC)`, `struct<a: int32>`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Where the value stands in the record, when not under `name`: keys with dots
    /// between them. See [`crate::columns::path`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(flatten)]
    pub reading: Reading,
    /// Not of the job file: whether the chain has files whose seconds are bare numbers,
    /// and goes on with them.
    #[serde(skip)]
    pub bare_seconds: bool,
}

impl Column {
    /// One that is read as its type says.
    pub fn new(name: impl Into<String>, type_name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            type_name: type_name.into(),
            path: None,
            reading: Reading::default(),
            bare_seconds: false,
        }
    }
}

/// How values are read that other writers write in their own manner, at whatever
/// depth they lie in the column.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reading {
    /// Where the clock stood of times without an offset: `Europe/Berlin`, `+02:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How dates and times are written, in the words of strptime: `%d.%m.%Y %H:%M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Whether numbers and bools are taken out of strings, and into them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
}

/// Kafka metadata as columns `_topic`, `_partition`, `_offset`, `_timestamp`, `_key`, `_headers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Headers,
}

impl Metadata {
    /// Name of its column.
    pub fn column(self) -> &'static str {
        match self {
            Self::Topic => "_topic",
            Self::Partition => "_partition",
            Self::Offset => "_offset",
            Self::Timestamp => "_timestamp",
            Self::Key => "_key",
            Self::Headers => "_headers",
        }
    }

    /// Type of its column, in the job file's grammar.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Topic => "string",
            Self::Partition => "int32",
            Self::Offset => "int64",
            Self::Timestamp => "timestamp(ms, UTC)",
            Self::Key => "binary",
            Self::Headers => "list<struct<name: string, value: binary>>",
        }
    }
}

/// Where the values of a column stand that a folder level is made of as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionColumns {
    /// In the files; the level has a name of its own, `<column>_part`, so that no
    /// reader takes it for the column.
    #[default]
    File,
    /// In the folder's name alone, as Hive has it: the level is called as the column,
    /// which is not in the files.
    Folder,
    /// In both, under one name. Many readers of folders fail at that; chains of before have it.
    Both,
}

impl PartitionColumns {
    pub const ALL: [Self; 3] = [Self::File, Self::Folder, Self::Both];

    /// As the job file and the chain have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Both => "both",
        }
    }
}

/// A folder level: `day(ts)`, `bucket(16, user_id)`, `country`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionField {
    pub transform: Transform,
    pub column: String,
}

impl fmt::Display for PartitionField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = &self.column;
        match self.transform {
            Transform::Identity => write!(f, "{column}"),
            Transform::Year => write!(f, "year({column})"),
            Transform::Month => write!(f, "month({column})"),
            Transform::Day => write!(f, "day({column})"),
            Transform::Hour => write!(f, "hour({column})"),
            Transform::Bucket(buckets) => write!(f, "bucket({buckets}, {column})"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    Identity,
    Year,
    Month,
    Day,
    Hour,
    Bucket(u32),
}
