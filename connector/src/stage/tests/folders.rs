//! The folders of a batch, by each transform and type.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampSecondArray,
};
use tidegate_sinks::TopicPartition;

use crate::config::{PartitionField, Transform};
use crate::stage::partition::{PartitionError, Partitioner};

fn batch() -> RecordBatch {
    let micros = [Some(1_510_871_468_000_000), None, Some(-1)];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("UTC"))),
        ("s", Arc::new(TimestampSecondArray::from_iter([Some(951_782_400), None, Some(-62_135_596_801)]))),
        ("date", Arc::new(Date32Array::from_iter([Some(17_486), None, Some(-1)]))),
        ("n", Arc::new(Int32Array::from_iter([Some(34), None, Some(-7)]))),
        ("text", Arc::new(StringArray::from_iter([Some("iceberg"), None, Some("100% é")]))),
        ("yes", Arc::new(BooleanArray::from_iter([Some(true), None, Some(false)]))),
        (
            "price",
            Arc::new(
                Decimal128Array::from_iter([Some(1_420), None, Some(-5)])
                    .with_precision_and_scale(9, 2)
                    .unwrap(),
            ),
        ),
        ("score", Arc::new(Float64Array::from_iter([Some(1.0), None, Some(2.0)]))),
        ("hour", Arc::new(Int32Array::from_iter([Some(1), None, Some(2)]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn by(transform: Transform, column: &str) -> PartitionField {
    PartitionField { transform, column: column.into() }
}

/// The folders of the three rows; the second row's is that of null everywhere.
fn folders(fields: &[PartitionField]) -> Vec<String> {
    let batch = batch();
    let partitioner = Partitioner::new(fields, &batch.schema()).unwrap();
    let runs = vec![(TopicPartition::new("t", 0), 3)];
    partitioner.split(batch, &runs).unwrap().into_iter().map(|part| part.folder).collect()
}

fn refused(fields: &[PartitionField]) -> PartitionError {
    Partitioner::new(fields, &batch().schema()).unwrap_err()
}

#[test]
fn each_transform_has_its_folders() {
    const NULL: &str = "__HIVE_DEFAULT_PARTITION__";
    let cases = [
        (by(Transform::Year, "ts"), "year", "2017", "1969"),
        (by(Transform::Month, "date"), "month", "2017-11", "1969-12"),
        (by(Transform::Day, "s"), "day", "2000-02-29", "0000-12-31"),
        (by(Transform::Hour, "ts"), "ts_hour", "2017-11-16-22", "1969-12-31-23"),
        (by(Transform::Identity, "ts"), "ts", "2017-11-16T22%3A31%3A08", "1969-12-31T23%3A59%3A59.999999"),
        (by(Transform::Identity, "date"), "date", "2017-11-16", "1969-12-31"),
        (by(Transform::Identity, "n"), "n", "34", "-7"),
        (by(Transform::Identity, "text"), "text", "iceberg", "100%25 é"),
        (by(Transform::Identity, "yes"), "yes", "true", "false"),
        (by(Transform::Identity, "price"), "price", "14.20", "-0.05"),
        // By the hashes that Iceberg publishes, modulo 1000; -7, -1 and -0.05 by the same code.
        (by(Transform::Bucket(1_000), "n"), "bucket", "379", "*"),
        (by(Transform::Bucket(1_000), "date"), "bucket", "226", "*"),
        (by(Transform::Bucket(1_000), "ts"), "bucket", "207", "*"),
        (by(Transform::Bucket(1_000), "text"), "bucket", "89", "*"),
        (by(Transform::Bucket(1_000), "price"), "bucket", "59", "*"),
    ];
    for (field, key, first, third) in cases {
        let found = folders(std::slice::from_ref(&field));
        assert_eq!(found[..2], [format!("{key}={first}"), format!("{key}={NULL}")], "{field:?}");
        assert!(third == "*" || found[2] == format!("{key}={third}"), "{field:?}: {}", found[2]);
    }
}

#[test]
fn folder_names_are_unique() {
    let days = [by(Transform::Day, "ts"), by(Transform::Day, "date")];
    assert_eq!(folders(&days)[0], "ts_day=2017-11-16/date_day=2017-11-16");
    let same = [by(Transform::Bucket(2), "n"), by(Transform::Bucket(3), "n")];
    assert!(matches!(refused(&same), PartitionError::SameName(name) if name == "n_bucket"));
}

#[test]
fn what_does_not_apply_is_refused() {
    assert!(matches!(refused(&[by(Transform::Day, "gone")]), PartitionError::UnknownColumn(_)));
    let wrong = [
        by(Transform::Day, "text"),
        by(Transform::Hour, "date"),
        by(Transform::Identity, "score"),
        by(Transform::Bucket(4), "score"),
        by(Transform::Bucket(0), "n"),
    ];
    for field in wrong {
        assert!(matches!(refused(std::slice::from_ref(&field)), PartitionError::Type { .. }), "{field:?}");
    }
}

#[test]
fn a_value_too_long_for_a_folder_is_an_error_without_the_value() {
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(["x".repeat(300)]));
    let batch = RecordBatch::try_from_iter([("text", text)]).unwrap();
    let partitioner = Partitioner::new(&[by(Transform::Identity, "text")], &batch.schema()).unwrap();
    let error = partitioner.split(batch, &vec![(TopicPartition::new("t", 0), 1)]).unwrap_err();
    assert!(matches!(error, PartitionError::TooLong { .. }) && !error.to_string().contains("xxx"));
}
