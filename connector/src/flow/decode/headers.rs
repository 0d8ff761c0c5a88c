//! A record's headers as a column: a list, since Kafka keeps their order and lets a name come twice.
//!
//! Kafka also lets a name be any bytes but NUL, and a column's names are text. A
//! row never has another name than the record: such a record is a reject. In a
//! table of rejects, which must hold every record, the name is escaped.

use std::borrow::Cow;

use arrow::array::{BinaryBuilder, ListArray, ListBuilder, StringBuilder, StructBuilder};

use crate::columns::headers::{item, members};
use crate::flow::event::Record;

/// A header's name is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotText;

#[derive(Debug)]
pub(crate) struct Headers {
    builder: ListBuilder<StructBuilder>,
    bytes: usize,
}

impl Headers {
    pub(crate) fn new() -> Self {
        let builder = ListBuilder::new(StructBuilder::from_fields(members(), 0)).with_field(item());
        Self { builder, bytes: 0 }
    }

    /// Of a row. Nothing is appended of headers with a name that is not UTF-8.
    pub(crate) fn append(&mut self, record: &Record<'_>) -> Result<(), NotText> {
        let headers = record.headers();
        let text = |&(name, value)| Ok((std::str::from_utf8(name).map_err(|_| NotText)?, value));
        let headers = headers.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        headers.into_iter().for_each(|(name, value)| self.push(name, value));
        self.end();
        Ok(())
    }

    /// Of a reject, with the names that are not UTF-8 escaped.
    pub(crate) fn append_escaped(&mut self, record: &Record<'_>) {
        for (name, value) in record.headers() {
            self.push(&escape(name), value);
        }
        self.end();
    }

    fn push(&mut self, name: &str, value: Option<&[u8]>) {
        let header = self.builder.values();
        header.field_builder::<StringBuilder>(0).expect("the first field is text").append_value(name);
        header.field_builder::<BinaryBuilder>(1).expect("the second is bytes").append_option(value);
        header.append(true);
        self.bytes += name.len() + value.map_or(0, <[u8]>::len) + 2 * size_of::<i32>();
    }

    fn end(&mut self) {
        self.builder.append(true);
        self.bytes += size_of::<i32>();
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the rows out.
    pub(crate) fn finish(&mut self) -> ListArray {
        self.bytes = 0;
        self.builder.finish()
    }
}

/// A name as text from which [`unescape`] makes the same bytes: `\xff` for each byte that is no part of
/// UTF-8. Names of text are left as they are, but for the two characters `\x`, which become `\x5cx`.
pub(crate) fn escape(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) if !text.contains("\\x") => Cow::Borrowed(text),
        _ => {
            let mut escaped = String::new();
            for chunk in name.utf8_chunks() {
                escaped.push_str(&chunk.valid().replace("\\x", "\\x5cx"));
                chunk.invalid().iter().for_each(|byte| escaped.push_str(&format!("\\x{byte:02x}")));
            }
            Cow::Owned(escaped)
        }
    }
}

/// The bytes of a name that [`escape`] wrote.
pub(crate) fn unescape(name: &str) -> Cow<'_, [u8]> {
    if !name.contains("\\x") {
        return Cow::Borrowed(name.as_bytes());
    }
    let mut bytes = Vec::new();
    let mut parts = name.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            // Not written by `escape`: files of before, in which such a name stood as it was.
            None => {
                bytes.extend_from_slice(b"\\x");
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_text_stay_and_others_are_told_apart() {
        for (name, escaped) in [
            (&b"plain"[..], "plain"),
            (b"", ""),
            (b"C:\\temp", "C:\\temp"),
            ("é".as_bytes(), "é"),
            (b"\xffa", "\\xffa"),
            (b"\xfea", "\\xfea"),
            (b"\\xffa", "\\x5cxffa"),
            (b"\xc3", "\\xc3"),
        ] {
            assert_eq!(escape(name), escaped);
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_read_back(name in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\\'), Just(b'x'), Just(b'5'), Just(b'c')
        ], 0..12)) {
            let escaped = escape(&name);
            prop_assert_eq!(&*unescape(&escaped), &name[..]);
        }
    }
}
