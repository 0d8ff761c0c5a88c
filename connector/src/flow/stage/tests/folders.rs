//! The folders of a batch, by each transform and type.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampSecondArray,
};
use tidegate_sinks::TopicPartition;

use crate::columns::levels::LevelError;
use crate::config::{PartitionColumns, PartitionField, Transform};
use crate::flow::stage::partition::{PartitionError, Partitioner};

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
        ("Hour", Arc::new(Int32Array::from_iter([Some(1), None, Some(2)]))),
        ("_partition", Arc::new(Int32Array::from_iter([Some(3), None, Some(4)]))),
        ("a/b", Arc::new(Int32Array::from_iter([Some(1), None, Some(2)]))),
        ("plz", Arc::new(Int32Array::from_iter([Some(1), None, Some(2)]))),
        ("PLZ_part", Arc::new(Int32Array::from_iter([Some(1), None, Some(2)]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn by(transform: Transform, column: &str) -> PartitionField {
    PartitionField { transform, column: column.into() }
}

const ROOM: usize = 900;

/// The folders of the three rows; the second row's is that of null everywhere.
fn folders_with(columns: PartitionColumns, fields: &[PartitionField]) -> Vec<String> {
    let batch = batch();
    let partitioner = Partitioner::new(fields, columns, &batch.schema(), ROOM).unwrap();
    let runs = vec![(TopicPartition::new("t", 0), 3)];
    partitioner.split(batch, &runs).unwrap().into_iter().map(|part| part.folder).collect()
}

fn folders(fields: &[PartitionField]) -> Vec<String> {
    folders_with(PartitionColumns::File, fields)
}

fn refused(columns: PartitionColumns, fields: &[PartitionField]) -> LevelError {
    match Partitioner::new(fields, columns, &batch().schema(), ROOM).unwrap_err() {
        PartitionError::Level(error) => error,
        error => panic!("{error}"),
    }
}

#[test]
fn each_transform_has_its_folders() {
    let cases = [
        (by(Transform::Year, "ts"), "year", "2017", "1969"),
        (by(Transform::Month, "date"), "month", "2017-11", "1969-12"),
        (by(Transform::Day, "s"), "day", "2000-02-29", "0000-12-31"),
        (by(Transform::Hour, "ts"), "ts_hour", "2017-11-16-22", "1969-12-31-23"),
        (
            by(Transform::Identity, "ts"),
            "ts_part",
            "2017-11-16T22%3A31%3A08",
            "1969-12-31T23%3A59%3A59.999999",
        ),
        (by(Transform::Identity, "date"), "date_part", "2017-11-16", "1969-12-31"),
        (by(Transform::Identity, "n"), "n_part", "34", "-7"),
        (by(Transform::Identity, "text"), "text_part", "iceberg", "100%25 é"),
        (by(Transform::Identity, "yes"), "yes_part", "true", "false"),
        (by(Transform::Identity, "price"), "price_part", "14.20", "-0.05"),
        // By the hashes that Iceberg publishes, modulo 1000; -7, -1 and -0.05 by the same code.
        (by(Transform::Bucket(1_000), "n"), "bucket", "379", "*"),
        (by(Transform::Bucket(1_000), "date"), "bucket", "226", "*"),
        (by(Transform::Bucket(1_000), "ts"), "bucket", "207", "*"),
        (by(Transform::Bucket(1_000), "text"), "bucket", "89", "*"),
        (by(Transform::Bucket(1_000), "price"), "bucket", "59", "*"),
    ];
    for (field, key, first, third) in cases {
        let found = folders(std::slice::from_ref(&field));
        assert_eq!(found[..2], [format!("{key}={first}"), format!("{key}=null")], "{field:?}");
        assert!(third == "*" || found[2] == format!("{key}={third}"), "{field:?}: {}", found[2]);
    }
}

#[test]
fn folder_names_are_unique() {
    let days = [by(Transform::Day, "ts"), by(Transform::Day, "date")];
    assert_eq!(folders(&days)[0], "ts_day=2017-11-16/date_day=2017-11-16");
    let same = [by(Transform::Bucket(2), "n"), by(Transform::Bucket(3), "n")];
    for columns in PartitionColumns::ALL {
        assert_eq!(refused(columns, &same), LevelError::SameName("n_bucket".into()));
    }
    // Most readers know no case: `Hour` would be read as the level, too.
    assert_eq!(folders(&[by(Transform::Hour, "ts")])[0], "ts_hour=2017-11-16-22");
    let taken = refused(PartitionColumns::File, &[by(Transform::Identity, "plz")]);
    assert_eq!(taken, LevelError::SameName("plz_part".into()));
}

#[test]
fn what_does_not_apply_is_refused() {
    for columns in PartitionColumns::ALL {
        let unknown = refused(columns, &[by(Transform::Day, "gone")]);
        assert_eq!(unknown, LevelError::UnknownColumn("gone".into()));
        let wrong = [
            by(Transform::Day, "text"),
            by(Transform::Hour, "date"),
            by(Transform::Identity, "score"),
            by(Transform::Bucket(4), "score"),
            by(Transform::Bucket(0), "n"),
        ];
        for field in wrong {
            let refused = refused(columns, std::slice::from_ref(&field));
            assert!(matches!(refused, LevelError::Type { .. }), "{field:?}");
        }
    }
}

#[test]
fn a_level_is_called_so_that_readers_see_it_and_take_it_for_no_column() {
    use PartitionColumns::{Both, File, Folder};
    let hidden = [by(Transform::Identity, "_partition")];
    assert_eq!(folders_with(File, &hidden)[0], "partition_part=3");
    assert!(matches!(refused(Folder, &hidden), LevelError::Name { .. }));
    // As chains of before have it.
    assert_eq!(folders_with(Both, &hidden)[0], "_partition=3");
    let text = [by(Transform::Identity, "text")];
    assert_eq!(folders_with(Folder, &text)[0], "text=iceberg");
    assert_eq!(folders_with(Both, &text)[0], "text=iceberg");
    let word: ArrayRef = Arc::new(StringArray::from_iter_values(["__HIVE_DEFAULT_PARTITION__"]));
    let word = RecordBatch::try_from_iter([("text", word)]).unwrap();
    let partitioner = Partitioner::new(&text, File, &word.schema(), ROOM).unwrap();
    let parts = partitioner.split(word, &vec![(TopicPartition::new("t", 0), 1)]).unwrap();
    assert_eq!(parts[0].folder, "text_part=null", "pandas reads no folder of Hive's word");
    for columns in [Folder, Both] {
        assert_eq!(folders_with(columns, &text)[1], "text=__HIVE_DEFAULT_PARTITION__");
    }
    let slash = [by(Transform::Identity, "a/b")];
    assert_eq!(folders_with(File, &slash)[0], "a_b_part=1");
    assert_eq!(folders_with(Both, &slash)[0], "a%2Fb=1");
    assert!(matches!(refused(Folder, &slash), LevelError::Name { .. }));
}

#[test]
fn what_a_folder_alone_tells_is_not_in_the_files() {
    let (batch, runs) = (batch(), vec![(TopicPartition::new("t", 0), 3)]);
    let fields = [by(Transform::Identity, "text"), by(Transform::Day, "ts")];
    for columns in PartitionColumns::ALL {
        let partitioner = Partitioner::new(&fields, columns, &batch.schema(), ROOM).unwrap();
        for part in partitioner.split(batch.clone(), &runs).unwrap() {
            let is_there = part.batch.column_by_name("text").is_some();
            assert_eq!(is_there, columns != PartitionColumns::Folder, "{columns:?}");
            assert!(part.batch.column_by_name("ts").is_some(), "{columns:?}");
        }
    }
    let alone = batch.project(&[4]).unwrap();
    let error = Partitioner::new(&fields[..1], PartitionColumns::Folder, &alone.schema(), ROOM).unwrap_err();
    assert!(matches!(error, PartitionError::Level(LevelError::NothingLeft)));
}

#[test]
fn levels_that_no_path_has_room_for_are_refused_before_any_row() {
    let fields = [by(Transform::Identity, "text"), by(Transform::Identity, "price")];
    let schema = batch().schema();
    let with = |room| Partitioner::new(&fields, PartitionColumns::File, &schema, room);
    assert!(with(200).is_ok());
    assert!(matches!(with(60).unwrap_err(), PartitionError::Level(LevelError::TooLong { room: 60 })));
}
