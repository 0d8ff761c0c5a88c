//! `sink.partition_by` against a table's columns: which type each level takes, what it is called, and what a
//! folder's name can hold. The job file's check and the stage read this one answer.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::{PartitionColumns, PartitionField, Transform, is_json};
use crate::limits::{LEVEL_NAME_MAX_BYTES, NAME_MAX_BYTES};
use crate::names;

/// What Hive writes for null, and for the empty string, which it does not tell from null in a folder's name.
pub const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The same, where the column in the files is what counts. pandas cannot read a table with a folder of Hive's
/// word; DuckDB knows this one, too, and reads numbers and dates beside it as such.
const PLAIN_NULL: &str = "null";

/// Texts that some reader of folders takes for null; DuckDB's word in any case.
const READ_AS_NULL: [&str; 2] = [HIVE_NULL, PLAIN_NULL];

/// Days since 1970 of 0001-01-01 and 9999-12-31, the years that every reader knows and four digits can write.
pub const FIRST_DAY: i64 = -719_162;
pub const LAST_DAY: i64 = 2_932_896;

const SECONDS_OF_DAY: i64 = 86_400;

/// Why a table cannot be cut as the job says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    #[error("there is no column {0}")]
    UnknownColumn(String),
    #[error("{transform} does not fit column {column} of type {type_name}; it takes {takes}")]
    Type { transform: &'static str, column: String, type_name: String, takes: &'static str },
    #[error(
        "the folder level {0} is called like another level or column, and readers take both for one; give the column \
         another name, with path: for its place in the record"
    )]
    SameName(String),
    #[error("column {column} {problem}; {remedy}")]
    Name { column: String, problem: String, remedy: String },
    #[error(
        "the folders' names would be longer than the {room} bytes that are left below the table; use fewer levels, or \
         columns of shorter names"
    )]
    TooLong { room: usize },
    #[error("no column is left for the files; leave sink.partition_columns out, or cut by fewer columns")]
    NothingLeft,
}

/// One level of a table's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    pub transform: Transform,
    pub column: String,
    /// Of the column in the schema.
    pub index: usize,
    /// The folder's name up to the `=`, as it is written.
    pub key: String,
    /// The folder's name after the `=`, for null and for the empty string.
    pub null: &'static str,
    /// What its value must be so that a folder can be named by it.
    pub value: ValueRule,
}

/// What a value must be for a folder to be named by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueRule {
    /// Any is.
    Any,
    /// A text, as long as a name may be; `exact`: one that a reader gets back from the folder's name.
    Text { exact: bool },
    /// A number of days, or of a part of a second, within years of four digits.
    Time { first: i64, last: i64 },
}

/// The levels of a table, from the outermost.
///
/// Errors: a column that does not exist, a transform that its type does not have, a
/// name that some reader does not see, or takes for another.
pub fn levels(
    fields: &[PartitionField],
    columns: PartitionColumns,
    schema: &Schema,
) -> Result<Vec<Level>, LevelError> {
    let mut levels: Vec<Level> = Vec::with_capacity(fields.len());
    for field in fields {
        let (index, column) = schema
            .column_with_name(&field.column)
            .ok_or_else(|| LevelError::UnknownColumn(field.column.clone()))?;
        fits(field.transform, columns, column)?;
        let key = match columns {
            PartitionColumns::Both => key_of_before(field, fields, schema, &levels)?,
            _ => key(field, fields, columns, schema, &levels)?,
        };
        levels.push(Level {
            transform: field.transform,
            column: field.column.clone(),
            index,
            key,
            null: if columns == PartitionColumns::File { PLAIN_NULL } else { HIVE_NULL },
            value: value_rule(field.transform, columns, column.data_type()),
        });
    }
    let is_in_files = |index: &usize| !leaves_files(&levels, columns, *index);
    if !(0..schema.fields().len()).any(|index| is_in_files(&index)) && !levels.is_empty() {
        return Err(LevelError::NothingLeft);
    }
    Ok(levels)
}

/// Whether the column stands in the folders' names alone.
pub fn leaves_files(levels: &[Level], columns: PartitionColumns, index: usize) -> bool {
    let names = |level: &Level| level.index == index && level.transform == Transform::Identity;
    columns == PartitionColumns::Folder && levels.iter().any(names)
}

/// Whether a column can be cut so.
pub fn fits(transform: Transform, columns: PartitionColumns, column: &Field) -> Result<(), LevelError> {
    let data_type = column.data_type();
    // The text of a JSON value is written in more than one way; chains of before may
    // be cut by one that was inferred.
    let text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        || matches!(data_type, DataType::Dictionary(_, value) if **value == DataType::Utf8);
    let text = text && (columns == PartitionColumns::Both || !is_json(column));
    let day = matches!(data_type, DataType::Date32 | DataType::Timestamp(..));
    let (fits, takes) = match transform {
        Transform::Year | Transform::Month | Transform::Day => (day, "a timestamp or a date"),
        Transform::Hour => (matches!(data_type, DataType::Timestamp(..)), "a timestamp"),
        Transform::Identity => (
            text || day
                || data_type.is_integer()
                || matches!(data_type, DataType::Boolean | DataType::Decimal128(..)),
            "a bool, a whole number, a string, a date, a timestamp or a decimal",
        ),
        Transform::Bucket(buckets) => (
            buckets > 0
                && (text
                    || day
                    || (data_type.is_integer() && *data_type != DataType::UInt64)
                    || matches!(
                        data_type,
                        DataType::Time32(_) | DataType::Time64(_) | DataType::Decimal128(..)
                    )
                    || matches!(data_type, DataType::Binary | DataType::LargeBinary)),
            "a whole number, a string, binary, a date, a time, a timestamp or a decimal",
        ),
    };
    if fits {
        return Ok(());
    }
    let type_name = super::type_name(column).unwrap_or_else(|| data_type.to_string());
    Err(LevelError::Type { transform: word(transform), column: column.name().clone(), type_name, takes })
}

/// The longest that a value's text may be in a folder's name, of those that have a bound.
pub fn longest_value(level: &Level, schema: &Schema) -> usize {
    let longest = match (level.transform, schema.field(level.index).data_type()) {
        (Transform::Identity, DataType::Timestamp(..) | DataType::Decimal128(..)) => 41,
        (Transform::Identity, DataType::Int64 | DataType::UInt64) => 20,
        _ => 0,
    };
    longest.max(HIVE_NULL.len())
}

/// Whether some reader takes the text for null where it stands in a folder's name.
pub fn reads_as_null(text: &[u8]) -> bool {
    text.is_empty() || READ_AS_NULL.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}

/// The transform's word.
pub fn word(transform: Transform) -> &'static str {
    match transform {
        Transform::Identity => "identity",
        Transform::Year => "year",
        Transform::Month => "month",
        Transform::Day => "day",
        Transform::Hour => "hour",
        Transform::Bucket(_) => "bucket",
    }
}

fn value_rule(transform: Transform, columns: PartitionColumns, data_type: &DataType) -> ValueRule {
    let days = |ticks: i64| ValueRule::Time {
        first: FIRST_DAY.saturating_mul(ticks),
        last: (LAST_DAY + 1).saturating_mul(ticks).saturating_sub(1),
    };
    match (transform, data_type) {
        (Transform::Bucket(_), _) => ValueRule::Any,
        (_, DataType::Date32) => days(1),
        (_, DataType::Timestamp(unit, _)) => days(SECONDS_OF_DAY * ticks_per_second(*unit)),
        (Transform::Identity, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            ValueRule::Text { exact: columns == PartitionColumns::Folder }
        }
        _ => ValueRule::Any,
    }
}

pub fn ticks_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// `country_part`, or `country` where the folder is all that has the value; `day`,
/// or `ts_day` where `day` alone would not be unique: readers take a folder for a
/// column, most of them without regard to case, and would see two of one name.
fn key(
    field: &PartitionField,
    fields: &[PartitionField],
    columns: PartitionColumns,
    schema: &Schema,
    above: &[Level],
) -> Result<String, LevelError> {
    let own = word(field.transform);
    let is_identity = field.transform == Transform::Identity;
    let is_column = |name: &str| {
        let other = |column: &&std::sync::Arc<Field>| {
            !(is_identity && columns == PartitionColumns::Folder) || *column.name() != field.column
        };
        let lower = name.to_lowercase();
        schema.fields().iter().filter(other).any(|column| column.name().to_lowercase() == lower)
    };
    let alone = fields.iter().filter(|other| word(other.transform) == own).count() == 1;
    let plain = names::plain_level(&field.column);
    let key = match columns {
        _ if !is_identity && alone && !is_column(own) => own.to_owned(),
        PartitionColumns::Folder if is_identity => field.column.clone(),
        _ if plain.is_empty() => plain,
        _ if is_identity => format!("{plain}_part"),
        _ => format!("{plain}_{own}"),
    };
    let bad = |bad: names::BadName| LevelError::Name {
        column: field.column.clone(),
        problem: bad.problem,
        remedy: bad.remedy,
    };
    names::level(&key).map_err(bad)?;
    if is_column(&key) || above.iter().any(|level| level.key.to_lowercase() == key.to_lowercase()) {
        return Err(LevelError::SameName(key));
    }
    Ok(key)
}

/// As chains that were begun before `sink.partition_columns` have it, and `both` after them.
fn key_of_before(
    field: &PartitionField,
    fields: &[PartitionField],
    schema: &Schema,
    above: &[Level],
) -> Result<String, LevelError> {
    let own = word(field.transform);
    let is_identity = field.transform == Transform::Identity;
    let alone = fields.iter().filter(|other| word(other.transform) == own).count() == 1;
    let key = match is_identity {
        true => field.column.clone(),
        false if alone && schema.column_with_name(own).is_none() => own.to_owned(),
        false => format!("{}_{own}", field.column),
    };
    let escaped = escape(&key);
    if above.iter().any(|level| level.key == escaped)
        || (!is_identity && schema.column_with_name(&key).is_some())
    {
        return Err(LevelError::SameName(key));
    }
    if escaped.starts_with('.') || escaped.len() > LEVEL_NAME_MAX_BYTES {
        let problem = "makes no folder level that a store takes".to_owned();
        let remedy = "give the column another name, with path: for its place in the record".to_owned();
        return Err(LevelError::Name { column: field.column.clone(), problem, remedy });
    }
    Ok(escaped)
}

/// Percent-encodes what Hive does, by the same list.
pub fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if names::is_special(c) {
            text.push_str(&format!("%{:02X}", c as u32));
        } else {
            text.push(c);
        }
    }
    text
}

/// Bytes of [`escape`]d text.
pub fn escaped_bytes(text: &[u8]) -> usize {
    let special = text.iter().filter(|byte| byte.is_ascii() && names::is_special(char::from(**byte))).count();
    text.len() + 2 * special
}

/// Bytes that a level's value may take.
pub fn value_room(level: &Level) -> usize {
    NAME_MAX_BYTES - level.key.len() - 1
}
