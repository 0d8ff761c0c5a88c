//! Records on their way from the client to a decoder.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use tidegate_sinks::{Gap, LeaderEpoch, Span, TopicPartition};

use crate::kafka::Message;
use crate::memory::MESSAGE_BYTES;

/// What messages are borrowed from; it lives at least as long as they do.
pub type Lender = Arc<dyn Any + Send + Sync>;

/// Consecutive records of one partition.
#[derive(Debug)]
pub struct Fetch {
    pub partition: TopicPartition,
    /// Which assignment of the partition these were fetched under. Any other than the current one is dropped.
    pub generation: u64,
    /// The offset after the last record, raised over whatever the client reported as passed (an end of the
    /// partition, a loss). A fetch may have no record and still move this.
    pub next: i64,
    /// Offsets lost before they were read, when the job accepts that.
    pub gap: Option<Gap>,
    /// Leader epoch of its last record, where there is one and the broker tells it.
    pub epoch: Option<LeaderEpoch>,
    records: Records,
    bytes: usize,
}

#[derive(Debug)]
enum Records {
    /// Keys, payloads and headers one after the other.
    Copied { parts: Vec<RecordParts>, buffer: Vec<u8> },
    /// Where the client has put them. Dropped in this order.
    Lent { messages: Vec<Message>, headers: Option<usize>, _lender: Lender },
}

/// A record's place in its fetch's buffer.
#[derive(Clone, Debug)]
struct RecordParts {
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Range<u32>>,
    payload: Option<Range<u32>>,
    /// Headers as `name length, name, value length + 1 (0: null), value`, lengths as little-endian u32.
    headers: Range<u32>,
}

/// One record, borrowed from its fetch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub partition: &'a TopicPartition,
    pub offset: i64,
    /// Milliseconds since 1970, by the producer's clock or the broker's.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// `None` for a tombstone.
    pub payload: Option<&'a [u8]>,
    headers: Headers<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Headers<'a> {
    Copied(&'a [u8]),
    Lent(&'a Message),
}

impl Fetch {
    /// One that keeps copies of the records it is given.
    pub fn new(partition: TopicPartition, generation: u64, next: i64) -> Self {
        let records = Records::Copied { parts: Vec::new(), buffer: Vec::new() };
        Self { partition, generation, next, gap: None, epoch: None, records, bytes: 0 }
    }

    /// One that keeps the client's own messages.
    pub fn of_messages(partition: TopicPartition, generation: u64, next: i64, lender: Lender) -> Self {
        let records = Records::Lent { messages: Vec::new(), headers: None, _lender: lender };
        Self { records, ..Self::new(partition, generation, next) }
    }

    /// Offsets `[from, to)` that are gone.
    pub fn of_gap(partition: TopicPartition, generation: u64, span: Span) -> Self {
        let gap = Some(Gap { partition: partition.clone(), span });
        Self { gap, ..Self::new(partition, generation, span.to) }
    }

    /// Appends a record and raises `next` past it.
    ///
    /// # Panics
    /// If the fetch is one of messages.
    pub fn push<'h>(
        &mut self,
        offset: i64,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) {
        let headers = headers.into_iter().map(|(name, value)| (name.as_bytes(), value));
        self.push_bytes(offset, timestamp, key, payload, headers);
    }

    /// The same with names of headers that need not be UTF-8.
    ///
    /// # Panics
    /// If the fetch is one of messages.
    pub fn push_bytes<'h>(
        &mut self,
        offset: i64,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) {
        let Records::Copied { parts, buffer } = &mut self.records else {
            panic!("a copy for a fetch of messages");
        };
        let mut keep = |bytes: &[u8]| {
            let start = buffer.len() as u32;
            buffer.extend_from_slice(bytes);
            start..buffer.len() as u32
        };
        let (key, payload) = (key.map(&mut keep), payload.map(&mut keep));
        let start = buffer.len() as u32;
        for (name, value) in headers {
            buffer.extend_from_slice(&(name.len() as u32).to_le_bytes());
            buffer.extend_from_slice(name);
            buffer.extend_from_slice(&value.map_or(0, |value| value.len() as u32 + 1).to_le_bytes());
            buffer.extend_from_slice(value.unwrap_or_default());
        }
        let headers = start..buffer.len() as u32;
        parts.push(RecordParts { offset, timestamp, key, payload, headers });
        self.bytes = buffer.len();
        self.next = self.next.max(offset + 1);
    }

    /// Appends a record and raises `next` past it.
    ///
    /// # Panics
    /// If the fetch is one of copies.
    pub fn lend(&mut self, message: Message) {
        let Records::Lent { messages, headers, .. } = &mut self.records else {
            panic!("a message for a fetch of copies");
        };
        // Those of the first record stand for all, as reading them costs more than the rest.
        let headers = *headers.get_or_insert_with(|| header_bytes(&message.headers()));
        self.bytes += message.size() + headers;
        self.next = self.next.max(message.offset() + 1);
        messages.push(message);
    }

    /// Notes the leader epoch of its last message. Once for all of them, as it never
    /// falls from one to the next.
    pub fn note_epoch(&mut self) {
        if let Records::Lent { messages, .. } = &self.records {
            let of =
                |last: &Message| Some(LeaderEpoch { epoch: last.leader_epoch()?, to: last.offset() + 1 });
            self.epoch = messages.last().and_then(of);
        }
    }

    /// How many records.
    pub fn len(&self) -> usize {
        match &self.records {
            Records::Copied { parts, .. } => parts.len(),
            Records::Lent { messages, .. } => messages.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of keys, payloads and headers; of messages each is taken to have the headers of the first.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.bytes + self.len() * MESSAGE_BYTES
    }

    /// Offset of the first record.
    pub fn first(&self) -> Option<i64> {
        (!self.is_empty()).then(|| self.record(0).offset)
    }

    /// Timestamps of at most `most` records, evenly spaced and the last among them, each with how many
    /// records it stands for. Records without a timestamp are left out.
    pub fn sampled_timestamps(&self, most: usize) -> impl Iterator<Item = (i64, u64)> {
        let (records, samples) = (self.len(), most.min(self.len()));
        let end = move |sample: usize| sample * records / samples;
        (0..samples).filter_map(move |sample| {
            let (from, to) = (end(sample), end(sample + 1));
            Some((self.record(to - 1).timestamp?, (to - from) as u64))
        })
    }

    /// Timestamp of the last record, in milliseconds since 1970.
    pub fn last_timestamp(&self) -> Option<i64> {
        self.len().checked_sub(1).and_then(|last| self.record(last).timestamp)
    }

    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }

    #[inline]
    fn record(&self, index: usize) -> Record<'_> {
        let partition = &self.partition;
        match &self.records {
            Records::Copied { parts, buffer } => {
                let slice = |range: &Range<u32>| &buffer[range.start as usize..range.end as usize];
                let parts = &parts[index];
                Record {
                    partition,
                    offset: parts.offset,
                    timestamp: parts.timestamp,
                    key: parts.key.as_ref().map(slice),
                    payload: parts.payload.as_ref().map(slice),
                    headers: Headers::Copied(slice(&parts.headers)),
                }
            }
            Records::Lent { messages, .. } => {
                let message = &messages[index];
                Record {
                    partition,
                    offset: message.offset(),
                    timestamp: message.timestamp(),
                    key: message.key(),
                    payload: message.payload(),
                    headers: Headers::Lent(message),
                }
            }
        }
    }
}

impl<'a> Record<'a> {
    /// A record of its own, as tests make it.
    pub fn of(partition: &'a TopicPartition, offset: i64, payload: Option<&'a [u8]>) -> Self {
        let headers = Headers::Copied(&[]);
        Self { partition, offset, timestamp: None, key: None, payload, headers }
    }

    /// Headers in their order; the same name may come more than once, and need not be UTF-8.
    pub fn headers(&self) -> Vec<(&'a [u8], Option<&'a [u8]>)> {
        match self.headers {
            Headers::Copied(bytes) => copied(bytes).collect(),
            Headers::Lent(message) => message.headers(),
        }
    }
}

/// Bytes of headers: of their names and values.
pub fn header_bytes(headers: &[(impl AsRef<[u8]>, Option<&[u8]>)]) -> usize {
    headers.iter().map(|(name, value)| name.as_ref().len() + value.map_or(0, <[u8]>::len)).sum()
}

fn copied(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut take = move |count: usize| {
        let (head, tail) = rest.split_at_checked(count)?;
        rest = tail;
        Some(head)
    };
    std::iter::from_fn(move || {
        let length = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap_or_default()) as usize;
        let name = length(take(4)?);
        let name = take(name)?;
        let value = length(take(4)?);
        let value = if value == 0 { None } else { Some(take(value - 1)?) };
        Some((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_gives_back_what_was_pushed() {
        let mut fetch = Fetch::new(TopicPartition::new("t", 3), 7, 5);
        fetch.push(9, Some(1), Some(b"k"), None, [("h", Some(&b"v"[..])), ("n", None), ("e", Some(b""))]);
        fetch.push(11, None, None, Some(b"payload"), []);
        assert_eq!((fetch.len(), fetch.next, fetch.first()), (2, 12, Some(9)));
        let records: Vec<_> = fetch.records().collect();
        assert_eq!((records[0].key, records[0].payload), (Some(&b"k"[..]), None));
        assert_eq!(records[0].headers(), [(&b"h"[..], Some(&b"v"[..])), (b"n", None), (b"e", Some(b"")),]);
        assert_eq!((records[1].offset, records[1].payload), (11, Some(&b"payload"[..])));
        assert_eq!(records[1].headers().len(), 0);
    }

    #[test]
    fn sampled_timestamps_stand_for_all_records_and_end_with_the_last() {
        for records in 0..40 {
            let mut fetch = Fetch::new(TopicPartition::new("t", 0), 1, 0);
            for offset in 0..records {
                fetch.push(offset, Some(offset * 10), None, None, []);
            }
            let samples: Vec<_> = fetch.sampled_timestamps(8).collect();
            assert_eq!(samples.len(), 8.min(records as usize));
            assert_eq!(samples.iter().map(|(_, stands_for)| stands_for).sum::<u64>(), records as u64);
            assert_eq!(samples.last().map(|(time, _)| *time), (records > 0).then(|| (records - 1) * 10));
        }
    }

    #[test]
    fn a_record_without_a_timestamp_is_no_sample() {
        let mut fetch = Fetch::new(TopicPartition::new("t", 0), 1, 0);
        fetch.push(0, None, None, None, []);
        assert_eq!(fetch.sampled_timestamps(8).count(), 0);
    }
}
