//! The types of the job file: `timestamp(ms, UTC)`, `list<struct<a: int, b: decimal(18,2)>>`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::{JSON, SECONDS, TYPE_KEY, words, zone};

/// Types in types; what no table has, and a bound on recursion.
const MAX_DEPTH: usize = 32;

/// A type that could not be read.
#[derive(Debug)]
pub(super) struct TypeError {
    /// Characters before the problem, plus one.
    position: usize,
    problem: String,
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at character {} of its type)", self.problem, self.position)
    }
}

/// How a column of seconds is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seconds {
    /// As milliseconds, since Parquet has no seconds.
    Milliseconds,
    /// As bare numbers, which only Arrow's readers take for times; chains of before have files of that kind.
    Bare,
}

/// The field `name` of the type `text`.
pub(super) fn parse(text: &str, name: &str, seconds: Seconds) -> Result<Field, TypeError> {
    let mut parser = Parser { text, at: 0, depth: 0, seconds };
    let field = parser.field(name)?;
    parser.space();
    match parser.rest().chars().next() {
        None => Ok(field),
        Some(_) => Err(parser.error("the type has ended, but the text goes on")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    seconds: Seconds,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, problem: impl Into<String>) -> TypeError {
        TypeError { position: self.text[..self.at].chars().count() + 1, problem: problem.into() }
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, symbol: char) -> bool {
        self.space();
        let found = self.rest().starts_with(symbol);
        self.at += if found { symbol.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, symbol: char) -> Result<(), TypeError> {
        if self.take(symbol) { Ok(()) } else { Err(self.error(format!("`{symbol}` is missing"))) }
    }

    /// Characters up to the next symbol or space; may be empty.
    fn word(&mut self) -> &'a str {
        self.space();
        let rest = self.rest();
        let end = rest.find(is_symbol).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A word, or anything in double quotes with `\"` and `\\`.
    fn name(&mut self) -> Result<String, TypeError> {
        if !self.take('"') {
            let word = self.word();
            return if word.is_empty() { Err(self.error("a name is missing")) } else { Ok(word.to_owned()) };
        }
        let mut name = String::new();
        let mut escaped = false;
        for (index, symbol) in self.rest().char_indices() {
            match symbol {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => {
                    self.at += index + 1;
                    return Ok(name);
                }
                _ => {
                    escaped = false;
                    name.push(symbol);
                }
            }
        }
        Err(self.error("the closing `\"` is missing"))
    }

    fn field(&mut self, name: &str) -> Result<Field, TypeError> {
        self.space();
        let start = self.at;
        if self.word() == "json" {
            let marked = HashMap::from([(TYPE_KEY.to_owned(), JSON.to_owned())]);
            return Ok(Field::new(name, DataType::Utf8, true).with_metadata(marked));
        }
        self.at = start;
        let field = Field::new(name, self.data_type()?, true);
        Ok(match self.seconds {
            Seconds::Milliseconds => as_milliseconds(field),
            Seconds::Bare => field,
        })
    }

    fn data_type(&mut self) -> Result<DataType, TypeError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} types in one another")));
        }
        self.space();
        let start = self.at;
        let data_type = match self.word() {
            "bool" => DataType::Boolean,
            "int8" => DataType::Int8,
            "int16" => DataType::Int16,
            "int" | "int32" => DataType::Int32,
            "int64" => DataType::Int64,
            "uint8" => DataType::UInt8,
            "uint16" => DataType::UInt16,
            "uint32" => DataType::UInt32,
            "uint64" => DataType::UInt64,
            "float" => DataType::Float32,
            "double" if !self.goes_on("precision") => DataType::Float64,
            "string" => DataType::Utf8,
            "binary" => DataType::Binary,
            "date" => DataType::Date32,
            "time" if self.goes_on("(") => self.time()?,
            "timestamp" if self.goes_on("(") => self.timestamp()?,
            "decimal" if self.goes_on("(") => self.decimal()?,
            "struct" => self.structure()?,
            "list" => self.list()?,
            "map" => self.map()?,
            other => {
                let rest = self.rest();
                self.at = start;
                return Err(self.error(words::unknown(other, rest)));
            }
        };
        self.depth -= 1;
        Ok(data_type)
    }

    /// Whether `text` follows; nothing is consumed.
    fn goes_on(&self, text: &str) -> bool {
        self.rest().trim_start().starts_with(text)
    }

    fn time(&mut self) -> Result<DataType, TypeError> {
        self.expect('(')?;
        let unit = self.unit()?;
        self.expect(')')?;
        Ok(match unit {
            TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(unit),
            TimeUnit::Microsecond | TimeUnit::Nanosecond => DataType::Time64(unit),
        })
    }

    fn timestamp(&mut self) -> Result<DataType, TypeError> {
        self.expect('(')?;
        let unit = self.unit()?;
        let mut zone = None;
        if self.take(',') {
            self.space();
            let rest = self.rest();
            let end = rest.find([')', ',', '<', '>', '(', '"']).unwrap_or(rest.len());
            let text = rest[..end].trim_end();
            zone::find(text).map_err(|problem| self.error(problem))?;
            self.at += end;
            zone = Some(text.into());
        }
        self.expect(')')?;
        Ok(DataType::Timestamp(unit, zone))
    }

    fn unit(&mut self) -> Result<TimeUnit, TypeError> {
        self.space();
        let start = self.at;
        match self.word() {
            "s" => Ok(TimeUnit::Second),
            "ms" => Ok(TimeUnit::Millisecond),
            "us" => Ok(TimeUnit::Microsecond),
            "ns" => Ok(TimeUnit::Nanosecond),
            other => {
                // SQL's digits of the second.
                let unit = match other.parse::<u8>() {
                    Ok(0) => "; did you mean `s`?",
                    Ok(1..=3) => "; did you mean `ms`?",
                    Ok(4..=6) => "; did you mean `us`?",
                    Ok(7..=9) => "; did you mean `ns`?",
                    _ => "",
                };
                self.at = start;
                Err(self.error(format!("a unit is s, ms, us or ns{unit}")))
            }
        }
    }

    fn decimal(&mut self) -> Result<DataType, TypeError> {
        self.expect('(')?;
        let precision = self.number(1..=38, "the digits of a decimal are 1 to 38")?;
        self.expect(',')?;
        let scale = self.number(0..=precision, "a decimal has no more digits after the point than in all")?;
        self.expect(')')?;
        Ok(DataType::Decimal128(precision, scale as i8))
    }

    fn number(&mut self, range: std::ops::RangeInclusive<u8>, otherwise: &str) -> Result<u8, TypeError> {
        self.space();
        let start = self.at;
        let number = self.word().parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            self.at = start;
            self.error(otherwise)
        })
    }

    fn structure(&mut self) -> Result<DataType, TypeError> {
        self.expect('<')?;
        let mut fields: Vec<Field> = Vec::new();
        loop {
            self.space();
            let start = self.at;
            let name = self.name()?;
            if fields.iter().any(|field| *field.name() == name) {
                self.at = start;
                return Err(self.error(format!("`{name}` comes twice")));
            }
            self.expect(':')?;
            fields.push(self.field(&name)?);
            if !self.take(',') {
                break;
            }
        }
        self.expect('>')?;
        Ok(DataType::Struct(fields.into()))
    }

    fn list(&mut self) -> Result<DataType, TypeError> {
        self.expect('<')?;
        let element = self.field("element")?;
        self.expect('>')?;
        Ok(DataType::List(Arc::new(element)))
    }

    fn map(&mut self) -> Result<DataType, TypeError> {
        self.expect('<')?;
        self.space();
        let start = self.at;
        let key = self.field("key")?.with_nullable(false);
        if key.data_type().is_nested() || super::is_json(&key) {
            self.at = start;
            return Err(self.error("the keys of a map are of a simple type"));
        }
        self.expect(',')?;
        let value = self.field("value")?;
        self.expect('>')?;
        let entries = Field::new("key_value", DataType::Struct(vec![key, value].into()), false);
        Ok(DataType::Map(Arc::new(entries), false))
    }
}

pub(super) fn is_symbol(symbol: char) -> bool {
    symbol.is_whitespace() || "<>():,\"\\".contains(symbol)
}

/// A field of seconds as one of milliseconds that knows what it was.
fn as_milliseconds(field: Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Timestamp(TimeUnit::Second, zone) => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        _ => return field,
    };
    let marked = HashMap::from([(TYPE_KEY.to_owned(), SECONDS.to_owned())]);
    field.with_data_type(data_type).with_metadata(marked)
}
