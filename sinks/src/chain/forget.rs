//! Forgetting old commits, so that their files may be compacted or deleted and
//! `commits/` does not grow for ever.
//!
//! The guarantee: the sum of what is forgotten and the commits that are still stored always add up to the
//! checkpoint. The sum is part of a checkpoint, so it comes into force like a commit, against replicas, a
//! rollback and another `forget`; only then are the commits' bodies removed, and one that is still there, or
//! comes back, is not counted again. No data file is touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::first::COMPARED;
use super::rules::{self, fold::fold};
use super::{Chain, lock, paths};
use crate::model::checkpoint::{Base, Checkpoint};
use crate::model::commit::{Commit, CommitId};
use crate::model::error::{Error, Kind};
use crate::model::replay;

/// Commits that are read or removed at the same time.
const AT_ONCE: usize = 16;

/// What a `forget` did (or, on a dry run, would do).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forgetting {
    /// The number of the checkpoint that it was judged by.
    pub checkpoint: u64,
    /// Commits that are forgotten from now on.
    pub commits: Vec<CommitId>,
    /// Their files, relative to the sink's URL: the user's from now on.
    pub files: Vec<String>,
    /// Size of those in bytes.
    pub bytes: u64,
    /// Rows of those; rejects are not among them.
    pub rows: u64,
    /// Rejects of these commits that no replay has taken: they cannot be replayed any more.
    pub outstanding_rejects: u64,
    /// All that is forgotten, these included.
    pub base: Option<Base>,
    /// Bodies of commits that were removed.
    pub removed: usize,
    /// Before this the files must be left alone: a publisher that hangs could put one back. `None`: at once.
    pub usable_from: Option<Timestamp>,
}

impl Chain {
    /// Forgets the commits made before a time, as far as they follow one another from
    /// the start of each partition.
    ///
    /// Errors: `Refused`, where no chain has begun; `Retry`, when others were faster until the time for a
    /// checkpoint was over. It can be repeated after any of them.
    pub async fn forget(&self, before: Timestamp, dry_run: bool) -> Result<Forgetting, Error> {
        let Some(state) = self.newest().await? else {
            let context = format!("{} has no checkpoint of job {}", self.state, self.settings.job);
            return Err(Error::new(Kind::Refused, context));
        };
        // Listed after the state was accepted: whatever was published by then is among them.
        let ids = self.stored_ids().await?;
        let read = stream::iter(ids).map(async |id| self.stored_commit(&id).await).buffered(AT_ONCE);
        let stored: Vec<Commit> = read.try_filter_map(async |commit| Ok(commit)).try_collect().await?;
        let (state, forgotten) = if dry_run {
            let folded = fold(&state, &stored, before, self.settings.clock.now());
            let folded = folded
                .map(|(base, ids)| (Arc::new(Checkpoint { base: Some(base), ..(*state).clone() }), ids));
            folded.unwrap_or((state, Vec::new()))
        } else {
            self.in_time("forget", self.store_base(state, &stored, before)).await?
        };
        let removable = removable(&state, &stored);
        let removed = removable.len();
        if !dry_run {
            let deleted = stream::iter(removable).map(async |id| self.state.delete(&paths::commit(id)).await);
            deleted.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        self.forgetting(&state, &stored, forgotten, removed)
    }

    /// Puts a checkpoint with the new base on the chain. Returns the state that has it,
    /// and what it has taken in.
    async fn store_base(
        &self,
        mut state: Arc<Checkpoint>,
        stored: &[Commit],
        before: Timestamp,
    ) -> Result<(Arc<Checkpoint>, Vec<CommitId>), Error> {
        let mut failures = 0;
        let mut sent: Option<(Base, Vec<CommitId>)> = None;
        loop {
            // After a lost answer: whether it is in force tells the newest state alone.
            if let Some((_, ids)) =
                sent.take_if(|(base, _)| state.base.as_ref().is_some_and(|now| covers(now, base)))
            {
                return Ok((state, ids));
            }
            let now = self.settings.clock.now();
            let Some((base, ids)) = fold(&state, stored, before, now) else {
                return Ok((state, Vec::new()));
            };
            let (published, erased) = lock(&self.finished).lists();
            let mut body = rules::housekeeping_on(&state, &published, &erased, now);
            body.base = Some(base.clone());
            (self.rules.check_step)(&state, &body)?;
            sent = Some((base, ids));
            match self.store_next(&Arc::new(body)).await {
                Ok(newest) => state = newest.ok_or_else(|| self.vanished())?,
                Err(error) if error.kind == Kind::Retry => {
                    tracing::warn!(%error, "forget");
                    self.pause(failures).await;
                    state = self.newest_at_last().await?;
                }
                Err(error) => return Err(error),
            }
            failures += 1;
            if failures > 1 {
                self.pause(failures).await;
            }
        }
    }

    fn forgetting(
        &self,
        state: &Checkpoint,
        stored: &[Commit],
        commits: Vec<CommitId>,
        removed: usize,
    ) -> Result<Forgetting, Error> {
        let ids: BTreeSet<_> = commits.iter().collect();
        let now: Vec<_> = stored.iter().filter(|commit| ids.contains(&commit.id)).collect();
        let files: Vec<_> = now.iter().flat_map(|commit| &commit.files).collect();
        let mut names =
            files.iter().map(|file| self.paths.final_path(file)).collect::<Result<Vec<_>, _>>()?;
        names.sort_unstable();
        let taken = replay::replays(stored.iter().filter(|commit| rules::is_in_force(state, commit)));
        let outstanding = now.iter().filter(|commit| !taken.contains_key(&commit.id));
        let outstanding_rejects = outstanding.map(|commit| commit.rejects).sum();
        let late = self.longest_late();
        let grace = SignedDuration::try_from(late).unwrap_or(SignedDuration::MAX);
        let until = || self.settings.clock.now().checked_add(grace).unwrap_or(Timestamp::MAX);
        let waits = !late.is_zero() && !names.is_empty();
        Ok(Forgetting {
            checkpoint: state.n,
            files: names,
            bytes: files.iter().map(|file| file.bytes).sum(),
            rows: now.iter().flat_map(|commit| commit.rows.values()).sum(),
            commits,
            outstanding_rejects,
            base: state.base.clone(),
            removed,
            usable_from: waits.then(until),
        })
    }
}

/// Whether all that `other` has forgotten is forgotten in `base`.
fn covers(base: &Base, other: &Base) -> bool {
    let covered = |(partition, at): (_, &crate::model::checkpoint::Forgotten)| {
        base.partitions.get(partition).is_some_and(|now| now.next >= at.next)
    };
    other.partitions.iter().all(covered)
}

/// The newest commits stay, forgotten or not: a chain whose newest checkpoints are
/// lost is recognized by them.
fn removable<'a>(state: &Checkpoint, stored: &'a [Commit]) -> Vec<&'a CommitId> {
    let older = &stored[..stored.len().saturating_sub(COMPARED)];
    older.iter().filter(|commit| state.has_forgotten(commit)).map(|commit| &commit.id).collect()
}
