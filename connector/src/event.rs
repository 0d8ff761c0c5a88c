//! What travels between the stages: plain structs, no behaviour that could fail.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_sinks::{Gap, Position, Span, TopicPartition};

/// What the source tells.
#[derive(Debug)]
pub enum Event {
    Fetched(Fetch, Permit),
    /// The group gave these partitions to this replica. Reading begins with [`Command::Assign`].
    Assigned(Vec<TopicPartition>),
    /// The group takes these partitions away, and waits for [`Command::Release`].
    Revoked(Vec<TopicPartition>),
    /// The offset asked for is not in the log.
    OutsideLog {
        partition: TopicPartition,
        generation: u64,
    },
    /// Reads nothing more, as [`Command::Pause`] asked; whatever was read has been told before.
    Paused,
    /// The source cannot go on.
    Failed(SourceError),
}

/// What the source is asked, in this order. Answers to the group travel with the rest, so that a rewind cannot
/// overtake the assignment it changes.
#[derive(Debug)]
pub enum Command {
    /// Answers [`Event::Assigned`].
    Assign(Vec<Assignment>),
    /// Answers [`Event::Revoked`].
    Release(Vec<TopicPartition>),
    /// Read held partitions from elsewhere, under new generations.
    Rewind(Vec<Assignment>),
    /// This replica's share of the rate limit from now on; bytes per second.
    Limit(u64),
    /// Read nothing until further notice, and keep the partitions; or read on.
    Pause(bool),
    /// Tell the group, for lag tools only.
    CommitOffsets(Position),
    Close,
}

/// Where to read a partition from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub partition: TopicPartition,
    pub offset: i64,
    pub generation: u64,
}

/// Why the source cannot go on; names the remedy, never holds a record's content.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    pub message: String,
    /// Starting again does not help: the login or a right must be changed.
    pub permanent: bool,
}

impl SourceError {
    /// One that a restart may mend.
    pub fn passing(message: String) -> Self {
        Self { message, permanent: false }
    }
}

/// Bytes that have left the client and are not decoded yet. The source reads no further while they are too many.
#[derive(Clone, Debug, Default)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub fn used_bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub fn take(&self, bytes: usize) -> Permit {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Permit { budget: self.clone(), bytes }
    }
}

/// A fetch's share of the [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Consecutive records of one partition, copied out of the client in one piece.
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
    records: Vec<RecordParts>,
    /// Keys, payloads and headers of the records, one after the other.
    buffer: Vec<u8>,
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
    headers: &'a [u8],
}

impl Fetch {
    pub fn new(partition: TopicPartition, generation: u64, next: i64) -> Self {
        Self { partition, generation, next, gap: None, records: Vec::new(), buffer: Vec::new() }
    }

    /// Offsets `[from, to)` that are gone.
    pub fn of_gap(partition: TopicPartition, generation: u64, span: Span) -> Self {
        let gap = Some(Gap { partition: partition.clone(), span });
        Self { gap, ..Self::new(partition, generation, span.to) }
    }

    /// Makes room for records whose keys and payloads take so many bytes in all, so that none is copied twice and
    /// the fetch takes no more memory than its permit says.
    pub fn reserve(&mut self, records: usize, bytes: usize) {
        self.records.reserve_exact(records);
        self.buffer.reserve_exact(bytes);
    }

    /// Appends a record and raises `next` past it.
    pub fn push<'h>(
        &mut self,
        offset: i64,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) {
        let key = key.map(|key| self.keep(key));
        let payload = payload.map(|payload| self.keep(payload));
        let start = self.buffer.len() as u32;
        for (name, value) in headers {
            self.buffer.extend_from_slice(&(name.len() as u32).to_le_bytes());
            self.buffer.extend_from_slice(name.as_bytes());
            self.buffer.extend_from_slice(&value.map_or(0, |value| value.len() as u32 + 1).to_le_bytes());
            self.buffer.extend_from_slice(value.unwrap_or_default());
        }
        let headers = start..self.buffer.len() as u32;
        self.records.push(RecordParts { offset, timestamp, key, payload, headers });
        self.next = self.next.max(offset + 1);
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = self.buffer.len() as u32;
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len() as u32
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of keys, payloads and headers.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Offset of the first record.
    pub fn first(&self) -> Option<i64> {
        self.records.first().map(|record| record.offset)
    }

    /// Timestamps of at most `most` records, evenly spaced and the last among them, each with how many records it
    /// stands for. Records without a timestamp are left out.
    pub fn sampled_timestamps(&self, most: usize) -> impl Iterator<Item = (i64, u64)> {
        let (records, samples) = (self.records.len(), most.min(self.records.len()));
        let end = move |sample: usize| sample * records / samples;
        (0..samples).filter_map(move |sample| {
            let (from, to) = (end(sample), end(sample + 1));
            Some((self.records[to - 1].timestamp?, (to - from) as u64))
        })
    }

    /// Timestamp of the last record, in milliseconds since 1970.
    pub fn last_timestamp(&self) -> Option<i64> {
        self.records.last().and_then(|record| record.timestamp)
    }

    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let slice = |range: &Range<u32>| &self.buffer[range.start as usize..range.end as usize];
        self.records.iter().map(move |parts| Record {
            partition: &self.partition,
            offset: parts.offset,
            timestamp: parts.timestamp,
            key: parts.key.as_ref().map(slice),
            payload: parts.payload.as_ref().map(slice),
            headers: slice(&parts.headers),
        })
    }
}

impl<'a> Record<'a> {
    /// A record of its own, as tests make it.
    pub fn of(partition: &'a TopicPartition, offset: i64, payload: Option<&'a [u8]>) -> Self {
        Self { partition, offset, timestamp: None, key: None, payload, headers: &[] }
    }

    /// Headers in their order; the same name may come more than once.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let mut rest = self.headers;
        let mut take = move |count: usize| {
            let (head, tail) = rest.split_at_checked(count)?;
            rest = tail;
            Some(head)
        };
        std::iter::from_fn(move || {
            let length = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap_or_default()) as usize;
            let name = length(take(4)?);
            let name = std::str::from_utf8(take(name)?).ok()?;
            let value = length(take(4)?);
            let value = if value == 0 { None } else { Some(take(value - 1)?) };
            Some((name, value))
        })
    }
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
        let headers: Vec<_> = records[0].headers().collect();
        assert_eq!(headers, [("h", Some(&b"v"[..])), ("n", None), ("e", Some(&b""[..]))]);
        assert_eq!((records[1].offset, records[1].payload), (11, Some(&b"payload"[..])));
        assert_eq!(records[1].headers().count(), 0);
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
