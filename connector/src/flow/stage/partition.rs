//! Splits a batch into the folders of `partition_by`, `day=2026-01-31/country=DE`, keeping the rows' order.
//!
//! By default the columns stay in the files: a file is complete in itself wherever it is moved, and a value
//! that a folder's name cannot tell apart (null and the empty string) is not lost. What no folder can be
//! named by is a reject, found while the row can still be taken back.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hash::Hash;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, Schema};
use arrow::error::ArrowError;
use tidegate_sinks::TopicPartition;

use super::bucket;
use crate::columns::levels::{self, HIVE_NULL, Level, LevelError, ValueRule};
use crate::config::{PartitionColumns, PartitionField, Transform};
use crate::flow::decode::{Reject, Row, Value};
use crate::limits::NAME_MAX_BYTES;

/// Why a table cannot be partitioned as the job says.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    #[error("sink.partition_by: {0}")]
    Level(#[from] LevelError),
    #[error("sink.partition_by: column {column} does not read")]
    Read {
        column: String,
        #[source]
        source: ArrowError,
    },
}

/// How many rows in a row came from which partition.
pub(super) type Runs = Vec<(TopicPartition, usize)>;

/// The rows of a batch that go into one folder.
#[derive(Debug)]
pub(super) struct Part {
    /// `day=2026-01-31/country=DE`, empty without `partition_by`.
    pub(super) folder: String,
    pub(super) batch: RecordBatch,
    pub(super) rows: BTreeMap<TopicPartition, u64>,
}

/// `partition_by`, checked against a table's columns.
#[derive(Debug)]
pub struct Partitioner {
    levels: Vec<Level>,
    /// The columns that stay in the files; `None`: all.
    kept: Option<Vec<usize>>,
    /// Bytes that the texts of one row may take in its folders' names.
    text_room: usize,
}

/// The folder of each row, as an index into the names.
struct Folders {
    codes: Vec<u32>,
    names: Vec<String>,
}

impl Partitioner {
    /// `room`: the bytes that the folders' names and the slashes between them may take.
    ///
    /// Errors: a column that does not exist, a transform that its type does not have,
    /// names that collide or are too long.
    pub fn new(
        fields: &[PartitionField],
        columns: PartitionColumns,
        schema: &Schema,
        room: usize,
    ) -> Result<Self, PartitionError> {
        let levels = levels::levels(fields, columns, schema)?;
        let fixed = |level: &Level| {
            let value = match level.value {
                ValueRule::Text { .. } => 0,
                _ => levels::longest_value(level, schema),
            };
            // With the slash after it.
            level.key.len() + 1 + value + 1
        };
        let texts = levels.iter().filter(|level| matches!(level.value, ValueRule::Text { .. })).count();
        let text_room = room
            .checked_sub(levels.iter().map(fixed).sum())
            .filter(|left| *left >= texts * HIVE_NULL.len())
            .ok_or(LevelError::TooLong { room })?;
        let all = 0..schema.fields().len();
        let kept: Vec<usize> = all.filter(|index| !levels::leaves_files(&levels, columns, *index)).collect();
        let kept = (kept.len() < schema.fields().len()).then_some(kept);
        Ok(Self { levels, kept, text_room })
    }

    /// Whether there are rows that [`Partitioner::judge`] refuses.
    pub fn judges(&self) -> bool {
        self.levels.iter().any(|level| level.value != ValueRule::Any)
    }

    /// Whether folders can be named by the row, so that [`Partitioner::split`] takes
    /// it. What is wrong never holds a value.
    pub fn judge(&self, row: &Row<'_>) -> Result<(), Reject> {
        let mut text_bytes = 0;
        for level in &self.levels {
            match (&level.value, row.value(level.index)) {
                (ValueRule::Time { first, last }, Value::Number(value))
                    if !(first..=last).contains(&&value) =>
                {
                    return Err(
                        level.reject("no folder is named by a year that is not of 0001 to 9999".into())
                    );
                }
                (ValueRule::Text { exact }, value) => {
                    let text = if let Value::Text(text) = value { Some(text) } else { None };
                    if *exact && text.is_some_and(levels::reads_as_null) {
                        let error = "as a folder's name the text would be read as null; \
                                     sink.partition_columns: file keeps it in the files";
                        return Err(level.reject(error.into()));
                    }
                    let bytes = match text.unwrap_or_default() {
                        [] => level.null.len(),
                        text => levels::escaped_bytes(text),
                    };
                    if bytes > levels::value_room(level) {
                        return Err(level.too_long(bytes + level.key.len() + 1, NAME_MAX_BYTES));
                    }
                    text_bytes += bytes;
                }
                _ => {}
            }
        }
        let text = |level: &&Level| matches!(level.value, ValueRule::Text { .. });
        match self.levels.iter().rfind(text).filter(|_| text_bytes > self.text_room) {
            Some(level) => Err(level.too_long(text_bytes, self.text_room)),
            None => Ok(()),
        }
    }

    /// Splits a batch whose rows came from `runs`, in order. Folders come in the order of their first rows.
    pub(super) fn split(&self, batch: RecordBatch, runs: &Runs) -> Result<Vec<Part>, PartitionError> {
        let mut folders = match self.folders(&batch)? {
            Some(folders) => folders,
            None => Folders { codes: Vec::new(), names: vec![String::new()] },
        };
        let batch = match &self.kept {
            Some(kept) => batch
                .project(kept)
                .map_err(|source| PartitionError::Read { column: "of the files".into(), source })?,
            None => batch,
        };
        if folders.names.len() == 1 {
            let rows = count(runs, 0..batch.num_rows() as u32);
            let folder = folders.names.swap_remove(0);
            return Ok(vec![Part { folder, batch, rows }]);
        }
        let mut indices = vec![Vec::new(); folders.names.len()];
        for (row, code) in (0_u32..).zip(folders.codes) {
            indices[code as usize].push(row);
        }
        let parts = folders.names.into_iter().zip(indices).map(|(folder, indices)| {
            let rows = count(runs, indices.iter().copied());
            let batch = take_record_batch(&batch, &UInt32Array::from(indices))
                .map_err(|source| PartitionError::Read { column: folder.clone(), source })?;
            Ok(Part { folder, batch, rows })
        });
        parts.collect()
    }

    fn folders(&self, batch: &RecordBatch) -> Result<Option<Folders>, PartitionError> {
        let mut all: Option<Folders> = None;
        for level in &self.levels {
            let own = level.folders(batch.column(level.index))?;
            all = Some(match all {
                None => own,
                Some(upper) => {
                    let pairs = upper.codes.into_iter().zip(own.codes);
                    group(pairs, |(upper_code, code)| {
                        format!("{}/{}", upper.names[upper_code as usize], own.names[code as usize])
                    })
                }
            });
        }
        Ok(all)
    }
}

impl Level {
    fn reject(&self, error: String) -> Reject {
        Reject { column: Some(self.column.clone()), error }
    }

    fn too_long(&self, bytes: usize, most: usize) -> Reject {
        self.reject(format!(
            "makes a folder's name of {bytes} bytes, of which stores take {most} here; bucket(16, {}) in \
             sink.partition_by makes short ones",
            self.column
        ))
    }

    fn folders(&self, column: &ArrayRef) -> Result<Folders, PartitionError> {
        let folders = match self.transform {
            Transform::Identity => self.identity(column),
            Transform::Bucket(buckets) => self.buckets(column, buckets),
            transform => self.times(column, transform),
        };
        folders.map_err(|source| PartitionError::Read { column: self.column.clone(), source })
    }

    fn name(&self, value: Option<&str>) -> String {
        // A folder of Hive's word is null to every reader, and more than pandas can read.
        let value = value.filter(|value| !value.is_empty() && *value != HIVE_NULL);
        format!("{}={}", self.key, value.map_or_else(|| self.null.to_owned(), levels::escape))
    }

    fn identity(&self, column: &ArrayRef) -> Result<Folders, ArrowError> {
        let column = match column.data_type() {
            // The value in UTC, without a zone's name, whatever the zone.
            DataType::Timestamp(unit, Some(_)) => {
                cast(&cast(column, &DataType::Int64)?, &DataType::Timestamp(*unit, None))?
            }
            _ => column.clone(),
        };
        let text = cast(&column, &DataType::Utf8)?;
        Ok(group(text.as_string::<i32>().iter(), |value| self.name(value)))
    }

    fn times(&self, column: &ArrayRef, transform: Transform) -> Result<Folders, ArrowError> {
        let seconds = if transform == Transform::Hour { 3_600 } else { 86_400 };
        // A date counts days already.
        let ticks = ticks_per_second(column.data_type()).map_or(1, |ticks| ticks * seconds);
        let values = integers(column)?;
        let periods =
            values.as_primitive::<Int64Type>().iter().map(|value| value.map(|value| value.div_euclid(ticks)));
        let months = matches!(transform, Transform::Year | Transform::Month);
        let folders =
            group(periods, |period| self.name(period.map(|period| time(period, transform)).as_deref()));
        // Days of the same month are one folder.
        Ok(if months { merge(folders) } else { folders })
    }

    fn buckets(&self, column: &ArrayRef, buckets: u32) -> Result<Folders, ArrowError> {
        let name = |bucket: Option<u32>| self.name(bucket.map(|bucket| bucket.to_string()).as_deref());
        Ok(match column.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
                let text = cast(column, &DataType::Utf8)?;
                let text = text.as_string::<i32>().iter();
                group(text.map(|value| value.map(|value| bucket::of_bytes(buckets, value.as_bytes()))), name)
            }
            DataType::Binary | DataType::LargeBinary => {
                let bytes = cast(column, &DataType::Binary)?;
                let bytes = bytes.as_binary::<i32>().iter();
                group(bytes.map(|value| value.map(|value| bucket::of_bytes(buckets, value))), name)
            }
            DataType::Decimal128(..) => {
                let values = column.as_primitive::<Decimal128Type>().iter();
                group(values.map(|value| value.map(|value| bucket::of_decimal(buckets, value))), name)
            }
            data_type => {
                let per_second = ticks_per_second(data_type).unwrap_or(1_000_000);
                let values = integers(column)?;
                let micros = |value: i64| match per_second {
                    1_000_000_000 => value.div_euclid(1_000),
                    _ => value.wrapping_mul(1_000_000 / per_second),
                };
                let values = values.as_primitive::<Int64Type>().iter();
                group(values.map(|value| value.map(|value| bucket::of_integer(buckets, micros(value)))), name)
            }
        })
    }
}

/// Numbers equal keys alike, in the order of their first rows.
fn group<K: Eq + Hash + Copy>(keys: impl Iterator<Item = K>, mut name: impl FnMut(K) -> String) -> Folders {
    let mut known: HashMap<K, u32> = HashMap::new();
    let mut folders = Folders { codes: Vec::with_capacity(keys.size_hint().0), names: Vec::new() };
    let mut last: Option<(K, u32)> = None;
    for key in keys {
        // Neighbours are mostly alike: the same hour, the same country.
        let code = match last {
            Some((last, code)) if last == key => code,
            _ => *known.entry(key).or_insert_with(|| {
                folders.names.push(name(key));
                folders.names.len() as u32 - 1
            }),
        };
        last = Some((key, code));
        folders.codes.push(code);
    }
    folders
}

/// Makes folders of the same name one.
fn merge(folders: Folders) -> Folders {
    let names = folders.names;
    group(folders.codes.into_iter().map(|code| names[code as usize].as_str()), str::to_owned)
}

/// How many of the rows came from each partition. `indices` ascend.
pub(super) fn count(runs: &Runs, indices: impl Iterator<Item = u32>) -> BTreeMap<TopicPartition, u64> {
    let mut indices = indices.peekable();
    let mut rows = BTreeMap::new();
    let mut end = 0_usize;
    for (partition, length) in runs {
        end += length;
        let mut own = 0;
        while indices.next_if(|index| (*index as usize) < end).is_some() {
            own += 1;
        }
        if own > 0 {
            *rows.entry(partition.clone()).or_default() += own;
        }
    }
    rows
}

/// The numbers behind a value of any integer-like type.
fn integers(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Date32 | DataType::Time32(_) => cast(&cast(column, &DataType::Int32)?, &DataType::Int64),
        _ => cast(column, &DataType::Int64),
    }
}

/// `None` for what has no unit of time, and for dates.
fn ticks_per_second(data_type: &DataType) -> Option<i64> {
    match data_type {
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            Some(levels::ticks_per_second(*unit))
        }
        _ => None,
    }
}

/// `2026`, `2026-01`, `2026-01-31`, `2026-01-31-05`, out of days (or hours) since 1970.
fn time(period: i64, transform: Transform) -> String {
    let (days, hour) = match transform {
        Transform::Hour => (period.div_euclid(24), Some(period.rem_euclid(24))),
        _ => (period, None),
    };
    let (year, month, day) = civil(days);
    let mut text = format!("{year:04}");
    if transform != Transform::Year {
        let _ = write!(text, "-{month:02}");
    }
    if matches!(transform, Transform::Day | Transform::Hour) {
        let _ = write!(text, "-{day:02}");
    }
    if let Some(hour) = hour {
        let _ = write!(text, "-{hour:02}");
    }
    text
}

/// Year, month and day of a day since 1970, in the proleptic Gregorian calendar;
/// years begin in March inside, so that the leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
