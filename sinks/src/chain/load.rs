//! Accepting the newest state of the chain.
//!
//! The guarantee: only a state that was the newest at some moment during the call is ever accepted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{Chain, lock, paths, rules};
use crate::model::checkpoint::{Checkpoint, FORMAT};
use crate::model::error::{Error, Kind};
use crate::model::versioned;
use crate::store::Entry;

/// How often a load starts over before it gives up: each time but the first says that somebody has committed.
const LOADS: u32 = 100;

impl Chain {
    /// The newest state, if there is any: LIST, GET the highest, LIST again, and accept only if it still is.
    pub(super) async fn newest(&self) -> Result<Option<Arc<Checkpoint>>, Error> {
        let mut tries = 0;
        loop {
            let highest = self.highest().await?;
            let bytes = match highest {
                Some(n) => self.state.get(&paths::checkpoint(n)).await?,
                None => None,
            };
            let still = self.highest().await?;
            if let (Some(n), Some(bytes)) = (highest, bytes.as_ref())
                && still == highest
            {
                self.check_read(n, bytes)?;
                let state = self.parse(n, bytes)?;
                if self.accept(&state) {
                    return Ok(Some(Arc::new(state)));
                }
            } else if highest.is_none() && still.is_none() && self.seen.load(Ordering::Relaxed) == 0 {
                return Ok(None);
            }
            tries += 1;
            if tries >= LOADS {
                return Err(self.went_back(still));
            }
            self.pause(tries.min(6)).await;
        }
    }

    /// A chain never gets shorter; a listing that says so is torn, or somebody has restored a backup.
    fn went_back(&self, highest: Option<u64>) -> Error {
        let seen = self.seen.load(Ordering::Relaxed);
        let (kind, now) = match highest {
            Some(n) if n >= seen => (Kind::Retry, n),
            other => (Kind::Corrupt, other.unwrap_or(0)),
        };
        let context = format!("{}/{}: highest is {now}, seen was {seen}", self.state, paths::CHECKPOINTS);
        Error::new(kind, context)
    }

    /// Once a state was accepted, only its slot and those above are asked for, and the one below, which may
    /// be this process' own: a listing of all slots is as long as the retention.
    ///
    /// Errors: `Refused`, where an own checkpoint is no longer what was created.
    pub(super) async fn highest(&self) -> Result<Option<u64>, Error> {
        let first = self.seen.load(Ordering::Relaxed).saturating_sub(1).max(1);
        let listed = self.state.list_tagged(paths::CHECKPOINTS, &paths::checkpoint(first - 1)).await?;
        let numbered =
            |(entry, tag): (Entry, _)| paths::checkpoint_number(&entry.path).map(|number| (number, tag));
        let listed: Vec<_> = listed.into_iter().filter_map(numbered).collect();
        self.check_listed(&listed)?;
        match listed.iter().map(|(n, _)| *n).max() {
            // The chain is shorter than it was: by how much is for the message.
            None if first > 1 => Ok(self.checkpoint_numbers().await?.into_iter().max()),
            highest => Ok(highest),
        }
    }

    /// The numbers of the stored checkpoints, ascending.
    pub(super) async fn checkpoint_numbers(&self) -> Result<Vec<u64>, Error> {
        let entries = self.state.list(paths::CHECKPOINTS).await?;
        Ok(entries.iter().filter_map(|entry| paths::checkpoint_number(&entry.path)).collect())
    }

    pub(super) fn parse(&self, n: u64, bytes: &Bytes) -> Result<Checkpoint, Error> {
        let path = paths::checkpoint(n);
        let place = format_args!("{}/{path}", self.state);
        let state: Checkpoint = versioned::read(place, bytes, FORMAT)?;
        if state.job != self.settings.job {
            let context = format!(
                "{}/{path} belongs to job {:?}, not to {:?}: give this job a state of its own",
                self.state, state.job, self.settings.job
            );
            return Err(Error::new(Kind::Refused, context));
        }
        if state.n != n {
            return Err(Error::new(Kind::Corrupt, format!("{}/{path} calls itself {}", self.state, state.n)));
        }
        rules::check_state(&state)?;
        Ok(state)
    }

    /// Whether the state is as new as any seen before; if so, what it has dropped is forgotten.
    pub(super) fn accept(&self, state: &Checkpoint) -> bool {
        let before = self.seen.fetch_max(state.n, Ordering::Relaxed);
        lock(&self.finished).forget_dropped(state);
        before <= state.n
    }

    /// The newest state of a chain that exists, asked for until an answer comes.
    pub(super) async fn newest_at_last(&self) -> Result<Arc<Checkpoint>, Error> {
        let mut failures = 0;
        loop {
            match self.newest().await {
                Err(error) if error.kind == Kind::Retry => self.pause(failures).await,
                newest => return newest?.ok_or_else(|| self.vanished()),
            }
            failures += 1;
        }
    }

    pub(super) fn vanished(&self) -> Error {
        let context = format!("{}/{} has become empty", self.state, paths::CHECKPOINTS);
        Error::new(Kind::Corrupt, context)
    }
}
