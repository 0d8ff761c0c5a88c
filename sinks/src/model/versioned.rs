//! Stored JSON documents that begin with their format, `{"format": 1, …}`: an older version says that it has
//! to be upgraded, and never guesses what a newer one has written.

use std::fmt::Display;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{Error, Kind};

/// Why a document is not taken.
#[derive(Debug)]
pub enum Unread {
    /// It is no JSON, or lacks what every document of its kind has.
    Damaged(serde_json::Error),
    /// It has this one, which is none from 1 to the newest known.
    OtherFormat(u32),
}

/// Reads a document whose format is 1 to `newest`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], newest: u32) -> Result<T, Unread> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    let Versioned { format } = serde_json::from_slice(bytes).map_err(Unread::Damaged)?;
    if format == 0 || format > newest {
        return Err(Unread::OtherFormat(format));
    }
    serde_json::from_slice(bytes).map_err(Unread::Damaged)
}

/// Reads the document that lies at `place`.
///
/// Errors: `Config` for another format; `Corrupt` when it does not read.
pub fn read<T: DeserializeOwned>(place: impl Display, bytes: &[u8], newest: u32) -> Result<T, Error> {
    parse(bytes, newest).map_err(|unread| match unread {
        Unread::Damaged(source) => {
            Error::new(Kind::Corrupt, format!("{place} does not read")).with_source(source)
        }
        Unread::OtherFormat(format) => {
            let context = format!("{place} has format {format}, this version knows {newest}: upgrade it");
            Error::new(Kind::Config, context)
        }
    })
}

/// A document as it is stored, for people to read as well.
///
/// Errors: `Corrupt`, for a value that does not go into JSON.
pub fn write<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    let failed = |source| Error::new(Kind::Corrupt, "a value does not go into JSON").with_source(source);
    serde_json::to_vec_pretty(value).map(Bytes::from).map_err(failed)
}
