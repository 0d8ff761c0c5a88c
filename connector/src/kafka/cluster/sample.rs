//! Reads a few records of each partition. All partitions of a client share one queue, in which one of them
//! may stand with thousands of records before the next; so each has a queue of its own here, and its quota.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tidegate_sinks::{Error, Kind, TopicPartition};

use super::{Quota, Sample};
use crate::kafka::{self, QueryErrorKind};

/// Longest without a record or an end of any partition.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at queues that were empty.
const PAUSE: Duration = Duration::from_millis(10);
/// Partitions that a message names.
const NAMED: usize = 5;
/// What one partition's queue may hold, unlike that of a client that reads on.
const QUEUE: [(&str, &str); 3] =
    [("queued.min.messages", "1000"), ("queued.max.messages.kbytes", "1024"), ("fetch.wait.max.ms", "100")];

/// A partition that has more to give.
struct Open {
    partition: TopicPartition,
    queue: PartitionQueue<DefaultConsumerContext>,
    left: Quota,
    records: Vec<Vec<u8>>,
}

/// Blocks. Joins no group.
pub(super) fn read(
    properties: &BTreeMap<String, String>,
    quotas: &BTreeMap<TopicPartition, Quota>,
) -> Result<Sample, Error> {
    let consumer = Arc::new(assigned(properties, quotas.keys()).map_err(failed)?);
    let mut open = Vec::new();
    for (partition, &left) in quotas {
        let queue = consumer.split_partition_queue(&partition.topic, partition.partition);
        let queue = queue.ok_or_else(|| passing(format!("{partition} has no queue")))?;
        open.push(Open { partition: partition.clone(), queue, left, records: Vec::new() });
    }
    let (mut sample, mut last) = (Sample::new(), Instant::now());
    while !open.is_empty() {
        let mut done = Vec::new();
        match consumer.poll(Duration::ZERO) {
            // Fetched before the partition had its queue.
            Some(Ok(message)) => {
                let is_of =
                    |p: &TopicPartition| *p.topic == *message.topic() && p.partition == message.partition();
                if let Some(open) = open.iter_mut().find(|open| is_of(&open.partition)) {
                    take(&message, &mut open.left, &mut open.records);
                }
            }
            Some(Err(error)) => refuse(error)?,
            None => {}
        }
        for (at, partition) in open.iter_mut().enumerate() {
            match partition.read(&mut last) {
                Ok(true) => done.push(at),
                Ok(false) => {}
                Err(error) => refuse(error)?,
            }
        }
        if !done.is_empty() {
            let mut list = TopicPartitionList::new();
            for at in done.into_iter().rev() {
                let Open { partition, records, .. } = open.swap_remove(at);
                list.add_partition(&partition.topic, partition.partition);
                sample.insert(partition, records);
            }
            consumer.pause(&list).map_err(failed)?;
        } else if last.elapsed() < PATIENCE {
            std::thread::sleep(PAUSE);
        } else {
            return Err(silent(&open));
        }
    }
    Ok(sample)
}

fn assigned<'p>(
    properties: &BTreeMap<String, String>,
    partitions: impl Iterator<Item = &'p TopicPartition>,
) -> Result<BaseConsumer, KafkaError> {
    let mut config = ClientConfig::new();
    config.extend(properties.clone());
    config.set("auto.offset.reset", "earliest");
    config.extend(QUEUE.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Beginning)?;
    }
    let consumer: BaseConsumer = config.create()?;
    consumer.assign(&list)?;
    Ok(consumer)
}

impl Open {
    /// Takes what its queue has. Whether it has no more to give, or enough was taken.
    fn read(&mut self, last: &mut Instant) -> Result<bool, KafkaError> {
        let Self { queue, left, records, .. } = self;
        while let Some(event) = queue.poll(Duration::ZERO) {
            let is_end = matches!(event, Err(KafkaError::PartitionEOF(_)));
            if is_end || event.is_ok() {
                *last = Instant::now();
            }
            if is_end || take(&event?, left, records) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether it was the last.
fn take(message: &BorrowedMessage<'_>, left: &mut Quota, records: &mut Vec<Vec<u8>>) -> bool {
    let Some(payload) = message.payload() else { return false };
    records.push(payload.to_vec());
    left.records = left.records.saturating_sub(1);
    left.bytes = left.bytes.saturating_sub(payload.len());
    left.records == 0 || left.bytes == 0
}

/// What passes by itself is waited for.
fn refuse(error: KafkaError) -> Result<(), Error> {
    match error.rdkafka_error_code().map(kafka::kind_of) {
        Some(QueryErrorKind::Unreachable) => Ok(()),
        _ => Err(failed(error)),
    }
}

fn failed(error: KafkaError) -> Error {
    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
    let is_refused = kafka::kind_of(code) == QueryErrorKind::Unauthorized;
    let kind = if is_refused { Kind::Config } else { Kind::Retry };
    Error::new(kind, format!("reading a sample: {error}{}", kafka::remedy(code)))
}

fn passing(what: String) -> Error {
    Error::new(Kind::Retry, format!("reading a sample: {what}"))
}

fn silent(open: &[Open]) -> Error {
    let named: Vec<_> = open.iter().take(NAMED).map(|open| open.partition.to_string()).collect();
    passing(format!(
        "{} partitions do not answer, among them {}: columns are inferred only with a sample of each, or can be listed \
         under format.columns",
        open.len(),
        named.join(", ")
    ))
}
