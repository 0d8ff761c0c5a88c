use proptest::prelude::*;

use super::*;

const MILLISECONDS: Seconds = Seconds::Milliseconds;

fn column(name: &str, type_name: &str) -> Column {
    Column::new(name, type_name)
}

fn problem(type_name: &str) -> String {
    schema(&[column("c", type_name)], &[]).unwrap_err().to_string()
}

#[test]
fn a_job_becomes_a_schema() {
    let columns = [
        column("id", "int"),
        column("at", "timestamp(ms, UTC)"),
        column("price", "decimal(18,2)"),
        column("more", "struct<a: int8, \"b c\": list<string>>"),
        column("tags", "map<string, double>"),
        column("rest", "json"),
    ];
    let schema = schema(&columns, &[Metadata::Offset, Metadata::Timestamp]).unwrap();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "at", "price", "more", "tags", "rest", "_offset", "_timestamp"]);
    assert_eq!(*schema.field(0).data_type(), DataType::Int32);
    assert_eq!(*schema.field(1).data_type(), DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
    assert_eq!(*schema.field(2).data_type(), DataType::Decimal128(18, 2));
    assert!(schema.fields()[..6].iter().all(|field| field.is_nullable()));
    assert!(!schema.field(6).is_nullable() && schema.field(7).is_nullable());
    let types: Vec<_> = schema.fields()[..6].iter().map(|field| type_name(field).unwrap()).collect();
    let expected = [
        "int32",
        "timestamp(ms, UTC)",
        "decimal(18,2)",
        "struct<a: int8, \"b c\": list<string>>",
        "map<string, double>",
        "json",
    ];
    assert_eq!(types, expected);
}

#[test]
fn an_error_says_where_and_what_was_meant() {
    assert_eq!(
        problem("decmal(18,2)"),
        "column `c`: `decmal` is no type; did you mean `decimal`? (at character 1 of its type)"
    );
    assert_eq!(
        problem("list<Strin>"),
        "column `c`: `Strin` is no type; did you mean `string`? (at character 6 of its type)"
    );
    for (type_name, expected) in [
        ("", "a type is missing"),
        ("list<string", "`>` is missing"),
        ("int32 not null", "the text goes on"),
        ("timestamp", "did you mean `timestamp(us)`"),
        ("timestamp(min)", "a unit is s, ms, us or ns"),
        ("timestamp(3)", "did you mean `ms`?"),
        ("timestamp(ms, Europe/Berln)", "did you mean `Europe/Berlin`?"),
        ("timestamp(ms, 7)", "`7` is no time zone"),
        ("decimal(39,2)", "1 to 38"),
        ("decimal(4,5)", "after the point"),
        ("struct<>", "a name is missing"),
        ("struct<a: int, a: int>", "`a` comes twice"),
        ("map<list<int>, int>", "simple type"),
        ("map<json, int>", "simple type"),
        ("struct<\"a: int>", "closing"),
        ("geometry-of-the-earth", "types are bool, int, "),
    ] {
        assert!(problem(type_name).contains(expected), "{type_name}: {}", problem(type_name));
    }
    let deep = "list<".repeat(100_000);
    assert!(problem(&deep).contains("in one another"));
}

#[test]
fn seconds_are_written_as_milliseconds_at_any_depth_but_in_chains_that_have_them_bare() {
    let types = "struct<at: timestamp(s, UTC), of: list<timestamp(s)>, by: map<time(s), time(s)>>";
    let units = |bare_seconds| {
        let columns = [Column { bare_seconds, ..column("c", types) }];
        let schema = schema(&columns, &[]).unwrap();
        assert_eq!(type_name(schema.field(0)).as_deref(), Some(types));
        let units = leaves(schema.field(0)).into_iter().map(|leaf| match leaf.data_type() {
            DataType::Timestamp(unit, _) | DataType::Time32(unit) => (*unit, super::unit(leaf)),
            other => panic!("{other}"),
        });
        units.collect::<Vec<_>>()
    };
    assert_eq!(units(false), [(TimeUnit::Millisecond, Some(TimeUnit::Second)); 4]);
    assert_eq!(units(true), [(TimeUnit::Second, Some(TimeUnit::Second)); 4]);
}

#[test]
fn a_name_stands_for_one_column() {
    let twice = schema(&[column("a", "int"), column("a", "string")], &[]).unwrap_err();
    assert_eq!(twice.to_string(), "column `a`: this name comes twice");
    assert_eq!(schema(&[column("_topic", "string")], &[Metadata::Topic]).unwrap_err().column, "_topic");
    assert!(schema(&[column("_topic", "string")], &[Metadata::Offset]).is_ok());
    assert!(schema(&[], &[Metadata::Key, Metadata::Key]).is_err());
    assert!(schema(&[column("", "string")], &[]).is_err());
}

fn any_type() -> impl Strategy<Value = String> {
    let unit = prop::sample::select(vec!["s", "ms", "us", "ns"]);
    let zone = prop::sample::select(vec!["UTC", "+02:00", "America/Argentina/Buenos_Aires", "Etc/GMT+3"]);
    let decimal =
        (1u8..=38).prop_flat_map(|p| (Just(p), 0..=p)).prop_map(|(p, s)| format!("decimal({p},{s})"));
    let simple = prop_oneof![
        prop::sample::select(vec![
            "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float",
            "double", "string", "binary", "date",
        ])
        .prop_map(str::to_owned),
        unit.clone().prop_map(|unit| format!("time({unit})")),
        unit.clone().prop_map(|unit| format!("timestamp({unit})")),
        (unit, zone).prop_map(|(unit, zone)| format!("timestamp({unit}, {zone})")),
        decimal,
    ];
    let key = simple.clone();
    let leaf = prop_oneof![9 => simple, 1 => Just("json".to_owned())];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let members = prop::collection::btree_map(".{0,6}", inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(|inner| format!("list<{inner}>")),
            (key.clone(), inner).prop_map(|(key, value)| format!("map<{key}, {value}>")),
            members.prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(name, of)| format!("{}: {of}", print::quoted(name))).collect();
                format!("struct<{}>", members.join(", "))
            }),
        ]
    })
}

#[test]
fn names_that_differ_only_in_letter_case_are_told_at_every_depth() {
    let columns = [
        column("Id", "int64"),
        column("id", "int64"),
        column("a", "list<struct<b: int64, c: struct<É: int64, é: int64>>>"),
        column("m", "map<string, struct<x: int64, X: int64>>"),
        column("_Topic", "string"),
    ];
    let found = twins(&schema(&columns, &[Metadata::Topic]).unwrap());
    let said = |found: &str, part: &str| assert!(found.contains(part), "{found}");
    assert_eq!(found.len(), 4, "{found:?}");
    said(&found[0], "`Id` and `id`");
    said(&found[1], "`_Topic` and `_topic`");
    said(&found[2], "c.É` and `");
    said(&found[3], "x` and `");
    assert!(twins(&schema(&columns[1..2], &[]).unwrap()).is_empty());
}

proptest! {
    #[test]
    fn what_is_printed_reads_the_same(text in any_type()) {
        let field = grammar::parse(&text, "c", MILLISECONDS).unwrap();
        prop_assert_eq!(type_name(&field).unwrap(), text);
    }

    #[test]
    fn spaces_do_not_matter(text in any_type().prop_filter("quoted names keep theirs", |text| !text.contains('"'))) {
        let loose: String = text.chars()
            .map(|c| if "<>(),".contains(c) { format!(" {c}\t") } else { c.to_string() })
            .collect();
        let read = |text: &str| grammar::parse(text, "c", MILLISECONDS).unwrap();
        prop_assert_eq!(read(&loose), read(&text));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-z0-9<>(),:\" ]{0,40}|.{0,40}") {
        if let Ok(field) = grammar::parse(&text, "c", MILLISECONDS) {
            let printed = type_name(&field).unwrap();
            prop_assert_eq!(grammar::parse(&printed, "c", MILLISECONDS).unwrap(), field);
        }
    }
}

#[test]
fn what_a_common_reader_refuses_is_told_at_any_depth() {
    let told = |type_name| cautions(&[column("c", type_name)]);
    for (type_name, word) in
        [("list<time(s)>", "times of a day"), ("struct<a: timestamp(ns)>", "nanoseconds")]
    {
        let told = told(type_name);
        assert!(told.len() == 1 && told[0].contains(word) && told[0].contains("Spark"), "{told:?}");
    }
    assert_eq!(told("map<string, timestamp(us, UTC)>"), Vec::<String>::new());
}
