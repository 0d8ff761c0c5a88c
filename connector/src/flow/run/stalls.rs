//! Last stable offsets that do not move though the log goes on: somebody's transaction is open.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_sinks::TopicPartition;
use tokio::time::Instant;

use crate::flow::source::Ends;
use crate::limits::OPEN_TRANSACTIONS_MAX_COUNT;
use crate::replica::status::OpenTransaction;

/// A transaction that is open for a shorter time is one at work.
const NAMED_AFTER: Duration = Duration::from_secs(5);

/// The partitions of this replica whose last stable offset is below their high watermark.
#[derive(Debug, Default)]
pub(super) struct Stalls(BTreeMap<TopicPartition, Stall>);

#[derive(Debug)]
struct Stall {
    ends: Ends,
    /// Since when the last stable offset has not moved, as far as this replica has seen.
    since: Instant,
    at: Timestamp,
}

impl Stalls {
    /// Takes in the ends of all held partitions; others are forgotten.
    pub(super) fn see<'a>(&mut self, held: impl Iterator<Item = (&'a TopicPartition, Ends)>, now: Timestamp) {
        let mut before = std::mem::take(&mut self.0);
        for (partition, ends) in held.filter(|(_, ends)| ends.last_stable_offset < ends.high_watermark) {
            let same =
                before.remove(partition).filter(|b| b.ends.last_stable_offset == ends.last_stable_offset);
            let stall = match same {
                Some(stall) => Stall { ends, ..stall },
                None => Stall { ends, since: Instant::now(), at: now },
            };
            self.0.insert(partition.clone(), stall);
        }
    }

    /// How long the oldest stands.
    pub(super) fn longest(&self) -> Duration {
        self.0.values().map(|stall| stall.since.elapsed()).max().unwrap_or_default()
    }

    /// Those that stand for long enough to be named, the oldest first.
    pub(super) fn open_transactions(&self) -> Vec<OpenTransaction> {
        let mut long: Vec<_> =
            self.0.iter().filter(|(_, stall)| stall.since.elapsed() >= NAMED_AFTER).collect();
        long.sort_by_key(|(_, stall)| stall.since);
        let open = |(partition, stall): (&TopicPartition, &Stall)| OpenTransaction {
            partition: partition.clone(),
            last_stable_offset: stall.ends.last_stable_offset,
            high_watermark: stall.ends.high_watermark,
            since: stall.at,
        };
        long.into_iter().take(OPEN_TRANSACTIONS_MAX_COUNT).map(open).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stall_lasts_as_long_as_the_last_stable_offset_stands_still_below_the_end() {
        let partition = TopicPartition::new("t", 0);
        let mut stalls = Stalls::default();
        let mut see = async |last_stable_offset, high_watermark| {
            let ends =
                Ends { last_stable_offset, high_watermark, observed: None, position: 0, is_fresh: true };
            stalls.see([(&partition, ends)].into_iter(), Timestamp::UNIX_EPOCH);
            tokio::time::sleep(Duration::from_secs(4)).await;
            (stalls.longest().as_secs(), stalls.open_transactions().len())
        };
        assert_eq!(see(5, 5).await, (0, 0));
        assert_eq!(see(5, 9).await, (4, 0), "may be one at work");
        assert_eq!(see(5, 12).await, (8, 1), "the log goes on");
        assert_eq!(see(9, 12).await, (4, 0), "it has moved");
        assert_eq!(see(12, 12).await, (0, 0));
    }
}
