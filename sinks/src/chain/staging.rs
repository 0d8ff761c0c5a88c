//! What lies staged: an attempt's folder with its announcement, its files and its manifest; and the bodies of
//! commits, which are staged manifests first and stored commits once all their files are visible.

use bytes::Bytes;

use super::{Chain, paths};
use crate::model::checkpoint::Checkpoint;
use crate::model::commit::{Begin, Commit, CommitId, FORMAT};
use crate::model::error::{Error, Kind};
use crate::model::versioned;

impl Chain {
    pub(super) async fn put_begin(&self, begin: &Begin) -> Result<(), Error> {
        self.data.put(&self.paths.begin(&begin.id), versioned::write(begin)?).await
    }

    pub(super) async fn read_begin(&self, id: &CommitId) -> Result<Option<Begin>, Error> {
        let path = self.paths.begin(id);
        let Some(bytes) = self.data.get(&path).await? else { return Ok(None) };
        versioned::read(format_args!("{}/{path}", self.data), &bytes, FORMAT).map(Some)
    }

    /// Whether the manifest is stored; an error that may pass is none.
    pub(super) async fn stage_manifest(&self, commit: &Commit) -> Result<bool, Error> {
        match self.data.put(&self.paths.manifest(&commit.id), versioned::write(commit)?).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind == Kind::Retry => {
                tracing::warn!(%error, "manifest");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn staged_manifest(&self, id: &CommitId) -> Result<Option<(Commit, Bytes)>, Error> {
        let path = self.paths.manifest(id);
        let Some(bytes) = self.data.get(&path).await? else { return Ok(None) };
        let commit = versioned::read(format_args!("{}/{path}", self.data), &bytes, FORMAT)?;
        self.check_manifest(id, &path, commit).map(|commit| Some((commit, bytes)))
    }

    pub(super) async fn stored_commit(&self, id: &CommitId) -> Result<Option<Commit>, Error> {
        let path = paths::commit(id);
        let Some(bytes) = self.state.get(&path).await? else { return Ok(None) };
        let commit = versioned::read(format_args!("{}/{path}", self.state), &bytes, FORMAT)?;
        self.check_manifest(id, &path, commit).map(Some)
    }

    /// The body of a commit, wherever it is by now. The staged one goes last, so it is looked for twice.
    pub(super) async fn find_commit(&self, id: &CommitId) -> Result<Option<Commit>, Error> {
        if let Some((commit, _)) = self.staged_manifest(id).await? {
            return Ok(Some(commit));
        }
        self.stored_commit(id).await
    }

    fn check_manifest(&self, id: &CommitId, path: &str, commit: Commit) -> Result<Commit, Error> {
        if commit.id == *id && commit.job == self.settings.job {
            return Ok(commit);
        }
        Err(Error::new(Kind::Corrupt, format!("{path} is commit {} of job {:?}", commit.id, commit.job)))
    }

    /// Removes what lies in an attempt's folder. What a collection judges by goes last, so that a crash in
    /// between leaves nothing that cannot be judged.
    pub(super) async fn remove_attempt(&self, id: &CommitId) -> Result<(), Error> {
        let folder = self.paths.attempt(id);
        let (manifest, begin) = (self.paths.manifest(id), self.paths.begin(id));
        let entries = self.data.list(&folder).await?;
        let others = entries.into_iter().map(|entry| entry.path);
        let others = others.filter(|path| *path != manifest && *path != begin).collect();
        self.rejects.delete(others).await?;
        self.data.delete(&manifest).await?;
        self.data.delete(&begin).await?;
        self.data.remove_folder(&folder).await;
        Ok(())
    }

    /// What lies in the staging folders of the commits that a state lists as
    /// unpublished: commit, name, bytes.
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
}
