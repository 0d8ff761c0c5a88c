//! One sender's transaction. All calls block, each for at most [`CALL`] or what a transaction may take.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use tidegate_sinks::failpoints::reach;
use tidegate_sinks::{Commit, Sink};
use tokio::runtime::Handle;

use super::{Outbox, SendError, message};
use crate::flow::rejects::{self, Rows};
use crate::kafka::{QueryErrorKind, kind_of};
use crate::memory::MESSAGE_BYTES;

/// How long a call may take that waits for a coordinator.
const CALL: Duration = Duration::from_secs(30);
/// How long a full queue is waited for before it is asked again.
const FULL: Duration = Duration::from_millis(20);
/// Bytes handed over before they are waited for, which bounds the memory that they take.
const FLUSH_BYTES: usize = 16 << 20;
/// A batch of one small record, with its headers.
const BATCH_MIN_BYTES: usize = 4 << 10;
/// The partition that a group's offset is kept for; every topic has it.
const MARKED: i32 = 0;

/// Remembers why the first record was not taken: the transaction's own error says only that it failed.
#[derive(Debug, Default)]
struct Deliveries(Mutex<Option<RDKafkaErrorCode>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(code);
        }
    }
}

/// A sender that has fenced all before it.
pub(super) struct Transaction<'a> {
    producer: BaseProducer<Deliveries>,
    /// Never subscribes: it stands for the group.
    consumer: BaseConsumer,
    topic: &'a str,
    id: String,
    patience: Duration,
}

impl<'a> Transaction<'a> {
    /// Fences whoever sends under the same id, and ends what they have begun.
    pub(super) fn init(outbox: &Outbox, id: &str, topic: &'a str) -> Result<Self, SendError> {
        Self::init_for(outbox, id, topic, None)
    }

    /// The same, with batches of at most so many bytes and one record: the topic's limit is one of batches.
    pub(super) fn init_for(
        outbox: &Outbox,
        id: &str,
        topic: &'a str,
        most: Option<usize>,
    ) -> Result<Self, SendError> {
        let create = |error: KafkaError| {
            let message = format!("rejects to topic {topic:?}: the Kafka client is refused: {error}");
            SendError::lasting(message)
        };
        let mut config = outbox.producer(id);
        if let Some(most) = most {
            config.set("batch.size", most.max(BATCH_MIN_BYTES).to_string());
        }
        let producer = config.create_with_context(Deliveries::default()).map_err(create)?;
        let consumer = outbox.consumer(id).create().map_err(create)?;
        let patience = outbox.transaction_timeout;
        let transaction = Self { producer, consumer, topic, id: id.to_owned(), patience };
        let begun = transaction.producer.init_transactions(CALL);
        begun.map_err(|error| transaction.failed("fencing earlier senders", &error))?;
        Ok(transaction)
    }

    /// Whether the group has an offset, so that an earlier sender has succeeded.
    pub(super) fn is_committed(&self) -> Result<bool, SendError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(self.topic, MARKED);
        let failed = |error: &KafkaError| self.failed("asking for the group's offset", error);
        let found = self.consumer.committed_offsets(list, CALL).map_err(|error| failed(&error))?;
        let mut marked = false;
        for element in found.elements() {
            element.error().map_err(|error| failed(&error))?;
            marked |= element.offset().to_raw().is_some_and(|offset| offset >= 0);
        }
        Ok(marked)
    }

    /// Sends every reject of the commit and the group's offset, or nothing. Returns how many. Of a reject of
    /// more than `most` bytes it sends where it lies, and why it is one.
    pub(super) fn send(
        self,
        runtime: &Handle,
        sink: &Arc<dyn Sink>,
        commit: &Commit,
        outbox: &Outbox,
        most: Option<usize>,
    ) -> Result<u64, SendError> {
        self.producer.begin_transaction().map_err(|error| self.failed("beginning", &error))?;
        reach("outbox.begin.after");
        let sent = self.fill(runtime, sink, commit, outbox, most);
        if sent.is_err() {
            // Best effort: the next sender ends the transaction in any case.
            let _ = self.producer.abort_transaction(CALL);
        }
        sent
    }

    fn fill(
        &self,
        runtime: &Handle,
        sink: &Arc<dyn Sink>,
        commit: &Commit,
        outbox: &Outbox,
        most: Option<usize>,
    ) -> Result<u64, SendError> {
        let (mut count, mut waiting) = (0, 0);
        rejects::batches(runtime, sink, commit, |batch, path| {
            count += batch.num_rows() as u64;
            self.produce(batch, path, commit, (outbox, most), &mut waiting)
        })?;
        if count != commit.rejects {
            let message = format!(
                "commit {}: {count} rejects in its files, {} were counted",
                commit.id, commit.rejects
            );
            return Err(SendError::lasting(message));
        }
        self.flush()?;
        reach("outbox.produce.after");
        self.mark(count)?;
        reach("outbox.offsets.after");
        reach("outbox.commit.before");
        let committed = self.producer.commit_transaction(self.patience);
        committed.map_err(|error| self.failed("committing", &error))?;
        reach("outbox.commit.after");
        Ok(count)
    }

    fn produce(
        &self,
        batch: &RecordBatch,
        path: &str,
        commit: &Commit,
        (outbox, most): (&Outbox, Option<usize>),
        waiting: &mut usize,
    ) -> Result<(), SendError> {
        for mut reject in Rows::new(batch, path)?.iter() {
            let omits = most.is_some_and(|most| reject.bytes() > most);
            if omits {
                (reject.key, reject.payload) = (None, None);
                reject.headers.clear();
            }
            let headers = message::headers(&reject, &outbox.job, outbox.format, &commit.id, omits);
            let mut record = BaseRecord::to(self.topic).headers(headers);
            record.key = reject.key;
            record.payload = reject.payload;
            self.hand_over(record)?;
            *waiting += reject.bytes() + reject.error.len() + MESSAGE_BYTES;
            if *waiting >= FLUSH_BYTES {
                self.flush()?;
                *waiting = 0;
            }
        }
        self.producer.poll(Duration::ZERO);
        self.check_deliveries()
    }

    fn hand_over(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), SendError> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if self.producer.in_flight_count() > 0 =>
                {
                    record = back;
                    self.producer.poll(FULL);
                    self.check_deliveries()?;
                }
                Err((error, _)) => {
                    self.check_deliveries()?;
                    return Err(self.failed("sending", &error));
                }
            }
        }
    }

    /// Waits until all that was handed over is taken.
    fn flush(&self) -> Result<(), SendError> {
        let flushed = self.producer.flush(self.patience);
        self.check_deliveries()?;
        flushed.map_err(|error| self.failed("sending", &error))
    }

    fn check_deliveries(&self) -> Result<(), SendError> {
        let first = *self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
        match first {
            None => Ok(()),
            // Not for its own fault: the transaction has failed, and tells why to whoever asks for another.
            Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {
                let told = self.producer.begin_transaction();
                Err(told.map_or_else(
                    |error| self.failed("sending", &error),
                    |()| self.failed_with("sending", RDKafkaErrorCode::PurgeQueue, ""),
                ))
            }
            Some(code) => Err(self.failed_with("sending", code, "")),
        }
    }

    /// The group's offset, in the transaction.
    fn mark(&self, count: u64) -> Result<(), SendError> {
        let mut offsets = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(count).unwrap_or(i64::MAX));
        let doing = "adding the group's offset";
        offsets
            .add_partition_offset(self.topic, MARKED, offset)
            .map_err(|error| self.failed(doing, &error))?;
        let no_group = || self.failed_with(doing, RDKafkaErrorCode::UnknownGroup, "");
        let group = self.consumer.group_metadata().ok_or_else(no_group)?;
        let added = self.producer.send_offsets_to_transaction(&offsets, &group, CALL);
        added.map_err(|error| self.failed(doing, &error))
    }

    /// Asks for every right but that to write to the topic, and takes all back.
    pub(super) fn try_out(self) -> Result<(), SendError> {
        let tried = self
            .producer
            .begin_transaction()
            .map_err(|error| self.failed("beginning", &error))
            .and_then(|()| self.mark(0));
        let aborted = self.producer.abort_transaction(CALL);
        match tried.and(aborted.map_err(|error| self.failed("aborting", &error))) {
            // By another replica that tries the same, and so had the rights to begin.
            Err(error) if error.is_fenced => Ok(()),
            tried => tried,
        }
    }

    fn failed(&self, doing: &str, error: &KafkaError) -> SendError {
        match error {
            KafkaError::Transaction(error) => self.failed_with(doing, error.code(), &error.string()),
            error => {
                self.failed_with(doing, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail), "")
            }
        }
    }

    fn failed_with(&self, doing: &str, code: RDKafkaErrorCode, reason: &str) -> SendError {
        let (permanent, remedy) = match code {
            RDKafkaErrorCode::MessageSizeTooLarge => (
                true,
                "; a reject, or why it is one, is larger than the topic takes: raise its max.message.bytes",
            ),
            // Nothing is on its way that would make room.
            RDKafkaErrorCode::QueueFull => (true, "; a reject is larger than the client's queue"),
            RDKafkaErrorCode::InvalidRecord => (
                true,
                "; the topic takes no such record: one that is compacted (cleanup.policy) takes none without a key",
            ),
            RDKafkaErrorCode::PolicyViolation => (true, "; a policy of the brokers forbids it"),
            RDKafkaErrorCode::InvalidTransactionTimeout => (true, "; lower kafka.transaction_timeout"),
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
                (true, "; allow Describe and Write on transactional ids that begin with <job>-rejects-")
            }
            RDKafkaErrorCode::GroupAuthorizationFailed => {
                (true, "; allow Read on groups that begin with <job>-rejects-")
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                (true, "; allow Describe, Read and Write on the topic")
            }
            code => match kind_of(code) {
                QueryErrorKind::Missing => (true, "; create the topic"),
                QueryErrorKind::Unauthorized | QueryErrorKind::Unsupported => (true, ""),
                _ => (false, ""),
            },
        };
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let (id, topic) = (&self.id, self.topic);
        let message = format!("rejects to topic {topic:?} as {id}: {doing} failed: {code}{reason}{remedy}");
        use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
        let is_fenced = matches!(code, Fenced | ProducerFenced | InvalidProducerEpoch);
        let is_too_large = code == RDKafkaErrorCode::MessageSizeTooLarge;
        SendError { message, permanent, is_fenced, is_too_large }
    }
}

#[cfg(test)]
mod tests;
