//! Removing what nobody needs: attempts that can never commit, and checkpoints past retention.
//!
//! The guarantee: whatever is removed was decided by an accepted state alone, never by an age: a writer that
//! has slept for a week finds its attempt, or finds that it cannot commit. Only what a crash has left without
//! a name goes by its age: a writer that has slept so long writes it once more.

use std::collections::BTreeMap;
use std::time::Duration;

use super::proof::LEFT_FOR;
use super::{Chain, paths};
use crate::model::checkpoint::Checkpoint;
use crate::model::commit::{Begin, CommitId};
use crate::model::error::Error;
use crate::settings::MAX_RETAINED;
use crate::sink::{Collected, StagedTotal};

/// How old a nameless leftover of a crash is at least; it takes moments to give it its name.
const NAMELESS_FOR: Duration = Duration::from_secs(24 * 3600);

/// What is to be done with an attempt's folder.
enum Judged {
    Stays,
    Goes,
    /// Nothing in it says when it began.
    Unjudged,
}

pub(super) fn total(staged: &BTreeMap<String, u64>) -> StagedTotal {
    StagedTotal { bytes: staged.values().sum(), attempts: staged.len() as u64 }
}

impl Chain {
    pub(super) async fn collect_leftovers(
        &self,
        state: &Checkpoint,
        dry_run: bool,
    ) -> Result<Collected, Error> {
        let mut collected =
            Collected { checkpoints: self.old_checkpoints(state, dry_run).await?, ..Collected::default() };
        if !dry_run {
            for folder in [paths::CHECKPOINTS, paths::COMMITS] {
                self.state.remove_hidden(folder, NAMELESS_FOR).await;
            }
            self.remove_probes().await?;
        }
        let mut staged = self.staged_bytes().await?;
        for name in self.data.list_folders(&self.paths.attempts()).await? {
            let id = CommitId(name.as_str().into());
            match self.judge(state, &id).await? {
                Judged::Stays => {}
                Judged::Unjudged => collected.unjudged.push(self.paths.attempt(&id)),
                Judged::Goes => {
                    if !dry_run {
                        self.remove_attempt(&id).await?;
                    }
                    staged.remove(&name);
                    collected.attempts.push(id);
                }
            }
        }
        collected.staged = total(&staged);
        Ok(collected)
    }

    /// Removes what killed processes have left of their proofs that the store is fit.
    async fn remove_probes(&self) -> Result<(), Error> {
        for (store, folder) in [(&self.data, self.paths.probe()), (&self.state, paths::PROBE.to_owned())] {
            let young = self.settings.clock.now() - LEFT_FOR;
            for entry in store.list(&folder).await? {
                let name = entry.path.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/'));
                // Each begins with a time, as ids of commits do.
                if name.is_some_and(|name| *name < *paths::id_at(young)) {
                    store.delete(&entry.path).await?;
                    store.remove_folder(entry.path.rsplit_once('/').map_or("", |(folder, _)| folder)).await;
                }
            }
            store.remove_folder(&folder).await;
        }
        Ok(())
    }

    /// Bytes by the folder of their attempt.
    pub(super) async fn staged_bytes(&self) -> Result<BTreeMap<String, u64>, Error> {
        let attempts = self.paths.attempts();
        let mut staged = BTreeMap::new();
        for entry in self.data.list(&attempts).await? {
            let below = entry.path.strip_prefix(&attempts).and_then(|rest| rest.strip_prefix('/'));
            if let Some((attempt, _)) = below.and_then(|below| below.split_once('/')) {
                *staged.entry(attempt.to_owned()).or_default() += entry.size;
            }
        }
        Ok(staged)
    }

    /// By `begin.json`; where a crash has left only the manifest, by that, which says the same;
    /// and a stored commit has no use for staged files at all.
    async fn judge(&self, state: &Checkpoint, id: &CommitId) -> Result<Judged, Error> {
        let by = |begin: &Begin| {
            if (self.rules.may_collect_staged)(state, begin) { Judged::Goes } else { Judged::Stays }
        };
        if let Some(begin) = self.read_begin(id).await? {
            return Ok(by(&begin));
        }
        if let Some((commit, _)) = self.staged_manifest(id).await? {
            return Ok(by(&commit.begin()));
        }
        if self.data.list(&self.paths.attempt(id)).await?.is_empty() {
            // A crash before the first object; should it be about to be written, its writer
            // makes the folder again.
            self.data.remove_folder(&self.paths.attempt(id)).await;
            return Ok(Judged::Stays);
        }
        match self.state.head(&paths::commit(id)).await? {
            Some(_) if !state.unpublished.contains(id) => Ok(Judged::Goes),
            _ => Ok(Judged::Unjudged),
        }
    }

    /// Removes checkpoints from the lowest upwards. `state` is at most the newest, so
    /// what is counted from it is kept at least.
    async fn old_checkpoints(&self, state: &Checkpoint, dry_run: bool) -> Result<Vec<u64>, Error> {
        let retained = self.settings.retained.clamp(1, MAX_RETAINED);
        let oldest_kept = state.n.saturating_sub(retained) + 1;
        let too_many = state.n.saturating_sub(MAX_RETAINED);
        let mut removed = Vec::new();
        for n in self.checkpoint_numbers().await?.into_iter().take_while(|n| *n < oldest_kept) {
            // Numbers rise with time, so the first that is young enough ends the search.
            if n > too_many && self.is_young(n).await? {
                break;
            }
            if !dry_run {
                self.state.delete(&paths::checkpoint(n)).await?;
            }
            removed.push(n);
        }
        Ok(removed)
    }

    async fn is_young(&self, n: u64) -> Result<bool, Error> {
        if self.settings.retained_for.is_zero() {
            return Ok(false);
        }
        let Some(bytes) = self.state.get(&paths::checkpoint(n)).await? else { return Ok(false) };
        let age = self.settings.clock.now().duration_since(self.parse(n, &bytes)?.created);
        Ok(age
            < jiff::SignedDuration::try_from(self.settings.retained_for).unwrap_or(jiff::SignedDuration::MAX))
    }
}
