//! Which columns a Parquet dictionary does not pay for, told by a table's first rows.
//!
//! The encoder gives a dictionary up that outgrows its page, but looks each value up in
//! it until then, anew in each row group; so a nearly unique column costs its hashes
//! for nothing. How many different values there are follows from how many come again in
//! a sample: of `n` values out of `d` equally likely ones that is about `n² / 2d`.

use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use parquet::arrow::ArrowSchemaConverter;
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnPath;

/// Values of a column that are looked at. Where a dictionary of 8-byte values just
/// fits, 16 of them come again.
const SAMPLE: usize = 2_048;
/// Fewer values say nothing.
pub(super) const MIN_SAMPLE: usize = 512;
/// Where the encoder gives a dictionary up, by its default.
const DICTIONARY_BYTES: usize = 1 << 20;

/// The columns of `batch`, nested ones too, whose dictionary would be given up.
pub(super) fn outgrown(batch: &RecordBatch) -> Result<Vec<ColumnPath>, ParquetError> {
    let schema = ArrowSchemaConverter::new().convert(&batch.schema())?;
    let mut leaves = Vec::new();
    batch.columns().iter().for_each(|column| collect(column, &mut leaves));
    debug_assert_eq!(leaves.len(), schema.num_columns(), "each leaf is a column of Parquet's");
    let columns = leaves.iter().enumerate().filter(|(_, leaf)| outgrows(leaf));
    Ok(columns.map(|(index, _)| schema.column(index).path().clone()).collect())
}

/// The arrays that become columns, in Parquet's order.
fn collect(array: &ArrayRef, leaves: &mut Vec<ArrayRef>) {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|member| collect(member, leaves)),
        DataType::List(_) => collect(array.as_list::<i32>().values(), leaves),
        DataType::Map(..) => {
            collect(array.as_map().keys(), leaves);
            collect(array.as_map().values(), leaves);
        }
        _ => leaves.push(array.clone()),
    }
}

fn outgrows(array: &ArrayRef) -> bool {
    let (mut hashes, mut bytes) = (Vec::with_capacity(SAMPLE), 0);
    let mut add = |value: &[u8]| {
        // Without a seed, so that the same rows make the same file.
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hashes.push(hasher.finish());
        bytes += value.len();
    };
    let rows = (0..array.len()).filter(|&row| array.is_valid(row)).take(SAMPLE);
    match array.data_type() {
        DataType::Utf8 => rows.for_each(|row| add(array.as_string::<i32>().value(row).as_bytes())),
        DataType::Binary => rows.for_each(|row| add(array.as_binary::<i32>().value(row))),
        kind => {
            let Some(width) = kind.primitive_width() else { return false };
            let data = array.to_data();
            let values = &data.buffers()[0].as_slice()[data.offset() * width..];
            rows.for_each(|row| add(&values[row * width..][..width]));
        }
    }
    let values = hashes.len();
    if values < MIN_SAMPLE {
        return false;
    }
    hashes.sort_unstable();
    hashes.dedup();
    let again = values - hashes.len();
    let different = (values * values / 2).checked_div(again).unwrap_or(usize::MAX);
    different.saturating_mul(bytes / values) > DICTIONARY_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    /// Spreads numbers evenly, so that those below a bound are as good as drawn.
    fn mix(number: u64) -> u64 {
        let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 8
    }

    fn numbers(rows: u64, below: u64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows).map(|row| (mix(row + 1) % below) as i64)))
    }

    fn paths(columns: Vec<(&str, ArrayRef)>) -> Vec<String> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        outgrown(&batch).unwrap().iter().map(ColumnPath::string).collect()
    }

    #[test]
    fn a_column_of_many_values_does_without_a_dictionary() {
        let text = |below| -> ArrayRef {
            let texts = (0..8_192).map(|row| format!("{:036}", mix(row + 1) % below));
            Arc::new(StringArray::from_iter_values(texts))
        };
        let columns = vec![
            ("few", numbers(8_192, 100)),
            // 400 KB, which fits into a page.
            ("some", numbers(8_192, 50_000)),
            ("many", numbers(8_192, 2_000_000)),
            ("unique", numbers(8_192, u64::MAX)),
            ("few_texts", text(1_000)),
            ("many_texts", text(100_000)),
        ];
        assert_eq!(paths(columns), ["many", "unique", "many_texts"]);
    }

    #[test]
    fn nested_columns_are_named_as_parquet_names_them() {
        let field = Arc::new(Field::new("id", DataType::Int64, true));
        let member = StructArray::from(vec![(field, numbers(1_000, u64::MAX))]);
        let rows = (0..1_000).map(|row| Some(vec![Some(mix(row + 1) as i64), None]));
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(rows);
        let columns: Vec<(&str, ArrayRef)> =
            vec![("s", Arc::new(member)), ("l", Arc::new(list)), ("n", numbers(1_000, u64::MAX))];
        assert_eq!(paths(columns), ["s.id", "l.list.item", "n"]);
    }

    #[test]
    fn a_few_rows_or_nulls_say_nothing() {
        assert!(paths(vec![("n", numbers(MIN_SAMPLE as u64 - 1, u64::MAX))]).is_empty());
        let nulls = Int64Array::from_iter((0..8_192_i64).map(|row| (row % 100 == 0).then_some(row)));
        assert!(paths(vec![("n", Arc::new(nulls))]).is_empty());
    }
}
