//! Making a commit's files visible, and taking back what a rollback or an overwrite has retracted.
//!
//! The guarantee: both can be repeated, by anybody, at any time, however late. What is visible is in the chain, or
//! about to be erased; and nothing is published while something is still to be erased, so a record and its replay
//! are never visible together.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::{FilesSink, from_json, lock, paths, rules};
use crate::checkpoint::{Checkpoint, Retracted};
use crate::commit::{Commit, CommitId};
use crate::error::{Error, Kind};
use crate::failpoints::pass;
use crate::mistakes::made;
use crate::store::Moved;

/// Files that are moved, or deleted, at the same time.
const AT_ONCE: usize = 8;

/// A staged file and where it is to be visible.
struct Move {
    from: String,
    to: String,
    /// Its size.
    bytes: u64,
    /// Somebody may have copied it already.
    look: bool,
}

impl FilesSink {
    /// Whether it was the first of the two.
    pub(super) async fn publish_or_erase(&self, state: &Checkpoint, ids: &[CommitId]) -> Result<bool, Error> {
        if !rules::may_publish(state) {
            return self.erase().await.map(|()| false);
        }
        lock(&self.fresh).retain(|id| state.unpublished.contains(id));
        for id in ids {
            let is_done = lock(&self.finished).has_published(id);
            if state.unpublished.contains(id) && !is_done {
                self.publish_one(state, id).await?;
                lock(&self.finished).published(id.clone(), state.n);
            }
        }
        Ok(true)
    }

    /// Moves the files, then stores `commits/<id>.json`, then removes what is left of the attempt. So the commit's
    /// staged manifest stands for "to be done", and the stored one for "all visible".
    pub(super) async fn publish_one(&self, state: &Checkpoint, id: &CommitId) -> Result<(), Error> {
        let Some((commit, bytes)) = self.staged_manifest(id).await? else {
            if self.state.head(&paths::commit(id)).await?.is_none() {
                return self.alarm_unless_dropped(id, "its manifest").await;
            }
            return self.remove_attempt(id).await;
        };
        let look = !lock(&self.fresh).remove(id) && self.data.is_copying();
        let mut moves = Vec::with_capacity(commit.files.len());
        for file in &commit.files {
            let from = self.paths.staged(id, &file.staged)?;
            moves.push(Move { from, to: self.paths.final_path(file)?, bytes: file.bytes, look });
        }
        if made("manifest-first") {
            self.state.put(&paths::commit(id), bytes.clone()).await?;
            self.data.delete(&self.paths.manifest(id)).await?;
        }
        let moved = stream::iter(moves).map(|file| self.publish_file(file)).buffer_unordered(AT_ONCE);
        let lost: Vec<Option<String>> = moved.try_collect().await?;
        if let Some(path) = lost.iter().flatten().next() {
            return self.alarm_unless_dropped(id, path).await;
        }
        self.state.put(&paths::commit(id), bytes).await?;
        if made("drop-before-delete") {
            return Ok(());
        }
        tracing::debug!(commit = %id, checkpoint = state.n, files = commit.files.len(), "published");
        self.remove_attempt(id).await
    }

    /// The path of a file that is neither staged nor final.
    async fn publish_file(&self, file: Move) -> Result<Option<String>, Error> {
        let Move { from, to, bytes: expected, look } = file;
        if look && self.data.head(&to).await? == Some(expected) {
            return self.data.delete(&from).await.map(|()| None);
        }
        if self.data.move_to_final(&from, &to, expected).await? == Moved::Moved {
            return Ok(None);
        }
        match self.data.head(&to).await? {
            Some(bytes) if bytes == expected => Ok(None),
            Some(bytes) => {
                let context = format!("{}/{to} has {bytes} bytes, its commit says {expected}", self.data);
                Err(Error::new(Kind::Corrupt, context))
            }
            None => Ok(Some(to)),
        }
    }

    /// What is neither here nor there was published by somebody else, dropped, and used; or it is lost. Only the
    /// newest state tells.
    async fn alarm_unless_dropped(&self, id: &CommitId, what: &str) -> Result<(), Error> {
        let newest = self.newest().await?;
        if !made("alarm-without-reload") && !newest.is_some_and(|newest| newest.unpublished.contains(id)) {
            return Ok(());
        }
        let context =
            format!("lost: {what}, of commit {id}, is neither staged nor in place in {}", self.data);
        Err(Error::new(Kind::Corrupt, context))
    }

    pub(super) async fn staged_manifest(&self, id: &CommitId) -> Result<Option<(Commit, Bytes)>, Error> {
        let path = self.paths.manifest(id);
        let Some(bytes) = self.data.get(&path).await? else { return Ok(None) };
        let commit = from_json(&*self.data, &path, &bytes)?;
        self.check_manifest(id, &path, commit).map(|commit| Some((commit, bytes)))
    }

    pub(super) async fn stored_commit(&self, id: &CommitId) -> Result<Option<Commit>, Error> {
        let path = paths::commit(id);
        let Some(bytes) = self.state.get(&path).await? else { return Ok(None) };
        let commit = from_json(&*self.state, &path, &bytes)?;
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

    /// Erases what the newest state has retracted: staged files first, or a publisher that is late would bring a
    /// final back; then, where files are copied, a pause as long as a copy may take; then the finals; and what names
    /// them last.
    async fn erase(&self) -> Result<(), Error> {
        // Foreign names may be used again by others, so an old list must not be trusted.
        let Some(newest) = self.newest().await? else { return Ok(()) };
        pass("erase", "unstage", "before")?;
        let unstaged = stream::iter(newest.retracted.clone()).map(async |item: Retracted| match item {
            Retracted::File(path) => Ok((vec![path], None)),
            Retracted::Commit(id) => self.unstage(&id).await,
        });
        let unstaged: Vec<_> = unstaged.buffer_unordered(AT_ONCE).try_collect().await?;
        pass("erase", "unstage", "after")?;
        let copies_end = unstaged.iter().filter_map(|(_, since)| *since).max();
        if let (true, Some(since)) = (self.data.is_copying(), copies_end)
            && !made("slow-copy-no-grace-rollback")
        {
            tracing::info!(grace = ?self.settings.copy_grace, "waiting until no copy can be running");
            tokio::time::sleep_until(since + self.settings.copy_grace).await;
        }
        pass("erase", "finals", "before")?;
        self.delete_all(unstaged.into_iter().flat_map(|(finals, _)| finals).collect()).await?;
        pass("erase", "finals", "after")?;
        for item in &newest.retracted {
            if let Retracted::Commit(id) = item {
                self.state.delete(&paths::commit(id)).await?;
                self.remove_attempt(id).await?;
            }
            lock(&self.finished).erased(item.clone(), newest.n);
        }
        pass("erase", "manifests", "after")
    }

    /// Removes the staged files of a retracted commit. Returns its finals, and since when no copy of it has begun.
    async fn unstage(&self, id: &CommitId) -> Result<(Vec<String>, Option<Instant>), Error> {
        // The manifest goes last, after the pause of whoever removes it, and no copy begins without a staged file.
        // So without a manifest all is erased, and nothing can come back.
        let Some(commit) = self.find_commit(id).await? else { return Ok((Vec::new(), None)) };
        let staged: Result<Vec<_>, _> =
            commit.files.iter().map(|file| self.paths.staged(id, &file.staged)).collect();
        let finals: Result<Vec<_>, _> = commit.files.iter().map(|file| self.paths.final_path(file)).collect();
        let finals = finals?;
        if made("erase-final-first") {
            self.delete_all(finals).await?;
            self.delete_all(staged?).await?;
            return Ok((Vec::new(), None));
        }
        if made("erase-manifest-first") {
            self.state.delete(&paths::commit(id)).await?;
            self.data.delete(&self.paths.manifest(id)).await?;
        }
        self.delete_all(staged?).await?;
        Ok((finals, Some(lock(&self.finished).unstaged(id))))
    }

    pub(super) async fn delete_all(&self, paths: Vec<String>) -> Result<(), Error> {
        let deleted = stream::iter(paths).map(async |path: String| self.data.delete(&path).await);
        deleted.buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Removes what lies in an attempt's folder. What a collection judges by goes last, so that a crash in between
    /// leaves nothing that cannot be judged.
    pub(super) async fn remove_attempt(&self, id: &CommitId) -> Result<(), Error> {
        let folder = self.paths.attempt(id);
        let (manifest, begin) = (self.paths.manifest(id), self.paths.begin(id));
        let entries = self.data.list(&folder).await?;
        let others = entries.into_iter().map(|entry| entry.path);
        self.delete_all(others.filter(|path| *path != manifest && *path != begin).collect()).await?;
        self.data.delete(&manifest).await?;
        self.data.delete(&begin).await?;
        self.data.remove_folder(&folder).await;
        Ok(())
    }
}
