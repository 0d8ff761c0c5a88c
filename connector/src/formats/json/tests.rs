//! What a JSON document becomes, type by type; `digits` has numbers and times at random.

mod digits;
mod spellings;
mod text;
mod unmatched;

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::*;
use tidegate_sinks::TopicPartition;

use crate::config::{Column, Format, Metadata, Tombstones, Unknown};
use crate::flow::decode::{Appended, Reject, Rows, decoder};
use crate::flow::event::Record;

fn column(name: &str, type_name: &str) -> Column {
    Column::new(name, type_name)
}

fn at(path: &str, column: Column) -> Column {
    Column { path: Some(path.to_owned()), ..column }
}

fn json(columns: &[Column]) -> Rows {
    let metadata = vec![Metadata::Offset];
    let format = Format { tombstones: Tombstones::Nulls, metadata, ..Format::default() };
    decoder(&format, columns).unwrap()
}

fn append(decoder: &mut Rows, payload: impl AsRef<[u8]>) -> Result<(), Reject> {
    let partition = TopicPartition::new("t", 0);
    let appended = decoder.append(&Record::of(&partition, 7, Some(payload.as_ref())))?;
    assert_eq!(appended, Appended::Rows(1));
    Ok(())
}

/// The column `v` of the type, from one record a value.
fn values(type_name: &str, texts: &[&str]) -> Arc<dyn Array> {
    let mut decoder = json(&[column("v", type_name)]);
    for text in texts {
        append(&mut decoder, format!(r#"{{"v": {text}}}"#))
            .unwrap_or_else(|reject| panic!("{text}: {reject}"));
    }
    decoder.finish().column(0).clone()
}

/// The error of a value that is none of the type, after which the batch is as before.
fn problem(type_name: &str, text: &str) -> String {
    let mut decoder = json(&[column("before", "list<string>"), column("v", type_name)]);
    append(&mut decoder, r#"{"before": ["x"]}"#).unwrap();
    let payload = format!(r#"{{"before": ["y", "z"], "v": {text}}}"#);
    let reject = append(&mut decoder, payload).expect_err(text);
    append(&mut decoder, r#"{"before": []}"#).unwrap();
    let batch = decoder.finish();
    let lists = batch.column(0).as_list::<i32>();
    assert_eq!((batch.num_rows(), lists.value_offsets()), (2, &[0, 1, 1][..]));
    assert_eq!(lists.values().as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x")]);
    if reject.column.is_some() {
        assert_eq!(reject.column.as_deref(), Some("v"));
    }
    reject.error
}

fn strings(batch: &RecordBatch, index: usize) -> Vec<Option<&str>> {
    batch.column(index).as_string::<i32>().iter().collect()
}

#[test]
fn integers_are_exact() {
    let int64 = values(
        "int64",
        &["-9223372036854775808", "9223372036854775807", "1.0", "1e3", "-0", "null", "120e-1"],
    );
    let expected = [Some(i64::MIN), Some(i64::MAX), Some(1), Some(1000), Some(0), None, Some(12)];
    assert_eq!(int64.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), expected);
    // Of 64 bits also in a string, as Protobuf's JSON has them.
    let texts = values("int64", &["\"-9223372036854775808\"", "\"9007199254740993\""]);
    assert_eq!(texts.as_primitive::<Int64Type>().values(), &[i64::MIN, 9_007_199_254_740_993]);
    let uint64 = values("uint64", &["\"18446744073709551615\"", "9007199254740993.000"]);
    assert_eq!(uint64.as_primitive::<UInt64Type>().values(), &[u64::MAX, 9_007_199_254_740_993]);
    assert_eq!(values("int8", &["-128", "127"]).as_primitive::<Int8Type>().values(), &[-128, 127]);
    assert_eq!(values("int64", &["0e999999999999999999999"]).as_primitive::<Int64Type>().values(), &[0]);
    for (type_name, text, expected) in [
        ("int8", "128", "v: the number is out of the range of int8"),
        ("uint8", "-1", "v: the number is out of the range of uint8"),
        ("int64", "9223372036854775808", "v: the number is out of the range of int64"),
        ("int64", "1e99999999999999999999", "v: the number is out of the range of int64"),
        ("uint64", "18446744073709551616", "v: the number is out of the range of uint64"),
        ("int", "1.5", "v: int32 would lose digits of the number"),
        ("int", "9007199254740991.00000000000000000000001", "v: int32 would lose digits of the number"),
        ("int", "1e-99999999999999999999", "v: int32 would lose digits of the number"),
        ("int", "\"1\"", "v: expected int32, found a string (lenient: true takes numbers out of them)"),
        ("int", "true", "v: expected int32, found a bool"),
        ("int64", "\"9223372036854775808\"", "v: the number is out of the range of int64"),
        ("int64", "\"1.5\"", "v: int64 would lose digits of the number"),
        ("uint64", "\"x\"", "v: the text is no number"),
    ] {
        assert_eq!(problem(type_name, text), expected, "{text}");
    }
}

#[test]
fn decimals_are_exact_and_never_a_float() {
    let texts = [
        "12.10",
        "\"12.1\"",
        "1e3",
        "\"-0.05\"",
        "0.10000",
        "\"+0012.50\"",
        "null",
        "-1.5E-1",
        "\"0\"",
        "\"000\"",
    ];
    let decimals = values("decimal(18,2)", &texts);
    let expected = [
        Some(1210),
        Some(1210),
        Some(100_000),
        Some(-5),
        Some(10),
        Some(1250),
        None,
        Some(-15),
        Some(0),
        Some(0),
    ];
    assert_eq!(decimals.as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), expected);
    assert_eq!(*decimals.data_type(), DataType::Decimal128(18, 2));
    let nines = "9".repeat(38);
    let widest = values("decimal(38,0)", &[&nines, &format!("-{nines}"), &format!("\"{nines}.0\"")]);
    let widest = widest.as_primitive::<Decimal128Type>();
    assert_eq!(widest.values(), &[10_i128.pow(38) - 1, 1 - 10_i128.pow(38), 10_i128.pow(38) - 1]);
    let fine = values("decimal(38,37)", &["0.1234567890123456789012345678901234567", "9"]);
    let fine = fine.as_primitive::<Decimal128Type>();
    assert_eq!(fine.values(), &[1_234_567_890_123_456_789_012_345_678_901_234_567, 9 * 10_i128.pow(37)]);
    for (text, expected) in [
        ("12.105", "v: decimal(4,2) would lose digits of the number"),
        ("100", "v: the number is out of the range of decimal(4,2)"),
        ("1e400", "v: the number is out of the range of decimal(4,2)"),
        ("\"12,5\"", "v: the text is no number"),
        ("\"\"", "v: the text is no number"),
        ("\" 1\"", "v: the text is no number"),
        ("\"+-1\"", "v: the text is no number"),
        ("\".5\"", "v: the text is no number"),
        ("\"-\"", "v: the text is no number"),
        ("\"0x1\"", "v: the text is no number"),
        ("[1]", "v: expected decimal(4,2), found an array"),
    ] {
        assert_eq!(problem("decimal(4,2)", text), expected, "{text}");
    }
}

#[test]
fn floats_are_the_nearest() {
    let texts =
        ["0.1", "1", "-0.0", "9007199254740993.0", "1.7976931348623157e308", "123456789.123456789", "5e-324"];
    let doubles = values("double", &texts);
    let bits: Vec<_> =
        doubles.as_primitive::<Float64Type>().values().iter().map(|value| value.to_bits()).collect();
    assert_eq!(bits, texts.map(|text| text.parse::<f64>().unwrap().to_bits()));
    // Rounded once: by way of a double it would be another float.
    let tie = "17005001.000000000000130";
    assert_eq!(values("float", &[tie]).as_primitive::<Float32Type>().value(0), tie.parse::<f32>().unwrap());
    for (type_name, text) in
        [("double", "1e400"), ("double", "1e-400"), ("float", "1e39"), ("float", "-1e-60")]
    {
        assert!(problem(type_name, text).ends_with(&format!("out of the range of {type_name}")), "{text}");
    }
    assert_eq!(values("double", &["0e-999", "-0e999"]).as_primitive::<Float64Type>().values(), &[0.0, -0.0]);
    for text in ["NaN", "Infinity", "-Infinity", "+1", ".5", "1.", "01", "1e", "-", "0x1"] {
        assert!(problem("double", text).contains("not JSON"), "{text}");
    }
    for word in ["NaN", "Infinity", "-Infinity"] {
        for text in [word, &format!("[{word}]")] {
            assert!(problem("json", text).contains(&format!("not JSON: {word} at byte ")), "{text}");
        }
    }
    assert!(problem("double", "\"NaN\"").starts_with("v: expected double, found a string"));
}

#[test]
fn an_integer_that_a_float_would_change_is_a_reject() {
    let float = ["16777216", "-16777218", "340282346638528859811704183484516925440", "1e10", "16777217.0"];
    let floats = values("float", &float);
    let expected = float.map(|text| text.parse::<f32>().unwrap());
    assert_eq!(floats.as_primitive::<Float32Type>().values(), &expected);
    // As they are, or as JavaScript writes the double in between.
    let double =
        ["9007199254740992", "9007199254740994", "12345678901234567000", "12345678901234567168", "1e23"];
    let doubles = values("double", &double);
    let expected = double.map(|text| text.parse::<f64>().unwrap());
    assert_eq!(doubles.as_primitive::<Float64Type>().values(), &expected);
    for (type_name, text) in [
        ("float", "16777217"),
        ("float", "-16777217"),
        ("float", "123456789"),
        ("double", "9007199254740993"),
        ("double", "-9007199254740993"),
        ("double", "12345678901234567890"),
    ] {
        assert_eq!(
            problem(type_name, text),
            format!("v: {type_name} would lose digits of the number"),
            "{text}"
        );
    }
}

#[test]
fn times_keep_every_digit() {
    let texts = [
        r#""1970-01-01T00:00:00Z""#,
        r#""2026-01-31T23:59:59.123+02:00""#,
        r#""1969-12-31T23:59:59.999000000z""#,
        r#""2000-02-29 12:00:00-00:30""#,
        "-5",
        "1.0e3",
        "null",
    ];
    let millis = values("timestamp(ms, UTC)", &texts);
    let expected =
        [Some(0), Some(1_769_896_799_123), Some(-1), Some(951_827_400_000), Some(-5), Some(1000), None];
    assert_eq!(millis.as_primitive::<TimestampMillisecondType>().iter().collect::<Vec<_>>(), expected);
    assert_eq!(*millis.data_type(), DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    let local = values("timestamp(s)", &[r#""2026-01-31T00:00:00""#]);
    assert_eq!(local.as_primitive::<TimestampMillisecondType>().values(), &[1_769_817_600_000]);
    let edges = [r#""1677-09-21T00:12:43.145224192Z""#, r#""2262-04-11T23:47:16.854775807Z""#];
    let nanos = values("timestamp(ns, UTC)", &edges);
    assert_eq!(nanos.as_primitive::<TimestampNanosecondType>().values(), &[i64::MIN, i64::MAX]);
    let dates = values("date", &[r#""1970-01-02""#, r#""0001-01-01""#, "-1", r#""9999-12-31""#]);
    assert_eq!(dates.as_primitive::<Date32Type>().values(), &[1, -719_162, -1, 2_932_896]);
    let clock = values("time(ms)", &[r#""23:59:59.999""#, "0", r#""00:00:01""#]);
    assert_eq!(clock.as_primitive::<Time32MillisecondType>().values(), &[86_399_999, 0, 1000]);
    let clock = values("time(ns)", &[r#""00:00:00.000000001""#]);
    assert_eq!(clock.as_primitive::<Time64NanosecondType>().values(), &[1]);
    for (type_name, text, expected) in [
        ("timestamp(ms, UTC)", r#""2026-01-31T00:00:00.1234Z""#, "lose digits of the second"),
        ("timestamp(ms, UTC)", r#""2026-01-31T00:00:00""#, "no offset, which timestamp(ms, UTC) needs"),
        ("timestamp(ms)", r#""2026-01-31T00:00:00Z""#, "lose the offset"),
        ("timestamp(ns, UTC)", r#""2262-04-11T23:47:16.854775808Z""#, "out of the range"),
        ("timestamp(ms, UTC)", "1.5", "lose digits of the number"),
        ("timestamp(ms, UTC)", "true", "expected timestamp(ms, UTC), found a bool"),
        ("date", r#""2026-02-29""#, "no date"),
        ("date", r#""2026-1-31""#, "no date"),
        ("time(ms)", "86400000", "out of the range"),
        ("time(ms)", "-1", "out of the range"),
        ("time(ms)", r#""24:00:00""#, "out of the range"),
        ("time(s)", r#""00:00:00.5""#, "lose digits of the second"),
    ] {
        assert!(problem(type_name, text).contains(expected), "{text}: {}", problem(type_name, text));
    }
    for text in [
        "2026-12-31T23:59:60Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:01Z",
        "2026-01-01T25:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567891Z",
        "2026-01-01T00:00:00+020",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+02:60",
        "2026-01-01T00:00:00ZZ",
        "2026-01-01",
        "+2026-01-01T00:00:00Z",
        "２026-01-01T00:00:00Z",
        "",
    ] {
        let found = problem("timestamp(ns, UTC)", &format!("\"{text}\""));
        assert!(found.contains("no time as in"), "{text}: {found}");
    }
}

#[test]
fn nested_values() {
    let rows = [
        r#"{"b": {"c": "x", "zzz": 1}, "a": 5}"#,
        r#"{"a": null}"#,
        "null",
        r#"{"a": 1, "b": {"d": [[1, null], null, []], "c": null}}"#,
    ];
    let nested = values("struct<a: int, b: struct<c: string, d: list<list<int8>>>>", &rows);
    let nested = nested.as_struct();
    assert_eq!(nested.nulls().unwrap().iter().collect::<Vec<_>>(), [true, true, false, true]);
    let a: Vec<_> = nested.column(0).as_primitive::<Int32Type>().iter().collect();
    assert_eq!(a, [Some(5), None, None, Some(1)]);
    let b = nested.column(1).as_struct();
    assert_eq!(b.nulls().unwrap().iter().collect::<Vec<_>>(), [true, false, false, true]);
    let d = b.column(1).as_list::<i32>();
    assert_eq!((d.value_offsets(), d.null_count()), (&[0, 0, 0, 0, 3][..], 3));
    let inner = d.values().as_list::<i32>();
    assert_eq!((inner.value_offsets(), inner.is_null(1)), (&[0, 2, 2, 2][..], true));

    let maps = values("map<string, int>", &[r#"{"x": 1, "\u0079": null}"#, "{}", "null"]);
    let maps = maps.as_map();
    assert_eq!((maps.value_offsets(), maps.is_null(2)), (&[0, 2, 2, 2][..], true));
    assert_eq!(maps.keys().as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["x", "y"]);
    let days = values("map<date, string>", &[r#"{"1970-01-02": "x"}"#]);
    assert_eq!(days.as_map().keys().as_primitive::<Date32Type>().values(), &[1]);
    let numbers = values("map<int, string>", &[r#"{"2": "x", "-1.0": "y"}"#]);
    assert_eq!(numbers.as_map().keys().as_primitive::<Int32Type>().values(), &[2, -1]);
    for (type_name, text, expected) in [
        ("struct<a: int>", r#"{"a": 1, "\u0061": 2}"#, "v.a: a key comes twice"),
        (
            "struct<a: list<struct<b: int>>>",
            r#"{"a": [{}, {"b": "x"}]}"#,
            "v.a[1].b: expected int32, found a string",
        ),
        ("struct<a: int>", "[]", "v: expected an object, found an array"),
        ("list<int>", "{}", "v: expected an array, found an object"),
        ("list<int>", "[1,]", "not JSON: expected a value"),
        ("list<int>", "[1 2]", "not JSON: expected `,` or `]`"),
        ("map<string, int>", r#"{"a": 1, "b": 2, "\u0061": 3}"#, "v: a key comes twice"),
        ("map<int, int>", r#"{"1": 1, "1.0": 2}"#, "v: a key comes twice"),
        ("map<int, int>", r#"{"1": 1, "x": 2}"#, "v[1]: the key is not of the map's type"),
        ("map<int, int>", r#"{" 1": 1}"#, "v[0]: the key is not of the map's type"),
        ("map<string, int>", r#"{"secret": "x"}"#, "v[0]: expected int32, found a string"),
    ] {
        assert!(problem(type_name, text).contains(expected), "{text}: {}", problem(type_name, text));
    }
}

#[test]
fn paths_lead_into_the_record() {
    let columns = [
        at("a.b.c", column("deep", "int")),
        at("a", column("whole", "json")),
        at("a.b", column("half", "struct<c: int>")),
        column("a.b", "string"),
        at("x", column("once", "string")),
        at("x", column("again", "json")),
    ];
    let mut decoder = json(&columns);
    append(&mut decoder, r#"{"x": "1", "a": {"z": [1], "b": {"c": 7}}, "a.b": "dots"}"#).unwrap();
    append(&mut decoder, r#"{"a": {"b": null}}"#).unwrap();
    append(&mut decoder, r#"{"a": null, "unknown": {"a": 1, "a": 2}}"#).unwrap();
    append(&mut decoder, r#"{}"#).unwrap();
    let twice = append(&mut decoder, r#"{"a": {"b": {}, "b": {}}}"#).unwrap_err();
    assert_eq!((twice.error.as_str(), twice.column.as_deref()), ("a.b: a key comes twice", Some("half")));
    let scalar = append(&mut decoder, r#"{"a": {"b": 5}}"#).unwrap_err();
    assert_eq!(scalar.error, "a.b: expected an object, found a number");
    let wrong = append(&mut decoder, r#"{"a": {"b": {"c": "x"}}}"#).unwrap_err();
    assert_eq!(
        (wrong.error.as_str(), wrong.column.as_deref()),
        ("a.b.c: expected int32, found a string (lenient: true takes numbers out of them)", Some("half"))
    );
    append(&mut decoder, r#"{"a": {"b": {"c": 8}}}"#).unwrap();
    let batch = decoder.finish();
    let deep: Vec<_> = batch.column(0).as_primitive::<Int32Type>().iter().collect();
    assert_eq!(deep, [Some(7), None, None, None, Some(8)]);
    assert_eq!(strings(&batch, 1)[..3], [Some(r#"{"z": [1], "b": {"c": 7}}"#), Some(r#"{"b": null}"#), None]);
    assert_eq!(strings(&batch, 3)[0], Some("dots"));
    assert_eq!((strings(&batch, 4)[0], strings(&batch, 5)[0]), (Some("1"), Some("\"1\"")));
    for path in ["", "a..b", ".a", "a.", "$.a.b", "l[0].b", "/a/b"] {
        let format = Format::default();
        assert!(crate::flow::decode::decoder(&format, &[at(path, column("v", "int"))]).is_err(), "{path}");
    }
}

#[test]
fn records_that_are_no_object_are_rejected_whole() {
    let mut decoder = json(&[column("v", "string"), column("w\"", "int")]);
    for (payload, expected) in [
        (&b""[..], "the payload is empty"),
        (b" ", "not JSON: expected a value at byte 1"),
        (b"[]", "expected an object, found an array"),
        (b"null", "expected an object, found null"),
        (b"no json", "not JSON: expected a value at byte 0"),
        (b"failed: secret", "not JSON: expected a value at byte 0"),
        (b"2026-01-31 secret", "not JSON: expected the end at byte 4"),
        (b"\"a\" secret", "not JSON: expected the end at byte 4"),
        (b"[ERROR] secret", "not JSON: expected a value at byte 1"),
        (b"{\"v\":\"secret\"} x", "not JSON: expected the end at byte 15"),
        (b"{\"v\":\"secret\"}{}", "not JSON: expected the end at byte 14"),
        (b"{\"v\":\"secret\"", "not JSON: expected `,` or `}` at byte 13"),
        (b"{\"v\":\"secret\",}", "not JSON: expected a string as key at byte 14"),
        (b"{\"u\":\"\xff\"}", "not UTF-8 at byte 6"),
        (b"{\"v\":\"\xed\xa0\x80\"}", "not UTF-8 at byte 6"),
        (b"\xef\xbb\xbf{}", "not JSON: expected a value at byte 0"),
        (b"{\"v\" \"x\"}", "not JSON: expected `:` at byte 5"),
        (b"{'v':1}", "not JSON: expected a string as key at byte 1"),
        (b"{\"w\":nul}", "not JSON"),
        (b"{\"w\"\":1}", "not JSON"),
        (b"{\"w\xc3\xbf:1}", "not JSON"),
    ] {
        let reject = append(&mut decoder, payload).unwrap_err();
        assert!(reject.error.contains(expected), "{reject}");
        assert!(!reject.error.contains("secret"));
    }
    append(&mut decoder, " {\"w\\\"\" : 1 } \r\n").unwrap();
    let batch = decoder.finish();
    assert_eq!((batch.num_rows(), batch.column(1).as_primitive::<Int32Type>().value(0)), (1, 1));
}

#[test]
fn depth_is_bounded_wherever_it_is() {
    let columns =
        [column("known", "list<list<list<int>>>"), column("json", "json"), at("p.q", column("deep", "json"))];
    let mut decoder = json(&columns);
    for levels in [10_000, 3_000_000] {
        for key in ["unknown", "known", "json", "p"] {
            for open in ["[", "{\"q\":"] {
                let payload = format!("{{\"{key}\":{}", open.repeat(levels));
                assert!(append(&mut decoder, payload).is_err());
            }
        }
    }
    let nested = |levels| format!("{{\"json\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    append(&mut decoder, nested(126)).unwrap();
    assert!(append(&mut decoder, nested(127)).unwrap_err().error.contains("in one another"));
    assert_eq!(decoder.finish().num_rows(), 1);
}

#[test]
fn tombstones_and_metadata() {
    let partition = TopicPartition::new("t", 0);
    let tombstone = Record::of(&partition, 3, None);
    let mut decoder = json(&[column("v", "struct<a: int>")]);
    assert_eq!(decoder.append(&tombstone), Ok(Appended::Rows(1)));
    append(&mut decoder, r#"{"v": {"a": 1}}"#).unwrap();
    assert_eq!((decoder.rows(), decoder.bytes() >= 24), (2, true));
    let batch = decoder.finish();
    assert!(batch.column(0).is_null(0) && batch.column(0).is_valid(1));
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().values(), &[3, 7]);
    assert_eq!((decoder.rows(), decoder.finish().num_rows()), (0, 0));
    let format = Format::default();
    let mut skipping = crate::flow::decode::decoder(&format, &[column("v", "int")]).unwrap();
    assert_eq!(skipping.append(&tombstone), Ok(Appended::Skipped));
    assert_eq!(skipping.rows(), 0);
    assert!(crate::flow::decode::decoder(&format, &[]).is_err());
}

#[test]
fn keys_in_any_order_and_under_any_name() {
    let mut decoder = json(&[column("a", "int"), column("b\"", "int"), column("ä", "int")]);
    for payload in [
        r#"{"x": 1, "a": 1, "b\"": 2, "ä": 3}"#,
        r#"{"\u00e4": 3, "a": 1, "x": 1, "y": 1, "b\u0022": 2}"#,
        r#"{"ab": 9, "b": 9, "a\"": 9, "b\"" : 2, "": 9, "\u0061":1, "ä":3}"#,
    ] {
        append(&mut decoder, payload).unwrap();
        append(&mut decoder, payload).unwrap();
    }
    let batch = decoder.finish();
    for (index, expected) in [1, 2, 3].into_iter().enumerate() {
        assert_eq!(batch.column(index).as_primitive::<Int32Type>().values(), &[expected; 6]);
    }
}
