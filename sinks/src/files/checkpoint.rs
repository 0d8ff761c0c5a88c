//! The chain: accepting its newest state, and putting the next one on top.
//!
//! The guarantee: only a state that was the newest at some moment during the call is ever accepted, and an answer of
//! the store is never believed: not a success, since the slot may have been filled before, collected, and filled
//! again by the late request; and not a refusal, since the object there may be one's own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde_json::Value;

use super::rules::{self, Verdict};
use super::{FilesSink, from_json, lock, paths, to_json};
use crate::checkpoint::Checkpoint;
use crate::commit::Commit;
use crate::error::{Error, Kind};
use crate::limit::RejectLimit;
use crate::mistakes::made;
use crate::sink::Outcome;
use crate::store::{Created, Entry, Labels};

/// How often a load starts over before it gives up: each time but the first says that somebody has committed.
const LOADS: u32 = 100;

impl FilesSink {
    /// The newest state, if there is any: LIST, GET the highest, LIST again, and accept only if it still is.
    pub(super) async fn newest(&self) -> Result<Option<Arc<Checkpoint>>, Error> {
        let mut tries = 0;
        loop {
            let highest = self.highest().await?;
            let bytes = match highest {
                Some(n) => self.state.get(&paths::checkpoint(n)).await?,
                None => None,
            };
            let still = if made("load-unconfirmed") { highest } else { self.highest().await? };
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

    /// Once a state was accepted, only its slot and those above are asked for, and the one below, which may be this
    /// process' own: a listing of all slots is as long as the retention.
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
        let state: Checkpoint = from_json(&*self.state, &path, bytes)?;
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
    fn accept(&self, state: &Checkpoint) -> bool {
        let before = self.seen.fetch_max(state.n, Ordering::Relaxed);
        lock(&self.finished).forget_dropped(state);
        before <= state.n
    }

    /// Puts a body on the chain and looks, whatever the answer, what the newest state is now.
    pub(super) async fn store_next(&self, body: &Arc<Checkpoint>) -> Result<Option<Arc<Checkpoint>>, Error> {
        self.prove().await?;
        self.check_before(body.n).await?;
        let (path, bytes) = (paths::checkpoint(body.n), to_json(&**body)?);
        let created = if made("genesis-overwrites") && body.n == 1 {
            self.state.put(&path, bytes.clone()).await.map(|()| (Created::Created, Labels::default()))
        } else {
            self.state.create_labelled(&path, bytes.clone()).await
        };
        match created {
            Ok((Created::Created, labels)) => {
                if !made("genesis-overwrites") {
                    lock(&self.watch).created(body.n, bytes, labels);
                }
                let trusts = made("trust-200") || (made("genesis-trust-200") && body.n == 1);
                if (trusts || self.highest().await? == Some(body.n)) && self.accept(body) {
                    return Ok(Some(Arc::clone(body)));
                }
            }
            Err(error) if error.kind != Kind::Retry => return Err(error),
            Ok((Created::Exists, _)) | Err(_) => {}
        }
        self.newest().await
    }

    pub(super) fn vanished(&self) -> Error {
        let context = format!("{}/{} has become empty", self.state, paths::CHECKPOINTS);
        Error::new(Kind::Corrupt, context)
    }

    /// The manifest, then the checkpoint, until the outcome is known.
    pub(super) async fn send(
        &self,
        base: Arc<Checkpoint>,
        commit: &Commit,
        limit: RejectLimit,
    ) -> Result<Outcome, Error> {
        let mut begin = commit.begin();
        if made("check-lanes-with-data-only") {
            begin.from.retain(|partition, _| commit.delta.0.contains_key(partition));
        }
        rules::check_commit(commit)?;
        for file in &commit.files {
            paths::check_possible(&self.settings.url, &self.paths.final_path(file)?)?;
            self.paths.staged(&commit.id, &file.staged)?;
        }
        let mut failures = 0;
        let mut newest = base;
        let mut has_manifest = made("commit-before-manifest");
        let mut sent: Option<Arc<Checkpoint>> = None;
        if rules::resolve(&newest, &begin, None) != Verdict::Retry {
            // The caller's state may be older than the &begin, and would then say too much.
            newest = self.newest_at_last().await?;
        }
        loop {
            match rules::resolve(&newest, &begin, sent.as_ref().map(|body| body.n)) {
                Verdict::Committed => return Ok(Outcome::Committed(newest)),
                Verdict::Fenced => return Ok(Outcome::Fenced(newest)),
                Verdict::Unknown => return Ok(Outcome::Unknown(newest)),
                Verdict::Retry => {}
            }
            // What is on its way to a slot that is still free may yet come into force: it is not to be refused any more.
            let is_under_way = sent.as_ref().is_some_and(|body| body.n > newest.n);
            if let Err(exceeded) = limit.check(&newest, commit, self.settings.clock.now())
                && !is_under_way
            {
                return Ok(Outcome::TooManyRejects { exceeded, newest });
            }
            if failures > 0 {
                tracing::debug!(commit = %commit.id, failures, writer = self.settings.writer, "commit again");
                self.pause(failures - 1).await;
            }
            if !has_manifest {
                has_manifest = self.stage_manifest(commit).await?;
            }
            if has_manifest {
                if made("publish-before-commit") {
                    self.publish_one(&newest, &commit.id).await?;
                }
                let body = self.next_body(&newest, commit, limit, sent.take())?;
                sent = Some(Arc::clone(&body));
                newest = self.look_after(&body, newest).await?;
                if newest.n >= body.n {
                    // Lost to a writer, not to the store: who waits longer each time is overtaken each time.
                    failures = 0;
                }
            }
            failures += 1;
        }
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

    /// Stores the body and returns the state to judge by: the one before, where it could not be looked at.
    pub(super) async fn look_after(
        &self,
        body: &Arc<Checkpoint>,
        before: Arc<Checkpoint>,
    ) -> Result<Arc<Checkpoint>, Error> {
        match self.store_next(body).await {
            Ok(newest) => newest.ok_or_else(|| self.vanished()),
            Err(error) if error.kind == Kind::Retry => {
                tracing::warn!(%error, source = error.source.as_deref().map(tracing::field::display), "checkpoint");
                Ok(before)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the manifest is stored; an error that may pass is none.
    async fn stage_manifest(&self, commit: &Commit) -> Result<bool, Error> {
        match self.data.put(&self.paths.manifest(&commit.id), to_json(commit)?).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind == Kind::Retry => {
                tracing::warn!(%error, "manifest");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The body for the slot after `newest`; the same as before while it is the same slot.
    fn next_body(
        &self,
        newest: &Checkpoint,
        commit: &Commit,
        limit: RejectLimit,
        sent: Option<Arc<Checkpoint>>,
    ) -> Result<Arc<Checkpoint>, Error> {
        if let Some(sent) = sent.filter(|body| body.n == newest.n + 1) {
            return Ok(sent);
        }
        let (published, erased) = lock(&self.finished).lists();
        let now = self.settings.clock.now();
        let mut body = rules::commit_on(newest, &published, &erased, commit, now);
        body.recent = limit.count(&newest.recent, commit, now);
        lock(&self.finished).drop_sent(&mut body.unsent);
        rules::check_step(newest, &body)?;
        Ok(Arc::new(body))
    }

    /// A checkpoint that only drops what is finished.
    pub(super) async fn drop_finished(&self, base: Arc<Checkpoint>) -> Result<Arc<Checkpoint>, Error> {
        let (published, erased) = lock(&self.finished).lists();
        let mut body = rules::housekeeping_on(&base, &published, &erased, self.settings.clock.now());
        lock(&self.finished).drop_sent(&mut body.unsent);
        let lists = |state: &Checkpoint| (state.unpublished.len(), state.retracted.len(), state.unsent.len());
        let newest = if lists(&body) == lists(&base) {
            self.newest().await?
        } else {
            rules::check_step(&base, &body)?;
            self.store_next(&Arc::new(body)).await?
        };
        newest.ok_or_else(|| self.vanished())
    }

    /// A checkpoint that only pins, and drops what is finished; repeated until nothing is missing.
    pub(super) async fn pin_on(
        &self,
        base: Arc<Checkpoint>,
        additions: &Value,
    ) -> Result<Arc<Checkpoint>, Error> {
        let mut newest = base;
        let mut failures = 0;
        loop {
            let (published, erased) = lock(&self.finished).lists();
            let now = self.settings.clock.now();
            let Some(mut body) = rules::pins::pinned_on(&newest, &published, &erased, additions, now) else {
                return Ok(newest);
            };
            if failures > 0 {
                self.pause(failures - 1).await;
            }
            lock(&self.finished).drop_sent(&mut body.unsent);
            rules::check_step(&newest, &body)?;
            newest = self.look_after(&Arc::new(body), newest).await?;
            failures += 1;
        }
    }

    /// Bounds a call that repeats itself.
    pub(super) async fn in_time<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limit = self.settings.checkpoint_timeout;
        tokio::time::timeout(limit, call)
            .await
            .unwrap_or_else(|_| Err(Error::new(Kind::Retry, format!("could not {what} within {limit:?}"))))
    }
}
