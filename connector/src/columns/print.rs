//! Arrow types in the words of the job file. Reading and printing are inverse to each other, because a
//! checkpoint pins an inferred schema as text.

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

use super::grammar::is_symbol;

/// The inverse of [`super::grammar::parse`].
pub(super) fn print(field: &Field) -> Option<String> {
    if super::is_json(field) {
        return (*field.data_type() == DataType::Utf8).then(|| "json".to_owned());
    }
    Some(match field.data_type() {
        DataType::Boolean => "bool".to_owned(),
        DataType::Int8 => "int8".to_owned(),
        DataType::Int16 => "int16".to_owned(),
        DataType::Int32 => "int32".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::UInt8 => "uint8".to_owned(),
        DataType::UInt16 => "uint16".to_owned(),
        DataType::UInt32 => "uint32".to_owned(),
        DataType::UInt64 => "uint64".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Utf8 => "string".to_owned(),
        DataType::Binary => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => format!("time({})", unit_name(super::unit(field)?)),
        DataType::Timestamp(_, None) => format!("timestamp({})", unit_name(super::unit(field)?)),
        DataType::Timestamp(_, Some(zone)) => {
            format!("timestamp({}, {zone})", unit_name(super::unit(field)?))
        }
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Struct(fields) => format!("struct<{}>", members(fields)?),
        DataType::List(element) => format!("list<{}>", print(element)?),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("map<{}, {}>", print(&pair[0])?, print(&pair[1])?)
            }
            _ => return None,
        },
        _ => return None,
    })
}

fn members(fields: &[FieldRef]) -> Option<String> {
    let members = fields.iter().map(|field| Some(format!("{}: {}", quoted(field.name()), print(field)?)));
    Some(members.collect::<Option<Vec<_>>>()?.join(", "))
}

/// A name as the grammar reads it again.
pub(super) fn quoted(name: &str) -> String {
    if !name.is_empty() && !name.contains(is_symbol) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}
