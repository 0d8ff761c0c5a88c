//! The decoder against slow and simple readers: random documents against a conversion of the tree they were printed
//! from, and damaged documents against `serde_json`.

use proptest::prelude::*;

use super::*;

/// A document as a tree; numbers as written, keys as often as they come.
#[derive(Clone, Debug)]
enum Doc {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Doc>),
    Object(Vec<(String, Doc)>),
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Bool(bool),
    /// Integers, decimals without their point, times in their unit.
    Integer(i128),
    /// Bits, so that zeros differ.
    Double(u64),
    Text(String),
    List(Vec<Cell>),
}

const COLUMNS: [(&str, &str); 10] = [
    ("b", "bool"),
    ("i", "int"),
    ("l", "int64"),
    ("u", "uint64"),
    ("d", "double"),
    ("c", "decimal(20,4)"),
    ("s", "string"),
    ("t", "timestamp(us, UTC)"),
    ("o", "struct<i: int8, s: string, o: struct<d: decimal(38,10)>>"),
    ("a", "list<list<double>>"),
];

fn schema() -> (Vec<Column>, SchemaRef) {
    let columns: Vec<_> = COLUMNS.iter().map(|(name, type_name)| column(name, type_name)).collect();
    let schema = crate::columns::schema(&columns, &[]).unwrap();
    (columns, schema)
}

/// The digits before and behind the point, written out.
fn written_out(number: &str) -> (String, String) {
    let unsigned = number.trim_start_matches(['-', '+']);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap();
    let (mut whole, mut fraction) = (whole.to_owned(), fraction.to_owned());
    for _ in 0..exponent {
        whole.push(if fraction.is_empty() { '0' } else { fraction.remove(0) });
    }
    for _ in exponent..0 {
        fraction.insert(0, whole.pop().unwrap_or('0'));
    }
    (whole, fraction)
}

/// The number times ten to the scale, if that is an integer of at most 38 digits.
fn exact(number: &str, scale: usize) -> Option<i128> {
    let (whole, mut fraction) = written_out(number);
    while fraction.len() < scale {
        fraction.push('0');
    }
    let (kept, lost) = fraction.split_at(scale);
    let digits = format!("{whole}{kept}");
    let digits = digits.trim_start_matches('0');
    let magnitude: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let fits = lost.bytes().all(|digit| digit == b'0') && digits.len() <= 38;
    fits.then_some(if number.starts_with('-') { -magnitude } else { magnitude })
}

fn double(number: &str) -> Option<Cell> {
    let value: f64 = number.parse().unwrap();
    let (whole, fraction) = written_out(number);
    let zero = format!("{whole}{fraction}").bytes().all(|digit| digit == b'0');
    (value.is_finite() && (value != 0.0 || zero)).then_some(Cell::Double(value.to_bits()))
}

/// What the column of the type makes of the value; `None` for a reject.
fn convert(data_type: &DataType, doc: &Doc) -> Option<Cell> {
    let integer = |number: &str, low: i128, high: i128| {
        exact(number, 0).filter(|value| (low..=high).contains(value)).map(Cell::Integer)
    };
    Some(match (data_type, doc) {
        (_, Doc::Null) => Cell::Null,
        (DataType::Boolean, Doc::Bool(value)) => Cell::Bool(*value),
        (DataType::Int8, Doc::Number(number)) => integer(number, -128, 127)?,
        (DataType::Int32, Doc::Number(number)) => integer(number, i32::MIN.into(), i32::MAX.into())?,
        (DataType::Int64 | DataType::Timestamp(..), Doc::Number(number)) => {
            integer(number, i64::MIN.into(), i64::MAX.into())?
        }
        (DataType::UInt64, Doc::Number(number)) => integer(number, 0, u64::MAX.into())?,
        (DataType::Float64, Doc::Number(number)) => double(number)?,
        (DataType::Decimal128(precision, scale), Doc::Number(number)) => {
            let bound = 10_i128.pow(u32::from(*precision)) - 1;
            Cell::Integer(exact(number, *scale as usize).filter(|value| (-bound..=bound).contains(value))?)
        }
        (DataType::Decimal128(..), Doc::Text(text)) => {
            // The generator's texts are numbers of JSON, or have no digit at all.
            text.contains(|symbol: char| symbol.is_ascii_digit()).then_some(())?;
            serde_json::from_str::<serde_json::Value>(text).ok().filter(serde_json::Value::is_number)?;
            convert(data_type, &Doc::Number(text.clone()))?
        }
        (DataType::Utf8, Doc::Text(text)) => Cell::Text(text.clone()),
        (DataType::Timestamp(..), Doc::Text(text)) => {
            let nanos = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
            (nanos % 1000 == 0).then_some(Cell::Integer(nanos / 1000))?
        }
        (DataType::List(element), Doc::List(docs)) => {
            Cell::List(docs.iter().map(|doc| convert(element.data_type(), doc)).collect::<Option<_>>()?)
        }
        (DataType::Struct(fields), Doc::Object(members)) => Cell::List(convert_row(fields, members)?),
        _ => return None,
    })
}

fn convert_row(fields: &Fields, members: &[(String, Doc)]) -> Option<Vec<Cell>> {
    let cells = fields.iter().map(|field| {
        let mut found = members.iter().filter(|(key, _)| key == field.name());
        match (found.next(), found.next()) {
            (None, _) => Some(Cell::Null),
            (Some((_, doc)), None) => convert(field.data_type(), doc),
            (Some(_), Some(_)) => None,
        }
    });
    cells.collect()
}

/// What stands in an array.
fn cell(array: &dyn Array, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int8 => Cell::Integer(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int32 => Cell::Integer(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Integer(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt64 => Cell::Integer(array.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Timestamp(..) => {
            Cell::Integer(array.as_primitive::<TimestampMicrosecondType>().value(row).into())
        }
        DataType::Decimal128(..) => Cell::Integer(array.as_primitive::<Decimal128Type>().value(row)),
        DataType::Float64 => Cell::Double(array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            Cell::List((0..values.len()).map(|index| cell(&values, index)).collect())
        }
        DataType::Struct(_) => {
            Cell::List(array.as_struct().columns().iter().map(|column| cell(column, row)).collect())
        }
        other => panic!("no cell of {other}"),
    }
}

/// Prints a document with any space and any escapes, as `choices` say.
fn print(doc: &Doc, choices: &mut impl Iterator<Item = u8>, out: &mut String) {
    let space = |choices: &mut dyn Iterator<Item = u8>, out: &mut String| {
        let choice = usize::from(choices.next().unwrap_or_default());
        out.push_str(["", "", "", "", " ", "\n", "\t\r", "  "][choice % 8]);
    };
    space(choices, out);
    match doc {
        Doc::Null => out.push_str("null"),
        Doc::Bool(value) => out.push_str(&value.to_string()),
        Doc::Number(number) => out.push_str(number),
        Doc::Text(text) => print_text(text, choices, out),
        Doc::List(docs) => {
            out.push('[');
            for (index, doc) in docs.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                print(doc, choices, out);
            }
            out.push(']');
        }
        Doc::Object(members) => {
            out.push('{');
            for (index, (key, doc)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                space(choices, out);
                print_text(key, choices, out);
                space(choices, out);
                out.push(':');
                print(doc, choices, out);
            }
            out.push('}');
        }
    }
    space(choices, out);
}

fn print_text(text: &str, choices: &mut impl Iterator<Item = u8>, out: &mut String) {
    out.push('"');
    for symbol in text.chars() {
        let must = symbol < ' ' || symbol == '"' || symbol == '\\';
        if must || choices.next().unwrap_or_default().is_multiple_of(8) {
            for unit in symbol.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(symbol);
        }
    }
    out.push('"');
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i8>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<i32>().prop_map(|value| format!("{value}.0")),
        any::<f64>()
            .prop_filter("JSON has no others", |value| value.is_finite())
            .prop_map(|value| format!("{value:?}")),
        "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,6})?",
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?",
        "-?(0|[1-9][0-9]?)(\\.[0-9]{1,3}0{0,3})?([eE][+-]?0?[0-9])?",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let moment = (-60_000_000_000_i64..60_000_000_000, 0..1_000_000_000_i32, 0..10_usize, -1439..1440_i32);
    let moment = moment.prop_map(|(seconds, nanos, digits, offset)| {
        let nanos = if digits == 0 {
            0
        } else {
            nanos / 10_i32.pow(9 - digits as u32) * 10_i32.pow(9 - digits as u32)
        };
        let moment = jiff::Timestamp::new(seconds, nanos).unwrap();
        let offset = jiff::tz::Offset::from_seconds(offset * 60).unwrap();
        moment.display_with_offset(offset).to_string()
    });
    prop_oneof![2 => ".{0,20}", 1 => "[a-z\\\\\"\u{0}-\u{1f}é😀]{0,40}", 2 => moment, 1 => number(), 1 => "[-+.eE]{0,3}"]
}

fn doc() -> impl Strategy<Value = Doc> {
    let leaf = prop_oneof![
        1 => Just(Doc::Null),
        1 => any::<bool>().prop_map(Doc::Bool),
        2 => number().prop_map(Doc::Number),
        2 => text().prop_map(Doc::Text),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Doc::List),
            prop::collection::vec(("[a-zé\"]{0,2}", inner), 0..4).prop_map(Doc::Object),
        ]
    })
}

/// A document that mostly is of the type.
fn of_type(data_type: &DataType) -> BoxedStrategy<Doc> {
    let right = match data_type {
        DataType::Boolean => any::<bool>().prop_map(Doc::Bool).boxed(),
        DataType::Utf8 | DataType::Timestamp(..) => text().prop_map(Doc::Text).boxed(),
        DataType::List(element) => {
            prop::collection::vec(of_type(element.data_type()), 0..4).prop_map(Doc::List).boxed()
        }
        DataType::Struct(fields) => members(fields).prop_map(Doc::Object).boxed(),
        _ => number().prop_map(Doc::Number).boxed(),
    };
    prop_oneof![30 => right, 2 => Just(Doc::Null), 1 => doc()].boxed()
}

/// Members of the fields in any order, some missing, some unknown, seldom one twice.
fn members(fields: &Fields) -> BoxedStrategy<Vec<(String, Doc)>> {
    let known: Vec<_> = fields
        .iter()
        .map(|field| {
            let name = field.name().clone();
            prop::option::weighted(0.8, of_type(field.data_type()).prop_map(move |doc| (name.clone(), doc)))
        })
        .collect();
    let others = prop::collection::vec(("[a-zé]{0,2}", doc()), 0..3);
    (known, others)
        .prop_map(|(known, others)| known.into_iter().flatten().chain(others).collect())
        .prop_shuffle()
        .boxed()
}

fn record() -> impl Strategy<Value = (Vec<(String, Doc)>, String)> {
    let members = members(schema().1.fields());
    (members, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(members, choices)| {
        let mut text = String::new();
        print(&Doc::Object(members.clone()), &mut choices.into_iter(), &mut text);
        (members, text)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_batch_is_what_its_documents_say(records in prop::collection::vec(record(), 1..12)) {
        let (columns, schema) = schema();
        let mut decoder = json(&columns);
        let mut expected = Vec::new();
        for (members, text) in &records {
            let row = convert_row(schema.fields(), members);
            let appended = append(&mut *decoder, text);
            prop_assert_eq!(appended.is_ok(), row.is_some(), "{}: {:?}", text, appended);
            expected.extend(row);
        }
        let batch = decoder.finish();
        prop_assert_eq!(batch.num_rows(), expected.len());
        for (row, cells) in expected.iter().enumerate() {
            for (index, expected) in cells.iter().enumerate() {
                prop_assert_eq!(&cell(batch.column(index), row), expected, "column {}", COLUMNS[index].0);
            }
        }
    }

    #[test]
    fn damaged_documents_are_what_serde_json_says(
        (_, text) in record(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 0..3),
    ) {
        let mut bytes = text.into_bytes();
        for (index, kind, byte) in damage {
            let at = index.index(bytes.len() + 1);
            let byte = if byte < 128 { byte } else { b"{}[]\",:\\eE-.0 ntf"[byte as usize % 17] };
            match kind {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, byte),
                2 if at < bytes.len() => bytes[at] = byte,
                _ => drop(bytes.drain(at.min(bytes.len().saturating_sub(1))..at)),
            }
        }
        let parsed = serde_json::from_slice::<serde_json::Value>(&bytes);
        if let Err(error) = &parsed && error.to_string().contains("number out of range") {
            return Ok(()); // for serde_json only
        }
        let object = parsed.is_ok_and(|value| value.is_object());
        // A column that no document has, so that all is skipped.
        let skipped = append(&mut *json(&[column("no such key", "int")]), &bytes);
        prop_assert_eq!(skipped.is_ok(), object, "{:?}", skipped);
        if append(&mut *json(&schema().0), &bytes).is_ok() {
            prop_assert!(object);
        }
    }

    #[test]
    fn any_bytes_are_read_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let object = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok_and(|value| value.is_object());
        prop_assert_eq!(append(&mut *json(&[column("v", "json")]), &bytes).is_ok(), object);
    }

    #[test]
    fn json_columns_hold_the_text(doc in doc(), choices in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut text = String::new();
        print(&doc, &mut choices.into_iter(), &mut text);
        let mut decoder = json(&[column("v", "json")]);
        append(&mut *decoder, format!("{{\"v\":{text}}}")).unwrap();
        let expected = if matches!(doc, Doc::Null) { None } else { Some(text.trim_matches([' ', '\n', '\t', '\r'])) };
        let batch = decoder.finish();
        prop_assert_eq!(strings(&batch, 0)[0], expected);
    }
}
