//! Words for types that are not ours, and which of ours is meant. `BIGINT` is
//! nearer to `int` by its letters, and would lose half of its bits.

/// Every word a type may start with, for the nearest one in an error.
const WORDS: [&str; 22] = [
    "bool",
    "int",
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
    "time",
    "timestamp",
    "decimal",
    "struct",
    "list",
    "map",
    "json",
];

/// What a word says in SQL, in Java, in Avro and in Arrow; what stands behind the word is left out.
const OTHERS: [(&[&str], &str); 22] = [
    (&["boolean", "bit"], "`bool`"),
    (&["tinyint", "byte"], "`int8`"),
    (&["smallint", "short", "int2", "smallserial"], "`int16`"),
    (&["integer", "mediumint", "int4", "serial"], "`int32`"),
    (&["bigint", "long", "bigserial"], "`int64`"),
    (&["ubigint", "ulong"], "`uint64`"),
    (&["uinteger", "uint"], "`uint32`"),
    (&["usmallint", "ushort"], "`uint16`"),
    (&["utinyint", "ubyte"], "`uint8`"),
    (&["real", "float4", "float32"], "`float`"),
    (&["float8", "float64", "binary_double"], "`double`"),
    (
        &["numeric", "number", "dec", "money", "decimal128", "bigdecimal"],
        "`decimal(18,2)`, with its own digits",
    ),
    (
        &[
            "varchar",
            "varchar2",
            "nvarchar",
            "nvarchar2",
            "char",
            "nchar",
            "character",
            "text",
            "longtext",
            "mediumtext",
            "tinytext",
            "clob",
            "str",
            "utf8",
            "uuid",
            "enum",
        ],
        "`string`",
    ),
    (&["varbinary", "bytea", "bytes", "blob", "longblob", "raw", "fixed"], "`binary`"),
    (&["date32"], "`date`"),
    (
        &["datetime", "datetime2", "timestamp_ntz", "localdatetime"],
        "`timestamp(us)`, or `timestamp(us, UTC)`",
    ),
    (
        &["timestamptz", "timestamp_ltz", "timestamp_tz", "datetimeoffset", "instant", "zoneddatetime"],
        "`timestamp(us, UTC)`",
    ),
    (&["time32", "time64", "localtime"], "`time(ms)`"),
    (&["array", "multiset", "repeated"], "`list<string>`, with its own type"),
    (&["row", "record", "object", "tuple"], "`struct<name: type>`, or `json`"),
    (&["jsonb", "variant", "super", "any"], "`json`"),
    (&["dictionary", "hashmap"], "`map<string, string>`, with its own types"),
];

/// What is wrong with a type that begins with `word`; `rest` is what stands behind it.
pub(super) fn unknown(word: &str, rest: &str) -> String {
    if word.is_empty() {
        return "a type is missing".to_owned();
    }
    let (lower, rest) = (word.to_lowercase(), rest.trim_start().to_lowercase());
    let meant = match lower.as_str() {
        "double" if rest.starts_with("precision") => Some("`double`".to_owned()),
        // Of 32 bits in Hive and Spark, of 64 in the standard.
        "float" => Some("`double`, or `float` of 32 bits".to_owned()),
        // Of 64 bits in PostgreSQL.
        "int8" => Some("`int64`, or `int8` of 8 bits".to_owned()),
        "timestamp" if rest.contains("with time zone") || rest.contains("with local time zone") => {
            Some(format!("`timestamp({}, UTC)`", unit(&rest)))
        }
        "timestamp" => Some(format!("`timestamp({0})`, or `timestamp({0}, UTC)`", unit(&rest))),
        "time" => Some("`time(ms)`".to_owned()),
        "decimal" => Some("`decimal(18,2)`, with its own digits".to_owned()),
        "int" | "integer" | "bigint" | "smallint" | "tinyint" if rest.starts_with("unsigned") => {
            let bits = match lower.as_str() {
                "bigint" => 64,
                "smallint" => 16,
                "tinyint" => 8,
                _ => 32,
            };
            Some(format!("`uint{bits}`"))
        }
        "int" => Some("`int32`".to_owned()),
        other => OTHERS.iter().find(|(words, _)| words.contains(&other)).map(|(_, ours)| (*ours).to_owned()),
    };
    if let Some(meant) = meant {
        return format!("`{word}` is no type here; did you mean {meant}?");
    }
    let near = WORDS.iter().map(|known| (strsim::damerau_levenshtein(known, &lower), known)).min();
    match near {
        Some((distance, known)) if distance <= 3.min(word.len() / 2) => {
            format!("`{word}` is no type; did you mean `{known}`?")
        }
        _ => format!("`{word}` is no type; types are {}", WORDS.join(", ")),
    }
}

/// Of SQL's digits of the second in brackets.
fn unit(rest: &str) -> &'static str {
    match rest.trim_start_matches('(').bytes().next() {
        Some(b'0') => "s",
        Some(b'1'..=b'3') => "ms",
        Some(b'7'..=b'9') => "ns",
        _ => "us",
    }
}

#[cfg(test)]
mod tests {
    use crate::columns::Column;
    use crate::columns::schema;

    #[test]
    fn the_words_of_others_lead_to_the_type_that_holds_as_much() {
        for (word, ours) in [
            ("BIGINT", "`int64`"),
            ("bigint", "`int64`"),
            ("LONG", "`int64`"),
            ("INTEGER", "`int32`"),
            ("INT", "`int32`"),
            ("SMALLINT", "`int16`"),
            ("TINYINT", "`int8`"),
            ("INT8", "`int64`"),
            ("BIGINT UNSIGNED", "`uint64`"),
            ("INT UNSIGNED", "`uint32`"),
            ("VARCHAR", "`string`"),
            ("VARCHAR(255)", "`string`"),
            ("CHARACTER VARYING(3)", "`string`"),
            ("TEXT", "`string`"),
            ("STRING", "`string`"),
            ("UUID", "`string`"),
            ("BOOLEAN", "`bool`"),
            ("TIMESTAMP", "`timestamp(us)`"),
            ("timestamp", "`timestamp(us)`"),
            ("TIMESTAMP(3)", "`timestamp(ms)`"),
            ("TIMESTAMP WITH TIME ZONE", "`timestamp(us, UTC)`"),
            ("timestamp(3) with time zone", "`ms`"),
            ("TIMESTAMPTZ", "`timestamp(us, UTC)`"),
            ("DATETIME", "`timestamp(us)`"),
            ("DATE", "`date`"),
            ("TIME", "`time(ms)`"),
            ("time", "`time(ms)`"),
            ("DOUBLE", "`double`"),
            ("DOUBLE PRECISION", "`double`"),
            ("double precision", "`double`"),
            ("REAL", "`float`"),
            ("FLOAT", "`double`, or `float`"),
            ("DECIMAL", "`decimal(18,2)`"),
            ("decimal", "`decimal(18,2)`"),
            ("NUMERIC(10, 2)", "`decimal(18,2)`"),
            ("BYTEA", "`binary`"),
            ("BLOB", "`binary`"),
            ("JSONB", "`json`"),
            ("ARRAY<INT>", "`list<string>`"),
            ("ROW(a INT)", "`struct<name: type>`"),
            ("list<BIGINT>", "`int64`"),
            ("struct<a: map<string, VARCHAR(3)>>", "`string`"),
            ("strng", "`string`"),
        ] {
            let error = schema(&[Column::new("c", word)], &[]).unwrap_err().to_string();
            assert!(error.contains(ours), "{word}: {error}");
        }
    }
}
