//! Putting the next state on top of the chain.
//!
//! The guarantee: an answer of the store is never believed: not a success, since
//! the slot may have been filled before, collected, and filled again by the late
//! request; and not a refusal, since the object there may be one's own.

use std::sync::Arc;

use serde_json::Value;

use super::rules::{self, Verdict};
use super::{Chain, lock, paths};
use crate::model::checkpoint::Checkpoint;
use crate::model::commit::Commit;
use crate::model::error::{Error, Kind};
use crate::model::limit::RejectLimit;
use crate::model::versioned;
use crate::sink::Outcome;
use crate::store::Created;

impl Chain {
    /// Puts a body on the chain and looks, whatever the answer, what the newest state is now.
    pub(super) async fn store_next(&self, body: &Arc<Checkpoint>) -> Result<Option<Arc<Checkpoint>>, Error> {
        self.prove().await?;
        self.check_before(body.n).await?;
        let (path, bytes) = (paths::checkpoint(body.n), versioned::write(&**body)?);
        match self.state.create_labelled(&path, bytes.clone()).await {
            Ok((Created::Created, labels)) => {
                lock(&self.watch).created(body.n, bytes, labels);
                if (self.rules.is_newest)(body.n, self.highest().await?) && self.accept(body) {
                    return Ok(Some(Arc::clone(body)));
                }
            }
            Err(error) if error.kind != Kind::Retry => return Err(error),
            Ok((Created::Exists, _)) | Err(_) => {}
        }
        self.newest().await
    }

    /// The manifest, then the checkpoint, until the outcome is known.
    pub(super) async fn send(
        &self,
        base: Arc<Checkpoint>,
        commit: &Commit,
        limit: RejectLimit,
    ) -> Result<Outcome, Error> {
        let begin = commit.begin();
        rules::check_commit(commit)?;
        let mut failures = 0;
        let mut newest = base;
        let mut has_manifest = false;
        let mut sent: Option<Arc<Checkpoint>> = None;
        if (self.rules.resolve)(&newest, &begin, None) != Verdict::Retry {
            // The caller's state may be older than the &begin, and would then say too much.
            newest = self.newest_at_last().await?;
        }
        loop {
            match (self.rules.resolve)(&newest, &begin, sent.as_ref().map(|body| body.n)) {
                Verdict::Committed => return Ok(Outcome::Committed(newest)),
                Verdict::Fenced => return Ok(Outcome::Fenced(newest)),
                Verdict::Unknown => return Ok(Outcome::Unknown(newest)),
                Verdict::Retry => {}
            }
            // What is on its way to a slot that is still free may yet come into force: it is
            // not to be refused any more.
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
        (self.rules.check_step)(newest, &body)?;
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
            (self.rules.check_step)(&base, &body)?;
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
            (self.rules.check_step)(&newest, &body)?;
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
