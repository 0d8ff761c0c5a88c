//! Partitions come, go, and are read again: rebalances, rewinds, offsets outside the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tidegate_sinks::{Checkpoint, CommitId, Error, Kind, Sink, Span, TopicPartition};
use tokio::time::Instant;

use super::dropped::Dropped;
use super::engine::{Done, Engine, Loaded, Purpose, Revoking};
use super::{RunError, identity};
use crate::config::{Config, OnDataLoss};
use crate::flow::event::{Budget, Command, Fetch};
use crate::kafka::TopicIds;
use crate::kafka::cluster::{Cluster, LogBounds};
use crate::metrics;

impl Engine {
    /// An error that may pass: start again from the newest state, but not for ever.
    pub(super) fn failed_in_passing(&mut self, current: bool, error: Error) -> Result<(), RunError> {
        if !current {
            return Ok(());
        }
        self.failures += 1;
        metrics::ERRORS.counter().increment(1);
        if error.kind != Kind::Retry || self.failures >= super::engine::FAILURES_IN_A_ROW {
            return Err(error.into());
        }
        tracing::warn!(%error, source = error.source.as_ref().map(tracing::field::display), "checkpoint failed; going on from the sink");
        self.start_again(None);
        Ok(())
    }

    /// `fenced`: `id` was sent, and never comes into force. What was sent and may yet
    /// turn out to be in force is the collector's to judge.
    pub(super) fn drop_work_if(&mut self, current: bool, id: &CommitId, fenced: bool) {
        if current {
            self.start_again(fenced.then(|| id.clone()));
        }
    }

    /// Drops all work, and reads again from where the sink stands.
    fn start_again(&mut self, fenced: Option<CommitId>) {
        let (dropped, sink) = (self.drop_all().with(fenced), self.parts.sink.clone());
        self.rewinding = true;
        self.load_after(dropped.discard(sink), Purpose::Rewind);
    }

    /// Drops everything that is not committed.
    pub(super) fn drop_all(&mut self) -> Dropped {
        self.due = false;
        let open = self.open.take();
        for shared in self.sealed.iter().filter_map(|sealed| sealed.shared.as_ref()).chain(open.as_ref()) {
            shared.abandon();
        }
        let quiet = self.parts.channels.discard().boxed();
        self.observed.dropped();
        let unsent = self.sealed.drain(..).filter(|sealed| !sealed.sent).filter_map(|sealed| sealed.shared);
        let attempts = unsent.chain(open).map(|shared| shared.attempt.id.clone()).collect();
        // Whoever waited for these waits no longer: they are decided as far as this replica goes.
        self.coverage.drop_open();
        self.release_if_decided();
        self.carry_out();
        if self.stopping {
            // What was to be dropped with the last commit is dropped by itself, or nobody
            // would until the next tick.
            self.settle();
        }
        Dropped::new(attempts, quiet)
    }

    pub(super) fn rewind(&mut self) {
        self.rewinding = false;
        let starts = &self.starts;
        let start_of = |partition: &TopicPartition| starts.get(partition).copied().unwrap_or(0);
        let assignments = self.coverage.rewind(&self.parts.state, start_of);
        if !assignments.is_empty() {
            self.command(Command::Rewind(assignments));
        }
    }

    /// Takes a state for the newest seen, if it is.
    pub(super) fn adopt(&mut self, state: Arc<Checkpoint>) {
        if state.n >= self.parts.state.n {
            self.in_force.adopt(&state.unpublished);
            self.parts.status.set_newest(state.clone(), (self.parts.clock)());
            self.sending.adopt(&state);
            self.parts.state = state;
        }
    }

    pub(super) fn revoke(&mut self, partitions: Vec<TopicPartition>) {
        tracing::info!(partitions = partitions.len(), "revoked");
        if !self.stopping {
            self.cut();
        }
        self.coverage.release(&partitions);
        self.show();
        let waits_for = self.sealed.iter().map(|sealed| sealed.cut.id.clone()).collect();
        let deadline = Instant::now() + self.parts.config.timeouts.revoke;
        self.revoking = Some(Revoking { waits_for, partitions, deadline });
        self.release_if_decided();
    }

    /// Tells the source its part of the job's rate limit, by its part of the partitions, when it has changed.
    pub(super) fn share_limit(&mut self) {
        let limit = self.asked.bytes_per_second().unwrap_or(self.parts.config.speed.bytes_per_second);
        let held = self.coverage.partitions().count();
        if held == 0 {
            return;
        }
        let known = &self.parts.state.partitions;
        let new = self.coverage.partitions().filter(|(partition, _)| !known.contains_key(partition)).count();
        let share = share(limit, held, self.parts.state.kafka_partitions().count() + new);
        if self.limit != Some(share) {
            self.limit = Some(share);
            self.parts.status.set_limit(share);
            self.command(Command::Limit(share));
        }
    }

    pub(super) fn release_if_decided(&mut self) {
        let sealed = &self.sealed;
        let waits =
            |revoking: &Revoking| sealed.iter().any(|sealed| revoking.waits_for.contains(&sealed.cut.id));
        if self.revoking.as_ref().is_some_and(|revoking| !waits(revoking))
            && let Some(revoking) = self.revoking.take()
        {
            self.command(Command::Release(revoking.partitions));
        }
    }

    /// The group waits no longer: drop what is not committed, also of the partitions still held.
    pub(super) fn revoke_late(&mut self) {
        tracing::warn!("timeouts.revoke has passed; dropping what is not committed, to be read again");
        self.start_again(None);
    }

    pub(super) fn load(&self, purpose: Purpose) {
        self.load_after(std::future::ready(()), purpose);
    }

    fn load_after(&self, before: impl Future<Output = ()> + Send + 'static, purpose: Purpose) {
        let (sink, cluster) = (self.parts.sink.clone(), self.parts.cluster.clone());
        let (known, config) = (self.parts.state.clone(), self.parts.config.clone());
        self.spawn("load", async move {
            before.await;
            let loaded = load(&config, &*sink, &*cluster, &known, &purpose).await;
            Done::Loaded(purpose, loaded)
        });
    }

    pub(super) fn loaded(&mut self, purpose: Purpose, loaded: Loaded) -> Result<(), RunError> {
        self.adopt(loaded.state);
        match purpose {
            Purpose::Look => self.stop_at_end(),
            Purpose::Rewind => self.rewind(),
            Purpose::Assign(partitions) => {
                if !self.stopping {
                    self.cut();
                }
                self.starts.extend(
                    loaded.bounds.iter().map(|(partition, bounds)| (partition.clone(), bounds.start)),
                );
                self.observed.assigned(&partitions, &self.parts.state.unpublished);
                let starts = &self.starts;
                let start_of = |partition: &TopicPartition| starts.get(partition).copied().unwrap_or(0);
                let assignments = self.coverage.assign(partitions, &self.parts.state, start_of);
                self.show();
                self.command(Command::Assign(assignments));
            }
            Purpose::Outside(partition, generation) => {
                if let Some(bounds) = loaded.bounds.get(&partition)
                    && self.coverage.is_held(&partition, generation)
                {
                    self.outside(&partition, generation, *bounds)?;
                }
            }
        }
        Ok(())
    }

    /// The offset wanted is not in the log: deleted before it was read, or the log is another one.
    pub(super) fn outside(
        &mut self,
        partition: &TopicPartition,
        generation: u64,
        log: LogBounds,
    ) -> Result<(), RunError> {
        if self.stopping || self.rewinding {
            return Ok(());
        }
        let next = self.coverage.next(partition).unwrap_or_default();
        self.coverage.log_starts_at(partition, log.start);
        if next < log.start {
            if self.parts.config.kafka.on_data_loss == OnDataLoss::Fail {
                return Err(RunError::refused(format!(
                    "{partition}: offset {next} is next, but the log begins at {}: Kafka has deleted {} offsets before they \
                     were read; set kafka.on_data_loss: record to go on and have the gap written into the checkpoint",
                    log.start,
                    log.start - next
                )));
            }
            tracing::error!(%partition, from = next, to = log.start, "offsets lost before they were read; recording the gap");
            if let Some(span) = Span::new(next, log.start) {
                let fetch = Fetch::of_gap(partition.clone(), generation, span);
                self.fetched(fetch, Budget::default().take(0))?;
            }
            let assignments = self.coverage.restart(partition, log.start);
            self.command(Command::Rewind(assignments));
            return Ok(());
        }
        if next <= log.high_watermark {
            self.above_end.remove(partition);
            self.not_found.entry(partition.clone()).or_insert_with(|| (Instant::now(), log)).1 = log;
        } else {
            self.not_found.remove(partition);
            let since = *self.above_end.entry(partition.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= super::ABOVE_END_PATIENCE {
                return Err(super::above_end(partition, next, log));
            }
        }
        // Look again a little later: a broker that has just become leader may lag behind.
        let partition = partition.clone();
        self.spawn("look-again", async move {
            tokio::time::sleep(super::ABOVE_END_PAUSE).await;
            Done::LookAgain(partition, generation)
        });
        Ok(())
    }

    pub(super) fn look_again(&mut self, partition: &TopicPartition, generation: u64) {
        if self.coverage.is_held(partition, generation)
            && let Some(next) = self.coverage.next(partition)
        {
            let assignments = self.coverage.restart(partition, next);
            self.command(Command::Rewind(assignments));
        }
    }
}

/// A replica's part of `limit` bytes per second (0: none) when it holds `held` of `all` partitions.
fn share(limit: u64, held: usize, all: usize) -> u64 {
    if limit == 0 {
        return 0;
    }
    let share = u128::from(limit) * held as u128 / all.max(1) as u128;
    u64::try_from(share).unwrap_or(u64::MAX).max(1)
}

/// The newest state, and the bounds of those logs that the purpose asks about.
async fn load(
    config: &Config,
    sink: &dyn Sink,
    cluster: &dyn Cluster,
    known: &Checkpoint,
    purpose: &Purpose,
) -> Result<Loaded, RunError> {
    let mut state = sink.load().await?.ok_or_else(|| {
        RunError::refused(format!(
            "the chain of checkpoints has vanished since checkpoint {}: somebody has deleted it; restore it before \
             anything is started again",
            known.n
        ))
    })?;
    if let Purpose::Assign(partitions) = purpose {
        let topics = identity::of(partitions);
        let found = topic_ids(cluster, &topics).await?;
        state = identity::pin(sink, state, found).await?;
        state = super::pin_late(config, sink, state, partitions).await?;
    }
    let asked: Vec<TopicPartition> = match purpose {
        Purpose::Assign(partitions) => {
            partitions.iter().filter(|partition| !state.partitions.contains_key(partition)).cloned().collect()
        }
        Purpose::Outside(partition, _) => vec![partition.clone()],
        Purpose::Rewind | Purpose::Look => Vec::new(),
    };
    let bounds = if asked.is_empty() { BTreeMap::new() } else { bounds(cluster, &asked).await? };
    Ok(Loaded { state, bounds })
}

async fn bounds(
    cluster: &dyn Cluster,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, LogBounds>, Error> {
    loop {
        match cluster.bounds(partitions).await {
            Err(error) if error.kind == Kind::Retry => wait(&error).await,
            answer => return answer,
        }
    }
}

async fn topic_ids(cluster: &dyn Cluster, topics: &identity::Names) -> Result<TopicIds, Error> {
    loop {
        match cluster.topic_ids(topics).await {
            Err(error) if error.kind == Kind::Retry => wait(&error).await,
            answer => return answer,
        }
    }
}

/// Before it is asked again, until it is answered or cannot be: a partition that has just been added has no
/// leader at once, and one whose only broker is away has none until that is back.
async fn wait(error: &Error) {
    tracing::warn!(%error, "asking again");
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn replicas_share_the_limit_by_their_partitions() {
        assert_eq!(share(10_000_000, 6, 6), 10_000_000);
        assert_eq!(share(10_000_000, 2, 6) + share(10_000_000, 4, 6), 9_999_999);
        assert_eq!(share(u64::MAX, 3, 3), u64::MAX);
        assert_eq!(share(1, 1, 6), 1);
        assert_eq!(share(0, 3, 6), 0);
    }
}
