//! From the open attempt to files that readers see: cut, send, count, publish, drop.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_sinks::{
    Begin, Checkpoint, Collected, Commit, CommitId, Error, Exceeded, Kind, Outcome, Sink, StagedTotal,
};

use super::RunError;
use super::channels::{FirstReject, Shared};
use super::engine::{Done, Engine, Purpose, Sealed};
use crate::config::Rejects;
use crate::flow::coverage::Cut;
use crate::flow::event::Command;
use crate::flow::stage::Staged;
use crate::metrics;
use crate::replica::status::history::CheckpointRecord;
use crate::tasks;

/// Checkpoints from one collection to the next, counted along the chain, so that a
/// replica that often starts anew collects as well. With those that are kept, they
/// should fit one page of a listing, which is a part of each commit.
const COLLECT_EVERY: u64 = 50;

impl Engine {
    pub(super) fn tick(&mut self) {
        if self.parts.ends.is_some() || self.coverage.partitions().next().is_none() {
            self.load(Purpose::Look);
        }
        self.checkpoint();
        self.publish();
        self.settle();
        self.collect();
    }

    /// Ends the open attempt now, or as soon as the one before is decided.
    pub(super) fn checkpoint(&mut self) {
        if self.sealed.is_empty() {
            self.cut();
        } else {
            self.due = true;
        }
    }

    /// Unless the attempt has been ended already.
    pub(super) fn checkpoint_early(&mut self, attempt: &Arc<Shared>) {
        if self.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, attempt)) {
            self.checkpoint();
        }
    }

    pub(super) fn cut(&mut self) {
        let Some(cut) = self.coverage.cut() else {
            debug_assert!(self.open.is_none(), "records were read, so offsets have moved");
            return;
        };
        self.observed.decided(&cut.id, (self.parts.clock)());
        let shared = self.open.take();
        let staged = if let Some(shared) = &shared {
            let (sealing, id) = (self.parts.channels.seal(shared, &cut.delta), cut.id.clone());
            self.spawn("seal", async move { Done::Staged(id, sealing.await) });
            None
        } else {
            Some(Staged::default())
        };
        self.identify(cut.id.clone(), super::identity::of(cut.delta.0.keys()));
        self.sealed.push_back(Sealed { cut, shared, staged, identified: false, sent: false });
        self.send_next();
    }

    /// Sends the oldest attempt, when it is staged and nothing else is on its way.
    pub(super) fn send_next(&mut self) {
        let is_full = self.is_outbox_full();
        let due = |front: &&mut Sealed| !front.sent && front.identified;
        let Some(front) = self.sealed.front_mut().filter(due) else { return };
        let Some(staged) = &front.staged else { return };
        if staged.rejects > 0 && is_full {
            return;
        }
        front.sent = true;
        let Cut { id, from, delta, new_partitions, timestamps, epochs, gaps, .. } = front.cut.clone();
        // What the files' names say; a commit lands in no other incarnation.
        let named = front.shared.as_ref().map(|shared| shared.attempt.incarnation);
        let incarnation = named.unwrap_or(self.parts.state.incarnation);
        let begin = Begin { new_partitions, ..Begin::new(id.clone(), incarnation, from) };
        let commit = Arc::new(Commit {
            delta,
            rows: staged.rows.clone(),
            rejects: staged.rejects,
            rejects_topic: match &self.parts.config.rejects {
                Rejects::Files => None,
                Rejects::Topic(topic) => Some(topic.clone()),
            },
            timestamps,
            epochs,
            gaps,
            control: self.asked.n(),
            files: staged.files.clone(),
            ..Commit::of(begin, &self.parts.config.job, (self.parts.clock)())
        });
        let (sink, base) = (self.parts.sink.clone(), self.parts.state.clone());
        let (most, limit) = (self.parts.config.error_limit.limit(), self.parts.config.checkpoint.timeout);
        self.spawn("commit", async move {
            let outcome = tokio::time::timeout(limit, sink.commit(base, commit, Some(most))).await;
            let timed_out =
                |_| Error::new(Kind::Retry, format!("no answer within checkpoint.timeout, {limit:?}"));
            Done::Committed(id, outcome.map_err(timed_out).and_then(|outcome| outcome))
        });
    }

    pub(super) fn committed(
        &mut self,
        id: &CommitId,
        result: Result<Outcome, Error>,
    ) -> Result<(), RunError> {
        let current = self.sealed.front().is_some_and(|front| front.sent && front.cut.id == *id);
        match result {
            Ok(Outcome::Committed(state)) => {
                self.adopt(state);
                self.in_force.committed(id);
                self.sending.committed(id);
                // Dropped before the answer came: it is in force all the same, and reading has
                // been sent back.
                if let Some(sealed) = current.then(|| self.sealed.pop_front()).flatten() {
                    self.failures = 0;
                    self.count(&sealed);
                }
                self.command(Command::CommitOffsets(self.parts.state.kafka_position()));
                self.publish();
                self.release_if_decided();
                self.carry_out();
                if self.due && self.sealed.is_empty() {
                    self.due = false;
                    self.cut();
                }
                self.send_next();
                self.stop_at_end();
                if self.stopping && self.in_force.is_mine_visible() {
                    // Another replica has published it, and nothing more comes of this one.
                    self.settle();
                }
                Ok(())
            }
            Ok(Outcome::Fenced(state)) => {
                metrics::FENCED.counter().increment(1);
                tracing::warn!(commit = %id, "fenced: another replica has moved these partitions; going on from the sink");
                self.adopt(state);
                self.drop_work_if(current, id, true);
                Ok(())
            }
            Ok(Outcome::Unknown(state)) => {
                tracing::warn!(commit = %id, "overtaken, outcome unknown; going on from the sink");
                self.adopt(state);
                self.drop_work_if(current, id, false);
                Ok(())
            }
            Ok(Outcome::TooManyRejects { exceeded, .. }) => {
                let refused = self.too_many_rejects(exceeded);
                if let Some(front) = self.sealed.front_mut().filter(|_| current) {
                    front.sent = false;
                }
                Err(refused)
            }
            Err(error) => self.failed_in_passing(current, error),
        }
    }

    pub(super) fn count(&mut self, sealed: &Sealed) {
        let Some(staged) = &sealed.staged else { return };
        self.summary.commits += 1;
        self.summary.rejects += staged.rejects;
        self.summary.files += staged.files.len() as u64;
        let rows: u64 = staged.rows.values().sum();
        self.summary.rows += rows;
        metrics::RECORDS_WRITTEN.counter().increment(rows);
        metrics::RECORDS_REJECTED.counter().increment(staged.rejects);
        let bytes = staged.files.iter().map(|f| f.bytes).sum();
        metrics::BYTES_WRITTEN.counter().increment(bytes);
        metrics::FILES_WRITTEN.counter().increment(staged.files.len() as u64);
        let mut record = CheckpointRecord {
            n: self.parts.state.n,
            created: (self.parts.clock)(),
            duration_seconds: 0.0,
            phases: Vec::new(),
            rows,
            bytes,
            files: staged.files.len() as u64,
            rejects: staged.rejects,
        };
        self.observed.committed(&sealed.cut.id, &mut record);
        self.parts.status.add_checkpoint(record);
        tracing::info!(commit = %sealed.cut.id, checkpoint = self.parts.state.n, rows, rejects = staged.rejects,
            files = staged.files.len(), "checkpoint");
        self.count_unmatched(&staged.unmatched);
    }

    pub(super) fn too_many_rejects(&self, exceeded: Exceeded) -> RunError {
        let key = match exceeded {
            Exceeded::Records { .. } => "error_limit.records",
            Exceeded::Ratio { .. } => "error_limit.ratio",
        };
        let first = self.sealed.front().and_then(|front| front.staged.as_ref()?.first_reject.as_ref());
        // To be started again as it is would end as it did.
        let message = format!(
            "{exceeded}; {}; stopped before the checkpoint, nothing is lost: mend the records or the columns, or raise {key}",
            FirstReject(first)
        );
        RunError::Config(message, None)
    }

    /// Publishes what this replica has committed, and what another one has left lying.
    pub(super) fn publish(&mut self) {
        let patience = self.parts.config.checkpoint.interval * 2;
        let ids = self.in_force.due(patience);
        if self.publishing || ids.is_empty() {
            return;
        }
        self.publishing = true;
        let (sink, state) = (self.parts.sink.clone(), self.parts.state.clone());
        let pause = self.publish_tries.pause();
        self.spawn("publish", async move {
            tokio::time::sleep(pause).await;
            let result = publish(&*sink, state, &ids).await;
            Done::Published(ids, result)
        });
    }

    pub(super) fn published(
        &mut self,
        ids: &BTreeSet<CommitId>,
        result: Result<(), Error>,
    ) -> Result<(), RunError> {
        self.publishing = false;
        match result {
            Ok(()) => {
                self.publish_tries.succeeded();
                let now = (self.parts.clock)();
                ids.iter().for_each(|id| self.observed.published(id, now, &self.parts.status));
                self.in_force.published(ids);
                self.publish();
                self.send_unsent();
                if self.stopping && self.sealed.is_empty() && self.in_force.is_mine_visible() {
                    self.settle();
                }
                Ok(())
            }
            Err(error) if error.kind == Kind::Retry => {
                // Committed data is safe where it waits, so be patient.
                self.publish_tries.failed_in_sink(&error);
                metrics::ERRORS.counter().increment(1);
                tracing::warn!(%error, "publishing failed; trying again");
                self.publish();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn settle(&mut self) {
        if self.settling || !self.sealed.is_empty() || !self.parts.sink.has_finished() {
            return;
        }
        self.settling = true;
        let (sink, state) = (self.parts.sink.clone(), self.parts.state.clone());
        let pause = self.settle_tries.pause();
        self.spawn("settle", async move {
            tokio::time::sleep(pause).await;
            Done::Settled(sink.settle(state).await)
        });
    }

    /// Removes checkpoints past retention, and attempts that can never commit.
    fn collect(&mut self) {
        if self.stopping || self.parts.state.n < self.collect_from {
            return;
        }
        self.collect_from = u64::MAX;
        let (sink, state) = (self.parts.sink.clone(), self.parts.state.clone());
        self.spawn("collect", async move { Done::Collected(sink.collect(&state, false).await) });
    }

    /// Shows what lies staged when the run begins; later on, each collection does.
    pub(super) fn measure_staged(&self) {
        let sink = self.parts.sink.clone();
        tasks::spawn("measure-staged", async move {
            match sink.staged().await {
                Ok(staged) => show_staged(staged),
                Err(error) => tracing::debug!(%error, "what lies staged is not measured"),
            }
        });
    }

    pub(super) fn collected(&mut self, result: Result<Collected, Error>) {
        self.collect_from = next_collection(self.parts.state.n);
        match result {
            Ok(Collected { attempts, checkpoints, unjudged, staged }) => {
                show_staged(staged);
                tracing::debug!(
                    attempts = attempts.len(),
                    checkpoints = checkpoints.len(),
                    unjudged = unjudged.len(),
                    "collected leftovers"
                );
            }
            // Nothing hangs on it but the length of listings.
            Err(error) => tracing::warn!(%error, "leftovers are not collected; trying again later"),
        }
    }
}

fn show_staged(staged: StagedTotal) {
    metrics::STAGED_BYTES.gauge().set(staged.bytes as f64);
    metrics::STAGED_ATTEMPTS.gauge().set(staged.attempts as f64);
}

/// The checkpoint after `n` at which leftovers are collected.
pub(super) fn next_collection(n: u64) -> u64 {
    (n / COLLECT_EVERY + 1) * COLLECT_EVERY
}

/// Publishes those of `ids` that are still to be, after all that a rollback has
/// retracted is erased and dropped from the chain.
async fn publish(sink: &dyn Sink, mut state: Arc<Checkpoint>, ids: &BTreeSet<CommitId>) -> Result<(), Error> {
    loop {
        let list: Vec<_> = state.unpublished.iter().filter(|id| ids.contains(id)).cloned().collect();
        if sink.publish(&state, &list).await? {
            return Ok(());
        }
        state = sink.settle(state).await?;
    }
}

#[cfg(test)]
mod tests {
    use tidegate_sinks::{Restore, RestoreChoice, Restored};

    use super::*;
    use crate::job::savepoint::tests::scene::Scene;

    /// Its files would otherwise stay staged until the next start, or another replica's patience ends.
    #[tokio::test]
    async fn what_is_committed_after_a_rollback_is_published_once_that_has_erased() {
        let scene = Scene::with_commits(1).await;
        scene.publish().await;
        let target = Checkpoint::clone(&*scene.newest().await);
        let taken_back = scene.commit().await;
        scene.publish().await;
        let restored = Restored { from: target.n.to_string(), choice: RestoreChoice::Rollback };
        scene.sink.restore(&Restore { restored, target, again: false }).await.unwrap();
        let id = scene.commit().await;
        let state = scene.newest().await;
        assert!(!state.retracted.is_empty() && state.unpublished.contains(&id));
        publish(&scene.sink, state, &BTreeSet::from([id.clone()])).await.unwrap();
        let files = scene.sink.visible_files([]).await.unwrap();
        let commits: Vec<_> = files.into_iter().filter_map(|file| Some(file.name?.commit)).collect();
        assert!(commits.contains(&id) && !commits.contains(&taken_back), "{commits:?}");
    }
}
