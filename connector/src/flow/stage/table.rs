//! Rows on their way from a decoder to the files: which partitions they came from, and when they are a batch.

use std::sync::Arc;

use tidegate_sinks::TopicPartition;

use super::file::Place;
use super::partition::{Partitioner, Runs, count};
use super::rejects::{Rejects, describe};
use super::writers::Writers;
use super::{Attempt, Error, RejectAt};
use crate::flow::decode::{Reject, Rows};
use crate::flow::event::{Record, header_bytes};

/// Rows at which a batch goes to its files: enough that a call costs nothing against its rows.
const BATCH_ROWS: usize = 8_192;

/// The records behind the rows of a batch that is growing.
#[derive(Debug, Default)]
pub(super) struct Pending {
    runs: Runs,
    rows: usize,
    /// Of keys and payloads, and of what else is kept: what a row costs in memory,
    /// before anybody has measured it.
    bytes: usize,
}

impl Pending {
    /// `rows` of a record.
    pub(super) fn add(&mut self, record: &Record<'_>, rows: usize, counted_as: &TopicPartition) {
        self.rows += rows;
        self.bytes += record.key.map_or(0, <[u8]>::len) + record.payload.map_or(0, <[u8]>::len);
        match self.runs.last_mut() {
            Some((partition, of_run)) if partition == counted_as => *of_run += rows,
            _ => self.runs.push((counted_as.clone(), rows)),
        }
    }

    pub(super) fn is_full(&self, bytes: usize) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= bytes
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A table's rows that no file has yet.
#[derive(Debug)]
pub(super) struct OpenTable {
    pub(super) decode: Rows,
    /// Shared with the judgement of the row that is being decoded.
    pub(super) partitioner: Arc<Partitioner>,
    pub(super) pending: Pending,
}

impl OpenTable {
    pub(super) async fn flush(
        &mut self,
        name: &Arc<str>,
        attempt: &Arc<Attempt>,
        writers: &mut Writers,
    ) -> Result<(), Error> {
        let Pending { runs, rows, .. } = std::mem::take(&mut self.pending);
        if rows == 0 {
            return Ok(());
        }
        let batch = self.decode.finish();
        assert_eq!(batch.num_rows(), rows, "a decoder gives back each row that it took");
        writers.sample(name, &batch)?;
        for part in self.partitioner.split(batch, &runs)? {
            let place = Place { table: Some(name.clone()), folder: part.folder };
            writers.write(attempt, place, &part.batch, &part.rows).await?;
        }
        Ok(())
    }

    pub(super) fn discard(&mut self) {
        self.pending = Pending::default();
        // The rows that it holds go with the batch.
        self.decode.finish();
        self.decode.take_unmatched();
    }
}

/// The rejects of an attempt, and those of them that no file has yet.
#[derive(Debug)]
pub(super) struct RejectTable {
    batch: Rejects,
    pub(super) pending: Pending,
    pub(super) count: u64,
    pub(super) first: Option<RejectAt>,
}

impl Default for RejectTable {
    fn default() -> Self {
        Self { batch: Rejects::new(), pending: Pending::default(), count: 0, first: None }
    }
}

impl RejectTable {
    pub(super) fn append(&mut self, record: &Record<'_>, reject: &Reject, counted_as: &TopicPartition) {
        self.count += 1;
        self.pending.add(record, 1, counted_as);
        // Unlike a row, a reject keeps them.
        self.pending.bytes += header_bytes(&record.headers());
        self.batch.append(record, reject);
        self.first.get_or_insert_with(|| RejectAt {
            partition: record.partition.clone(),
            offset: record.offset,
            error: describe(reject),
        });
    }

    pub(super) async fn flush(&mut self, attempt: &Arc<Attempt>, writers: &mut Writers) -> Result<(), Error> {
        let Pending { runs, rows, .. } = std::mem::take(&mut self.pending);
        if rows == 0 {
            return Ok(());
        }
        let rows = count(&runs, 0..rows as u32);
        let place = Place { table: None, folder: String::new() };
        writers.write(attempt, place, &self.batch.finish(), &rows).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::event::Fetch;

    #[test]
    fn headers_fill_a_batch_of_rejects_too() {
        let mut fetch = Fetch::new(TopicPartition::new("t", 0), 1, 0);
        fetch.push(0, None, None, Some(b"bad"), [("large", Some(&[0; 1_000][..])), ("none", None)]);
        let mut rejects = RejectTable::default();
        for record in fetch.records() {
            let reject = Reject { column: None, error: "no JSON".into() };
            rejects.append(&record, &reject, &fetch.partition);
        }
        assert_eq!(rejects.pending.bytes(), 3 + 1_005 + 4);
        assert!(rejects.pending.is_full(1_000));
    }
}
