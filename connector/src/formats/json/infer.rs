//! Columns out of a sample of JSON records, when the job lists none. The same sample gives the same columns,
//! in the order in which their keys first come, and every record of the sample is a row of them: where two
//! records differ in a way that no type holds without loss, the column is `json`, which keeps both as they
//! are. So it is where the sample holds nothing but nulls, because anything may come.

mod shape;

use std::collections::HashSet;

use super::flaw::Flaw;
use super::scan::{Scanner, Token};
use crate::columns::path;
use crate::columns::{Column, Metadata};
use crate::formats::{InferError, Inferred};
use crate::limits::COLUMNS_MAX_COUNT;
use shape::Shape;

/// Structs and lists in one another; what lies deeper is `json`.
const MAX_DEPTH: usize = 16;
/// Keys that a note names.
const NAMED: usize = 5;

/// The columns of the sample's records, beside those of `metadata`. Records that
/// could not be decoded whatever the columns are left out.
///
/// A column is called as its key, unless the name is taken: by Kafka's metadata, or
/// by a key that differs only in letter case, which many readers take for the same
/// column. More members than a table may have columns are one column.
pub(super) fn infer(sample: &[&[u8]], metadata: &[Metadata]) -> Result<Inferred, InferError> {
    let mut whole = Shape::Null;
    for shape in sample.iter().filter_map(|payload| record(payload)) {
        whole = whole.merge(shape);
    }
    match whole {
        Shape::Object(members) if members.len() > COLUMNS_MAX_COUNT => Ok(record_as_one(&members)),
        Shape::Object(members) if !members.is_empty() => Ok(columns(members, metadata)),
        _ => Err(InferError { records: sample.len(), wanted: "a JSON object with a member" }),
    }
}

fn record_as_one(members: &[(String, Shape)]) -> Inferred {
    let column = Column { path: Some(path::WHOLE.to_owned()), ..Column::new("record", "json") };
    let note = format!(
        "{} different keys ({}) are more than the {COLUMNS_MAX_COUNT} columns that a table may have: each record is kept \
         whole, in the column `record` of type json; list format.columns to have columns of some of them",
        members.len(),
        some(members.iter().map(|(key, _)| key.as_str()))
    );
    Inferred { columns: vec![column], notes: vec![note] }
}

fn columns(members: Vec<(String, Shape)>, metadata: &[Metadata]) -> Inferred {
    let mut taken: HashSet<String> = metadata.iter().map(|column| column.column().to_owned()).collect();
    let is_own: Vec<_> =
        members.iter().map(|(key, _)| !key.is_empty() && taken.insert(key.to_lowercase())).collect();
    let (mut columns, mut renamed) = (Vec::with_capacity(members.len()), Vec::new());
    for ((key, shape), is_own) in members.iter().zip(is_own) {
        let (mut name, mut path) = (key.clone(), None);
        if !is_own {
            let base = if key.is_empty() { "empty_key" } else { key };
            let names = (1..).map(|n| if n == 1 { base.to_owned() } else { format!("{base}_{n}") });
            name = names.into_iter().find(|name| taken.insert(name.to_lowercase())).unwrap_or_default();
            path = Some(path::quoted(key));
            renamed.push(format!("`{}` is the column `{name}`", shortened(key)));
        }
        columns.push(Column { path, ..Column::new(name, shape.type_name()) });
    }
    let mut notes = Vec::new();
    if !renamed.is_empty() {
        notes.push(format!(
            "keys whose name is taken, as they differ from another only in letter case (many readers take those for one \
             column), or are empty, or are called as a column of Kafka's metadata: {}",
            some(renamed.iter().map(String::as_str))
        ));
    }
    let fine: Vec<_> =
        members.iter().filter(|(_, shape)| shape.has_nanoseconds()).map(|(key, _)| key.as_str()).collect();
    if !fine.is_empty() {
        notes.push(format!(
            "times with more digits than microseconds, so they are text, as many readers refuse nanoseconds; to have them, \
             list the columns, with timestamp(ns, UTC): {}",
            some(fine.iter().copied())
        ));
    }
    let unknown: Vec<_> =
        members.iter().filter(|(_, shape)| shape.holds_nothing()).map(|(key, _)| key.as_str()).collect();
    if !unknown.is_empty() {
        notes.push(format!(
            "null in the whole sample, or an empty list or object, so of type json, which holds whatever comes: {}",
            some(unknown.iter().copied())
        ));
    }
    Inferred { columns, notes }
}

/// The first few, and how many there are besides.
fn some<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let rest = names.len().saturating_sub(NAMED);
    let mut named: Vec<_> = names.take(NAMED).map(shortened).collect();
    if rest > 0 {
        named.push(format!("and {rest} more"));
    }
    named.join(", ")
}

/// A key as a message names it: none is longer than a line.
pub(super) fn shortened(key: &str) -> String {
    const MOST: usize = 64;
    let symbol = |symbol: char| if symbol.is_control() { char::REPLACEMENT_CHARACTER } else { symbol };
    let mut text: String = key.chars().take(MOST).map(symbol).collect();
    if key.chars().nth(MOST).is_some() {
        text.push('…');
    }
    text
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

    use super::*;
    use crate::formats::Unknown;
    use crate::formats::{Appended, json};

    fn inferred(sample: &[&str]) -> Vec<(String, String)> {
        let sample: Vec<_> = sample.iter().map(|text| text.as_bytes()).collect();
        let inferred = infer(&sample, &[]).unwrap();
        inferred.columns.into_iter().map(|column| (column.name, column.type_name)).collect()
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
        let expected = [
            ("z", "double"),
            ("a b", "struct<y: json, \"x, y\": list<int64>>"),
            ("empty_key", "int64"),
            ("b", "bool"),
        ];
        assert_eq!(columns, expected.map(|(name, of)| (name.to_owned(), of.to_owned())));
    }

    #[test]
    fn types_hold_what_was_seen() {
        for (values, expected) in [
            (&["null"][..], "json"),
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
            (&["[]", "null"], "list<json>"),
            (&["{\"a\": 1, \"A\": 2}"], "json"),
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
        assert_eq!(infer(&bad.map(str::as_bytes), &[]).unwrap_err().to_string().split(' ').nth(3), Some("5"));
        assert_eq!(inferred(&[bad[0], bad[1], "{\"a\": 7}"]), [("a".to_owned(), "int64".to_owned())]);
        assert!(infer(&[&b"{}"[..], b"\xff"], &[]).is_err());
    }

    #[test]
    fn a_name_that_is_taken_is_told_and_nothing_is_lost() {
        let sample = [&br#"{"id": 1, "Id": 2, "id_2": 3, "ID": 4, "_topic": 5, "a.b": 6, "A.B": 7}"#[..]];
        let Inferred { columns, notes } = infer(&sample, &[Metadata::Topic]).unwrap();
        let shown: Vec<_> = columns.iter().map(|c| (c.name.as_str(), c.path.as_deref())).collect();
        assert_eq!(
            shown,
            [
                ("id", None),
                ("Id_3", Some("Id")),
                ("id_2", None),
                ("ID_4", Some("ID")),
                ("_topic_2", Some("_topic")),
                ("a.b", None),
                ("A.B_2", Some("\"A.B\"")),
            ]
        );
        assert!(
            notes[0].contains("letter case") && notes[0].contains("`ID` is the column `ID_4`"),
            "{notes:?}"
        );
    }

    #[test]
    fn more_keys_than_columns_are_one_column_that_holds_each_record() {
        let sample: Vec<_> = (0..=COLUMNS_MAX_COUNT).map(|n| format!("{{\"k{n}\": {n}}}")).collect();
        let Inferred { columns, notes } =
            infer(&sample.iter().map(String::as_bytes).collect::<Vec<_>>(), &[]).unwrap();
        let shown: Vec<_> = columns.iter().map(|c| (&*c.name, &*c.type_name, c.path.as_deref())).collect();
        assert_eq!(shown, [("record", "json", Some("."))]);
        assert!(notes[0].contains("10001 different keys (k0, k1, "), "{notes:?}");
    }

    #[test]
    fn what_is_always_null_is_json_and_told() {
        let Inferred { columns, notes } = infer(&[&br#"{"a": null, "l": [], "b": 1}"#[..]], &[]).unwrap();
        let types: Vec<_> = columns.iter().map(|column| column.type_name.as_str()).collect();
        assert_eq!(types, ["json", "list<json>", "int64"]);
        assert!(notes[0].ends_with("whatever comes: a, l"), "{notes:?}");
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
        prop::collection::hash_map("[a-cAB>:é. ]{0,2}", value, 0..4).prop_map(|members| {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    }

    proptest! {
        #[test]
        fn the_sample_decodes_without_rejects(sample in prop::collection::vec(object_of(value()), 1..8)) {
            let payloads: Vec<_> = sample.iter().map(|text| text.as_bytes()).collect();
            let Ok(inferred) = infer(&payloads, &[]) else {
                let is_empty = payloads.iter().all(|text| *text == b"{}");
                prop_assert!(is_empty);
                return Ok(());
            };
            prop_assert_eq!(&infer(&payloads, &[]).unwrap(), &inferred);
            let mut decoder = (json::FORMAT.open)(&inferred.columns, Unknown::Reject).unwrap();
            let schema = crate::columns::schema(&inferred.columns, &[]).unwrap();
            prop_assert!(crate::columns::twins(&schema).is_empty());
            let rows: Vec<_> = payloads.into_iter().filter(|payload| *payload != b"{}").collect();
            for payload in &rows {
                prop_assert_eq!(decoder.append(Some(payload)), Ok(Appended::Rows(1)));
            }
            prop_assert!(decoder.finish().iter().all(|column| column.len() == rows.len()));
        }
    }
}
