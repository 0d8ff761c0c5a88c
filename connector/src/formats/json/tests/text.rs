//! Text, bytes and kept JSON, with their escapes.

use super::*;

#[test]
fn text_binary_and_json() {
    let texts = [
        r#""a\u00e4\ud83d\ude00\n\/\"\\\b\f\r\t""#,
        r#""ä😀 as they are, longer than a word""#,
        r#""""#,
        "null",
    ];
    let text = values("string", &texts);
    let expected =
        [Some("aä😀\n/\"\\\u{8}\u{c}\r\t"), Some("ä😀 as they are, longer than a word"), Some(""), None];
    assert_eq!(text.as_string::<i32>().iter().collect::<Vec<_>>(), expected);
    let binary = values("binary", &[r#""""#, r#""YQ==""#, r#""YWI=""#, r#""YWJj""#, r#""\/\/\u002b/""#]);
    let expected: [&[u8]; 5] = [b"", b"a", b"ab", b"abc", b"\xff\xff\xbf"];
    assert_eq!(binary.as_binary::<i32>().iter().flatten().collect::<Vec<_>>(), expected);
    let verbatim = [
        "{ \"a\" : [1.10, 123456789012345678901234567890, 1e999],\t\"a\":null}",
        "\"\\u0041\"",
        "-0",
        "null",
    ];
    let json = values("json", &verbatim);
    let json: Vec<_> = json.as_string::<i32>().iter().collect();
    assert_eq!(json, [Some(verbatim[0]), Some(verbatim[1]), Some("-0"), None]);
    for (type_name, text, expected) in [
        ("string", "1", "expected string, found a number"),
        ("string", "false", "expected string, found a bool"),
        ("string", "{}", "expected string, found an object"),
        ("string", r#""\ud800""#, "a whole surrogate pair"),
        ("string", r#""\ud800\u0041""#, "a whole surrogate pair"),
        ("string", r#""\udc00\ud800""#, "a whole surrogate pair"),
        ("string", r#""\u12""#, "four hex digits"),
        ("string", r#""\u+123""#, "four hex digits"),
        ("string", r#""\x""#, "an escape"),
        ("string", "\"a\tb\"", "no control character"),
        ("binary", r#""YQ""#, "not base64"),
        ("binary", r#""YQ=""#, "not base64"),
        ("binary", r#""YR==""#, "not base64"),
        ("binary", r#""Y===""#, "not base64"),
        ("binary", r#""_-_-""#, "not base64"),
        ("binary", r#""YQ==YQ==""#, "not base64"),
        ("binary", "[1]", "expected binary"),
        ("bool", "1", "expected bool, found a number"),
        ("bool", "\"true\"", "expected bool, found a string"),
        ("bool", "tru", "not JSON"),
        ("json", "{\"a\":}", "not JSON"),
    ] {
        assert!(problem(type_name, text).contains(expected), "{text}: {}", problem(type_name, text));
    }
}

#[test]
fn half_a_surrogate_pair_is_passed_over_where_no_text_is_made_of_it() {
    let mut decoder = json(&[column("v", "json"), column("s", "struct<n: int>")]);
    let payload =
        r#"{"v": ["\ud83d", {"\udc00": 1}], "\ud83d": "\uD83D", "s": {"\ud83d": 1, "n": 2}, "x": "a\ud83d"}"#;
    append(&mut decoder, payload).unwrap();
    let batch = decoder.finish();
    assert_eq!(strings(&batch, 0), [Some(r#"["\ud83d", {"\udc00": 1}]"#)]);
    assert_eq!(batch.column(1).as_struct().column(0).as_primitive::<Int32Type>().values(), &[2]);
    for (type_name, text) in
        [("string", r#""\ud83d""#), ("string", r#""\ud83d\u0041""#), ("map<string, int>", r#"{"\udc00": 1}"#)]
    {
        assert!(problem(type_name, text).contains("a whole surrogate pair"), "{text}");
    }
    for text in [r#""\ud8""#, r#""\u12g4""#, r#""\u""#] {
        let reject = append(&mut decoder, format!(r#"{{"x": {text}}}"#)).unwrap_err();
        assert!(reject.error.contains("four hex digits"), "{text}: {reject}");
    }
}
