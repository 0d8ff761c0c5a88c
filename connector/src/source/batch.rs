//! What one read took, by partition.

use std::collections::{BTreeMap, HashMap};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tidegate_sinks::TopicPartition;

use super::{End, Held, judge};
use crate::event::{Fetch, Lender, SourceError};
use crate::kafka::Message;

#[derive(Default)]
pub(super) struct Batch {
    pub(super) fetches: Vec<Fetch>,
    /// Partitions, under which generation, whose offset is not in their log.
    pub(super) outside: Vec<(TopicPartition, u64)>,
    pub(super) failure: Option<SourceError>,
    /// Where a partition's fetch stands, by topic handle and partition; `None`: not held.
    places: HashMap<(usize, i32), Option<usize>>,
    /// The place that was asked for last: messages come in runs of one partition.
    last: Option<((usize, i32), Option<usize>)>,
    /// Events, and records that nobody wants: kept to the end, as handles tell topics apart only while they live.
    passed: Vec<Message>,
}

impl Batch {
    pub(super) fn of(
        messages: impl Iterator<Item = Message>,
        held: &BTreeMap<TopicPartition, Held>,
        lender: &Lender,
    ) -> Self {
        let mut batch = Self::default();
        for message in messages {
            match batch.place(&message, held, lender) {
                Some(place) => batch.take(message, place),
                None => batch.passed.push(message),
            }
        }
        batch
    }

    fn place(
        &mut self,
        message: &Message,
        held: &BTreeMap<TopicPartition, Held>,
        lender: &Lender,
    ) -> Option<usize> {
        let key = (message.topic_handle(), message.partition());
        if let Some((last, place)) = self.last
            && last == key
        {
            return place;
        }
        let place = *self.places.entry(key).or_insert_with(|| {
            let partition = TopicPartition::new(message.topic()?, message.partition());
            let (partition, held) = held.get_key_value(&partition)?;
            let fetch = Fetch::of_messages(partition.clone(), held.generation, held.start, lender.clone());
            self.fetches.push(fetch);
            Some(self.fetches.len() - 1)
        });
        self.last = Some((key, place));
        place
    }

    fn take(&mut self, message: Message, place: usize) {
        let fetch = &mut self.fetches[place];
        match message.error() {
            None if message.offset() >= fetch.next => return fetch.lend(message),
            // Below where reading starts: left over from before.
            None => {}
            Some(RDKafkaErrorCode::PartitionEOF) => fetch.next = fetch.next.max(message.offset()),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.outside.push((fetch.partition.clone(), fetch.generation));
            }
            Some(code) => {
                let error = KafkaError::MessageConsumption(code);
                if let Err(End::Failed(failure)) = judge(&error) {
                    let message = format!("{}: {}", fetch.partition, failure.message);
                    self.failure = Some(SourceError { message, ..failure });
                }
            }
        }
        self.passed.push(message);
    }
}
