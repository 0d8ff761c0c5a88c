//! Which records a Parquet file holds.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Partition and offset of each row, of a table's file or of a rejects file.
pub(super) fn records(bytes: &Bytes) -> anyhow::Result<Vec<(i32, i64)>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?.build()?;
    let mut records = Vec::new();
    for batch in reader {
        let batch = batch?;
        let partitions = column(&batch, "partition")?.as_primitive::<Int32Type>();
        let offsets = column(&batch, "offset")?.as_primitive::<Int64Type>();
        records.extend(partitions.values().iter().copied().zip(offsets.values().iter().copied()));
    }
    Ok(records)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> anyhow::Result<&'a arrow::array::ArrayRef> {
    let found = batch.column_by_name(&format!("_{name}")).or_else(|| batch.column_by_name(name));
    found.ok_or_else(|| anyhow::anyhow!("there is no column {name}"))
}
