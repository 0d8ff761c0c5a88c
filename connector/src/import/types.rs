//! Types of FlinkX and Hive in the grammar of this program's job file.

use crate::columns;

/// Types in types that are followed; deeper ones stay JSON.
const MAX_DEPTH: usize = 16;

/// A type, and what somebody must know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) type_name: String,
    pub(super) note: Option<String>,
}

fn mapped(type_name: impl Into<String>) -> Mapped {
    Mapped { type_name: type_name.into(), note: None }
}

fn noted(type_name: &str, note: impl Into<String>) -> Mapped {
    Mapped { type_name: type_name.to_owned(), note: Some(note.into()) }
}

/// Every type becomes some type; one that is not known becomes a string.
pub(super) fn map(text: &str) -> Mapped {
    nested(text.trim(), 0)
}

fn nested(text: &str, depth: usize) -> Mapped {
    let text = text.trim();
    if depth >= MAX_DEPTH {
        return noted("json", "types within types, too deep to be told apart: it is kept as JSON");
    }
    let lower = text.to_ascii_lowercase();
    if let Some(inner) = lower.strip_suffix('>')
        && let Some((name, _)) = inner.split_once('<')
    {
        // The names of a row's fields keep their case.
        let inside = &text[name.len() + 1..text.len() - 1];
        return container(name.trim(), inside, depth);
    }
    let (name, arguments) = match lower.strip_suffix(')').and_then(|lower| lower.split_once('(')) {
        Some((name, arguments)) => (name.trim(), arguments.split(',').map(str::trim).collect()),
        None => (lower.as_str(), Vec::new()),
    };
    scalar(name, &arguments)
}

fn scalar(name: &str, arguments: &[&str]) -> Mapped {
    match name {
        "boolean" | "bool" | "bit" => mapped("bool"),
        "tinyint" | "int8" => mapped("int8"),
        "smallint" | "short" | "int16" => mapped("int16"),
        "int" | "integer" | "int32" | "mediumint" => mapped("int32"),
        "bigint" | "long" | "int64" => mapped("int64"),
        "float" | "float32" => mapped("float"),
        "double" | "real" | "float64" | "double precision" => mapped("double"),
        "decimal" | "numeric" | "number" | "dec" => decimal(arguments),
        "string" | "varchar" | "varchar2" | "nvarchar" | "nvarchar2" | "char" | "nchar" | "character"
        | "text" | "longtext" | "mediumtext" | "tinytext" | "keyword" | "clob" | "enum" | "uuid" => {
            mapped("string")
        }
        "binary" | "varbinary" | "bytes" | "blob" | "bytea" | "raw" => mapped("binary"),
        "date" => mapped("date"),
        "time" => mapped("time(ms)"),
        "datetime" | "timestamp" | "timestamp without time zone" => {
            mapped(format!("timestamp({})", unit(arguments)))
        }
        "timestamp_ltz" | "timestamptz" | "timestamp with time zone" | "timestamp with local time zone" => {
            mapped(format!("timestamp({}, UTC)", unit(arguments)))
        }
        "json" | "jsonb" | "object" | "array" | "map" | "row" | "struct" => mapped("json"),
        _ => noted("string", format!("the type {name:?} is not known here: it is a string now")),
    }
}

fn decimal(arguments: &[&str]) -> Mapped {
    let numbers: Vec<u32> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    match numbers.as_slice() {
        [precision, scale] if (1..=38).contains(precision) && scale <= precision => {
            mapped(format!("decimal({precision},{scale})"))
        }
        [precision] if (1..=38).contains(precision) => mapped(format!("decimal({precision},0)")),
        _ => noted("decimal(38,18)", "says no precision and scale that fit: it is decimal(38,18) now"),
    }
}

/// Of a timestamp's precision in digits.
fn unit(arguments: &[&str]) -> &'static str {
    match arguments.first().and_then(|digits| digits.parse::<u32>().ok()) {
        Some(0) => "s",
        Some(1..=3) => "ms",
        Some(7..) => "ns",
        Some(4..=6) | None => "us",
    }
}

fn container(name: &str, inside: &str, depth: usize) -> Mapped {
    let parts = split(inside);
    let inner = |text: &str| nested(text, depth + 1);
    match (name, parts.as_slice()) {
        ("array" | "list" | "multiset", [item]) => {
            let item = inner(item);
            Mapped { type_name: format!("list<{}>", item.type_name), note: item.note }
        }
        ("map", [key, value]) => {
            let (key, value) = (inner(key), inner(value));
            let type_name = format!("map<{}, {}>", key.type_name, value.type_name);
            Mapped { type_name, note: key.note.or(value.note) }
        }
        ("row" | "struct", fields) => {
            let mut note = None;
            let field = |field: &&str| {
                let field = field.trim();
                // A name in quotes may hold what else ends it.
                let mark = field.chars().next().filter(|mark| ['`', '"'].contains(mark));
                let (name, rest) = match mark {
                    Some(mark) => field[1..].split_once(mark)?,
                    None => field.split_at(field.find([':', ' '])?),
                };
                let of = inner(rest.trim_start_matches([':', ' ']));
                note = note.take().or(of.note);
                (!name.is_empty()).then(|| format!("{}: {}", columns::quoted(name), of.type_name))
            };
            match fields.iter().map(field).collect::<Option<Vec<_>>>() {
                Some(fields) => Mapped { type_name: format!("struct<{}>", fields.join(", ")), note },
                None => noted("json", "a row whose fields cannot be told apart: it is kept as JSON"),
            }
        }
        _ => noted("json", format!("the type {name:?} is not known here: it is kept as JSON")),
    }
}

/// At the commas that lie in no brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, character) in text.char_indices() {
        match character {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Column;

    fn is_type(text: &str) -> bool {
        let column = Column::new("c", text);
        columns::schema(&[column], &[]).is_ok()
    }

    #[test]
    fn each_type_has_its_own() {
        for (old, new) in [
            ("BOOLEAN", "bool"),
            ("TINYINT", "int8"),
            ("smallint", "int16"),
            ("INT", "int32"),
            ("mediumint", "int32"),
            ("BigInt", "int64"),
            ("long", "int64"),
            ("FLOAT", "float"),
            ("double", "double"),
            ("DECIMAL(10, 2)", "decimal(10,2)"),
            ("decimal(5)", "decimal(5,0)"),
            ("STRING", "string"),
            ("varchar(255)", "string"),
            ("CHAR(3)", "string"),
            ("binary", "binary"),
            ("date", "date"),
            ("time", "time(ms)"),
            ("datetime", "timestamp(us)"),
            ("TIMESTAMP(3)", "timestamp(ms)"),
            ("timestamp(0)", "timestamp(s)"),
            ("TIMESTAMP_LTZ(9)", "timestamp(ns, UTC)"),
            ("array<string>", "list<string>"),
            ("MAP<STRING, ARRAY<INT>>", "map<string, list<int32>>"),
            ("ROW<Id BIGINT, amount DECIMAL(18,2)>", "struct<Id: int64, amount: decimal(18,2)>"),
            ("struct<a:int,`b c`:map<string,date>>", "struct<a: int32, \"b c\": map<string, date>>"),
        ] {
            assert_eq!(map(old), mapped(new), "{old}");
            assert!(is_type(new), "{new}");
        }
    }

    #[test]
    fn what_is_not_known_is_kept_and_told() {
        for (old, new) in [
            ("decimal", "decimal(38,18)"),
            ("decimal(60,2)", "decimal(38,18)"),
            ("geometry", "string"),
            ("array<geometry>", "list<string>"),
            ("row<nothing>", "json"),
            ("tuple<int, int>", "json"),
        ] {
            let mapped = map(old);
            assert_eq!((mapped.type_name.as_str(), mapped.note.is_some()), (new, true), "{old}");
        }
        let deep = format!("{}int{}", "array<".repeat(5_000), ">".repeat(5_000));
        assert!(map(&deep).type_name.contains("json"));
        // No text may lead to a slip, whatever it is.
        for odd in ["<", ">", "a<", "<>", "array<>", "map<,>", "()", "decimal(", "İ<x>", "row<é:int>"] {
            assert!(is_type(&map(odd).type_name), "{odd}");
        }
    }
}
