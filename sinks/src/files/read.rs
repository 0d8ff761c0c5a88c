//! Bytes of what lies in the sink, for the audit.

use std::ops::Range;

use bytes::Bytes;

use super::FilesSink;
use crate::checkpoint::Checkpoint;
use crate::commit::CommitId;
use crate::error::Error;

impl FilesSink {
    /// What lies in the staging folders of the commits that a state lists as unpublished: commit, name, bytes.
    pub async fn staged_files(&self, state: &Checkpoint) -> Result<Vec<(CommitId, String, u64)>, Error> {
        let mut files = Vec::new();
        for id in &state.unpublished {
            let folder = self.paths.attempt(id);
            let entries = self.data.list(&folder).await?;
            files.extend(entries.into_iter().filter_map(|entry| {
                let name = entry.path.strip_prefix(&folder)?.strip_prefix('/')?;
                Some((id.clone(), name.to_owned(), entry.size))
            }));
        }
        Ok(files)
    }

    /// A visible file, by its path relative to the sink's URL, if it is there.
    pub async fn read_file(&self, path: &str) -> Result<Option<Bytes>, Error> {
        self.data.get(path).await
    }

    /// A part of a visible file that is at least that long.
    pub async fn read_range(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        self.data.get_range(path, range).await
    }
}
