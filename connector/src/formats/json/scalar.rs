//! Columns of values that hold no others.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder,
    PrimitiveArray, StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;

use super::base64;
use super::column::{KeyValues, Values};
use super::flaw::Flaw;
use super::number::{Inexact, Number};
use super::scan::{Scanner, Token};
use super::temporal;
use crate::columns;
use crate::columns::Reading;
use crate::formats::Value;

/// Empty values of a type of the job's grammar that is not nested.
pub(super) fn values(field: &Field, reading: &Reading) -> Box<dyn KeyValues> {
    if field.data_type().is_temporal() {
        return temporal::values(field, reading);
    }
    let lenient = reading.lenient;
    let name = columns::type_name(field).expect("a schema comes from the grammar");
    let data_type = field.data_type();
    match *data_type {
        DataType::Boolean => Box::new(Booleans { bits: BooleanBufferBuilder::new(0), lenient }),
        DataType::Int8 => integers::<Int8Type>(data_type, name, lenient),
        DataType::Int16 => integers::<Int16Type>(data_type, name, lenient),
        DataType::Int32 => integers::<Int32Type>(data_type, name, lenient),
        // In a string in any case: Protobuf's JSON has them so, as JavaScript's numbers do
        // not hold all of them.
        DataType::Int64 => integers::<Int64Type>(data_type, name, true),
        DataType::UInt8 => integers::<UInt8Type>(data_type, name, lenient),
        DataType::UInt16 => integers::<UInt16Type>(data_type, name, lenient),
        DataType::UInt32 => integers::<UInt32Type>(data_type, name, lenient),
        DataType::UInt64 => integers::<UInt64Type>(data_type, name, true),
        DataType::Float32 => floats::<Float32Type>(data_type, name, lenient, |number| number.float()),
        DataType::Float64 => floats::<Float64Type>(data_type, name, lenient, |number| number.double()),
        DataType::Decimal128(precision, scale) => decimals(data_type, name, precision, scale as usize),
        _ => {
            let kind = match data_type {
                DataType::Binary => Kind::Binary,
                _ if columns::is_json(field) => Kind::Json,
                _ if lenient => Kind::AnyText,
                _ => Kind::Text,
            };
            Box::new(Bytes { kind, data: Vec::new(), offsets: vec![0] })
        }
    }
}

pub(super) fn primitive<T: ArrowPrimitiveType, R>(data_type: &DataType, read: R) -> Box<dyn KeyValues>
where
    R: Fn(Token, &mut Scanner<'_>) -> Result<T::Native, Flaw> + Send + 'static,
{
    Box::new(Primitive::<T, R> { data_type: data_type.clone(), values: Vec::new(), read })
}

/// A number as an integer: written with a point or an exponent it must still be one (`1.0`, `1e3`).
#[inline]
pub(super) fn integer<N: TryFrom<i128>>(
    token: Token,
    json: &mut Scanner<'_>,
    name: &str,
    lenient: bool,
) -> Result<N, Flaw> {
    let integer = match token {
        Token::Number => json.number()?.scaled(0),
        Token::String if lenient => Number::parse(&json.string()?)?.scaled(0),
        _ => return Err(mismatch(name, token, lenient)),
    };
    integer.map_err(|inexact| inexact.flaw(name))?.try_into().map_err(|_| Inexact::Range.flaw(name))
}

/// Says what would help against a number in a string.
#[cold]
pub(super) fn mismatch(name: &str, token: Token, lenient: bool) -> Flaw {
    match token {
        Token::String if !lenient => {
            Flaw::mismatch(name, "a string (lenient: true takes numbers out of them)")
        }
        _ => Flaw::mismatch(name, token.name()),
    }
}

fn integers<T>(data_type: &DataType, name: String, lenient: bool) -> Box<dyn KeyValues>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    primitive::<T, _>(data_type, move |token, json| integer(token, json, &name, lenient))
}

fn floats<T: ArrowPrimitiveType>(
    data_type: &DataType,
    name: String,
    lenient: bool,
    convert: impl Fn(&Number<'_>) -> Result<T::Native, Inexact> + Send + 'static,
) -> Box<dyn KeyValues>
where
    T::Native: From<f32>,
{
    primitive::<T, _>(data_type, move |token, json| match token {
        Token::Number => convert(&json.number()?).map_err(|inexact| inexact.flaw(&name)),
        Token::String if lenient => {
            let text = json.string()?;
            match not_a_number(&text) {
                Some(value) => Ok(value.into()),
                None => convert(&Number::parse(&text)?).map_err(|inexact| inexact.flaw(&name)),
            }
        }
        _ => Err(mismatch(&name, token, lenient)),
    })
}

/// What floats hold besides numbers, as JSON writers that know of it write it.
fn not_a_number(text: &str) -> Option<f32> {
    Some(match text {
        "NaN" => f32::NAN,
        "Infinity" | "+Infinity" => f32::INFINITY,
        "-Infinity" => f32::NEG_INFINITY,
        _ => return None,
    })
}

fn decimals(data_type: &DataType, name: String, precision: u8, scale: usize) -> Box<dyn KeyValues> {
    let bound = 10_i128.pow(u32::from(precision));
    primitive::<Decimal128Type, _>(data_type, move |token, json| {
        let scaled = match token {
            Token::Number => json.number()?.scaled(scale),
            Token::String => Number::parse(&json.string()?)?.scaled(scale),
            _ => return Err(Flaw::mismatch(&name, token.name())),
        };
        let value = scaled.map_err(|inexact| inexact.flaw(&name))?;
        if value.unsigned_abs() < bound.unsigned_abs() { Ok(value) } else { Err(Inexact::Range.flaw(&name)) }
    })
}

struct Primitive<T: ArrowPrimitiveType, R> {
    data_type: DataType,
    values: Vec<T::Native>,
    read: R,
}

impl<T: ArrowPrimitiveType, R> fmt::Debug for Primitive<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.data_type, self.values.len())
    }
}

impl<T: ArrowPrimitiveType, R> Values for Primitive<T, R>
where
    R: Fn(Token, &mut Scanner<'_>) -> Result<T::Native, Flaw> + Send,
{
    fn read(&mut self, token: Token, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        let value = (self.read)(token, json)?;
        self.values.push(value);
        Ok(())
    }

    fn null(&mut self) {
        self.values.push(T::Native::default());
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    fn value(&self, index: usize) -> Value<'_> {
        self.values[index].to_i64().map_or(Value::Other, Value::Number)
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let next = Vec::with_capacity(self.values.len());
        let values = ScalarBuffer::from(std::mem::replace(&mut self.values, next));
        Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(self.data_type.clone()))
    }
}

impl<T: ArrowPrimitiveType, R> KeyValues for Primitive<T, R>
where
    R: Fn(Token, &mut Scanner<'_>) -> Result<T::Native, Flaw> + Send,
{
    fn compare(&self, left: usize, right: usize) -> Ordering {
        self.values[left].compare(self.values[right])
    }
}

#[derive(Debug)]
struct Booleans {
    bits: BooleanBufferBuilder,
    lenient: bool,
}

impl Booleans {
    /// `"true"`, `"False"`, 0 and 1, and these in a string.
    #[cold]
    fn convert(token: Token, json: &mut Scanner<'_>) -> Result<bool, Flaw> {
        let number = match token {
            Token::Number => json.number()?.scaled(0).ok(),
            Token::String => {
                let text = json.string()?;
                match text.to_ascii_lowercase().as_str() {
                    "true" => Some(1),
                    "false" => Some(0),
                    text => Number::parse(text).ok().and_then(|number| number.scaled(0).ok()),
                }
            }
            _ => return Err(Flaw::mismatch("bool", token.name())),
        };
        match number {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(Flaw::new("expected bool: true, false, 0 or 1")),
        }
    }
}

impl Values for Booleans {
    fn read(&mut self, token: Token, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        let value = match token {
            Token::Bool => json.bool()?,
            _ if self.lenient => Self::convert(token, json)?,
            _ => return Err(Flaw::mismatch("bool", token.name())),
        };
        self.bits.append(value);
        Ok(())
    }

    fn null(&mut self) {
        self.bits.append(false);
    }

    fn truncate(&mut self, len: usize) {
        self.bits.truncate(len);
    }

    fn bytes(&self) -> usize {
        self.bits.as_slice().len()
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(BooleanArray::new(self.bits.finish(), nulls))
    }
}

impl KeyValues for Booleans {
    fn compare(&self, left: usize, right: usize) -> Ordering {
        self.bits.get_bit(left).cmp(&self.bits.get_bit(right))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    /// Also of numbers and bools, as they stand in the record.
    AnyText,
    /// Any value, its text verbatim.
    Json,
    /// Base64 in the record.
    Binary,
}

#[derive(Debug)]
struct Bytes {
    kind: Kind,
    data: Vec<u8>,
    offsets: Vec<i32>,
}

impl Bytes {
    /// Whatever is not text in a column of text.
    fn read_other(&mut self, token: Token, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        match (self.kind, token) {
            (Kind::Json, _) => self.data.extend_from_slice(json.raw()?.as_bytes()),
            (Kind::Text | Kind::AnyText, Token::String) => json.string_into(&mut self.data)?,
            (Kind::AnyText, Token::Number | Token::Bool) => {
                self.data.extend_from_slice(json.raw()?.as_bytes());
            }
            (Kind::Binary, Token::String) => base64::decode(&json.string()?, &mut self.data)?,
            (Kind::Text | Kind::AnyText, _) => return Err(Flaw::mismatch("string", token.name())),
            (Kind::Binary, _) => return Err(Flaw::mismatch("binary (base64 in a string)", token.name())),
        }
        Ok(())
    }

    fn slice(&self, index: usize) -> &[u8] {
        &self.data[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }
}

impl Values for Bytes {
    fn read(&mut self, token: Token, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        match (self.kind, token) {
            (Kind::Text, Token::String) => json.string_into(&mut self.data)?,
            _ => self.read_other(token, json)?,
        }
        let end = i32::try_from(self.data.len())
            .map_err(|_| Flaw::new("a batch with more than 2 GiB of the column"))?;
        self.offsets.push(end);
        Ok(())
    }

    fn null(&mut self) {
        self.offsets.push(*self.offsets.last().expect("there is one offset more than values"));
    }

    fn value(&self, index: usize) -> Value<'_> {
        match self.kind {
            Kind::Text | Kind::Json => Value::Text(self.slice(index)),
            Kind::AnyText | Kind::Binary => Value::Other,
        }
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.data.truncate(self.offsets[len] as usize);
    }

    fn bytes(&self) -> usize {
        self.data.len() + size_of_val(self.offsets.as_slice())
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let mut next = Vec::with_capacity(self.offsets.len());
        next.push(0);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, next)));
        let next = Vec::with_capacity(self.data.len());
        let data = std::mem::replace(&mut self.data, next).into();
        match self.kind {
            Kind::Binary => Arc::new(BinaryArray::new(offsets, data, nulls)),
            Kind::Text | Kind::AnyText | Kind::Json => Arc::new(StringArray::new(offsets, data, nulls)),
        }
    }
}

impl KeyValues for Bytes {
    fn compare(&self, left: usize, right: usize) -> Ordering {
        self.slice(left).cmp(self.slice(right))
    }
}
