//! Dates and times as RFC 3339 writes them, without losing a digit of a fraction;
//! other spellings are [`super::iso`]'s. However it is written, a date lies from
//! 0001-01-01 to 9999-12-31, which is what every reader holds.

use arrow::datatypes::TimeUnit;
use jiff::SignedDuration;
use jiff::civil::{self, DateTime};

use super::flaw::Flaw;
use super::iso;

pub(super) const DAY_SECONDS: i64 = 86_400;

/// Seconds since 1970 of 0001-01-01, and of the day after 9999-12-31.
pub(super) const FIRST_SECOND: i64 = -719_162 * DAY_SECONDS;
pub(super) const END_SECOND: i64 = 2_932_897 * DAY_SECONDS;

/// A moment as written: `2026-01-31T12:00:00.5+02:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Seconds since 1970, in UTC if there is an offset, else as the clock on the wall shows.
    pub(super) seconds: i64,
    pub(super) nanos: u32,
    /// Of the second's fraction as written.
    pub(super) digits: usize,
    pub(super) has_offset: bool,
}

impl Moment {
    /// A date, a time, and an offset or none. Leap seconds have no place in the types, so they are none.
    #[inline]
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::parse_rfc3339(text).or_else(|| iso::moment(text))
    }

    /// What nearly all are.
    #[inline]
    fn parse_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let days = parse_days(bytes.get(..10)?)?;
        if !matches!(bytes.get(10)?, b'T' | b't' | b' ') {
            return None;
        }
        let (clock, offset) = parse_clock(&bytes[11..])?;
        let (shift, has_offset) = match offset {
            [] => (0, false),
            [b'Z' | b'z'] => (0, true),
            [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
                let (hours, minutes) = (two_digits(hours, 23)?, two_digits(&[*tens, *ones], 59)?);
                let shift = hours * 3600 + minutes * 60;
                (if *sign == b'+' { shift } else { -shift }, true)
            }
            _ => return None,
        };
        let seconds = days * DAY_SECONDS + clock.seconds - shift;
        Some(Self { seconds, has_offset, ..clock })
    }

    /// Whether it lies in the years 1 to 9999.
    pub(super) fn is_in_range(&self) -> bool {
        (FIRST_SECOND..END_SECOND).contains(&self.seconds)
    }

    /// In `unit` since 1970.
    #[inline]
    pub(super) fn at(&self, unit: TimeUnit) -> Result<i64, Flaw> {
        let nanos_per_unit = 1_000_000_000 / per_second(unit);
        if i64::from(self.nanos) % nanos_per_unit != 0 {
            return Err(Flaw::new("the column's unit would lose digits of the second"));
        }
        let fraction = i64::from(self.nanos) / nanos_per_unit;
        let value = i128::from(self.seconds) * i128::from(per_second(unit)) + i128::from(fraction);
        value.try_into().map_err(|_| Flaw::new("the time is out of the range of the column's unit"))
    }
}

/// Days since 1970 of `2026-01-31`.
pub(super) fn date(text: &str) -> Result<i32, Flaw> {
    let days = parse_days(text.as_bytes()).or_else(|| iso::date(text));
    days.and_then(|days| days.try_into().ok())
        .ok_or_else(|| Flaw::new("the text is no date as in 2026-01-31"))
}

/// In `unit` since midnight, of `23:59:59.999`.
pub(super) fn time(text: &str, unit: TimeUnit) -> Result<i64, Flaw> {
    let clock = match parse_clock(text.as_bytes()) {
        Some((clock, [])) => Some(clock),
        // Four digits may be a year as well: without colons there must be a `T`.
        _ => match (text.strip_prefix(['T', 't']), text.contains(':')) {
            (Some(text), _) => iso::clock(text),
            (None, true) => iso::clock(text),
            (None, false) => None,
        }
        .filter(|(_, rest)| rest.is_empty())
        .map(|(clock, _)| clock),
    };
    clock.ok_or_else(|| Flaw::new("the text is no time as in 23:59:59.999"))?.at(unit)
}

/// Whether milliseconds since 1970 lie in the years 1 to 9999.
pub(crate) fn is_moment(millis: i64) -> bool {
    (FIRST_SECOND * 1_000..END_SECOND * 1_000).contains(&millis)
}

/// Whether a number of `unit` is a time of the day.
pub(super) fn is_time(value: i64, unit: TimeUnit) -> bool {
    (0..DAY_SECONDS * per_second(unit)).contains(&value)
}

pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// What a clock shows that many seconds after that of UTC showed the beginning of 1970.
pub(super) fn civil(seconds: i64) -> Option<DateTime> {
    civil::date(1970, 1, 1).at(0, 0, 0, 0).checked_add(SignedDuration::from_secs(seconds)).ok()
}

pub(super) fn two_digits(bytes: &[u8], max: i64) -> Option<i64> {
    let &[tens, ones] = bytes else { return None };
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    let value = i64::from(tens) * 10 + i64::from(ones);
    (tens < 10 && ones < 10 && value <= max).then_some(value)
}

/// Days since 1970 of exactly `YYYY-MM-DD`.
#[inline]
fn parse_days(bytes: &[u8]) -> Option<i64> {
    let &[_, _, _, _, b'-', _, _, b'-', _, _] = bytes else { return None };
    let year = two_digits(&bytes[..2], 99)? * 100 + two_digits(&bytes[2..4], 99)?;
    days(year, two_digits(&bytes[5..7], 12)?, two_digits(&bytes[8..], 31)?)
}

/// Days since 1970 of a day in the Gregorian calendar, if there is one.
#[inline]
pub(super) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        0 => return None,
        _ => 31,
    };
    if day == 0 || day > last {
        return None;
    }
    // Years begin in March here, so that the leap day is the last one.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    Some(era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1 - 719_468)
}

/// `HH:MM:SS[.f]`, with 1 to 9 digits of fraction, as a moment of the first day; and what follows.
fn parse_clock(bytes: &[u8]) -> Option<(Moment, &[u8])> {
    let &[_, _, b':', _, _, b':', _, _, ref rest @ ..] = bytes else { return None };
    let (hours, minutes) = (two_digits(&bytes[..2], 23)?, two_digits(&bytes[3..5], 59)?);
    let seconds = hours * 3600 + minutes * 60 + two_digits(&bytes[6..8], 59)?;
    let [b'.', fraction @ ..] = rest else {
        return Some((Moment { seconds, nanos: 0, digits: 0, has_offset: false }, rest));
    };
    let (mut nanos, mut digits) = (0, 0);
    while let Some(digit) =
        fraction.get(digits).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10)
    {
        if digits == 9 {
            return None;
        }
        nanos = nanos * 10 + u32::from(digit);
        digits += 1;
    }
    if digits == 0 {
        return None;
    }
    let nanos = nanos * 10_u32.pow(9 - digits as u32);
    Some((Moment { seconds, nanos, digits, has_offset: false }, &fraction[digits..]))
}
