//! Reading a savepoint back, byte by byte what was written, or not at all.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidegate_sinks::store::Retries;

use super::contents::{self, Flaw};
use super::folder::{CHECKPOINT, COMMITS, Folder, HASH, JOB, MANIFEST, hash_line, limit, sha256};
use super::{FileEntry, Manifest, Savepoint, StoreOptions, is_plain_name};
use crate::error::RunError;

/// Reads the savepoint at a URL.
///
/// Errors: `Refused`, naming the file and the remedy, when it is incomplete, damaged, of a newer format, or
/// does not fit together; otherwise as the store's.
pub async fn read(uri: &str, options: &StoreOptions, retries: Retries) -> Result<Savepoint, RunError> {
    Folder::open(uri, options, retries)?.read().await
}

impl Folder {
    pub(super) async fn read(&self) -> Result<Savepoint, RunError> {
        let flawed = |(name, problem): Flaw| self.damaged(name, problem);
        let manifest = self.read_manifest().await?;
        let mut files = self.read_files(&manifest).await?;
        let mut take =
            |name| files.remove(name).ok_or_else(|| self.damaged(MANIFEST, format!("does not name {name}")));
        let (checkpoint, commits, job) = (take(CHECKPOINT)?, take(COMMITS)?, take(JOB)?);
        let savepoint = Savepoint {
            checkpoint: contents::checkpoint(&checkpoint).map_err(flawed)?,
            commits: contents::commits(&commits).map_err(flawed)?,
            job: contents::job(&job).map_err(flawed)?,
            manifest,
        };
        drop(commits);
        savepoint.fits_together().map_err(flawed)
    }

    /// The manifest of a complete savepoint, whose bytes are those that were written.
    pub(super) async fn read_manifest(&self) -> Result<Manifest, RunError> {
        let hash = self.get(HASH).await?;
        let (hash, bytes) = match (hash, self.get(MANIFEST).await?) {
            (Some(hash), Some(bytes)) => (hash, bytes),
            (Some(_), None) => return Err(self.damaged(MANIFEST, "is missing")),
            (None, Some(_)) => return Err(self.incomplete()),
            (None, None) if self.size(CHECKPOINT).await?.is_some() => return Err(self.incomplete()),
            (None, None) => return Err(self.absent()),
        };
        if hash != hash_line(&bytes).as_bytes() {
            return Err(self.damaged(MANIFEST, format!("and {HASH} do not agree")));
        }
        contents::manifest(&bytes).map_err(|(name, problem)| self.damaged(name, problem))
    }

    /// All files that the manifest names, also those of which this version knows no use.
    async fn read_files(&self, manifest: &Manifest) -> Result<BTreeMap<String, Bytes>, RunError> {
        for (name, entry) in &manifest.files {
            if !is_plain_name(name) || matches!(name.as_str(), MANIFEST | HASH) {
                let problem = format!("names {name:?}, which is not a file of a savepoint");
                return Err(self.damaged(MANIFEST, problem));
            }
            if entry.bytes > limit(name) {
                let problem =
                    format!("says that {name} has {} bytes; it may have {}", entry.bytes, limit(name));
                return Err(self.damaged(MANIFEST, problem));
            }
        }
        let mut files = BTreeMap::new();
        for (name, entry) in &manifest.files {
            files.insert(name.clone(), self.read_file(name, entry).await?);
        }
        Ok(files)
    }

    async fn read_file(&self, name: &str, entry: &FileEntry) -> Result<Bytes, RunError> {
        let missing = || self.damaged(name, "is missing");
        // A size is asked for first, so that nothing larger than expected is ever read.
        let found = self.size(name).await?.ok_or_else(missing)?;
        if found != entry.bytes {
            return Err(self.damaged(name, format!("has {found} bytes, its manifest says {}", entry.bytes)));
        }
        let bytes = self.fetch(name, found).await?.ok_or_else(missing)?;
        if sha256(&bytes) != entry.sha256 {
            return Err(self.damaged(name, "has other bytes than its manifest says"));
        }
        Ok(bytes)
    }
}
