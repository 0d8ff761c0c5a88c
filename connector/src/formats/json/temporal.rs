//! Columns of dates and times. However a value is written, it is held to one range: the years 1 to 9999,
//! which all readers hold, also on the clock of the column's time zone, by which some show it.

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::*;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use super::column::KeyValues;
use super::flaw::Flaw;
use super::number::Inexact;
use super::scalar::{integer, primitive};
use super::scan::{Scanner, Token};
use super::time::{self, DAY_SECONDS, END_SECOND, FIRST_SECOND, Moment, per_second};
use crate::columns::Reading;
use crate::columns::{self, reading, zone};

/// Empty values of a date, a time or a timestamp.
pub(super) fn values(field: &Field, reading: &Reading) -> Box<dyn KeyValues> {
    let data_type = field.data_type();
    match data_type {
        DataType::Date32 => dates(field, reading),
        DataType::Time32(TimeUnit::Second) => times::<Time32SecondType>(field, reading),
        DataType::Time32(_) => times::<Time32MillisecondType>(field, reading),
        DataType::Time64(TimeUnit::Microsecond) => times::<Time64MicrosecondType>(field, reading),
        DataType::Time64(_) => times::<Time64NanosecondType>(field, reading),
        DataType::Timestamp(TimeUnit::Second, _) => timestamps::<TimestampSecondType>(field, reading),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            timestamps::<TimestampMillisecondType>(field, reading)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            timestamps::<TimestampMicrosecondType>(field, reading)
        }
        _ => timestamps::<TimestampNanosecondType>(field, reading),
    }
}

fn name(field: &Field) -> String {
    columns::type_name(field).expect("a schema comes from the grammar")
}

/// How many of the files' units are one of the job's: 1,000 where seconds are written as milliseconds.
fn scale(field: &Field) -> i64 {
    match (columns::unit(field), field.data_type()) {
        (Some(of_job), DataType::Time32(of_file) | DataType::Timestamp(of_file, _)) => {
            per_second(*of_file) / per_second(of_job)
        }
        _ => 1,
    }
}

fn dates(field: &Field, reading: &Reading) -> Box<dyn KeyValues> {
    const DAYS: std::ops::Range<i32> = (FIRST_SECOND / DAY_SECONDS) as i32..(END_SECOND / DAY_SECONDS) as i32;
    let (name, format, lenient) = (name(field), reading.format.clone(), reading.lenient);
    primitive::<Date32Type, _>(field.data_type(), move |token, json| {
        let days = match (token, &format) {
            (Token::String, Some(format)) => {
                let date = parse(format, &json.string()?)?.to_date().map_err(|_| no_such_text())?;
                (shown(date.into()).seconds / DAY_SECONDS) as i32
            }
            (Token::String, None) => or_number(token, json, &name, lenient, time::date)?,
            _ => integer(token, json, &name, lenient)?,
        };
        if DAYS.contains(&days) { Ok(days) } else { Err(out_of_range(&name)) }
    })
}

fn times<T>(field: &Field, reading: &Reading) -> Box<dyn KeyValues>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i64>,
{
    let (name, format, lenient) = (name(field), reading.format.clone(), reading.lenient);
    let (unit, scale) = (columns::unit(field).unwrap_or(TimeUnit::Nanosecond), scale(field));
    primitive::<T, _>(field.data_type(), move |token, json| {
        let value = match (token, &format) {
            (Token::String, Some(format)) => {
                let time = parse(format, &json.string()?)?.to_time().map_err(|_| no_such_text())?;
                shown(jiff::civil::date(1970, 1, 1).to_datetime(time)).at(unit)?
            }
            (Token::String, None) => or_number(token, json, &name, lenient, |text| time::time(text, unit))?,
            _ => integer(token, json, &name, lenient)?,
        };
        let value = Some(value).filter(|&value| time::is_time(value, unit));
        let value = value.and_then(|value| (value * scale).try_into().ok());
        value.ok_or_else(|| Inexact::Range.flaw(&name))
    })
}

fn timestamps<T: ArrowTimestampType>(field: &Field, reading: &Reading) -> Box<dyn KeyValues> {
    let (name, format, lenient) = (name(field), reading.format.clone(), reading.lenient);
    let (unit, scale) = (columns::unit(field).unwrap_or(T::UNIT), scale(field));
    let zoned = matches!(field.data_type(), DataType::Timestamp(_, Some(_)));
    let (local, (low, high)) = (reading::local_zone(field, reading), range(field, unit).into_inner());
    // By constants, of which no division is left.
    let in_unit = move |moment: Moment| match scale {
        1 => moment.at(T::UNIT),
        _ => moment.at(TimeUnit::Second),
    };
    let in_zone = move |moment: Moment| -> Result<Moment, Flaw> {
        let Some(zone) = &local else { return Ok(moment) };
        let offset = time::civil(moment.seconds).and_then(|shown| reading::offset_at(zone, shown));
        let offset =
            offset.ok_or_else(|| Flaw::new("the clock of the column's zone never showed this time"))?;
        Ok(Moment { seconds: moment.seconds - offset, has_offset: true, ..moment })
    };
    primitive::<T, _>(field.data_type(), move |token, json| {
        let value: i64 = match token {
            Token::String => {
                let of = |moment: Moment| match (zoned, moment.has_offset) {
                    (true, true) | (false, false) => in_unit(moment),
                    (true, false) => {
                        let moment = in_zone(moment)?;
                        if moment.has_offset { in_unit(moment) } else { Err(no_offset(&name)) }
                    }
                    (false, true) => Err(Flaw::new(format!("{name} would lose the offset of the time"))),
                };
                match &format {
                    Some(format) => of(by_format(format, &json.string()?)?)?,
                    None => or_number(token, json, &name, lenient, |text| {
                        of(Moment::parse(text).ok_or_else(no_moment)?)
                    })?,
                }
            }
            _ => integer(token, json, &name, lenient)?,
        };
        if (low..=high).contains(&value) { Ok(value * scale) } else { Err(out_of_range(&name)) }
    })
}

/// The values of a timestamp whose years are 1 to 9999 in UTC, and on the clock of the type's zone.
fn range(field: &Field, unit: TimeUnit) -> std::ops::RangeInclusive<i64> {
    let zone = match field.data_type() {
        DataType::Timestamp(_, Some(name)) => zone::find(name).unwrap_or(TimeZone::UTC),
        _ => TimeZone::UTC,
    };
    let ahead = |at: Timestamp| i64::from(zone.to_offset(at).seconds());
    let first = FIRST_SECOND - ahead(Timestamp::MIN).min(0);
    let end = END_SECOND - ahead(Timestamp::MAX).max(0);
    // Nanoseconds end before the years do.
    let units = |seconds: i64| i128::from(seconds) * i128::from(per_second(unit));
    let fitting = |value: i128| value.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    fitting(units(first))..=fitting(units(end) - 1)
}

/// A text that `read` takes, or else, in a lenient column, a number.
#[inline]
fn or_number<N: TryFrom<i128>>(
    token: Token,
    json: &mut Scanner<'_>,
    name: &str,
    lenient: bool,
    read: impl FnOnce(&str) -> Result<N, Flaw>,
) -> Result<N, Flaw> {
    let start = json.position();
    let text = json.string()?;
    if lenient && text.strip_prefix('-').unwrap_or(&text).bytes().all(|byte| byte.is_ascii_digit()) {
        // Eight digits are a date, not a day of the year 57442.
        if text.len() != 8 || name != "date" {
            json.rewind(start);
            return integer(token, json, name, lenient);
        }
    }
    read(&text)
}

/// A moment by the words of strptime; the job file was refused if it lacks anything.
#[cold]
fn by_format(format: &str, text: &str) -> Result<Moment, Flaw> {
    let read = parse(format, text)?;
    if let Some(moment) = read.timestamp() {
        let moment = shown(jiff::tz::Offset::UTC.to_datetime(moment));
        return Ok(Moment { has_offset: true, ..moment });
    }
    let time = read.to_time().map_err(|_| no_such_text())?;
    let local = read.to_date().map_err(|_| no_such_text())?.to_datetime(time);
    let moment = shown(local);
    let offset = match (read.offset(), read.iana_time_zone()) {
        (Some(offset), _) => Some(i64::from(offset.seconds())),
        (None, Some(name)) => {
            let zone = zone::find(name).map_err(|_| Flaw::new("the text names no time zone"))?;
            let skipped = || Flaw::new("the clock of the text's zone never showed this time");
            Some(reading::offset_at(&zone, local).ok_or_else(skipped)?)
        }
        (None, None) => None,
    };
    Ok(match offset {
        Some(offset) => Moment { seconds: moment.seconds - offset, has_offset: true, ..moment },
        None => moment,
    })
}

/// What a clock shows, as if it were that of UTC.
fn shown(clock: DateTime) -> Moment {
    let days = time::days(clock.year().into(), clock.month().into(), clock.day().into()).unwrap_or_default();
    let [hours, minutes, seconds] = [clock.hour(), clock.minute(), clock.second()].map(i64::from);
    let seconds = days * DAY_SECONDS + hours * 3600 + minutes * 60 + seconds;
    Moment { seconds, nanos: clock.subsec_nanosecond().unsigned_abs(), digits: 9, has_offset: false }
}

#[cold]
fn parse(format: &str, text: &str) -> Result<BrokenDownTime, Flaw> {
    let read = BrokenDownTime::parse(format, text).map_err(|_| no_such_text())?;
    // jiff makes 59 of a leap second, which is another moment.
    let leap = |text: &str| text.matches("60").count();
    if read.second() == Some(59) && read.to_string(format).is_ok_and(|written| leap(&written) < leap(text)) {
        return Err(Flaw::new("a leap second, which no type holds"));
    }
    Ok(read)
}

#[cold]
fn no_such_text() -> Flaw {
    Flaw::new("the text is not of the column's format")
}

#[cold]
fn no_moment() -> Flaw {
    Flaw::new("the text is no time as in 2026-01-31T23:59:59.999Z")
}

#[cold]
fn no_offset(name: &str) -> Flaw {
    Flaw::new(format!("the time has no offset, which {name} needs; zone: says where the clock stood"))
}

#[cold]
fn out_of_range(name: &str) -> Flaw {
    Flaw::new(format!("the value is out of the range of {name}: the years 1 to 9999, in its zone too"))
}
