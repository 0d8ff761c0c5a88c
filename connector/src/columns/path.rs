//! Where a column's value lies in a record, as the job file writes it: `.` is the
//! whole record, anything else is keys with a dot between two of them. A key with a
//! dot or a bracket in it is put in double quotes, with `\"` and `\\` in it.
//!
//! What looks like another notation (JSONPath, JSON Pointer, an index) could only name a key that hardly
//! anybody has, so it is refused unless it is quoted: the column would be null in every row.

/// The path of a whole record.
pub const WHOLE: &str = ".";

/// The keys from the top; none for the whole record.
///
/// Errors: what is wrong, without the path itself, and the remedy.
pub fn keys(path: &str) -> Result<Vec<String>, (&'static str, &'static str)> {
    if path == WHOLE {
        return Ok(Vec::new());
    }
    let mut keys = Vec::new();
    let mut rest = path;
    loop {
        let key;
        (key, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => plain(rest, keys.is_empty())?,
        };
        keys.push(key);
        if rest.is_empty() {
            return Ok(keys);
        }
        rest = rest.strip_prefix('.').ok_or(("has something behind a closing quote", DOTS))?;
    }
}

const DOTS: &str =
    "write keys with one dot between two of them, such as a.b, or a.\"b.c\" for a key with a dot in it";

/// A key up to the next dot, and what follows.
fn plain(text: &str, is_first: bool) -> Result<(String, &str), (&'static str, &'static str)> {
    let end = text.find('.').unwrap_or(text.len());
    let (key, rest) = text.split_at(end);
    if key.is_empty() {
        return Err(("has an empty key", DOTS));
    }
    if is_first && key == "$" && !rest.is_empty() || key.starts_with("$[") {
        let remedy = "leave `$.` out: the keys begin at the record, with a dot between two of them; write \"$\" in quotes \
                      where it is a key";
        return Err(("is written as JSONPath", remedy));
    }
    if key.ends_with(']') && key.contains('[') {
        let remedy = "take the list as a whole, with a type such as list<struct<b: int64>> or json; write a key that has \
                      brackets in it in double quotes";
        return Err(("has an index, and a path leads through objects only", remedy));
    }
    if is_first && key.starts_with('/') {
        let remedy = "write a.b instead of /a/b; write a key that begins with a slash in double quotes";
        return Err(("is written as a JSON Pointer", remedy));
    }
    Ok((key.to_owned(), rest))
}

/// A key up to the closing quote, and what follows.
fn unquote(text: &str) -> Result<(String, &str), (&'static str, &'static str)> {
    let mut key = String::new();
    let mut symbols = text.char_indices();
    while let Some((at, symbol)) = symbols.next() {
        match symbol {
            '"' => return Ok((key, &text[at + 1..])),
            '\\' => match symbols.next() {
                Some((_, escaped @ ('"' | '\\'))) => key.push(escaped),
                _ => return Err(("has a backslash before something else than \" or \\", DOTS)),
            },
            _ => key.push(symbol),
        }
    }
    Err(("lacks a closing quote", DOTS))
}

/// `key` as a path writes it.
pub fn quoted(key: &str) -> String {
    // With another one behind it, as a key may have.
    if keys(&format!("{key}.k")).is_ok_and(|keys| keys == [key, "k"]) {
        return key.to_owned();
    }
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Keys as a path writes them.
pub fn joined<'k>(keys: impl IntoIterator<Item = &'k str>) -> String {
    let keys: Vec<_> = keys.into_iter().map(quoted).collect();
    if keys.is_empty() { WHOLE.to_owned() } else { keys.join(".") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_separated_by_dots_and_quoted_where_they_have_one() {
        for (path, expected) in [
            ("a", &["a"][..]),
            ("a.b", &["a", "b"]),
            ("_id.$oid", &["_id", "$oid"]),
            ("$date", &["$date"]),
            ("$", &["$"]),
            ("\"$\".id", &["$", "id"]),
            ("a.$.b", &["a", "$", "b"]),
            ("a b.c/d", &["a b", "c/d"]),
            ("a[b", &["a[b"]),
            ("\"a.b\".\"l[0]\"", &["a.b", "l[0]"]),
            ("\"\"", &[""]),
            (r#""a\"\\b""#, &["a\"\\b"]),
            (".", &[]),
        ] {
            assert_eq!(keys(path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn what_could_match_nothing_is_refused_with_the_remedy() {
        for path in [
            "", "..", ".a", "a.", "a..b", "$.a.b", "$[0]", "$['a']", "l[0].b", "l[*]", "l[].b", "a.l[-1]",
            "/a/b", "\"a", "\"a\"b", r#""a\n""#,
        ] {
            let (problem, remedy) = keys(path).unwrap_err();
            assert!(!problem.is_empty() && !remedy.is_empty(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_joined_reads_as_the_same_keys(names in prop::collection::vec("[a-c.$/\\[\\]\"\\\\0 ]{0,4}", 0..4)) {
            prop_assert_eq!(keys(&joined(names.iter().map(String::as_str))).unwrap(), names);
        }
    }
}
