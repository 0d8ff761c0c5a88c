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
use super::time::{self, Moment};
use crate::columns;
use crate::decode::Value;

/// Empty values of a type of the job's grammar that is not nested.
pub(super) fn values(field: &Field) -> Box<dyn KeyValues> {
    let name = columns::type_name(field).expect("a schema comes from the grammar");
    let data_type = field.data_type();
    match *data_type {
        DataType::Boolean => Box::new(Booleans { bits: BooleanBufferBuilder::new(0) }),
        DataType::Int8 => integers::<Int8Type>(data_type, name),
        DataType::Int16 => integers::<Int16Type>(data_type, name),
        DataType::Int32 => integers::<Int32Type>(data_type, name),
        DataType::Int64 => integers::<Int64Type>(data_type, name),
        DataType::UInt8 => integers::<UInt8Type>(data_type, name),
        DataType::UInt16 => integers::<UInt16Type>(data_type, name),
        DataType::UInt32 => integers::<UInt32Type>(data_type, name),
        DataType::UInt64 => integers::<UInt64Type>(data_type, name),
        DataType::Float32 => floats::<Float32Type>(data_type, name, |number| number.float()),
        DataType::Float64 => floats::<Float64Type>(data_type, name, |number| number.double()),
        DataType::Date32 => primitive::<Date32Type, _>(data_type, move |token, json| match token {
            Token::String => time::date(&json.string()?),
            _ => integer(token, json, &name),
        }),
        DataType::Time32(TimeUnit::Second) => times::<Time32SecondType>(data_type, name, TimeUnit::Second),
        DataType::Time32(_) => times::<Time32MillisecondType>(data_type, name, TimeUnit::Millisecond),
        DataType::Time64(TimeUnit::Microsecond) => {
            times::<Time64MicrosecondType>(data_type, name, TimeUnit::Microsecond)
        }
        DataType::Time64(_) => times::<Time64NanosecondType>(data_type, name, TimeUnit::Nanosecond),
        DataType::Timestamp(TimeUnit::Second, _) => timestamps::<TimestampSecondType>(data_type, name),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            timestamps::<TimestampMillisecondType>(data_type, name)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            timestamps::<TimestampMicrosecondType>(data_type, name)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            timestamps::<TimestampNanosecondType>(data_type, name)
        }
        DataType::Decimal128(precision, scale) => decimals(data_type, name, precision, scale as usize),
        _ => {
            let kind = match data_type {
                DataType::Binary => Kind::Binary,
                _ if columns::is_json(field) => Kind::Json,
                _ => Kind::Text,
            };
            Box::new(Bytes { kind, data: Vec::new(), offsets: vec![0] })
        }
    }
}

fn primitive<T: ArrowPrimitiveType, R>(data_type: &DataType, read: R) -> Box<dyn KeyValues>
where
    R: Fn(Token, &mut Scanner<'_>) -> Result<T::Native, Flaw> + Send + 'static,
{
    Box::new(Primitive::<T, R> { data_type: data_type.clone(), values: Vec::new(), read })
}

/// A number as an integer: written with a point or an exponent it must still be one (`1.0`, `1e3`).
#[inline]
fn integer<N: TryFrom<i128>>(token: Token, json: &mut Scanner<'_>, name: &str) -> Result<N, Flaw> {
    if token != Token::Number {
        return Err(Flaw::mismatch(name, token.name()));
    }
    let integer = json.number()?.scaled(0).map_err(|inexact| inexact.flaw(name))?;
    integer.try_into().map_err(|_| Inexact::Range.flaw(name))
}

fn integers<T>(data_type: &DataType, name: String) -> Box<dyn KeyValues>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    primitive::<T, _>(data_type, move |token, json| integer(token, json, &name))
}

fn floats<T: ArrowPrimitiveType>(
    data_type: &DataType,
    name: String,
    convert: impl Fn(&Number<'_>) -> Result<T::Native, Inexact> + Send + 'static,
) -> Box<dyn KeyValues> {
    primitive::<T, _>(data_type, move |token, json| match token {
        Token::Number => convert(&json.number()?).map_err(|inexact| inexact.flaw(&name)),
        _ => Err(Flaw::mismatch(&name, token.name())),
    })
}

fn times<T>(data_type: &DataType, name: String, unit: TimeUnit) -> Box<dyn KeyValues>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i64>,
{
    primitive::<T, _>(data_type, move |token, json| {
        let value = match token {
            Token::String => time::time(&json.string()?, unit)?,
            _ => integer(token, json, &name)?,
        };
        let value =
            Some(value).filter(|&value| time::is_time(value, unit)).and_then(|value| value.try_into().ok());
        value.ok_or_else(|| Inexact::Range.flaw(&name))
    })
}

fn timestamps<T: ArrowTimestampType>(data_type: &DataType, name: String) -> Box<dyn KeyValues> {
    let zoned = matches!(data_type, DataType::Timestamp(_, Some(_)));
    primitive::<T, _>(data_type, move |token, json| match token {
        Token::String => {
            let moment = Moment::parse(&json.string()?)
                .ok_or_else(|| Flaw::new("the text is no time as in 2026-01-31T23:59:59.999Z"))?;
            match (zoned, moment.has_offset) {
                (true, false) => Err(Flaw::new(format!("the time has no offset, which {name} needs"))),
                (false, true) => Err(Flaw::new(format!("{name} would lose the offset of the time"))),
                _ => moment.at(T::UNIT),
            }
        }
        _ => integer(token, json, &name),
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

    fn last(&self) -> Value<'_> {
        self.values.last().and_then(|value| value.to_i64()).map_or(Value::Other, Value::Number)
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
}

impl Values for Booleans {
    fn read(&mut self, token: Token, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        if token != Token::Bool {
            return Err(Flaw::mismatch("bool", token.name()));
        }
        self.bits.append(json.bool()?);
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
    fn value(&self, index: usize) -> &[u8] {
        &self.data[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }
}

impl Values for Bytes {
    fn read(&mut self, token: Token, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        match (self.kind, token) {
            (Kind::Json, _) => self.data.extend_from_slice(json.raw()?.as_bytes()),
            (Kind::Text, Token::String) => json.string_into(&mut self.data)?,
            (Kind::Binary, Token::String) => base64::decode(&json.string()?, &mut self.data)?,
            (Kind::Text, _) => return Err(Flaw::mismatch("string", token.name())),
            (Kind::Binary, _) => return Err(Flaw::mismatch("binary (base64 in a string)", token.name())),
        }
        let end = i32::try_from(self.data.len())
            .map_err(|_| Flaw::new("a batch with more than 2 GiB of the column"))?;
        self.offsets.push(end);
        Ok(())
    }

    fn null(&mut self) {
        self.offsets.push(*self.offsets.last().expect("there is one offset more than values"));
    }

    fn last(&self) -> Value<'_> {
        match (self.kind, self.offsets.len().checked_sub(2)) {
            (Kind::Text | Kind::Json, Some(last)) => Value::Text(self.value(last)),
            _ => Value::Other,
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
            Kind::Text | Kind::Json => Arc::new(StringArray::new(offsets, data, nulls)),
        }
    }
}

impl KeyValues for Bytes {
    fn compare(&self, left: usize, right: usize) -> Ordering {
        self.value(left).cmp(self.value(right))
    }
}
