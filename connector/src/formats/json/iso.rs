//! ISO 8601 beyond RFC 3339, as Java, .NET, Python and Jackson write it: what can mean one moment only.
//!
//! - dates: `2026-01-31`, `20260131`, `2026-W05-6`, `2026W056`, `2026-031`;
//! - times: `08:00:00`, `080000`, `08:00`, `0800`, `08`, with a point or a comma before the fraction of the second, of any
//!   length if what is beyond nanoseconds is zero; and 24:00, which is the next day's midnight;
//! - between them `T` or a space; after them nothing, `Z`, ` UTC`, `+01:00`, `+0100`, `+01`, `+01:00:00`, with a space before
//!   it or none, and the sign of ISO or that of the keyboard;
//! - after all that the zone in brackets, `[Europe/Berlin]`, which must agree with the offset where there is one.
//!
//! A date alone is no moment, and neither are fractions of minutes and hours, which nobody writes on purpose.

use jiff::Timestamp;

use super::time::{DAY_SECONDS, Moment, civil, days, two_digits};
use crate::columns::{reading, zone};

/// Of everything that [`Moment::parse`] does not take at once.
#[cold]
pub(super) fn moment(text: &str) -> Option<Moment> {
    let (text, zone) = match text.strip_suffix(']') {
        Some(text) => {
            let (text, name) = text.rsplit_once('[')?;
            (text, Some(zone::find(name).ok()?))
        }
        None => (text, None),
    };
    let (date_text, rest) = text.split_once(['T', 't', ' '])?;
    let (clock, rest) = clock(rest)?;
    let local = date(date_text)? * DAY_SECONDS + clock.seconds;
    let by_zone = match &zone {
        Some(zone) => Some(reading::offset_at(zone, civil(local)?)),
        None => None,
    };
    let (shift, has_offset) = match (offset(rest)?, by_zone) {
        (None, None) => (0, false),
        (None, Some(shift)) => (shift?, true),
        (Some(shift), None) => (shift, true),
        (Some(shift), Some(_)) => {
            // Of a time that the clock shows twice the offset says which one it is; `Z` is said of any zone.
            let moment = Timestamp::from_second(local - shift).unwrap_or(Timestamp::MAX);
            let agrees = i64::from(zone?.to_offset(moment).seconds()) == shift;
            (agrees || rest.trim_start().eq_ignore_ascii_case("z")).then_some((shift, true))?
        }
    };
    Some(Moment { seconds: local - shift, has_offset, ..clock })
}

/// Days since 1970.
#[cold]
pub(super) fn date(text: &str) -> Option<i64> {
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten()
    };
    let (year, rest) = (number(text.get(..4)?)?, &text[4..]);
    match *rest.as_bytes() {
        // 2026-W05-6, 2026W056
        [b'-', b'W', w, x, b'-', d] | [b'W', w, x, d] => {
            let (week, day) = (two_digits(&[w, x], 53)?, i64::from(d.wrapping_sub(b'0')));
            let first = monday(year)?;
            let found = first + (week - 1) * 7 + day - 1;
            (week > 0 && (1..=7).contains(&day) && found < monday(year + 1)?).then_some(found)
        }
        // 2026-031
        [b'-', _, _, _] => {
            let (first, day) = (days(year, 1, 1)?, number(&rest[1..])?);
            (day > 0 && first + day - 1 <= days(year, 12, 31)?).then_some(first + day - 1)
        }
        // 2026-01-31, 20260131
        [b'-', m, n, b'-', d, e] | [m, n, d, e] => {
            days(year, two_digits(&[m, n], 12)?, two_digits(&[d, e], 31)?)
        }
        _ => None,
    }
}

/// Of the year's first week, which is that of the fourth of January.
fn monday(year: i64) -> Option<i64> {
    let fourth = days(year, 1, 4)?;
    // 1970 began on a Thursday.
    Some(fourth - (fourth + 3).rem_euclid(7))
}

/// A time of the day, as a moment of the first one, and what follows.
#[cold]
pub(super) fn clock(text: &str) -> Option<(Moment, &str)> {
    let mut rest = text;
    let mut part = |max: i64, separator: &str| {
        let digits = rest.strip_prefix(separator)?;
        let value = two_digits(digits.as_bytes().get(..2)?, max)?;
        rest = &digits[2..];
        Some(value)
    };
    let hours = part(24, "")?;
    let separator = if text[2..].starts_with(':') { ":" } else { "" };
    let minutes = part(59, separator);
    let seconds = minutes.and_then(|_| part(59, separator));
    let (mut nanos, mut digits) = (0, 0);
    if seconds.is_some()
        && let Some(fraction) = rest.strip_prefix(['.', ','])
    {
        digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let (kept, lost) = fraction[..digits].split_at(digits.min(9));
        if digits == 0 || lost.bytes().any(|digit| digit != b'0') {
            return None;
        }
        nanos = kept.parse::<u32>().ok()? * 10_u32.pow(9 - kept.len() as u32);
        rest = &fraction[digits..];
    }
    // What is left of a part begins with no digit, or the text has parts that are none.
    if rest.starts_with(|symbol: char| symbol.is_ascii_digit() || symbol == ':') {
        return None;
    }
    let seconds = hours * 3600 + minutes.unwrap_or(0) * 60 + seconds.unwrap_or(0);
    let is_day = seconds < DAY_SECONDS || (seconds == DAY_SECONDS && nanos == 0);
    is_day.then_some((Moment { seconds, nanos, digits, has_offset: false }, rest))
}

/// Seconds ahead of UTC; inside, `None` where there is no offset.
fn offset(text: &str) -> Option<Option<i64>> {
    if text.is_empty() {
        return Some(None);
    }
    let spaced = text.strip_prefix(' ');
    let text = spaced.unwrap_or(text);
    if text.eq_ignore_ascii_case("z") || (spaced.is_some() && text == "UTC") {
        return Some(Some(0));
    }
    let (negative, digits) = match text.strip_prefix('+') {
        Some(digits) => (false, digits),
        None => (true, text.strip_prefix(['-', '\u{2212}'])?),
    };
    let shift = match *digits.as_bytes() {
        [a, b] => two_digits(&[a, b], 23)? * 3600,
        [a, b, c, d] | [a, b, b':', c, d] => two_digits(&[a, b], 23)? * 3600 + two_digits(&[c, d], 59)? * 60,
        [a, b, b':', c, d, b':', e, f] => {
            two_digits(&[a, b], 23)? * 3600 + two_digits(&[c, d], 59)? * 60 + two_digits(&[e, f], 59)?
        }
        _ => return None,
    };
    Some(Some(if negative { -shift } else { shift }))
}
