use arrow::array::AsArray;
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMillisecondType};
use proptest::prelude::*;

use super::*;
use crate::formats::Unknown;
use crate::formats::json;

fn open(columns: &[(&str, &str)]) -> Box<dyn Payload> {
    let columns: Vec<_> = columns.iter().map(|(name, type_name)| Column::new(*name, *type_name)).collect();
    (FORMAT.open)(&columns, Unknown::Warn).unwrap()
}

fn texts(csv: &mut dyn Payload, column: usize) -> Vec<Option<String>> {
    let columns = csv.finish();
    columns[column].as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn fields_are_columns_in_their_order_and_of_their_types() {
    let types = [
        ("id", "int64"),
        ("price", "double"),
        ("amount", "decimal(18,2)"),
        ("paid", "bool"),
        ("day", "date"),
        ("ts", "timestamp(ms, UTC)"),
        ("raw", "binary"),
        ("more", "json"),
        ("name", "string"),
    ];
    let mut csv = open(&types);
    for line in [
        "7,1.5,12.30,true,2026-01-31,2026-01-31T00:00:00.5Z,AQI=,\"{\"\"a\"\": [1, null]}\",Ada",
        "-1,\"2\",0,FALSE,1970-01-01,1970-01-01T00:00:01Z,,null,\"\"\r\n",
        ",,,,,,,,\n",
    ] {
        assert_eq!(csv.append(Some(line.as_bytes())), Ok(Appended::Rows(1)), "{line}");
    }
    assert_eq!(csv.append(None), Ok(Appended::Rows(1)));
    assert_eq!(csv.value(0, 0), Value::Number(7));
    assert_eq!((csv.value(0, 8), csv.value(1, 8)), (Value::Text(b"Ada"), Value::Text(b"")));
    assert_eq!(csv.value(2, 8), Value::Null);
    let columns = csv.finish();
    assert_eq!(
        columns[0].as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        [Some(7), Some(-1), None, None]
    );
    assert_eq!(columns[1].as_primitive::<Float64Type>().values()[..2], [1.5, 2.0]);
    assert_eq!(columns[2].as_primitive::<Decimal128Type>().values()[..2], [1230, 0]);
    assert_eq!(columns[3].as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false), None, None]);
    assert_eq!(columns[4].as_primitive::<Date32Type>().values()[..2], [20_484, 0]);
    let times = columns[5].as_primitive::<TimestampMillisecondType>();
    assert_eq!(times.values()[..2], [1_769_817_600_500, 1_000]);
    assert_eq!(
        columns[6].as_binary::<i32>().iter().collect::<Vec<_>>(),
        [Some(&b"\x01\x02"[..]), None, None, None]
    );
    let json: Vec<_> = columns[7].as_string::<i32>().iter().collect();
    assert_eq!(json, [Some("{\"a\": [1, null]}"), None, None, None]);
    let names: Vec<_> = columns[8].as_string::<i32>().iter().collect();
    assert_eq!(names, [Some("Ada"), Some(""), None, None]);
}

#[test]
fn quotes_hold_commas_line_breaks_and_quotes() {
    let mut csv = open(&[("a", "string"), ("b", "string")]);
    csv.append(Some(b"\"x, \"\"y\"\"\r\nz\", \\u0041\t ")).unwrap();
    csv.append(Some(b"\"\"\"\",\"\"\n")).unwrap();
    let columns = csv.finish();
    let [first, second] = [0, 1].map(|column: usize| columns[column].as_string::<i32>());
    assert_eq!((first.value(0), second.value(0)), ("x, \"y\"\r\nz", " \\u0041\t "));
    assert_eq!((first.value(1), second.value(1)), ("\"", ""));
}

#[test]
fn what_is_no_single_line_of_its_fields_is_a_reject() {
    let mut csv = open(&[("id", "int64"), ("name", "string")]);
    for (payload, expected, column) in [
        (&b""[..], "the payload is empty", None),
        (b"\n", "1 fields, expected 2", None),
        (b"1", "1 fields, expected 2", None),
        (b"1,secret,3", "more than 2 fields", None),
        (b"1,secret,", "more than 2 fields", None),
        (b"1,secret\n2,secret", "a second line at byte 8", None),
        (b"1,secret\n\n", "a second line at byte 8", None),
        (b"1,secret\r", "a second line at byte 8", None),
        (b"1,sec\"ret\"", "a quote in a field without quotes at byte 5", None),
        (b"1,\"secret", "the field in quotes that begins at byte 2 has no end", None),
        (b"1,\"secret\" ", "expected a comma after a quote at byte 10", None),
        (b"1,\"secret\"x,", "expected a comma after a quote at byte 10", None),
        (b"1,\xff", "not UTF-8 at byte 2", None),
        (b" 1,secret", "id: the text is no number", Some("id")),
        (b"\"\",secret", "id: the text is no number", Some("id")),
        (b"1.5,secret", "id: int64 would lose digits of the number", Some("id")),
        (b"9223372036854775808,secret", "id: the number is out of the range of int64", Some("id")),
    ] {
        let reject = csv.append(Some(payload)).unwrap_err();
        assert!(reject.error.contains(expected), "{reject}, not {expected}");
        assert!(!reject.error.contains("secret"), "{reject}");
        assert_eq!(reject.column.as_deref(), column);
        csv.truncate(0);
    }
    csv.append(Some(b"1,fine")).unwrap();
    assert_eq!(texts(&mut *csv, 1), [Some("fine".to_owned())]);
}

#[test]
fn digits_are_a_date_or_a_time_only_where_the_job_says_so() {
    for (type_name, digits) in
        [("date", "2026"), ("time(s)", "080000"), ("timestamp(ms, UTC)", "20260131080000")]
    {
        let mut column = Column::new("c", type_name);
        let mut csv = (FORMAT.open)(std::slice::from_ref(&column), Unknown::Warn).unwrap();
        csv.append(Some(digits.as_bytes())).unwrap_err();
        column.reading.lenient = true;
        let mut csv = (FORMAT.open)(&[column], Unknown::Warn).unwrap();
        assert_eq!(csv.append(Some(b"7")), Ok(Appended::Rows(1)), "{type_name}");
    }
}

#[test]
fn json_in_a_field_must_be_json() {
    let mut csv = open(&[("more", "json")]);
    for text in ["{", "1 2", "no json", "\"\"", "[1}"] {
        csv.append(Some(text.as_bytes())).unwrap_err();
        csv.truncate(0);
    }
}

#[test]
fn columns_without_a_field_of_their_own_are_refused() {
    let paths = [Column { path: Some("a.b".into()), ..Column::new("b", "int64") }];
    assert!(check(&paths).unwrap_err().problem.contains("a path"));
    for type_name in ["struct<a: int64>", "list<int64>", "map<string, int64>"] {
        let refused = check(&[Column::new("a", "int64"), Column::new("b", type_name)]).unwrap_err();
        assert!(refused.problem.contains("one value"), "{type_name}: {refused:?}");
    }
    check(&[Column::new("a", "json"), Column::new("b", "binary")]).unwrap();
}

/// As RFC 4180 has a field that may hold anything.
fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    #[test]
    fn every_text_comes_back(rows in prop::collection::vec([".*", "[\",\r\n\\\\a]{0,8}"], 1..8)) {
        let mut csv = open(&[("a", "string"), ("b", "string")]);
        for [a, b] in &rows {
            let line = format!("{},{}\r\n", in_quotes(a), in_quotes(b));
            prop_assert_eq!(csv.append(Some(line.as_bytes())), Ok(Appended::Rows(1)));
        }
        let columns = csv.finish();
        for (row, texts) in rows.iter().enumerate() {
            for (column, text) in columns.iter().zip(texts) {
                prop_assert_eq!(column.as_string::<i32>().value(row), text);
            }
        }
    }

    #[test]
    fn a_field_is_read_as_a_string_of_json_is_where_it_is_lenient(
        type_name in prop::sample::select(vec![
            "bool", "int8", "uint64", "float", "double", "decimal(9,3)", "binary", "date", "time(us)", "timestamp(s)",
            "timestamp(ns, UTC)", "string",
        ]),
        text in prop_oneof![
            "[+-]?0{0,2}[0-9]{0,12}(\\.[0-9]{1,4})?([eE][+-]?[0-9])?",
            "(true|FALSE|NaN|-Infinity|[A-Za-z0-9+/]{0,8}={0,2})",
            "20[0-9]{2}-0[1-9]-[012][1-9]([T ][01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|\\+05:30)?)?",
            ".{0,6}",
        ],
    ) {
        // The others take texts in any case.
        let takes_lenient = matches!(type_name, "bool" | "int8" | "uint64" | "float" | "double");
        let lenient = Reading { lenient: takes_lenient, ..Reading::default() };
        let column = [Column { reading: lenient, ..Column::new("c", type_name) }];
        let mut json = (json::FORMAT.open)(&column, Unknown::Warn).unwrap();
        let mut csv = open(&[("c", type_name)]);
        let document = serde_json::json!({ "c": text }).to_string();
        let expected = json.append(Some(document.as_bytes()));
        let appended = csv.append(Some(in_quotes(&text).as_bytes()));
        let is_row = appended.is_ok();
        prop_assert_eq!(appended.map_err(|reject| reject.error), expected.map_err(|reject| reject.error));
        if is_row {
            prop_assert_eq!(csv.finish(), json.finish());
        }
    }
}
