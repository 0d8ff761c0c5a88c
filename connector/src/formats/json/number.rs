//! Numbers as digits, never by way of a float: an integer or a decimal is the
//! number that was written, or an error.

use super::flaw::Flaw;

/// A number as written, with what one pass over its digits gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a> {
    /// Without its sign.
    text: &'a str,
    negative: bool,
    /// The digits without point, when `simple`.
    digits: u64,
    /// Digits after the point.
    fraction: usize,
    /// No exponent, and at most 19 digits, which fit a u64.
    simple: bool,
}

impl<'a> Number<'a> {
    /// The number at the start of `text`, and its length. `None` where the grammar of JSON has none.
    #[inline]
    pub(super) fn scan(text: &'a str) -> Option<(Self, usize)> {
        let bytes = text.as_bytes();
        let negative = bytes.first() == Some(&b'-');
        let start = usize::from(negative);
        let mut digits = 0;
        let mut at = scan_digits(bytes, start, &mut digits)?;
        if bytes[start] == b'0' && at > start + 1 {
            return None;
        }
        let mut count = at - start;
        let mut fraction = 0;
        if bytes.get(at) == Some(&b'.') {
            let end = scan_digits(bytes, at + 1, &mut digits)?;
            fraction = end - at - 1;
            count += fraction;
            at = end;
        }
        let mut simple = count <= 19;
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            at = scan_digits(bytes, at, &mut 0)?;
            simple = false;
        }
        Some((Self { text: &text[start..at], negative, digits, fraction, simple }, at))
    }

    /// A whole text as a number, with a `+` and leading zeros that JSON does not allow,
    /// but other writers put.
    #[inline]
    pub(super) fn parse(text: &'a str) -> Result<Self, Flaw> {
        match Self::scan(text) {
            Some((number, length)) if length == text.len() => Ok(number),
            _ => Self::parse_other(text),
        }
    }

    fn parse_other(text: &'a str) -> Result<Self, Flaw> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let zeros = unsigned.bytes().take_while(|&byte| byte == b'0').count();
        // The last zero stays when no digit follows.
        let whole = unsigned.as_bytes().get(zeros).is_some_and(u8::is_ascii_digit);
        let digits = &unsigned[if whole { zeros } else { zeros.saturating_sub(1) }..];
        match Self::scan(digits) {
            Some((number, length)) if length == digits.len() && !number.negative => {
                Ok(Self { negative: text.starts_with('-'), ..number })
            }
            _ => Err(Flaw::new("the text is no number")),
        }
    }

    /// `None` when it is written with a point or an exponent; inside, `None` when it does not fit.
    pub(super) fn integer(&self) -> Option<Option<i64>> {
        self.is_integer().then(|| self.scaled(0).ok().and_then(|integer| integer.try_into().ok()))
    }

    /// The number times ten to the `scale`, exactly.
    #[inline]
    pub(super) fn scaled(&self, scale: usize) -> Result<i128, Inexact> {
        if self.simple && self.fraction <= scale && scale - self.fraction <= 18 {
            let magnitude = i128::from(self.digits) * i128::from(10_u64.pow((scale - self.fraction) as u32));
            return Ok(if self.negative { -magnitude } else { magnitude });
        }
        self.scaled_by_digits(scale)
    }

    fn scaled_by_digits(&self, scale: usize) -> Result<i128, Inexact> {
        let (mantissa, exponent) = self.text.split_once(['e', 'E']).unwrap_or((self.text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.bytes().chain(fraction.bytes());
        let trailing = digits.clone().rev().take_while(|&digit| digit == b'0').count();
        let digits = digits.take(whole.len() + fraction.len() - trailing).skip_while(|&digit| digit == b'0');
        if digits.clone().next().is_none() {
            return Ok(0);
        }
        let shift = saturating(exponent) + (scale + trailing) as i64 - fraction.len() as i64;
        if shift < 0 {
            return Err(Inexact::Digits);
        }
        let mut magnitude = 0_i128;
        for digit in digits.chain((0..shift.min(40)).map(|_| b'0')) {
            let next = magnitude.checked_mul(10).and_then(|tens| tens.checked_add(i128::from(digit - b'0')));
            magnitude = next.ok_or(Inexact::Range)?;
        }
        Ok(if self.negative { -magnitude } else { magnitude })
    }

    /// The nearest double. A number too big for one, or so small that nothing is left of it, is an error, and
    /// so is an integer of which digits would be lost.
    #[inline]
    pub(super) fn double(&self) -> Result<f64, Inexact> {
        const EXACT_POWERS: [f64; 23] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
            1e18, 1e19, 1e20, 1e21, 1e22,
        ];
        // Digits and power are exact doubles, so their quotient is rounded once, which is correct.
        if self.simple && self.digits < 1 << 53 && self.fraction < EXACT_POWERS.len() {
            let magnitude = self.digits as f64 / EXACT_POWERS[self.fraction];
            return Ok(if self.negative { -magnitude } else { magnitude });
        }
        self.double_of_text()
    }

    fn double_of_text(&self) -> Result<f64, Inexact> {
        let magnitude: f64 = self.text.parse().map_err(|_| Inexact::Range)?;
        if !magnitude.is_finite() || (magnitude == 0.0 && !self.is_zero()) {
            return Err(Inexact::Range);
        }
        if self.is_integer() && !self.is_said_by(&magnitude) {
            return Err(Inexact::Digits);
        }
        Ok(if self.negative { -magnitude } else { magnitude })
    }

    /// The nearest float, rounded once, with the errors of [`Self::double`].
    pub(super) fn float(&self) -> Result<f32, Inexact> {
        let magnitude: f32 = self.text.parse().map_err(|_| Inexact::Range)?;
        if !magnitude.is_finite() || (magnitude == 0.0 && !self.is_zero()) {
            return Err(Inexact::Range);
        }
        let is_small = self.simple && self.digits <= 1 << 24;
        if !is_small && self.is_integer() && !self.is_said_by(&magnitude) {
            return Err(Inexact::Digits);
        }
        Ok(if self.negative { -magnitude } else { magnitude })
    }

    /// Whether it is written without a point and an exponent, as an integer is.
    fn is_integer(&self) -> bool {
        !self.text.contains(['.', 'e', 'E'])
    }

    /// Whether a float is just this integer; or has it as the shortest text that says which float it is, as
    /// JavaScript writes floats beyond 2^53 without an exponent.
    fn is_said_by(&self, float: &impl std::fmt::Display) -> bool {
        let digits = self.text.trim_start_matches('0');
        format!("{float:.0}") == digits || float.to_string() == digits
    }

    fn is_zero(&self) -> bool {
        let mantissa = self.text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
        mantissa.filter(u8::is_ascii_digit).all(|digit| digit == b'0')
    }
}

/// Why a number has no exact place in a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inexact {
    /// It has more digits after the point.
    Digits,
    /// It is too big, or for a float too small.
    Range,
}

impl Inexact {
    #[cold]
    pub(super) fn flaw(self, type_name: &str) -> Flaw {
        match self {
            Self::Digits => Flaw::new(format!("{type_name} would lose digits of the number")),
            Self::Range => Flaw::new(format!("the number is out of the range of {type_name}")),
        }
    }
}

/// At least one digit, or none at all. Digits past what a u64 holds wrap; the caller counts them.
#[inline]
fn scan_digits(bytes: &[u8], start: usize, value: &mut u64) -> Option<usize> {
    let mut at = start;
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (at > start).then_some(at)
}

/// An exponent, cut where it exceeds any number of digits that a record can have.
fn saturating(exponent: &str) -> i64 {
    const MANY: i64 = 1 << 40;
    let digits = exponent.trim_start_matches(['+', '-']);
    let magnitude = digits.bytes().fold(0, |sum: i64, digit| (sum * 10 + i64::from(digit - b'0')).min(MANY));
    if exponent.starts_with('-') { -magnitude } else { magnitude }
}
