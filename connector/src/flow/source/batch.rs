//! What one read took, by partition.

use std::collections::{BTreeMap, HashMap};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tidegate_sinks::{Error, Kind, TopicPartition};

use super::{End, Held, denied, judge};
use crate::flow::event::{Fetch, Lender};
use crate::kafka::Message;

#[derive(Default)]
pub(super) struct Batch {
    pub(super) fetches: Vec<Fetch>,
    /// Of each fetch, whether its records are wanted: not while the brokers are still to be asked what they
    /// have. What they have told without being asked counts all the same, as the client tells it once.
    wanted: Vec<bool>,
    /// Partitions, under which generation, whose offset is not in their log.
    pub(super) outside: Vec<(TopicPartition, u64)>,
    pub(super) failure: Option<Error>,
    /// A topic may not be read.
    pub(super) denied: Option<Error>,
    /// Where a partition's fetch stands, by topic handle and partition; `None`: not held.
    places: HashMap<(usize, i32), Option<usize>>,
    /// The place that was asked for last: messages come in runs of one partition.
    last: Option<((usize, i32), Option<usize>)>,
    /// Events, and records that nobody wants: kept to the end, as handles tell topics
    /// apart only while they live.
    passed: Vec<Message>,
}

/// The client's words for it, which it adds to the reason of an offset that it does
/// not find. The code alone does not tell.
const TRUNCATED: &str = "Local: Partition log truncation detected";

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
        batch.fetches.iter_mut().for_each(Fetch::note_epoch);
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
            self.wanted.push(!held.unasked);
            Some(self.fetches.len() - 1)
        });
        self.last = Some((key, place));
        place
    }

    fn take(&mut self, message: Message, place: usize) {
        let (fetch, wanted) = (&mut self.fetches[place], self.wanted[place]);
        match message.error() {
            None if wanted && message.offset() >= fetch.next => return fetch.lend(message),
            // Below where reading starts: left over from before.
            None => {}
            Some(RDKafkaErrorCode::PartitionEOF) if wanted => fetch.next = fetch.next.max(message.offset()),
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                let reason = message.reason();
                match truncated(&fetch.partition, &reason) {
                    Some(failure) => self.failure = Some(failure),
                    None => self.outside.push((fetch.partition.clone(), fetch.generation)),
                }
            }
            Some(code) => {
                let error = KafkaError::MessageConsumption(code);
                if let Some(denied) = denied(&error) {
                    let context = format!("{}: {}", fetch.partition, denied.context);
                    self.denied = Some(Error { context, ..denied });
                } else if let Err(End::Failed(failure)) = judge(&error, &message.reason()) {
                    let context = format!("{}: {}", fetch.partition, failure.context);
                    self.failure.get_or_insert(Error { context, ..failure });
                }
            }
        }
        self.passed.push(message);
    }
}

/// Whether the brokers have lost records that were read. The log may have grown past the offset again, so its
/// bounds do not show it, and to read on there would skip what was written in their place.
fn truncated(partition: &TopicPartition, reason: &str) -> Option<Error> {
    let topic = &partition.topic;
    reason.contains(TRUNCATED).then(|| {
        let context = format!(
            "{partition}: the brokers have lost records that were read already, by an unclean election of a leader or because \
             the topic was recreated ({reason}); what was written in their place would be skipped. Roll back to a checkpoint \
             before the broker's end offset (`tidegate checkpoints JOB list`, then `tidegate run JOB --from-checkpoint N \
             --rollback`), which takes the lost records back and reads what stands there now; or give the topic up (`tidegate \
             run JOB --forget-topic {topic}`): its rows stay, it is read no more, and another job can read it anew"
        );
        Error::new(Kind::Refused, context)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_log_is_told_from_an_offset_that_is_gone() {
        let partition = TopicPartition::new("t", 3);
        let told = |reason: &str| truncated(&partition, reason);
        assert!(
            RDKafkaErrorCode::LogTruncation.to_string().contains(TRUNCATED),
            "the client has other words for it now: {}",
            RDKafkaErrorCode::LogTruncation
        );
        let gone = "fetch failed due to requested offset not available on the broker: Broker: Offset out of range (broker 1)";
        assert!(told(gone).is_none());
        for reason in [
            "Partition log truncation detected at offset 120 (leader epoch 4): broker end offset is 100 (offset leader epoch \
             3). Reset to INVALID.: Local: Partition log truncation detected (broker 1)",
            "No epoch found less or equal to offset 120 (leader epoch 4): broker end offset is -1 (offset leader epoch -1). \
             Reset using configured policy.: Local: Partition log truncation detected (broker 1)",
        ] {
            let error = told(reason).expect("records are lost");
            assert_eq!(error.kind, Kind::Refused);
            for word in ["t/3", "offset 120", "--rollback", "--forget-topic t"] {
                assert!(error.context.contains(word), "{word}: {}", error.context);
            }
        }
    }
}
