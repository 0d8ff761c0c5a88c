//! The end of a consumer: out of its group first, so that others take over at once.
//!
//! Up to 2.14.1, librdkafka crashes when it is closed while the answer to a SyncGroup is on its way (its pull request 5327), and
//! does not leave a group that it is joining. So the subscription is ended before the client is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;

use super::group::{GroupConsumer, Rebalance, grant};
use crate::kafka;

/// Between looks whether the group is left.
const LOOK: Duration = Duration::from_millis(20);
/// How long the coordinator may take to let a member join, as it waits for the others to join again. They do with their heartbeats,
/// every 3 s; those that were killed never do.
const PATIENCE: Duration = Duration::from_secs(4);

/// Gives the partitions back, leaves the group, and ends the client as soon as the messages that it has lent are gone.
/// `asked` is a wish of the group's that has not been granted.
pub(super) fn leave(consumer: Arc<GroupConsumer>, asked: Option<Rebalance>) {
    consumer.context().set_leaving();
    // A static member stays in its group when it is closed, but not when its subscription ends.
    if !consumer.context().is_static && !unsubscribe(&consumer, asked) {
        tracing::warn!(
            "the group is not left, as its coordinator does not let this member join; it ends after the session timeout"
        );
        // Not closed, but ended with the process.
        std::mem::forget(consumer);
        return;
    }
    match Arc::try_unwrap(consumer) {
        Ok(consumer) => drop(consumer),
        Err(lent) => close(&lent),
    }
}

/// Whether the group is left, or was never joined.
fn unsubscribe(consumer: &GroupConsumer, asked: Option<Rebalance>) -> bool {
    if let Some(wish) = asked.or_else(|| consumer.context().next_rebalance()) {
        let assign = matches!(wish, Rebalance::Assign(_));
        let (Rebalance::Assign(partitions) | Rebalance::Revoke(partitions)) = wish;
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        grant(consumer, assign, &list);
    }
    consumer.unsubscribe();
    let give_up = Instant::now() + PATIENCE;
    while kafka::is_member(consumer.client()) {
        if Instant::now() > give_up {
            return false;
        }
        // Nothing that comes now is wanted.
        let _ = consumer.poll(LOOK);
    }
    true
}

/// Ends what it does in the group. The client itself can't end while messages are lent, but the process soon may.
fn close(consumer: &GroupConsumer) {
    if let Err(error) = consumer.close_queue() {
        tracing::debug!(%error, "leaving the group");
        return;
    }
    while !consumer.closed() {
        let _ = consumer.poll(LOOK);
    }
}
