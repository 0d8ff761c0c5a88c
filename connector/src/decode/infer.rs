//! Columns out of a sample of JSON records, when the job lists none. The same sample gives the same columns, in the
//! order in which their keys first come, and every record of the sample is a row of them: where two records differ
//! in a way that no type holds without loss, the column is `json`, which keeps both as they are.

mod shape;

use std::collections::HashSet;

use super::json::flaw::Flaw;
use super::json::scan::{Scanner, Token};
use crate::config::Column;
use shape::Shape;

/// Structs and lists in one another; what lies deeper is `json`.
const MAX_DEPTH: usize = 16;

/// A sample that says nothing about columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("none of the {0} sampled records is a JSON object with a member")]
pub struct InferError(usize);

/// The columns of the sample's records. Records that could not be decoded whatever the columns are left out, and so
/// is a member whose key is empty, because no column can be called that.
pub fn infer<'a>(sample: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Column>, InferError> {
    let mut whole = Shape::Null;
    let mut count = 0;
    for payload in sample {
        count += 1;
        if let Some(shape) = record(payload) {
            whole = whole.merge(shape);
        }
    }
    let Shape::Object(members) = whole else { return Err(InferError(count)) };
    let named = members.into_iter().filter(|(name, _)| !name.is_empty());
    let named = named.inspect(|(name, shape)| {
        if shape.has_nanoseconds() {
            tracing::warn!(
                column = name,
                "its times have more digits than microseconds, so it is text: many readers refuse nanoseconds; to have \
                 them, list the columns, with timestamp(ns, UTC)"
            );
        }
    });
    let columns: Vec<_> = named.map(|(name, shape)| Column::new(name, shape.type_name())).collect();
    if columns.is_empty() { Err(InferError(count)) } else { Ok(columns) }
}

fn record(payload: &[u8]) -> Option<Shape> {
    let mut json = Scanner::new(std::str::from_utf8(payload).ok()?);
    let shape = match json.token().ok()? {
        Token::Object => object(&mut json, 0).ok()?,
        _ => return None,
    };
    json.end().ok()?;
    Some(shape)
}

fn value(json: &mut Scanner<'_>, depth: usize) -> Result<Shape, Flaw> {
    Ok(match json.token()? {
        Token::Null => {
            json.null()?;
            Shape::Null
        }
        Token::Bool => {
            json.skip()?;
            Shape::Bool
        }
        Token::Number => Shape::number(&json.number()?),
        Token::String => match json.text_or_skip()? {
            Some(text) => Shape::text(&text),
            // The others of the column are texts, and this one is a reject.
            None => Shape::Text,
        },
        Token::Array | Token::Object if depth == MAX_DEPTH => {
            json.skip()?;
            Shape::Json
        }
        Token::Array => {
            let mut elements = Shape::Null;
            let mut more = json.open_array()?;
            while more {
                elements = elements.merge(value(json, depth + 1)?);
                more = json.next_element()?;
            }
            Shape::List(Box::new(elements))
        }
        Token::Object => object(json, depth)?,
    })
}

fn object(json: &mut Scanner<'_>, depth: usize) -> Result<Shape, Flaw> {
    let mut members = Vec::new();
    let mut names = HashSet::new();
    let mut more = json.open_object()?;
    while more {
        match json.key()? {
            Some(name) if !names.insert(name.clone()) => return Err(Flaw::twice()),
            Some(name) => members.push((name.into_owned(), value(json, depth + 1)?)),
            None => json.skip()?,
        }
        more = json.next_member()?;
    }
    Ok(Shape::Object(members))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_sinks::TopicPartition;

    use super::*;
    use crate::config::{Format, FormatKind, Tombstones};
    use crate::decode::{Appended, decoder};
    use crate::event::Record;

    fn inferred(sample: &[&str]) -> Vec<(String, String)> {
        let columns = infer(sample.iter().map(|text| text.as_bytes())).unwrap();
        columns.into_iter().map(|column| (column.name, column.type_name)).collect()
    }

    /// The type of `v`, given its values.
    fn type_of(values: &[&str]) -> String {
        let sample: Vec<_> = values.iter().map(|value| format!("{{\"v\":{value}}}")).collect();
        let mut columns = inferred(&sample.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(columns.len(), 1);
        columns.remove(0).1
    }

    #[test]
    fn columns_come_in_the_order_of_their_keys() {
        let columns =
            inferred(&[r#"{"z": 1, "a b": {"y": null, "x, y": [1]}}"#, r#"{"": 1, "b": true, "z": 2.5}"#]);
        let expected = [("z", "double"), ("a b", "struct<y: string, \"x, y\": list<int64>>"), ("b", "bool")];
        assert_eq!(columns, expected.map(|(name, of)| (name.to_owned(), of.to_owned())));
    }

    #[test]
    fn types_hold_what_was_seen() {
        for (values, expected) in [
            (&["null"][..], "string"),
            (&["1", "-9223372036854775808"], "int64"),
            (&["1", "2.0"], "double"),
            (&["9007199254740992", "0.5"], "double"),
            (&["9007199254740993", "0.5"], "json"),
            (&["9223372036854775808"], "json"),
            (&["1e400"], "json"),
            (&["\"x\"", "null", "\"2026-01-31T00:00:00Z\""], "string"),
            (&["\"2026-01-31T00:00:00Z\"", "\"2026-01-31T00:00:00.5+02:00\""], "timestamp(ms, UTC)"),
            (&["\"2026-01-31T00:00:00.000000Z\"", "\"9999-01-31T00:00:00Z\""], "timestamp(us, UTC)"),
            (&["\"2026-01-31T00:00:00.000000001Z\""], "string"),
            (&["\"2026-01-31T00:00:00.1234560Z\"", "\"2026-01-31T00:00:00Z\""], "string"),
            (&["\"2026-01-31T08:00Z\"", "\"2026-01-31T09:00:00+0100\""], "timestamp(ms, UTC)"),
            (&["\"2026-01-31T09:00+01:00[Europe/Berlin]\""], "string"),
            (&["\"0001-01-01T00:00:00+01:00\""], "string"),
            (&["\"\\ud83d\"", "\"x\""], "string"),
            (&["\"2026-01-31T00:00:00.000000001Z\"", "\"9999-01-31T00:00:00Z\""], "string"),
            (&["\"2026-01-31T00:00:00\""], "string"),
            (&["\"2016-12-31T23:59:60Z\"", "\"2026-01-31T00:00:00Z\""], "string"),
            (&["\"1\"", "1"], "json"),
            (&["\"2026-01-31T00:00:00Z\"", "1"], "json"),
            (&["[]", "null"], "list<string>"),
            (&["[1, null, [2]]"], "list<json>"),
            (&["{}"], "json"),
            (&["{}", "{\"a\": [{\"b\": 1}, {\"c\": true}]}"], "struct<a: list<struct<b: int64, c: bool>>>"),
            (&["{\"a\": 1}", "[1]"], "json"),
        ] {
            assert_eq!(type_of(values), expected, "{values:?}");
        }
        let map: Vec<_> = (0..100).map(|key| format!("\"k{key}\": 1")).collect();
        assert_eq!(type_of(&[&format!("{{{}}}", map.join(","))]), "json");
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(type_of(&[&deep]), format!("{}json{}", "list<".repeat(15), ">".repeat(15)));
    }

    #[test]
    fn records_that_nothing_decodes_are_left_out() {
        let bad = [r#"{"a": 1"#, r#"{"a": "x", "a": "y"}"#, "[]", "", "\"x\""];
        assert_eq!(infer(bad.map(str::as_bytes)).unwrap_err().to_string().split(' ').nth(3), Some("5"));
        assert_eq!(inferred(&[bad[0], bad[1], "{\"a\": 7}"]), [("a".to_owned(), "int64".to_owned())]);
        assert!(infer([&b"{}"[..], b"\xff"]).is_err());
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|value| value.to_string()),
            any::<i32>().prop_map(|value| value.to_string()),
            "-?[1-9][0-9]{0,24}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
            "\"[a-z]{0,4}\"",
            "\"[0-9]{4}-0[1-9]-[012][1-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|\\+05:30)?\"",
        ];
        leaf.prop_recursive(3, 10, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|values| format!("[{}]", values.join(","))),
                object_of(inner),
            ]
        })
    }

    fn object_of(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        prop::collection::hash_map("[a-c>:é ]{0,2}", value, 0..4).prop_map(|members| {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    }

    proptest! {
        #[test]
        fn the_sample_decodes_without_rejects(sample in prop::collection::vec(object_of(value()), 1..8)) {
            let payloads = || sample.iter().map(|text| text.as_bytes());
            let Ok(columns) = infer(payloads()) else {
                let nothing = payloads().all(|text| text == b"{}" || text.starts_with(b"{\"\": "));
                prop_assert!(nothing);
                return Ok(());
            };
            prop_assert_eq!(&infer(payloads()).unwrap(), &columns);
            let kind = FormatKind::Json;
            let format = Format { kind, tombstones: Tombstones::Skip, columns: None, metadata: vec![] };
            let mut decoder = decoder(&format, &columns).unwrap();
            let partition = TopicPartition::new("t", 0);
            for payload in payloads() {
                prop_assert_eq!(decoder.append(&Record::of(&partition, 0, Some(payload))), Ok(Appended::Row));
            }
            prop_assert_eq!(decoder.finish().num_rows(), sample.len());
        }
    }
}
