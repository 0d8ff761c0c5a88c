//! Status and gauges, brought up to date now and then. Nothing here decides anything.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use jiff::Timestamp;
use tidegate_sinks::TopicPartition;

use super::engine::Engine;
use super::troubles::Client;
use crate::flow::source::Ends;
use crate::metrics;
use crate::replica::status::{PartitionStatus, Standing};

impl Engine {
    /// Brings status and gauges up to date.
    pub(super) fn show(&mut self) {
        self.share_limit();
        let now = (self.parts.clock)();
        let (ends, client) = {
            let seen = self.parts.source.seen.lock().unwrap_or_else(PoisonError::into_inner);
            (seen.ends.clone(), Client::of(&seen))
        };
        let partitions = self.partition_status(&ends);
        let lag = |end| lag(partitions.values(), end);
        metrics::LAG_RECORDS.gauge_of("to", "lso").set(lag(|status| status.last_stable_offset));
        metrics::LAG_RECORDS.gauge_of("to", "hw").set(lag(|status| status.high_watermark));
        self.see_ends(&partitions, &ends, now);
        metrics::LSO_STALL_SECONDS.gauge().set(self.stalls.longest().as_secs_f64());
        self.show_chain();
        metrics::MEMORY_BYTES.gauge().set(self.memory() as f64);
        self.parts.status.set_memory(self.memory() as u64);
        metrics::LIMIT_BYTES_PER_SECOND.gauge().set(self.limit.unwrap_or(0) as f64);
        metrics::PARTITIONS.gauge().set(partitions.len() as f64);
        let complete_through = self.complete_through(&partitions);
        let open_transactions = self.stalls.open_transactions();
        self.parts.status.set_standing(Standing { complete_through, open_transactions });
        self.parts.status.set_partitions(partitions);
        self.parts.status.note_lag(now);
        self.tell_troubles(&ends, &client, now);
    }

    /// The engine ends, and perhaps not the process: nothing is read any more.
    pub(super) fn show_end(&self) {
        for to in ["lso", "hw"] {
            metrics::LAG_RECORDS.gauge_of("to", to).set(0.0);
        }
        for gauge in [
            metrics::LSO_STALL_SECONDS,
            metrics::MEMORY_BYTES,
            metrics::LIMIT_BYTES_PER_SECOND,
            metrics::PARTITIONS,
        ] {
            gauge.gauge().set(0.0);
        }
        self.parts.status.clear_conditions();
        self.parts.status.set_standing(Standing::default());
        self.parts.status.set_partitions(BTreeMap::new());
        self.parts.status.note_lag((self.parts.clock)());
    }

    fn partition_status(
        &self,
        ends: &BTreeMap<TopicPartition, Ends>,
    ) -> BTreeMap<TopicPartition, PartitionStatus> {
        let each = |(partition, _): (&TopicPartition, i64)| {
            let known = self.parts.state.partitions.get(partition).map(|state| state.next);
            // No checkpoint knows a partition that has just been added.
            let next = known.or_else(|| self.starts.get(partition).copied());
            (partition.clone(), status(next, ends.get(partition).copied()))
        };
        self.coverage.partitions().map(each).collect()
    }

    /// Learns from the ends which transactions are open, and which partitions have
    /// nothing that is not visible.
    fn see_ends(
        &mut self,
        partitions: &BTreeMap<TopicPartition, PartitionStatus>,
        ends: &BTreeMap<TopicPartition, Ends>,
        now: Timestamp,
    ) {
        let held = partitions.keys().filter_map(|partition| Some((partition, *ends.get(partition)?)));
        self.stalls.see(held, now);
        self.observed.published_elsewhere(&self.parts.state.unpublished, now, &self.parts.status);
        self.observed.retain(|partition| partitions.contains_key(partition), &self.parts.state.unpublished);
        if !self.in_force.is_mine_visible() {
            return;
        }
        for (partition, status) in partitions {
            let at_end = status.next.zip(status.high_watermark).is_some_and(|(next, end)| next >= end);
            if let Some(observed) = ends.get(partition).and_then(|ends| ends.observed).filter(|_| at_end) {
                self.observed.complete(partition.clone(), observed.min(now).as_millisecond());
            }
        }
    }

    /// The least of all partitions; unknown as long as it is of one.
    fn complete_through(&self, partitions: &BTreeMap<TopicPartition, PartitionStatus>) -> Option<Timestamp> {
        let each = partitions.keys().map(|partition| self.observed.complete_through(partition));
        let through = each.reduce(|least, other| Some(least?.min(other?)))??;
        Timestamp::from_millisecond(through).ok()
    }

    fn show_chain(&self) {
        let state = &self.parts.state;
        metrics::LAST_CHECKPOINT_TIMESTAMP.gauge().set(state.created.as_millisecond() as f64 / 1e3);
        metrics::UNPUBLISHED_COMMITS.gauge().set(state.unpublished.len() as f64);
        metrics::RETRACTED_ITEMS.gauge().set(state.retracted.len() as f64);
        let rows: u64 = state.partitions.values().map(|partition| partition.rows).sum();
        let rejects = state.outstanding_rejects();
        metrics::REJECT_RATIO.gauge().set(rejects as f64 / (rows + rejects).max(1) as f64);
    }

    /// Bytes of fetched records, batches and open writers.
    fn memory(&self) -> usize {
        self.parts.source.budget.used_bytes() + self.parts.channels.memory()
    }
}

/// A partition whose next offset to commit is `next`. Ends of before it was taken
/// over tell no more than that its log goes up to there at least.
fn status(next: Option<i64>, ends: Option<Ends>) -> PartitionStatus {
    let is_known = |ends: &Ends| ends.is_fresh || next.is_some_and(|next| ends.last_stable_offset > next);
    let ends = ends.filter(is_known);
    PartitionStatus {
        next,
        last_stable_offset: ends.map(|ends| ends.last_stable_offset),
        high_watermark: ends.map(|ends| ends.high_watermark),
    }
}

/// Records of all partitions up to their ends, as far as those are known; NaN,
/// which is no number, where none is known of and some end is not.
fn lag<'a>(
    partitions: impl Iterator<Item = &'a PartitionStatus>,
    end: fn(&PartitionStatus) -> Option<i64>,
) -> f64 {
    let each = partitions.map(|status| Some((end(status)? - status.next?).max(0) as f64));
    let (sum, is_unknown) = each.fold((0.0, false), |(sum, is_unknown), lag| {
        (sum + lag.unwrap_or_default(), is_unknown || lag.is_none())
    });
    if is_unknown && sum == 0.0 { f64::NAN } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(end: i64, is_fresh: bool) -> Option<Ends> {
        Some(Ends { last_stable_offset: end, high_watermark: end, observed: None, position: 0, is_fresh })
    }

    /// Half a million records were written while the partition was away, and the client
    /// still knows the end of before.
    #[test]
    fn a_partition_that_comes_back_is_not_at_its_end_by_what_was_known_before() {
        let back = status(Some(1_000), ends(1_000, false));
        assert_eq!((back.high_watermark, back.lag()), (None, None));
        let lso = |statuses: &[PartitionStatus]| lag(statuses.iter(), |status| status.last_stable_offset);
        assert!(lso(&[back]).is_nan(), "it may be any number");
        let behind = status(Some(1_000), ends(1_500, false));
        assert_eq!(behind.lag(), Some(500), "so many at least");
        assert_eq!(lso(&[back, behind]), 500.0);
        assert_eq!(lso(&[status(Some(1_000), ends(1_000, true))]), 0.0);
        assert_eq!(lso(&[]), 0.0, "a replica without partitions");
    }
}
