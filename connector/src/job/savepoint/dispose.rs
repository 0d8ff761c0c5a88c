//! Removing a savepoint: the hash of its manifest first, so that what is left at any moment is refused as
//! incomplete, and what it is known by last, so that a disposal that was cut short can be done again.

use tidegate_sinks::store::Retries;

use super::contents;
use super::folder::{CHECKPOINT, COMMITS, Folder, HASH, JOB, MANIFEST};
use super::{StoreOptions, is_plain_name};
use crate::error::RunError;

/// Removes the savepoint at a URL, complete or not, also a damaged one that is still known as one.
///
/// Errors: `Refused`, when it is not plainly a savepoint, or something else lies in its folder.
pub async fn dispose(uri: &str, options: &StoreOptions, retries: Retries) -> Result<(), RunError> {
    Folder::open(uri, options, retries)?.dispose().await
}

impl Folder {
    pub(super) async fn dispose(&self) -> Result<(), RunError> {
        let files = self.files_of_a_savepoint().await?;
        for entry in self.store.list(self.root()).await? {
            if !files.iter().any(|file| self.path(file) == entry.path) {
                return Err(RunError::refused(format!(
                    "{} lies in the folder and is no part of the savepoint {}: nothing was removed; move it elsewhere first",
                    entry.path, self.uri
                )));
            }
        }
        for file in &files {
            self.store.delete(&self.path(file)).await?;
        }
        self.store.remove_folder(self.root()).await;
        tracing::info!(savepoint = %self.uri, "disposed of");
        Ok(())
    }

    /// In the order in which they are removed.
    async fn files_of_a_savepoint(&self) -> Result<Vec<String>, RunError> {
        let manifest = self.get(MANIFEST).await?;
        let named = manifest.as_ref().map(|bytes| contents::manifest(bytes));
        let named = match named {
            Some(Ok(manifest)) => manifest.files.into_keys().filter(|name| is_plain_name(name)).collect(),
            unreadable => match self.get(CHECKPOINT).await? {
                Some(bytes) if contents::checkpoint(&bytes).is_ok() => Vec::new(),
                None if unreadable.is_none() && self.size(HASH).await?.is_none() => return Err(self.absent()),
                _ => {
                    return Err(RunError::refused(format!(
                        "{}: neither its {MANIFEST} nor its {CHECKPOINT} says that it is a savepoint, so nothing was \
                         removed; remove the folder by hand if you are sure",
                        self.uri
                    )));
                }
            },
        };
        let last = [CHECKPOINT, MANIFEST];
        let mut files = vec![HASH.to_owned(), COMMITS.to_owned(), JOB.to_owned()];
        for name in named {
            if !files.contains(&name) && !last.contains(&name.as_str()) {
                files.push(name);
            }
        }
        files.extend(last.map(str::to_owned));
        Ok(files)
    }
}
