//! The few things that the chain and its tables ask of a place where bytes lie,
//! behind one narrow trait: local folders, S3, GCS and Azure are alike above it,
//! and so are the wrappers that make them fail on purpose.
//!
//! The guarantee: what a call has done is durable before it returns, nothing is ever seen half-written, and
//! of any number of [`Store::create`]s of one path at most one answers [`Created::Created`].

use std::fmt::{self, Write};
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::model::error::{Error, Kind};
use crate::sink::Upload;

mod answering;
mod answers;
mod failing;
mod local;
mod object;
mod open;
mod options;
mod profile;
mod requests;
mod room;

pub use answering::unanswered;
pub use failing::Failing;
pub use local::Local;
pub use object::Object;
pub(crate) use open::open_plain;
pub use open::{Retries, open, open_to_read};
pub use requests::{OPERATIONS, REQUESTS};
pub(crate) use room::check_room;
pub use room::path_room;

/// The answer of [`Store::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Created,
    /// Something lies at the path. Perhaps one's own, from a request whose answer was lost: read it.
    Exists,
}

/// What a store says of an object that it has just created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The ETag, without quotes: another one stands for other bytes.
    pub tag: Option<String>,
    /// Given where the store keeps every version of an object.
    pub version: Option<String>,
}

/// An ETag as it may be compared: a store puts quotes around it at one place and not at another.
pub(crate) fn bare_tag(tag: &str) -> String {
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned()
}

/// The answer of [`Store::move_to_final`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    Moved,
    /// There is nothing to move: somebody else has moved or removed it.
    SourceMissing,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Relative to the store's root.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
}

/// Where bytes lie. Paths are relative to the store's URL, with `/` between
/// segments, none of which is empty or begins with a dot.
///
/// Errors of kind `Retry` say nothing about whether the call had its effect.
#[async_trait]
pub trait Store: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Writes an object unless there is one already.
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created, Error>;
    /// Like [`Store::create`], with what the store calls the object.
    async fn create_labelled(&self, path: &str, bytes: Bytes) -> Result<(Created, Labels), Error> {
        Ok((self.create(path, bytes).await?, Labels::default()))
    }
    /// Like [`Store::create_labelled`], of an object that need not survive a loss of power.
    async fn create_briefly(&self, path: &str, bytes: Bytes) -> Result<(Created, Labels), Error> {
        self.create_labelled(path, bytes).await
    }
    /// Writes an object, in place of any that is there.
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error>;
    /// Reads an object, if there is one.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error>;
    /// Reads a part of an object, if there is one. The range lies within its size. What
    /// is hidden may be read, too.
    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        let part = |bytes: Bytes| {
            let at = |offset: u64| bytes.len().min(offset as usize);
            bytes.slice(at(range.start)..at(range.end))
        };
        Ok(self.get(path).await?.map(part))
    }
    /// The size of an object in bytes, if there is one.
    async fn head(&self, path: &str) -> Result<Option<u64>, Error>;
    /// All objects below a folder, at any depth, sorted by path. An empty path is the root.
    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error>;
    /// The same with what a dot in front hides: nothing of ours is ever there, but not
    /// every reader passes it by.
    async fn list_with_hidden(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.list(folder).await
    }
    /// The objects below a folder whose paths are above `after`, sorted by path. Where
    /// the store can, it skips the others.
    async fn list_after(&self, folder: &str, after: &str) -> Result<Vec<Entry>, Error> {
        let mut entries = self.list(folder).await?;
        entries.retain(|entry| entry.path.as_str() > after);
        Ok(entries)
    }
    /// Like [`Store::list_after`], with the ETag of each object, without quotes, where the store has any.
    async fn list_tagged(&self, folder: &str, after: &str) -> Result<Vec<(Entry, Option<String>)>, Error> {
        let entries = self.list_after(folder, after).await?;
        Ok(entries.into_iter().map(|entry| (entry, None)).collect())
    }
    /// The names of the folders directly in a folder, sorted.
    async fn list_folders(&self, folder: &str) -> Result<Vec<String>, Error>;
    /// Removes an object; fine when there is none.
    async fn delete(&self, path: &str) -> Result<(), Error>;
    /// Makes a staged object of so many bytes a final one: a rename, or a copy by the server and then, once
    /// all of it is there, a delete of the source.
    async fn move_to_final(&self, from: &str, to: &str, bytes: u64) -> Result<Moved, Error>;
    /// Proves that what lies in the folder `from` can be moved into each of `folders`, or to where the folder
    /// is to be made. Leaves nothing behind. Where folders are only parts of names there is nothing to prove.
    ///
    /// Errors: `Config`, naming the folder into which nothing can be moved.
    async fn prove_moves(&self, _from: &str, _folders: Vec<String>) -> Result<(), Error> {
        Ok(())
    }
    /// Opens an object that is written piece by piece and appears when it is finished.
    async fn upload(&self, path: &str) -> Result<Box<dyn Upload>, Error>;
    /// Removes a folder that has no objects, with what a crash may have left hidden in it. A courtesy: it
    /// never fails, and does nothing where folders are only parts of names.
    async fn remove_folder(&self, folder: &str);
    /// Removes what crashes have left hidden directly in a folder, if it is at least so old. A courtesy, too:
    /// nothing is hidden where an object appears whole by itself.
    async fn remove_hidden(&self, _folder: &str, _age: Duration) {}
    /// Whether [`Store::move_to_final`] is a copy, which may take effect long after it was asked for.
    fn is_copying(&self) -> bool;
}

/// Refuses a path that could lead out of the store's root or into what is hidden
/// there. Paths come out of stored manifests as well.
///
/// Errors: `Corrupt`.
pub fn check_path(path: &str) -> Result<(), Error> {
    let sound = path.split('/').all(|segment| !segment.is_empty() && !segment.starts_with('.'))
        && !path.contains(['\\', '\0']);
    if sound { Ok(()) } else { Err(Error::new(Kind::Corrupt, format!("{path:?} is not a path of a store"))) }
}

/// Like [`check_path`], but hidden names are sound: for what was found in a listing.
///
/// Errors: `Corrupt`.
pub(crate) fn check_listed(path: &str) -> Result<(), Error> {
    let sound =
        path.split('/').all(|segment| !["", ".", ".."].contains(&segment)) && !path.contains(['\\', '\0']);
    if sound { Ok(()) } else { Err(Error::new(Kind::Corrupt, format!("{path:?} is not a path of a store"))) }
}

/// Like [`check_path`], for a folder; the empty one is the root.
pub fn check_folder(folder: &str) -> Result<(), Error> {
    if folder.is_empty() { Ok(()) } else { check_path(folder) }
}

/// A SHA-256 as lower-case hexadecimal digits.
pub fn hex(sha256: Sha256) -> String {
    sha256.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

#[cfg(test)]
mod tests;
