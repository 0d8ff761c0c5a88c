//! What a job says of its columns, before any type of Arrow is made of it.

/// A column as written in the job file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Column {
    pub name: String,
    /// A type of the job file's grammar: `timestamp(ms, UTC)`, `struct<a: int32>`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Where the value stands in the record, when not under `name`: keys with dots between them. See [`super::path`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(flatten)]
    pub reading: Reading,
    /// Not of the job file: whether the chain has files whose seconds are bare numbers, and goes on with them.
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

/// How values are read that other writers write in their own manner, at whatever depth they lie in the column.
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
