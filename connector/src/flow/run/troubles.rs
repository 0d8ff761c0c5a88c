//! What stands still, for `/readyz` and whoever else looks: judged once a second of what the engine knows.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_sinks::TopicPartition;
use tidegate_sinks::store;
use tokio::time::Instant;

use super::RunError;
use super::engine::Engine;
use crate::flow::source::{Ends, Seen};
use crate::replica::status::conditions::Cause;

/// An offset that is looked for so long, though its log has it, is told.
const NOT_FOUND: Duration = Duration::from_secs(10);
/// So long a replica may take to join its group, as others may be slow to agree.
const JOINING: Duration = Duration::from_secs(40);
/// So long no store may answer.
const UNANSWERED: Duration = Duration::from_secs(40);
/// So long publishing may take that does not fail: many files, or large ones, in a store that copies.
const PUBLISHING: Duration = Duration::from_secs(300);
/// An error of the client's that is older is not why a partition stands still.
const CLIENT_ERROR: Duration = Duration::from_secs(90);

/// What the client says of the whole replica.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    drained: u64,
    joining: Option<(String, Duration)>,
    error: Option<String>,
}

impl Client {
    pub(super) fn of(seen: &Seen) -> Self {
        let error = seen.error.as_ref().filter(|(_, at)| at.elapsed() < CLIENT_ERROR);
        Self {
            drained: seen.drained,
            joining: seen.joining.as_ref().map(|(words, since)| (words.clone(), since.elapsed())),
            error: error.map(|(error, _)| error.clone()),
        }
    }

    /// What is wrong with the membership of a replica, which holds partitions or does not.
    fn not_in_group(&self, holds: bool) -> Option<String> {
        let (words, _) = self.joining.as_ref().filter(|(_, age)| *age >= JOINING)?;
        // In these it waits for the engine; partitions of before are read meanwhile, but
        // not those that have come.
        let waits_for_us = words.contains("assign-call");
        (waits_for_us || !holds).then(|| {
            let error = self.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            format!(
                "the consumer group does not give this replica its partitions; it stands at {words}{error}"
            )
        })
    }
}

impl Engine {
    pub(super) fn tell_troubles(
        &mut self,
        ends: &BTreeMap<TopicPartition, Ends>,
        client: &Client,
        now: Timestamp,
    ) {
        let not_read = self.not_read(ends, client);
        let not_found = self.offsets_not_found();
        let status = &self.parts.status;
        status.set_conditions(Cause::NotRead, not_read, now);
        status.set_conditions(Cause::OffsetNotFound, not_found, now);
        let holds = self.coverage.partitions().next().is_some();
        let not_in_group = client.not_in_group(holds).filter(|_| !self.stopping);
        status.set_condition(Cause::NotInGroup, not_in_group, now);
        status.set_condition(Cause::NotPublished, self.not_published(), now);
        let not_settled = self.settle_tries.repeated().filter(|_| self.parts.sink.has_finished());
        let not_settled =
            not_settled.map(|error| format!("dropping what is published from the chain fails: {error}"));
        status.set_condition(Cause::NotSettled, not_settled, now);
        let not_sent = self.sending.tries.repeated().filter(|_| !self.parts.state.unsent.is_empty());
        let not_sent = not_sent.map(|error| format!("sending rejects to their topic fails: {error}"));
        status.set_condition(Cause::RejectsNotSent, not_sent, now);
        status.set_condition(Cause::StoreSilent, store_silent(store::unanswered()), now);
    }

    fn not_read(
        &mut self,
        ends: &BTreeMap<TopicPartition, Ends>,
        client: &Client,
    ) -> BTreeMap<String, String> {
        let held = self.coverage.partitions();
        let held = held.map(|(partition, next)| (partition, next, ends.get(partition).copied()));
        self.reading.see(held, client.drained);
        if self.stopping || self.rewinding || self.parts.status.paused() {
            return BTreeMap::new();
        }
        let waits = self.parts.config.kafka.properties.get("fetch.wait.max.ms");
        let waits = waits.and_then(|waits| waits.parse().ok()).map(Duration::from_millis).unwrap_or_default();
        let mut stalled = self.reading.stalled(client.drained, waits);
        if let Some(error) = &client.error {
            stalled
                .values_mut()
                .for_each(|text| text.push_str(&format!("; the client's last error: {error}")));
        }
        stalled
    }

    fn offsets_not_found(&mut self) -> BTreeMap<String, String> {
        let coverage = &self.coverage;
        self.not_found.retain(|partition, _| coverage.next(partition).is_some());
        let long = self.not_found.iter().filter(|(_, (since, _))| since.elapsed() >= NOT_FOUND);
        let text = |(partition, (_, log)): (
            &TopicPartition,
            &(Instant, crate::kafka::cluster::LogBounds),
        )| {
            let next = coverage.next(partition).unwrap_or_default();
            let text = format!(
                "partition {partition}: its leader does not find offset {next}, though its log goes from {} to {}",
                log.start, log.high_watermark
            );
            (partition.to_string(), text)
        };
        long.map(text).collect()
    }

    fn not_published(&self) -> Option<String> {
        if let Some(error) = self.publish_tries.repeated() {
            return Some(format!("publishing what is committed fails: {error}"));
        }
        // Another replica has two intervals before this one publishes for it.
        let late = PUBLISHING + self.parts.config.checkpoint.interval * 3;
        let oldest = self.in_force.oldest().filter(|age| *age >= late)?;
        let commits = self.parts.state.unpublished.len();
        Some(format!("{commits} commits are in force and not visible, the oldest for {} s", oldest.as_secs()))
    }

    /// A job that stops has waited long enough for what fails again and again.
    ///
    /// Errors: `Failed`, then. What is committed is safe.
    pub(super) fn give_up(&self) -> Result<(), RunError> {
        let is_late = self.give_up.is_some_and(|give_up| Instant::now() >= give_up);
        let are_failing = self.publish_tries.are_failing() || self.settle_tries.are_failing();
        if !self.stopping || !is_late || !are_failing || !self.sealed.is_empty() {
            return Ok(());
        }
        let error = self.publish_tries.newest().or(self.settle_tries.newest()).unwrap_or_default();
        Err(RunError::failed(format!(
            "stopped before all that is committed is visible, as publishing fails again and again: {error}; nothing is lost: \
             the next start, or another replica, makes it visible"
        )))
    }
}

fn store_silent(unanswered: Option<(Duration, Option<String>)>) -> Option<String> {
    let (_, instead) = unanswered.filter(|(silent, _)| *silent >= UNANSWERED)?;
    let instead = instead.map(|instead| format!("; instead: {instead}")).unwrap_or_default();
    Some(format!("the store has answered nothing it was asked{instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_never_joins_is_not_ready_and_one_that_waits_for_others_with_its_partitions_is() {
        let joining = |words: &str, seconds| Client {
            joining: Some((words.into(), Duration::from_secs(seconds))),
            error: Some("not authorized".into()),
            ..Client::default()
        };
        assert_eq!(Client::default().not_in_group(false), None, "more replicas than partitions");
        assert_eq!(joining("wait-join", 30).not_in_group(false), None);
        let said = joining("wait-coord", 50).not_in_group(false).expect("it never gets any");
        assert!(said.contains("wait-coord") && said.contains("not authorized"), "{said}");
        assert_eq!(joining("wait-join", 50).not_in_group(true), None, "what it has is read");
        assert!(joining("wait-assign-call", 50).not_in_group(true).is_some(), "what has come is not");
    }

    #[test]
    fn a_store_that_answers_nothing_is_told_with_what_came_instead() {
        let silent = |seconds| store_silent(Some((Duration::from_secs(seconds), Some("status 503".into()))));
        assert_eq!(silent(39), None);
        assert!(silent(40).is_some_and(|said| said.contains("status 503")));
        assert_eq!(store_silent(None), None);
    }
}
