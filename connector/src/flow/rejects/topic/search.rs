//! Looking into the topic for a commit whose mark may have expired.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tidegate_sinks::{Commit, TopicPartition};

use super::message::COMMIT_HEADER;
use super::{Outbox, SendError};
use crate::config::Topics;
use crate::kafka::{Queries, headers_of};

/// How long the topic may give no record, and no end either.
const SILENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

impl Outbox {
    /// Whether a committed record of the topic carries the commit's id. Reads all that
    /// was sent since the commit.
    pub(super) fn is_in_topic(&self, commit: &Commit, topic: &str) -> Result<bool, SendError> {
        let queries = Queries::connect(&self.properties)?;
        let partitions = queries.partitions(&Topics::List(vec![topic.to_owned()]))?;
        // Clocks of replicas and brokers differ a little.
        let since = commit.created.saturating_sub(SignedDuration::from_hours(1)).unwrap_or(commit.created);
        let starts = queries.offsets_for_timestamp(&partitions, since.as_millisecond())?;
        wait_until_stable(&queries, &partitions)?;
        tracing::info!(commit = %commit.id, topic, "looking for rejects that may have been sent long ago");
        let failed = |error: KafkaError| SendError::passing(format!("looking into topic {topic:?}: {error}"));
        let consumer: BaseConsumer = self.consumer(&self.group(&commit.id)).create().map_err(failed)?;
        let mut list = TopicPartitionList::new();
        for (partition, start) in &starts {
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*start))
                .map_err(failed)?;
        }
        consumer.assign(&list).map_err(failed)?;
        let (mut at_end, mut heard) = (BTreeSet::new(), Instant::now());
        while at_end.len() < starts.len() {
            match consumer.poll(Duration::from_millis(500)) {
                Some(Ok(message)) => {
                    if names(&headers_of(&message), commit) {
                        return Ok(true);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    at_end.insert(partition);
                }
                Some(Err(error)) => return Err(failed(error)),
                None if heard.elapsed() < SILENCE => continue,
                None => {
                    let message = format!("topic {topic:?} gives no record and no end for {SILENCE:?}");
                    return Err(SendError::passing(message));
                }
            }
            heard = Instant::now();
        }
        Ok(false)
    }
}

/// Waits until all that the topic holds now is decided: behind an open transaction,
/// what is looked for would not be seen.
fn wait_until_stable(queries: &Queries, partitions: &[TopicPartition]) -> Result<(), SendError> {
    let ends = queries.high_watermarks(partitions)?;
    let start = Instant::now();
    loop {
        let stable = queries.last_stable_offsets(partitions)?;
        let open = ends.iter().find(|(partition, end)| stable.get(partition).is_none_or(|at| at < *end));
        match open {
            None => return Ok(()),
            Some((partition, end)) if start.elapsed() > SILENCE => {
                let message = format!("{partition}: an open transaction hides what is below offset {end}");
                return Err(SendError::passing(message));
            }
            Some(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn names(headers: &[(&[u8], Option<&[u8]>)], commit: &Commit) -> bool {
    headers.contains(&(COMMIT_HEADER.as_bytes(), Some(commit.id.0.as_bytes())))
}
