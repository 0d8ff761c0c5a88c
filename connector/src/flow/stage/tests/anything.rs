//! Whatever records hold, of whatever types, cut by whatever levels: each is a row
//! or a reject, and no path comes out that a store does not take.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use tidegate_sinks::{FileKind, TopicPartition};

use super::support::{Uploads, attempt, block_on, delta, read, settings};
use crate::columns::levels::HIVE_NULL;
use crate::config::{Column, Format, Metadata, PartitionColumns, PartitionField, Transform};
use crate::flow::decode;
use crate::flow::event::Fetch;
use crate::flow::stage::{BoxError, PartitionError, Partitioner, StageSettings, Stager};

/// Every type of the grammar that is not nested, and one of each that is.
const TYPES: [&str; 31] = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float",
    "double",
    "string",
    "binary",
    "date",
    "time(s)",
    "time(ms)",
    "time(us)",
    "time(ns)",
    "timestamp(s)",
    "timestamp(ms)",
    "timestamp(us)",
    "timestamp(ns)",
    "timestamp(s, UTC)",
    "timestamp(ms, UTC)",
    "timestamp(us, America/New_York)",
    "timestamp(ns, +02:00)",
    "decimal(38,18)",
    "json",
    "struct<a: int32>",
    "list<string>",
    "map<string, int32>",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "",
            "null",
            "NULL",
            HIVE_NULL,
            "..",
            ".x",
            "_x",
            "/",
            "a/b",
            "a=b",
            "%2F",
            "007",
            " ",
            "\u{0}",
            "\u{7f}",
            "2026-01-31",
            "2026-01-31T00:00:00Z",
            "0001-01-01",
            "9999-12-31T23:59:59.999999999Z",
            "AAAA",
        ])
        .prop_map(str::to_owned),
        // As long as a name may be, give or take; each sign is three in a name.
        (60..300_usize, prop::sample::select(vec!["x", "/", "ü"]))
            .prop_map(|(count, sign)| sign.repeat(count)),
    ]
}

/// A JSON value that many types take.
fn value() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-400_i64..400).prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text().prop_map(Into::into),
        text().prop_map(|text| serde_json::json!({ "a": 1, (text): 2 })),
        text().prop_map(|text| serde_json::json!([text])),
    ]
}

fn transform() -> impl Strategy<Value = Transform> {
    prop_oneof![
        4 => Just(Transform::Identity),
        1 => prop::sample::select(vec![Transform::Year, Transform::Month, Transform::Day, Transform::Hour]),
        1 => (1..9_u32).prop_map(Transform::Bucket),
    ]
}

fn columns() -> Vec<Column> {
    let column = |(at, type_name): (usize, &&str)| Column::new(format!("c{at}"), *type_name);
    TYPES.iter().enumerate().map(column).collect()
}

/// What a reader gets back of an escaped name.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_record_is_more_than_a_reject(
        levels in prop::collection::vec((transform(), 0..TYPES.len() + 3), 1..5),
        partition_columns in prop::sample::select(PartitionColumns::ALL.to_vec()),
        path_bytes in prop::sample::select(vec![300_usize, 700, 1_024, 4_000]),
        records in prop::collection::vec(
            (prop::collection::vec((0..TYPES.len(), value()), 1..12), prop::option::of(any::<i64>())),
            1..40,
        ),
    ) {
        let metadata = vec![Metadata::Topic, Metadata::Timestamp, Metadata::Offset];
        let format =
            Format { metadata: metadata.clone(), ..Format::default() };
        let schema = crate::columns::schema(&columns(), &metadata).unwrap();
        let mut partition_by: Vec<PartitionField> = Vec::new();
        for (transform, at) in levels {
            let field = PartitionField { transform, column: schema.field(at).name().clone() };
            // Only what the job file's check lets through.
            let with: Vec<_> = partition_by.iter().cloned().chain([field.clone()]).collect();
            match Partitioner::new(&with, partition_columns, &schema, path_bytes - 80) {
                Ok(_) if !partition_by.contains(&field) => partition_by.push(field),
                Ok(_) | Err(PartitionError::Level(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        block_on(async {
            let sink = Arc::new(Uploads::default());
            let settings = StageSettings { partition_by: partition_by.clone(), partition_columns, path_bytes, ..settings() };
            let format = format.clone();
            let mut stager =
                Stager::new(settings, sink.clone(), move |_| Ok::<_, BoxError>(decode::decoder(&format, &columns())?))
                    .unwrap();
            let mut fetch = Fetch::new(TopicPartition::new("t", 0), 1, 0);
            let mut texts: BTreeMap<i64, serde_json::Map<String, serde_json::Value>> = BTreeMap::new();
            for (offset, (members, timestamp)) in (0..).zip(&records) {
                let members: serde_json::Map<_, _> =
                    members.iter().map(|(at, value)| (format!("c{at}"), value.clone())).collect();
                let payload = serde_json::to_vec(&members).unwrap();
                fetch.push(offset, *timestamp, None, Some(payload.as_slice()), []);
                texts.insert(offset, members);
            }
            stager.accept(&attempt(), &fetch).await.unwrap();
            let staged = stager.seal(&delta([&fetch])).await.unwrap();
            let rows: u64 = staged.rows.values().sum();
            assert_eq!(rows + staged.rejects, records.len() as u64);
            for file in staged.files.iter().filter(|file| file.kind == FileKind::Data) {
                assert!(file.path.len() <= path_bytes, "{} bytes", file.path.len());
                tidegate_sinks::store::check_path(&file.path).unwrap();
                let folders: Vec<&str> = file.path.split('/').collect();
                for (folder, field) in folders[1..].iter().zip(&partition_by) {
                    assert!(folder.len() <= 255, "{} bytes", folder.len());
                    assert!(partition_columns == PartitionColumns::Both || !folder.starts_with('_'), "{folder}");
                    let (_, batches) = read(&sink.files()[&file.staged]);
                    let (_, name) = folder.split_once('=').unwrap();
                    if partition_columns != PartitionColumns::Folder || field.transform != Transform::Identity {
                        continue;
                    }
                    // What the folder alone tells is what came.
                    for offset in batches.iter().flat_map(|b| b["_offset"].as_primitive::<Int64Type>().values().to_vec()) {
                        if let Some(text) = texts[&offset].get(&field.column).and_then(|value| value.as_str())
                            && TYPES[field.column[1..].parse::<usize>().unwrap()] == "string"
                        {
                            assert_eq!(unescaped(name), text);
                        }
                    }
                }
            }
        });
    }
}
