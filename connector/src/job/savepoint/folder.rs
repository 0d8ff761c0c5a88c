//! The folder of one savepoint: its files' names, their bounds, and how a person is
//! told what is wrong with one.

use std::fmt::Display;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tidegate_sinks::store::{self, Retries, Store, check_path, hex};

use super::{StoreOptions, uri};
use crate::error::RunError;
use crate::limits::{
    SAVEPOINT_CHECKPOINT_MAX_BYTES, SAVEPOINT_COMMITS_MAX_BYTES, SAVEPOINT_SMALL_FILE_MAX_BYTES,
};

pub(super) const CHECKPOINT: &str = "checkpoint.json";
pub(super) const COMMITS: &str = "commits.json";
pub(super) const JOB: &str = "job.json";
pub(super) const MANIFEST: &str = "manifest.json";
/// Its presence says that the savepoint is complete.
pub(super) const HASH: &str = "manifest.sha256";

/// The largest that a file may be, in bytes.
pub(super) fn limit(name: &str) -> u64 {
    match name {
        CHECKPOINT => SAVEPOINT_CHECKPOINT_MAX_BYTES,
        COMMITS => SAVEPOINT_COMMITS_MAX_BYTES,
        _ => SAVEPOINT_SMALL_FILE_MAX_BYTES,
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) uri: String,
    pub(super) store: Arc<dyn Store>,
    /// What stands before the files' names in the store: nothing, or a folder with its slash.
    prefix: String,
}

impl Folder {
    /// Asks the store nothing yet.
    pub(super) fn open(uri: &str, options: &StoreOptions, retries: Retries) -> Result<Self, RunError> {
        let uri = uri.trim_end_matches('/').to_owned();
        if let Some((above, name)) = split(&uri) {
            // From there the folder itself can be removed, too.
            let store = store::open(above, options, retries)?;
            return Ok(Self { prefix: format!("{name}/"), uri, store });
        }
        let store = store::open(&uri, options, retries)?;
        Ok(Self { uri, store, prefix: String::new() })
    }

    /// The folder `name` of an open store, whose URL is `to`.
    pub(super) fn within(store: &Arc<dyn Store>, to: &str, name: &str) -> Self {
        Self { uri: uri(to, name), store: Arc::clone(store), prefix: format!("{name}/") }
    }

    /// Its own path in the store.
    pub(super) fn root(&self) -> &str {
        self.prefix.trim_end_matches('/')
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The size of a file in bytes, if it is there.
    pub(super) async fn size(&self, name: &str) -> Result<Option<u64>, RunError> {
        Ok(self.store.head(&self.path(name)).await?)
    }

    /// The bytes of a file, if it is there; one that is larger than it may be is refused unread.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Bytes>, RunError> {
        let Some(bytes) = self.size(name).await? else { return Ok(None) };
        if bytes > limit(name) {
            let problem = format!("has {bytes} bytes, and may have {}", limit(name));
            return Err(self.damaged(name, problem));
        }
        self.fetch(name, bytes).await
    }

    /// So many bytes of a file, if it is there: no more, however it grows since its size was asked for.
    pub(super) async fn fetch(&self, name: &str, bytes: u64) -> Result<Option<Bytes>, RunError> {
        if bytes == 0 {
            return Ok(Some(Bytes::new())); // No store answers a question for nothing.
        }
        self.store.get_range(&self.path(name), 0..bytes).await.map_err(|error| {
            let source = error.source.as_deref().and_then(|source| source.downcast_ref::<io::Error>());
            match source.map(io::Error::kind) {
                Some(io::ErrorKind::IsADirectory) => self.damaged(name, "is a folder"),
                Some(io::ErrorKind::Unsupported) => self.damaged(name, "is not a regular file"),
                _ => error.into(),
            }
        })
    }

    /// Refuses the savepoint for what is wrong with one of its files.
    pub(super) fn damaged(&self, name: &str, problem: impl Display) -> RunError {
        RunError::refused(format!(
            "{}/{name} {problem}: the savepoint is damaged; bring the file back from a copy, or use another savepoint",
            self.uri
        ))
    }

    /// Refuses what was never completed, or is being disposed of.
    pub(super) fn incomplete(&self) -> RunError {
        RunError::refused(format!(
            "{uri}/{HASH} is missing: the savepoint was never completed, or its disposal was; use another one, and \
             remove this one by `tidegate savepoint dispose {uri}`",
            uri = self.uri
        ))
    }

    /// Refuses a folder in which nothing of a savepoint lies.
    pub(super) fn absent(&self) -> RunError {
        RunError::refused(format!(
            "{} holds no savepoint, there is no {MANIFEST}; name the folder of one, as `tidegate savepoint list` shows \
             them",
            self.uri
        ))
    }
}

/// The folder above and the name, where a store can be opened above.
fn split(uri: &str) -> Option<(&str, &str)> {
    let (above, name) = uri.rsplit_once('/')?;
    let (_, rest) = above.split_once("://")?;
    (!rest.is_empty() && check_path(name).is_ok()).then_some((above, name))
}

/// SHA-256 in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// What `sha256sum manifest.json` writes.
pub(super) fn hash_line(manifest: &[u8]) -> String {
    format!("{}  {MANIFEST}\n", sha256(manifest))
}
