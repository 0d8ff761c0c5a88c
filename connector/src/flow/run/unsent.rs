//! Rejects on their way to a topic, beside everything else: one commit at a time, own ones at once, others'
//! when they have waited for two intervals. A topic that refuses holds back no commit until too many wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt;
use tidegate_sinks::failpoints::reach;
use tidegate_sinks::{Checkpoint, CommitId};
use tokio::time::Instant;

use super::RunError;
use super::engine::{Done, Engine};
use super::tries::Tries;
use crate::flow::rejects::topic::{SendError, Sent};
use crate::metrics;

/// Commits that may wait for their rejects to be sent; each is an id in every checkpoint.
const UNSENT_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Sending {
    /// Commits of this replica, and those that an earlier process left.
    own: BTreeSet<CommitId>,
    /// Commits of other replicas, and since when.
    others: BTreeMap<CommitId, Instant>,
    busy: bool,
    pub(super) tries: Tries,
    not_before: Option<Instant>,
    /// When a job that stops waits no longer.
    give_up: Option<Instant>,
}

impl Sending {
    /// Whoever starts may send all that is unsent: it fences those who are at it, and they look again.
    pub(super) fn left_by(state: &Checkpoint) -> Self {
        Self { own: state.unsent.iter().cloned().collect(), ..Self::default() }
    }

    pub(super) fn adopt(&mut self, state: &Checkpoint) {
        self.own.retain(|id| state.unsent.contains(id));
        self.others.retain(|id, _| state.unsent.contains(id));
        for id in state.unsent.iter().filter(|id| !self.own.contains(*id)) {
            self.others.entry(id.clone()).or_insert_with(Instant::now);
        }
    }

    /// A commit of this replica is in force.
    pub(super) fn committed(&mut self, id: &CommitId) {
        if self.others.remove(id).is_some() {
            self.own.insert(id.clone());
        }
    }

    pub(super) fn stop_by(&mut self, give_up: Instant) {
        self.give_up = Some(give_up);
    }

    fn next(&self, state: &Checkpoint, patience: Duration) -> Option<CommitId> {
        let now = Instant::now();
        if self.busy || self.not_before.is_some_and(|not_before| now < not_before) {
            return None;
        }
        let waited = |since: &Instant| now.duration_since(*since) > patience;
        let due = |id: &&CommitId| self.own.contains(*id) || self.others.get(*id).is_some_and(waited);
        state.unsent.iter().find(due).cloned()
    }
}

impl Engine {
    /// Sends what is due, unless something is being sent.
    pub(super) fn send_unsent(&mut self) {
        let state = &self.parts.state;
        metrics::REJECTS_UNSENT.gauge().set(state.unsent.len() as f64);
        let Some(outbox) = self.parts.outbox.clone() else { return };
        let Some(id) = self.sending.next(state, self.parts.config.checkpoint.interval * 2) else { return };
        // They are read from where they are visible.
        if self.in_force.contains(&id) {
            return;
        }
        self.sending.busy = true;
        let sink = self.parts.sink.clone();
        self.spawn("send-rejects", async move {
            let sent = outbox.send(&sink, &id).await;
            Done::Sent(id, sent)
        });
    }

    pub(super) fn sent(&mut self, id: &CommitId, result: Result<Sent, SendError>) -> Result<(), RunError> {
        self.sending.busy = false;
        match result {
            Ok(sent) => {
                reach("outbox.sent.after");
                if let Sent::Now(count) = sent {
                    metrics::REJECTS_SENT.counter().increment(count);
                }
                tracing::info!(commit = %id, ?sent, "rejects to their topic");
                self.sending.tries.succeeded();
                self.sending.not_before = None;
                self.sending.own.remove(id);
                self.sending.others.remove(id);
                self.parts.sink.note_sent(&self.parts.state, id);
                self.send_unsent();
                self.send_next();
                if self.stopping {
                    self.settle();
                }
                Ok(())
            }
            Err(error) if error.permanent => Err(RunError::Config(error.to_string(), None)),
            Err(error) => {
                metrics::ERRORS.counter().increment(1);
                tracing::warn!(commit = %id, %error, "rejects not sent; trying again");
                if self.is_outbox_full() {
                    return Err(RunError::failed(format!(
                        "the rejects of {} commits wait to be sent, and the newest try failed: {error}; nothing is lost: make \
                         the topic take them, and start again",
                        self.parts.state.unsent.len()
                    )));
                }
                self.sending.tries.failed(&error);
                // Replicas that fenced each other do not meet again.
                let pause = self.sending.tries.pause().mul_f64(rand::rng().random_range(0.5..1.0));
                self.sending.not_before = Some(Instant::now() + pause);
                Ok(())
            }
        }
    }

    /// Whether a commit with rejects has to wait for those before it.
    pub(super) fn is_outbox_full(&self) -> bool {
        self.parts.outbox.is_some() && self.parts.state.unsent.len() >= UNSENT_MAX
    }

    /// Whether a job that stops is to wait for the rejects of its own commits. A bounded run has all the time
    /// that the topic needs, as long as it takes them.
    pub(super) fn waits_for_rejects(&self) -> bool {
        let Sending { own, give_up, tries, .. } = &self.sending;
        let is_late = give_up.is_some_and(|give_up| Instant::now() >= give_up);
        let gives_up = is_late && (self.parts.ends.is_none() || tries.are_failing());
        self.parts.outbox.is_some() && !own.is_empty() && !gives_up
    }

    /// Says what a run that ends leaves to the next one.
    pub(super) fn tell_unsent(&self) {
        let commits = self.sending.own.len();
        if commits > 0 {
            tracing::warn!(commits, "rejects are left to be sent by the next start, or another replica");
        }
    }
}
