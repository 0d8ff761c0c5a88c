//! Rejects to a topic: what a commit rejected is sent there exactly once, after the commit is in force.
//!
//! Each commit has a transactional id of its own, which is a consumer group's name too:
//! `<job>-rejects-<commit id>`. In one Kafka transaction go the rejects and an offset of
//! that group. So whoever sends first makes sure that nobody else does (`init_transactions`
//! fences them, and ends what they began), then looks for the group's offset: with it, the
//! rejects are there. Any replica may send, at any time, as often as it likes.
//!
//! Groups' offsets do not live for ever. A commit that has waited for longer than that is looked for in the
//! topic itself, by the commit id that each reject carries in a header.

mod message;
mod search;
mod transaction;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rdkafka::ClientConfig;
use tidegate_sinks::failpoints::reach;
use tidegate_sinks::{Checkpoint, Commit, CommitId, Kind, Sink};
use tokio::runtime::Handle;

use crate::config::{Config, Rejects, Topics, client_properties};
use crate::error::RunError;
use crate::flow::rejects::ReadError;
use crate::kafka::{Queries, QueryError, QueryErrorKind};
use transaction::Transaction;

/// How long a broker keeps the offsets of a group without members, where it does
/// not tell: a day less than any broker is likely to be set to.
const RETENTION_UNKNOWN: Duration = Duration::from_secs(24 * 3_600);

/// Where a topic does not take what is sent: up to how many bytes a reject is sent whole, each time less. No
/// record may stop the sending by its size: what it holds is in the rejects' files in any case.
const WHOLE_BYTES: [usize; 4] = [512 << 10, 64 << 10, 8 << 10, 0];

/// What became of a commit's rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Sent now, so many.
    Now(u64),
    /// They were there already.
    Before,
    /// The commit was taken back, or has nothing to send.
    Nothing,
}

/// Why the rejects of a commit are not in their topic, or not known to be.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    pub(crate) message: String,
    /// Sending again does not help: a right is missing, or the topic.
    pub permanent: bool,
    /// Somebody else sends under the same id.
    is_fenced: bool,
    /// The topic takes no record, or no batch of them, as large as one was.
    is_too_large: bool,
}

impl From<SendError> for RunError {
    fn from(error: SendError) -> Self {
        if error.permanent { Self::Config(error.message, None) } else { Self::Failed(error.message, None) }
    }
}

impl SendError {
    fn passing(message: String) -> Self {
        Self { message, permanent: false, is_fenced: false, is_too_large: false }
    }

    fn lasting(message: String) -> Self {
        Self { message, permanent: true, is_fenced: false, is_too_large: false }
    }
}

impl From<QueryError> for SendError {
    fn from(error: QueryError) -> Self {
        let permanent = !error.kind.may_pass();
        Self { permanent, ..Self::passing(error.to_string()) }
    }
}

impl From<ReadError> for SendError {
    fn from(error: ReadError) -> Self {
        let permanent = !matches!(&error, ReadError::Store(error) if error.kind == Kind::Retry);
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        let message = format!("{error}{}", source.unwrap_or_default());
        Self { permanent, ..Self::passing(message) }
    }
}

/// Sends the rejects of a job's commits.
pub struct Outbox {
    job: String,
    format: &'static str,
    /// librdkafka's, of the job's consumer.
    properties: BTreeMap<String, String>,
    transaction_timeout: Duration,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("job", &self.job).finish_non_exhaustive()
    }
}

impl Outbox {
    pub fn new(config: &Config) -> Self {
        Self {
            job: config.job.clone(),
            format: config.format.kind.decoder,
            properties: client_properties(config),
            transaction_timeout: config.kafka.transaction_timeout,
        }
    }

    /// Sends the rejects of a commit in force unless they have been sent. Whatever the
    /// error, the call may be repeated.
    pub async fn send(self: &Arc<Self>, sink: &Arc<dyn Sink>, id: &CommitId) -> Result<Sent, SendError> {
        if !newest(sink).await?.is_some_and(|newest| newest.unsent.contains(id)) {
            return Ok(Sent::Nothing);
        }
        match self.send_listed(sink, id).await {
            Err(error) if error.permanent => match newest(sink).await? {
                Some(newest) if !newest.unsent.contains(id) => {
                    tracing::debug!(%error, commit = %id, "taken back meanwhile, with what was to be read");
                    Ok(Sent::Nothing)
                }
                Some(newest) if newest.unpublished.contains(id) => Err(SendError::passing(error.message)),
                _ => Err(error),
            },
            sent => sent,
        }
    }

    async fn send_listed(self: &Arc<Self>, sink: &Arc<dyn Sink>, id: &CommitId) -> Result<Sent, SendError> {
        let commit = sink.read_commit(id).await.map_err(ReadError::from)?;
        let Some(commit) = commit.filter(|commit| commit.rejects > 0) else { return Ok(Sent::Nothing) };
        let Some(topic) = commit.rejects_topic.clone() else { return Ok(Sent::Nothing) };
        let (outbox, sink, runtime) = (self.clone(), sink.clone(), Handle::current());
        let send = move || outbox.send_blocking(&runtime, &sink, &commit, &topic);
        let sent = tokio::task::spawn_blocking(send).await;
        sent.map_err(|error| SendError::lasting(format!("sending rejects: {error}")))?
    }

    fn send_blocking(
        &self,
        runtime: &Handle,
        sink: &Arc<dyn Sink>,
        commit: &Commit,
        topic: &str,
    ) -> Result<Sent, SendError> {
        reach("outbox.init.before");
        let transaction = Transaction::init(self, &self.group(&commit.id), topic)?;
        reach("outbox.init.after");
        if transaction.is_committed()? || (self.is_old(commit)? && self.is_in_topic(commit, topic)?) {
            return Ok(Sent::Before);
        }
        let mut sent = transaction.send(runtime, sink, commit, self, None);
        for most in WHOLE_BYTES {
            match &sent {
                Err(error) if error.is_too_large => {
                    tracing::warn!(%error, commit = %commit.id, "sending rejects above {most} bytes without what they hold");
                }
                _ => break,
            }
            let transaction = Transaction::init_for(self, &self.group(&commit.id), topic, Some(most))?;
            sent = transaction.send(runtime, sink, commit, self, Some(most));
        }
        sent.map(Sent::Now)
    }

    /// Transactional id and group of a commit.
    fn group(&self, id: &CommitId) -> String {
        format!("{}-rejects-{id}", self.job)
    }

    /// Whether the group's offset may have been there, and have expired. The broker is
    /// asked only when that is near.
    fn is_old(&self, commit: &Commit) -> Result<bool, SendError> {
        let age = Timestamp::now().duration_since(commit.created);
        // No broker forgets within the hour; and clocks may differ by less than that.
        if age < SignedDuration::from_hours(1) {
            return Ok(false);
        }
        let retention = match Queries::connect(&self.properties)?.offsets_retention() {
            Ok(retention) => retention,
            Err(error) => {
                tracing::debug!(%error, "the broker does not tell how long it keeps offsets; a day is assumed");
                RETENTION_UNKNOWN
            }
        };
        let retention = SignedDuration::try_from(retention).unwrap_or(SignedDuration::MAX);
        Ok(age > retention - SignedDuration::from_hours(1))
    }

    fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.extend(self.properties.clone());
        config.set("group.id", group);
        config
    }

    fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.extend(self.properties.clone());
        // A producer logs a warning for each property of a consumer.
        for key in CONSUMER_PROPERTIES {
            config.remove(key);
        }
        let milliseconds = self.transaction_timeout.as_millis();
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", milliseconds.to_string());
        // A request must end before its transaction does.
        let socket =
            config.get("socket.timeout.ms").and_then(|socket| socket.parse().ok()).unwrap_or(u128::MAX);
        config.set("socket.timeout.ms", socket.min(milliseconds.saturating_sub(100)).to_string());
        // Keys go where every other client of Kafka's puts them.
        config.set("partitioner", "murmur2_random");
        // How large a record may be is the topic's to say. The queue takes any: what is
        // sent at a time is bounded by flushing.
        config.set("message.max.bytes", "1000000000");
        config.set("queue.buffering.max.kbytes", "1048576");
        config.set("allow.auto.create.topics", "false");
        config
    }
}

async fn newest(sink: &Arc<dyn Sink>) -> Result<Option<Arc<Checkpoint>>, SendError> {
    Ok(sink.load().await.map_err(ReadError::from)?)
}

/// Those of [`client_properties`] that mean nothing to a producer.
const CONSUMER_PROPERTIES: [&str; 14] = [
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "partition.assignment.strategy",
    "enable.partition.eof",
    "queued.max.messages.kbytes",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "fetch.max.bytes",
    "fetch.queue.backoff.ms",
    "topic.blacklist",
];

/// Before the first record: whether the topic for rejects is there, and the rights
/// to send to it by transaction. Nothing is written.
///
/// Errors: what is missing, with the remedy.
pub async fn check(config: &Config) -> Result<(), SendError> {
    let Rejects::Topic(topic) = config.rejects.clone() else { return Ok(()) };
    let outbox = Outbox::new(config);
    let check = move || {
        let queries = Queries::connect(&outbox.properties)?;
        queries.partitions(&Topics::List(vec![topic.clone()])).map_err(|error| {
            let may_pass = error.kind == QueryErrorKind::Unreachable;
            let remedy = if may_pass { "" } else { "; create the topic, or let this user see it" };
            SendError { message: format!("rejects.to.topic: {error}{remedy}"), ..SendError::from(error) }
        })?;
        Transaction::init(&outbox, &format!("{}-rejects-check", outbox.job), &topic)?.try_out()
    };
    let checked = tokio::task::spawn_blocking(check).await;
    checked.map_err(|error| SendError::lasting(format!("checking rejects.to: {error}")))?
}
