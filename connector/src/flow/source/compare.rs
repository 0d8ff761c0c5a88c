//! Whether the brokers still have all that was read: an unclean election of a
//! leader takes records back, and others may stand in their place since.
//!
//! A leader that is asked for the end of an earlier leader's records tells (KIP-320). The client asks when it
//! is sent to an offset with an epoch, and when it hears of a new leader; not when it is assigned one, and
//! not where it hears of the leader while it is doing something else. So each partition is sent to its offset
//! once more after it is assigned, and once more when the first records of another leader come.

use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};
use tidegate_sinks::{LeaderEpoch, TopicPartition};

use super::{Held, Reader, SEEK};
use crate::flow::event::Fetch;
use crate::kafka;

impl Held {
    /// Whether to take what was fetched. Records of a leader other than the one before are taken only after
    /// the brokers were asked what that one has left of its predecessors'.
    pub(super) fn take(&mut self, fetch: &Fetch) -> bool {
        if self.unasked {
            return false;
        }
        if let (Some(before), Some(now)) = (self.epoch, fetch.epoch)
            && before.epoch != now.epoch
            && self.asked_for != Some(now.epoch)
        {
            (self.unasked, self.asked_for) = (true, Some(now.epoch));
            return false;
        }
        self.start = fetch.next;
        self.epoch = fetch.epoch.or(self.epoch);
        self.silent = false;
        true
    }
}

impl Reader {
    /// Has the client ask about each partition where that is due. It tells of a loss as
    /// of an offset that it cannot read from. What cannot be asked yet, as a partition
    /// is not being read yet, is asked at the next call.
    pub(super) fn ask_whether_all_is_there(&mut self) {
        let mut list = TopicPartitionList::new();
        for (partition, held) in self.held.iter().filter(|(_, held)| held.unasked) {
            add_at(&mut list, partition, held.start, held.epoch);
        }
        if list.count() == 0 {
            return;
        }
        match self.consumer.seek_partitions(list, SEEK) {
            Ok(list) => {
                for asked in list.elements().iter().filter(|element| element.error().is_ok()) {
                    let partition = TopicPartition::new(asked.topic(), asked.partition());
                    if let Some(held) = self.held.get_mut(&partition) {
                        held.unasked = false;
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "asking whether the brokers have all that was read"),
        }
    }
}

/// With an epoch, from where it ends: between there and `offset` lies nothing that
/// a reader sees, and of which epoch that is nobody has told.
pub(super) fn add_at(
    list: &mut TopicPartitionList,
    partition: &TopicPartition,
    offset: i64,
    epoch: Option<LeaderEpoch>,
) {
    let from = epoch.map_or(offset, |epoch| epoch.to.min(offset));
    list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(from))
        .expect("an offset of the sink's is never negative");
    if let Some(LeaderEpoch { epoch, .. }) = epoch {
        kafka::set_leader_epoch(list, partition, epoch);
    }
}
