//! A JSON text, read once from left to right, exactly as RFC 8259 has it. What is skipped is checked like
//! what is read, but for what only text cannot be (half of a surrogate pair), and depth is bounded
//! everywhere, so that no record can exhaust the stack.
//!
//! Written here and not taken from a library, because columns ask for what a visitor of values hides: the
//! digits of a number as they stand, the raw text of a value, equal keys, and errors that hold nothing of the
//! record. The caller has checked the text's UTF-8 (a `&str`).

use std::borrow::Cow;

use super::flaw::Flaw;
use super::names::Quoted;
use super::number::Number;

/// Objects and arrays in one another.
pub(super) const MAX_DEPTH: usize = 127;

#[derive(Debug)]
pub(in crate::formats) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Members so far that no column asks for.
    pub(super) unmatched: u64,
}

/// What kind of value begins here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Token {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a bool",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

impl<'a> Scanner<'a> {
    pub(in crate::formats) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, unmatched: 0 }
    }

    /// Where the next value can be read again by [`Self::rewind`].
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Back to a position of the same object or array.
    pub(super) fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    #[cold]
    fn syntax(&self, expected: &'static str) -> Flaw {
        Flaw::syntax(expected, self.at)
    }

    /// Where there should be a value. What others write for numbers that JSON has none
    /// for is told by its name.
    #[cold]
    fn no_value(&self, expected: &'static str) -> Flaw {
        let rest = &self.text[self.at..];
        for word in ["NaN", "Infinity", "-Infinity", "undefined", "None", "True", "False"] {
            if rest.starts_with(word) {
                return Flaw::new(format!("not JSON: {word} at byte {}, which JSON does not have", self.at));
            }
        }
        self.syntax(expected)
    }

    /// The kind of the next value; nothing is consumed but space.
    #[inline]
    pub(super) fn token(&mut self) -> Result<Token, Flaw> {
        Ok(match self.space() {
            Some(b'"') => Token::String,
            Some(b'-' | b'0'..=b'9') => Token::Number,
            Some(b'{') => Token::Object,
            Some(b'[') => Token::Array,
            Some(b't' | b'f') => Token::Bool,
            Some(b'n') => Token::Null,
            _ => return Err(self.no_value("a value")),
        })
    }

    /// Checks that nothing but space follows.
    pub(in crate::formats) fn end(&mut self) -> Result<(), Flaw> {
        if self.space().is_none() { Ok(()) } else { Err(self.syntax("the end")) }
    }

    #[inline]
    fn literal(&mut self, word: &'static str) -> Result<(), Flaw> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.syntax("a value"))
    }

    #[inline]
    pub(super) fn null(&mut self) -> Result<(), Flaw> {
        self.literal("null")
    }

    #[inline]
    pub(super) fn bool(&mut self) -> Result<bool, Flaw> {
        if self.peek() == Some(b't') {
            return self.literal("true").map(|()| true);
        }
        self.literal("false").map(|()| false)
    }

    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'a>, Flaw> {
        let (number, length) =
            Number::scan(&self.text[self.at..]).ok_or_else(|| self.no_value("a number"))?;
        self.at += length;
        Ok(number)
    }

    /// The raw text of the next value, checked.
    pub(super) fn raw(&mut self) -> Result<&'a str, Flaw> {
        self.space();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// Passes over the next value, checking it.
    pub(super) fn skip(&mut self) -> Result<(), Flaw> {
        match self.token()? {
            Token::Null => self.null(),
            Token::Bool => self.bool().map(drop),
            Token::Number => self.number().map(drop),
            Token::String => self.skip_string(),
            Token::Array => {
                let mut more = self.open_array()?;
                while more {
                    self.skip()?;
                    more = self.next_element()?;
                }
                Ok(())
            }
            Token::Object => {
                let mut more = self.open_object()?;
                while more {
                    self.open_string()?;
                    self.skip_string()?;
                    self.colon()?;
                    self.skip()?;
                    more = self.next_member()?;
                }
                Ok(())
            }
        }
    }
}

/// Objects and arrays: `open`, then a value and `next` as long as the answer is that there is more.
impl<'a> Scanner<'a> {
    #[inline]
    fn open(&mut self, close: u8) -> Result<bool, Flaw> {
        if self.depth == MAX_DEPTH {
            return Err(Flaw::new("too many objects and arrays in one another"));
        }
        self.at += 1;
        if self.space() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        self.depth += 1;
        Ok(true)
    }

    #[inline]
    fn next(&mut self, close: u8, expected: &'static str) -> Result<bool, Flaw> {
        match self.space() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ => Err(self.syntax(expected)),
        }
    }

    /// After [`Token::Object`]. Whether there is a member.
    #[inline]
    pub(super) fn open_object(&mut self) -> Result<bool, Flaw> {
        self.open(b'}')
    }

    /// After a member's value. Whether there is another member.
    #[inline]
    pub(super) fn next_member(&mut self) -> Result<bool, Flaw> {
        self.next(b'}', "`,` or `}`")
    }

    /// After [`Token::Array`]. Whether there is an element.
    #[inline]
    pub(super) fn open_array(&mut self) -> Result<bool, Flaw> {
        self.open(b']')
    }

    /// After an element. Whether there is another one.
    #[inline]
    pub(super) fn next_element(&mut self) -> Result<bool, Flaw> {
        self.next(b']', "`,` or `]`")
    }

    #[inline]
    fn open_string(&mut self) -> Result<(), Flaw> {
        if self.space() == Some(b'"') { Ok(()) } else { Err(self.syntax("a string as key")) }
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Flaw> {
        if self.space() != Some(b':') {
            return Err(self.syntax("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    /// The key of a member, up to its value; `None` for one that is no text, with half
    /// of a surrogate pair in it, as no column has such a name.
    pub(super) fn key(&mut self) -> Result<Option<Cow<'a, str>>, Flaw> {
        self.open_string()?;
        let key = self.text_or_skip()?;
        self.colon()?;
        Ok(key)
    }

    /// Whether the key is `quoted`, without escapes. Consumes it, up to its value, only if it is.
    #[inline]
    pub(super) fn guessed_key(&mut self, quoted: &Quoted) -> Result<bool, Flaw> {
        self.open_string()?;
        if !quoted.starts(&self.text.as_bytes()[self.at + 1..]) {
            return Ok(false);
        }
        self.at += 1 + quoted.len();
        self.colon()?;
        Ok(true)
    }

    /// A key that is read like a value, then its colon.
    pub(super) fn key_with<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Flaw>) -> Result<T, Flaw> {
        self.open_string()?;
        let key = read(self)?;
        self.colon()?;
        Ok(key)
    }
}

/// Strings, from their opening quote.
impl<'a> Scanner<'a> {
    /// The string's text; copied only if it has escapes.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Flaw> {
        let start = self.at + 1;
        let end = special(self.text.as_bytes(), start);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        let mut text = Vec::new();
        self.string_into(&mut text)?;
        Ok(Cow::Owned(String::from_utf8(text).map_err(|_| Flaw::new("a string that is not UTF-8"))?))
    }

    /// The same, and `None` for a string that is no text.
    pub(super) fn text_or_skip(&mut self) -> Result<Option<Cow<'a, str>>, Flaw> {
        let start = self.at;
        if let Ok(text) = self.string() {
            return Ok(Some(text));
        }
        self.at = start;
        self.skip_string().map(|()| None)
    }

    /// Appends the string's text, as UTF-8. After an error `out` may hold a part of it.
    #[inline]
    pub(super) fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), Flaw> {
        let bytes = self.text.as_bytes();
        let mut start = self.at + 1;
        loop {
            let end = special(bytes, start);
            out.extend_from_slice(&bytes[start..end]);
            self.at = end;
            match bytes.get(end) {
                Some(b'"') => {
                    self.at = end + 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let symbol = self.escape()?;
                    out.extend_from_slice(symbol.encode_utf8(&mut [0; 4]).as_bytes());
                    start = self.at;
                }
                Some(_) => return Err(self.syntax("no control character in a string")),
                None => return Err(self.syntax("the end of a string")),
            }
        }
    }

    /// No text is made of it, so that half of a surrogate pair does no harm: RFC 8259
    /// has it, and JavaScript writes it where it cuts a text.
    fn skip_string(&mut self) -> Result<(), Flaw> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            self.at = special(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') if bytes.get(self.at + 1) == Some(&b'u') => {
                    self.at += 1;
                    self.hex()?;
                }
                Some(b'\\') => drop(self.escape()?),
                Some(_) => return Err(self.syntax("no control character in a string")),
                None => return Err(self.syntax("the end of a string")),
            }
        }
    }

    /// From the backslash.
    fn escape(&mut self) -> Result<char, Flaw> {
        self.at += 1;
        let symbol = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.syntax("an escape")),
        };
        self.at += 1;
        Ok(symbol)
    }

    /// From the `u`. Half of a surrogate pair is no character.
    fn unicode(&mut self) -> Result<char, Flaw> {
        let mut units = [self.hex()?, 0];
        let mut count = 1;
        if (0xD800..0xDC00).contains(&units[0]) && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            self.at += 1;
            units[1] = self.hex()?;
            count = 2;
        }
        match (char::decode_utf16(units[..count].iter().copied()).next(), count) {
            (Some(Ok(symbol)), 1) => Ok(symbol),
            (Some(Ok(symbol)), _) if symbol > '\u{FFFF}' => Ok(symbol),
            _ => Err(self.syntax("a whole surrogate pair")),
        }
    }

    fn hex(&mut self) -> Result<u16, Flaw> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5).unwrap_or_default();
        let mut unit = 0;
        for &digit in digits {
            let digit = (digit as char).to_digit(16).ok_or_else(|| self.syntax("four hex digits"))?;
            unit = unit << 4 | digit as u16;
        }
        if digits.is_empty() {
            return Err(self.syntax("four hex digits"));
        }
        self.at += 5;
        Ok(unit)
    }
}

/// The next byte, at `from` or after, that a string can't hold as it is (`"`, `\`, below 0x20), or the end.
/// Eight bytes at a time, each in its lane of a word.
#[inline]
fn special(bytes: &[u8], mut from: usize) -> usize {
    const LANES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = LANES << 7;
    // A lane is flagged when it is less than `bound`; lanes above a flagged one may be flagged wrongly.
    let below = |word: u64, bound: u64| word.wrapping_sub(LANES * bound) & !word & HIGH;
    while let Some(Ok(lanes)) = bytes.get(from..from + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(lanes);
        let quote = below(word ^ (LANES * u64::from(b'"')), 1);
        let backslash = below(word ^ (LANES * u64::from(b'\\')), 1);
        let found = quote | backslash | below(word, 0x20);
        if found != 0 {
            return from + found.trailing_zeros() as usize / 8;
        }
        from += 8;
    }
    while from < bytes.len() && bytes[from] >= 0x20 && bytes[from] != b'"' && bytes[from] != b'\\' {
        from += 1;
    }
    from
}
