//! The first checkpoint, and the refusal to begin where a chain has been lost.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Chain, paths, rules};
use crate::model::checkpoint::{Checkpoint, Retracted};
use crate::model::commit::{Commit, CommitId};
use crate::model::error::{Error, Kind};
use crate::model::position::Position;
use crate::sink::Genesis;

/// Stored commits that the newest checkpoint is compared with: several, as
/// replicas' ids rise only roughly in the order of the chain.
pub(super) const COMPARED: usize = 8;

/// How long before a checkpoint the commits are looked for that it is compared
/// with. An id says when its attempt began, which is one interval before it
/// commits; all that a job ever stored would take longer to list with each day.
pub(super) const LATELY: SignedDuration = SignedDuration::from_hours(24);

impl Chain {
    /// The newest stored commits, by their ids.
    pub(super) async fn newest_commits(&self) -> Result<Vec<Commit>, Error> {
        let ids = match self.highest_created().await? {
            Some(created) => self.stored_ids_since(created - LATELY).await?,
            None => self.stored_ids().await?,
        };
        let mut commits = Vec::new();
        for id in ids.iter().rev().take(COMPARED) {
            commits.extend(self.stored_commit(id).await?);
        }
        Ok(commits)
    }

    /// When the highest checkpoint was made. Only a hint: nothing says that it is the newest state.
    async fn highest_created(&self) -> Result<Option<Timestamp>, Error> {
        let Some(n) = self.highest().await? else { return Ok(None) };
        let Some(bytes) = self.state.get(&paths::checkpoint(n)).await? else { return Ok(None) };
        Ok(Some(self.parse(n, &bytes)?.created))
    }

    /// The ids of all stored commits, ascending.
    pub(super) async fn stored_ids(&self) -> Result<Vec<CommitId>, Error> {
        let entries = self.state.list(paths::COMMITS).await?;
        Ok(entries.iter().filter_map(|entry| paths::commit_id(&entry.path)).collect())
    }

    /// The ids of the stored commits whose attempts began at `since` or later, ascending.
    pub(super) async fn stored_ids_since(&self, since: Timestamp) -> Result<Vec<CommitId>, Error> {
        let first = paths::first_commit_at(since);
        let entries = self.state.list_after(paths::COMMITS, &first).await?;
        Ok(entries.iter().filter_map(|entry| paths::commit_id(&entry.path)).collect())
    }

    /// Refuses a chain whose newest checkpoints are gone: what they committed would be written a second time.
    /// `stored` was looked up before `newest` was accepted, so a chain that is whole knows of all of it.
    ///
    /// Errors: `Corrupt`.
    pub(super) fn refuse_shortened_chain(&self, newest: &Checkpoint, stored: &[Commit]) -> Result<(), Error> {
        let Some(commit) = stored.iter().find(|commit| rules::is_beyond(newest, commit)) else {
            return Ok(());
        };
        let context = format!(
            "checkpoint {} is the newest in {}, but commit {}, which is visible, came after it: newer checkpoints were \
             deleted, or an old backup restored. Going on would double records. Bring the newer checkpoints back; or \
             remove the older ones too, and start once with --new-incarnation",
            newest.n, self.state, commit.id
        );
        Err(Error::new(Kind::Corrupt, context))
    }

    /// Refuses to go on without a chain where files of this job are visible: to begin anew would double them.
    ///
    /// Errors: `Refused`.
    pub(super) async fn refuse_lost_chain(&self) -> Result<(), Error> {
        if self.settings.accept_existing_files {
            return Ok(());
        }
        let found = match self.state.list(paths::COMMITS).await?.into_iter().next() {
            Some(entry) => Some(format!("{}/{}", self.state, entry.path)),
            None => self.named_as_ours().await?.first().map(|(path, _)| format!("{self}/{path}")),
        };
        found.map_or(Ok(()), |found| Err(self.lost(&found)))
    }

    fn lost(&self, found: &str) -> Error {
        let context = format!(
            "job {:?} has no checkpoint in {}, but {found} exists: its checkpoints were lost, or the job was renamed. \
             Beginning anew would double its records. Bring the checkpoints back, or start once with \
             --new-incarnation (which, with `mode: overwrite`, erases what lies in the table)",
            self.settings.job, self.state
        );
        Error::new(Kind::Refused, context)
    }

    /// The first checkpoint, or the newest where somebody else was first.
    pub(super) async fn begin_or_load(&self, genesis: Genesis) -> Result<Arc<Checkpoint>, Error> {
        let mut body = None;
        let mut failures = 0;
        loop {
            let newest = match (self.newest().await, &body) {
                (Ok(None), Some(body)) => self.store_next(body).await,
                (newest, _) => newest,
            };
            match newest {
                Ok(Some(newest)) => return Ok(newest),
                Ok(None) if body.is_none() => match self.first_body(&genesis).await {
                    // Files of a chain that somebody else has begun since are no sign of a loss.
                    Err(refused) if refused.kind == Kind::Refused => {
                        return self.newest().await?.ok_or(refused);
                    }
                    first => body = Some(Arc::new(first?)),
                },
                Err(error) if error.kind != Kind::Retry => return Err(error),
                Ok(None) | Err(_) => {
                    self.pause(failures).await;
                    failures += 1;
                }
            }
        }
    }

    /// Errors: `Refused` where overwriting would erase what a job has committed, which nobody has accepted.
    async fn first_body(&self, genesis: &Genesis) -> Result<Checkpoint, Error> {
        let mut retracted = Vec::new();
        for file in self.table.prepare(&genesis.overwrite_tables).await? {
            if !self.settings.accept_existing_files && file.name.is_some() {
                return Err(self.lost(&format!("{self}/{}", file.path)));
            }
            retracted.push(Retracted::File(file.path));
        }
        let incarnation = self.fresh_incarnation(genesis.after_incarnation).await?;
        let body = Checkpoint {
            incarnation,
            cluster_id: genesis.cluster_id.clone(),
            retracted,
            cuts: vec![Position::default(); incarnation as usize - 1],
            epochs: genesis.epochs.clone(),
            pinned: genesis.pinned.clone(),
            restored: genesis.restored.clone(),
            ..Checkpoint::first(&self.settings.job, self.settings.clock.now(), genesis.partitions.clone())
        };
        rules::check_state(&body)?;
        Ok(body)
    }

    /// Above that of any file there is, and `after`, so that no writer of a lost chain can extend this one.
    async fn fresh_incarnation(&self, after: u32) -> Result<u32, Error> {
        let mut newest = after;
        if self.settings.accept_existing_files {
            let used = self.named_as_ours().await?.into_iter().map(|(_, name)| name.incarnation);
            newest = used.fold(newest, u32::max);
            // Its files may be gone; what it says of itself stays.
            newest =
                self.newest_commits().await?.iter().map(|commit| commit.incarnation).fold(newest, u32::max);
        }
        let exhausted = || Error::new(Kind::Corrupt, format!("incarnation {newest} in a file's name"));
        newest.checked_add(1).filter(|incarnation| *incarnation < 100_000).ok_or_else(exhausted)
    }
}
