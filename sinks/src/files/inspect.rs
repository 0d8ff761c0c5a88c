//! Reading what lies in the sink, for people and for the audit. Nothing here changes anything.

use futures::{StreamExt, TryStreamExt, stream};

use super::genesis::final_name;
use super::{FilesSink, FinalName, paths, rules};
use crate::checkpoint::Checkpoint;
use crate::commit::{Commit, StagedFile};
use crate::error::{Error, Kind};

/// Commits that are read at the same time.
const AT_ONCE: usize = 16;

/// A file in a folder of this job's tables, or of its rejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibleFile {
    /// Relative to the sink's URL.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What its name says, or none for a file of others.
    pub name: Option<FinalName>,
}

impl FilesSink {
    /// The numbers of the stored checkpoints, ascending.
    pub async fn checkpoints(&self) -> Result<Vec<u64>, Error> {
        self.checkpoint_numbers().await
    }

    /// A stored checkpoint, if it is still there.
    ///
    /// Errors: as those of [`Sink::load`](crate::sink::Sink::load).
    pub async fn read_checkpoint(&self, n: u64) -> Result<Option<Checkpoint>, Error> {
        match self.state.get(&paths::checkpoint(n)).await? {
            Some(bytes) => self.parse(n, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The commits in force as of an accepted state, in order of their ids: those whose files are all visible, and
    /// those that the state lists as unpublished.
    ///
    /// Errors: `Corrupt`, when one does not read, or an unpublished one is gone.
    pub async fn commits(&self, state: &Checkpoint) -> Result<Vec<Commit>, Error> {
        let entries = self.state.list(paths::COMMITS).await?;
        let mut ids: Vec<_> = entries.iter().filter_map(|entry| paths::commit_id(&entry.path)).collect();
        ids.extend(state.unpublished.iter().cloned());
        ids.sort_unstable();
        ids.dedup();
        let found = stream::iter(ids).map(async |id| self.find_commit(&id).await.map(|commit| (id, commit)));
        let found: Vec<_> = found.buffered(AT_ONCE).try_collect().await?;
        let mut commits = Vec::with_capacity(found.len());
        for (id, commit) in found {
            match commit {
                Some(commit) if rules::is_in_force(state, &commit) => commits.push(commit),
                None if state.unpublished.contains(&id) => {
                    let context =
                        format!("commit {id} of checkpoint {} is neither staged nor stored", state.n);
                    return Err(Error::new(Kind::Corrupt, context));
                }
                _ => {}
            }
        }
        Ok(commits)
    }

    /// Everything that lies in this job's tables and among its rejects, sorted by path within each.
    pub async fn visible_files(&self) -> Result<Vec<VisibleFile>, Error> {
        let mut files = Vec::new();
        for folder in self.table_folders().await? {
            let entries = self.data.list(&folder).await?;
            files.extend(entries.into_iter().map(|entry| VisibleFile {
                name: final_name(&entry.path),
                path: entry.path,
                bytes: entry.size,
            }));
        }
        Ok(files)
    }

    /// Where a file of a commit is visible, relative to the sink's URL.
    ///
    /// Errors: `Corrupt`, when that is outside the tables.
    pub fn visible_path(&self, file: &StagedFile) -> Result<String, Error> {
        self.paths.final_path(file)
    }
}
