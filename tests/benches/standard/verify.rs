//! A reader of the output that knows nothing of who wrote it.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::workload::Totals;

/// The start of 2026, in milliseconds since 1970.
const EPOCH: i64 = 1_767_225_600_000;

/// What a reader finds in a table.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Found {
    pub(crate) totals: Totals,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Reads every file of a table's folder.
pub(crate) fn read(folder: &Path) -> Result<Found> {
    let mut found = Found { totals: Totals::default(), files: 0, bytes: 0 };
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path: PathBuf = entry?.path();
        let file = File::open(&path)?;
        found.files += 1;
        found.bytes += file.metadata()?.len();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|builder| builder.with_batch_size(8_192).build())
            .with_context(|| format!("reading {}", path.display()))?;
        for batch in reader {
            add(&mut found.totals, &batch?).with_context(|| format!("reading {}", path.display()))?;
        }
    }
    Ok(found)
}

fn add(totals: &mut Totals, batch: &RecordBatch) -> Result<()> {
    let column = |name: &str| batch.column_by_name(name).with_context(|| format!("no column {name}"));
    let sum = |values: &mut dyn Iterator<Item = Option<i64>>| {
        values.map(|value| value.and_then(|value| u64::try_from(value).ok())).sum::<Option<u64>>()
    };
    let complete = |total: Option<u64>| total.context("a value is null or negative that never is");
    totals.rows += batch.num_rows() as u64;
    for id in column("event_id")?.as_string::<i32>().iter().flatten() {
        totals.add_event_id(id);
    }
    let users = column("user_id")?.as_primitive::<Int64Type>();
    totals.user_ids += complete(sum(&mut users.iter()))?;
    let times = column("ts")?.as_primitive::<TimestampMillisecondType>();
    totals.milliseconds += complete(sum(&mut times.iter().map(|time| Some(time? - EPOCH))))?;
    let quantities = column("quantity")?.as_primitive::<Int32Type>();
    totals.quantity += complete(sum(&mut quantities.iter().map(|value| value.map(i64::from))))?;
    let amounts = column("amount")?.as_primitive::<Decimal128Type>();
    let cents = &mut amounts.iter().map(|value| value.and_then(|value| i64::try_from(value).ok()));
    totals.cents += complete(sum(cents))?;
    let buckets = column("properties")?.as_struct().column_by_name("ab_bucket").context("no ab_bucket")?;
    let buckets = buckets.as_primitive::<Int32Type>();
    totals.ab_buckets += complete(sum(&mut buckets.iter().map(|value| value.map(i64::from))))?;
    let tags = column("tags")?.as_list::<i32>();
    totals.tags += tags.iter().flatten().map(|tags| tags.len() as u64).sum::<u64>();
    totals.null_referrers += column("referrer")?.null_count() as u64;
    Ok(())
}
