//! Rejects as the records that they were.

use arrow::array::RecordBatch;
use tidegate_sinks::TopicPartition;

use crate::flow::decode::headers::unescape;
use crate::flow::event::Fetch;
use crate::flow::rejects::{ReadError, Rows};

/// The rejects of a batch, in their order, neighbours of one partition together.
pub(super) fn fetches(batch: &RecordBatch, path: &str) -> Result<Vec<Fetch>, ReadError> {
    let mut fetches: Vec<Fetch> = Vec::new();
    for reject in Rows::new(batch, path)?.iter() {
        let follows = |fetch: &Fetch| {
            *fetch.partition.topic == *reject.topic && fetch.partition.partition == reject.partition
        };
        if !fetches.last().is_some_and(follows) {
            let partition = TopicPartition::new(reject.topic, reject.partition);
            fetches.push(Fetch::new(partition, 0, reject.offset));
        }
        if let Some(fetch) = fetches.last_mut() {
            // By the names that the record had, so that it is rejected again, or not, for what it was.
            let headers: Vec<_> =
                reject.headers.iter().map(|(name, value)| (unescape(name), *value)).collect();
            let headers = headers.iter().map(|(name, value)| (&**name, *value));
            fetch.push_bytes(reject.offset, reject.timestamp, reject.key, reject.payload, headers);
        }
    }
    Ok(fetches)
}
