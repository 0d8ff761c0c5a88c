//! Readers of the output that know nothing of who wrote it: one with the Parquet
//! library that the product has too, and one with DuckDB, in Python.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};

use super::workload::{Kind, Totals};

/// The start of 2026, in milliseconds since 1970.
const EPOCH: i64 = 1_767_225_600_000;

/// What a reader finds in a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) totals: Totals,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// All files below a folder that readers see.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry?;
            let hidden = entry.file_name().to_string_lossy().starts_with(['.', '_']);
            match entry.file_type()?.is_dir() {
                _ if hidden => {}
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    Ok(found)
}

/// Reads every file of a table's folder.
pub(crate) fn read(folder: &Path, kind: Kind) -> Result<Found> {
    let mut found = Found { totals: Totals::default(), files: 0, bytes: 0 };
    for path in files(folder)? {
        let context = || format!("reading {}", path.display());
        let file = File::open(&path)?;
        found.files += 1;
        found.bytes += file.metadata()?.len();
        for batch in batches(file).with_context(context)? {
            match kind {
                Kind::Event => add_events(&mut found.totals, &batch?).with_context(context)?,
                _ => add_numbers(&mut found.totals, &batch?).with_context(context)?,
            }
        }
    }
    Ok(found)
}

/// The batches of a file.
pub(crate) fn batches(file: File) -> Result<parquet::arrow::arrow_reader::ParquetRecordBatchReader> {
    Ok(ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(8_192).build()?)
}

fn sum(values: impl Iterator<Item = Option<i64>>) -> Result<u64> {
    let total = values.map(|value| value.and_then(|value| u64::try_from(value).ok())).sum::<Option<u64>>();
    total.context("a value is null or negative that never is")
}

fn add_numbers(totals: &mut Totals, batch: &RecordBatch) -> Result<()> {
    let ids = batch.column_by_name("id").context("no column id")?.as_primitive::<Int64Type>();
    totals.rows += batch.num_rows() as u64;
    totals.user_ids += sum(ids.iter())?;
    Ok(())
}

fn add_events(totals: &mut Totals, batch: &RecordBatch) -> Result<()> {
    let column = |name: &str| batch.column_by_name(name).with_context(|| format!("no column {name}"));
    totals.rows += batch.num_rows() as u64;
    for id in column("event_id")?.as_string::<i32>().iter().flatten() {
        totals.add_event_id(id);
    }
    totals.user_ids += sum(column("user_id")?.as_primitive::<Int64Type>().iter())?;
    let times = column("ts")?.as_primitive::<TimestampMillisecondType>();
    totals.milliseconds += sum(times.iter().map(|time| Some(time? - EPOCH)))?;
    let quantities = column("quantity")?.as_primitive::<Int32Type>();
    totals.quantity += sum(quantities.iter().map(|value| value.map(i64::from)))?;
    let amounts = column("amount")?.as_primitive::<Decimal128Type>();
    totals.cents += sum(amounts.iter().map(|value| value.and_then(|value| i64::try_from(value).ok())))?;
    let buckets = column("properties")?.as_struct().column_by_name("ab_bucket").context("no ab_bucket")?;
    let buckets = buckets.as_primitive::<Int32Type>();
    totals.ab_buckets += sum(buckets.iter().map(|value| value.map(i64::from)))?;
    let tags = column("tags")?.as_list::<i32>();
    totals.tags += tags.iter().flatten().map(|tags| tags.len() as u64).sum::<u64>();
    totals.null_referrers += column("referrer")?.null_count() as u64;
    Ok(())
}

/// What DuckDB finds; it counts distinct ids where the other reader adds up their hashes.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Independent {
    pub(crate) totals: Sums,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Sums {
    rows: u64,
    distinct_ids: u64,
    user_ids: u64,
    milliseconds: u64,
    quantity: u64,
    ab_buckets: u64,
    tags: u64,
    cents: u64,
    null_referrers: u64,
}

impl From<&Totals> for Sums {
    fn from(totals: &Totals) -> Self {
        let Totals {
            rows, user_ids, milliseconds, quantity, ab_buckets, tags, cents, null_referrers, ..
        } = *totals;
        let distinct_ids = rows;
        Self { rows, distinct_ids, user_ids, milliseconds, quantity, ab_buckets, tags, cents, null_referrers }
    }
}
