//! Members that no column asks for, and rows in which no column finds anything.

use super::*;
use crate::formats::Unmatched;

fn watching(columns: &[Column], unknown: Unknown) -> Rows {
    decoder(&Format { tombstones: Tombstones::Nulls, unknown, ..Format::default() }, columns).unwrap()
}

#[test]
fn members_that_no_column_asks_for_are_counted_and_named_at_every_depth() {
    let columns = [
        column("UserId", "int64"),
        at("p.q", column("q", "struct<a: int64>")),
        column("l", "list<struct<a: int64>>"),
        column("m", "map<string, struct<a: int64>>"),
    ];
    let mut decoder = watching(&columns, Unknown::Warn);
    let payload = r#"{"userId": 1, "p": {"q": {"A": 1, "b": 2}, "r": 1}, "l": [{"c": 1}, {"c": 2, "a": 3}],
                      "m": {"k": {"d": {"e": 1}}}, "x.y": null}"#;
    append(&mut decoder, payload).unwrap();
    append(&mut decoder, r#"{"UserId": 1, "broken": 1"#).unwrap_err();
    append(&mut decoder, r#"{"p": {"r": 2}}"#).unwrap();
    let found = decoder.take_unmatched();
    assert_eq!((found.members, found.rows), (9, 1));
    let keys: Vec<_> = found.keys.iter().map(|(key, like)| (key.as_str(), like.as_deref())).collect();
    let expected = [
        ("\"x.y\"", None),
        ("broken", None),
        ("l[].c", None),
        ("m.*.d", None),
        ("p.q.A", Some("a")),
        ("p.q.b", None),
        ("p.r", None),
        ("userId", Some("UserId")),
    ];
    assert_eq!(keys, expected);
    append(&mut decoder, r#"{"UserId": 1}"#).unwrap();
    assert_eq!(decoder.take_unmatched(), Unmatched::default());
}

#[test]
fn rows_in_which_no_column_finds_anything_are_counted_and_tombstones_are_not_among_them() {
    let mut decoder = watching(&[at("a.b", column("c", "int64")), column("d", "json")], Unknown::Ignore);
    for payload in
        ["{}", r#"{"payload": {"d": 1}}"#, r#"{"a": {}}"#, r#"{"a": {"b": null}}"#, r#"{"d": null}"#]
    {
        append(&mut decoder, payload).unwrap();
    }
    let partition = TopicPartition::new("t", 0);
    assert_eq!(decoder.append(&Record::of(&partition, 7, None)), Ok(Appended::Rows(1)));
    assert_eq!(decoder.take_unmatched().rows, 3);
    assert_eq!(decoder.finish().num_rows(), 6);
}

#[test]
fn a_strict_job_rejects_what_no_column_asks_for_and_names_it() {
    let columns = [at("a.b", column("b", "struct<c: int64>")), column("d", "list<struct<e: int64>>")];
    let mut decoder = watching(&columns, Unknown::Reject);
    append(&mut decoder, r#"{"a": {"b": {"c": 1}}, "d": [{"e": 1}, {}]}"#).unwrap();
    for (payload, place) in [
        (r#"{"d": [], "f": 1}"#, "f: "),
        (r#"{"a": {"b": {}, "g.h": 1}}"#, "a.\"g.h\": "),
        (r#"{"a": {"b": {"C": 1}}}"#, "a.b.C: "),
        (r#"{"d": [{"e": 1}, {"i": 1}]}"#, "d[1].i: "),
        ("{}", "no column finds anything"),
    ] {
        let reject = append(&mut decoder, payload).unwrap_err();
        assert!(reject.error.starts_with(place) && reject.error.contains("format.unknown"), "{reject}");
    }
    assert_eq!(decoder.finish().num_rows(), 1);
}

#[test]
fn what_another_column_takes_is_not_unknown() {
    let columns = [column("a", "struct<x: int64>"), at("a.y", column("y", "int64")), column("b", "json")];
    let mut decoder = watching(&columns, Unknown::Reject);
    append(&mut decoder, r#"{"a": {"x": 1, "y": 2}, "b": {"any": 1}}"#).unwrap();
    let batch = decoder.finish();
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(0), 2);
    let mut decoder = watching(&[at(".", column("all", "json")), column("b", "json")], Unknown::Reject);
    append(&mut decoder, r#" {"b": 1, "c": 2} "#).unwrap();
    append(&mut decoder, r#"{"#).unwrap_err();
    let batch = decoder.finish();
    assert_eq!(strings(&batch, 0), [Some(r#"{"b": 1, "c": 2}"#)]);
    assert_eq!(strings(&batch, 1), [Some("1")]);
    let mut decoder = watching(&[at(".", column("all", "struct<a: int64>"))], Unknown::Reject);
    append(&mut decoder, r#"{"a": 1}"#).unwrap();
    assert!(append(&mut decoder, r#"{"b": 1}"#).is_err());
}

#[test]
fn endless_new_keys_are_counted_and_take_no_memory() {
    let mut decoder = watching(&[column("a", "int64")], Unknown::Warn);
    for n in 0..10_000 {
        append(&mut decoder, format!(r#"{{"k{n}": 1, "{}": 2, "a": {n}}}"#, "x".repeat(300))).unwrap();
    }
    let found = decoder.take_unmatched();
    assert_eq!((found.members, found.rows, found.keys.len()), (20_000, 0, 20));
    assert_eq!(decoder.finish().num_rows(), 10_000);
}
