//! Making a commit's files visible, and taking back what a rollback or an overwrite has retracted.
//!
//! The guarantee: both can be repeated, by anybody, at any time, however late. What is visible is in the
//! chain, or about to be erased; and nothing is published while something is still to be erased, so a record
//! and its replay are never visible together.

use futures::{StreamExt, TryStreamExt, stream};

use super::{Chain, lock, paths};
use crate::failpoints::pass;
use crate::model::checkpoint::{Checkpoint, Retracted};
use crate::model::commit::{Commit, CommitId};
use crate::model::error::{Error, Kind};

/// Bodies of commits that are read at the same time.
const AT_ONCE: usize = 8;

impl Chain {
    /// Whether it was the first of the two.
    pub(super) async fn publish_or_erase(&self, state: &Checkpoint, ids: &[CommitId]) -> Result<bool, Error> {
        if !(self.rules.may_publish)(state) {
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

    /// Moves the files, then stores `commits/<id>.json`, then removes what is left of the attempt. So the
    /// commit's staged manifest stands for "to be done", and the stored one for "all visible".
    pub(super) async fn publish_one(&self, state: &Checkpoint, id: &CommitId) -> Result<(), Error> {
        let Some((commit, bytes)) = self.staged_manifest(id).await? else {
            if self.state.head(&paths::commit(id)).await?.is_none() {
                return self.alarm_unless_dropped(id, "its manifest").await;
            }
            return self.remove_attempt(id).await;
        };
        let fresh = lock(&self.fresh).remove(id);
        if let Some(path) = self.show(&commit, fresh, state.n).await? {
            return self.alarm_unless_dropped(id, &path).await;
        }
        self.state.put(&paths::commit(id), bytes).await?;
        tracing::debug!(commit = %id, checkpoint = state.n, files = commit.files.len(), "published");
        self.remove_attempt(id).await
    }

    /// What is neither here nor there was published by somebody else, dropped, and
    /// used; or it is lost. Only the newest state tells.
    async fn alarm_unless_dropped(&self, id: &CommitId, what: &str) -> Result<(), Error> {
        let newest = self.newest().await?;
        if !(self.rules.is_lost)(newest.as_deref(), id) {
            return Ok(());
        }
        let context =
            format!("lost: {what}, of commit {id}, is neither staged nor in place in {}", self.data);
        Err(Error::new(Kind::Corrupt, context))
    }

    /// Erases what the newest state has retracted: from the tables first, then what names it.
    async fn erase(&self) -> Result<(), Error> {
        // Foreign names may be used again by others, so an old list must not be trusted.
        let Some(newest) = self.newest().await? else { return Ok(()) };
        let ids: Vec<CommitId> = newest.retracted.iter().filter_map(Retracted::commit).cloned().collect();
        // The manifest goes last, after the pause of whoever removes it, and no copy begins without a staged
        // file. So without a manifest all is erased, and nothing can come back.
        let found = stream::iter(ids.clone()).map(async |id: CommitId| self.find_commit(&id).await);
        let found: Vec<Option<Commit>> = found.buffered(AT_ONCE).try_collect().await?;
        let commits: Vec<Commit> = found.into_iter().flatten().collect();
        self.hide(&commits, &newest.retracted, newest.n).await?;
        for id in &ids {
            self.state.delete(&paths::commit(id)).await?;
            self.remove_attempt(id).await?;
        }
        for item in &newest.retracted {
            lock(&self.finished).erased(item.clone(), newest.n);
        }
        pass("erase", "manifests", "after")
    }
}
