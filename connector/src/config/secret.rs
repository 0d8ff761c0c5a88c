//! A value that is never shown.

use std::fmt;

use subtle::ConstantTimeEq;

/// Text of the job file that is compared, and never logged or told.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it is `text`; how long that takes tells no more than the length.
    pub fn is(&self, text: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(text).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_itself_only_and_not_shown() {
        let secret = Secret::new("correct horse");
        assert!(secret.is(b"correct horse"));
        for other in [&b""[..], b"correct hors", b"correct horse ", b"correct hXrse"] {
            assert!(!secret.is(other));
        }
        assert_eq!(format!("{secret:?}"), "***");
    }
}
