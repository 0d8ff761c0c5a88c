//! The end of a consumer: out of its group first, so that others take over at once.
//!
//! Up to 2.14.1, librdkafka crashes when it is closed while the answer to a SyncGroup is
//! on its way (its pull request 5327), and closed before it is told of its partitions it
//! stays in the group. So its subscription ends first, which waits for both.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::group::{GroupConsumer, Rebalance, grant};
use crate::kafka;

/// Between looks whether the group is left.
const LOOK: Duration = Duration::from_millis(20);

/// Gives the partitions back, leaves the group, and ends the client as soon as the messages that it has lent
/// are gone. `asked` is a wish of the group's that has not been granted.
///
/// It takes as long as the coordinator lets a member wait that is joining: until
/// the others have joined as well.
pub(super) fn leave(consumer: Arc<GroupConsumer>, asked: Option<Rebalance>) {
    let group = consumer.context();
    group.set_leaving();
    // A static member stays in its group when it is closed, but not when its subscription ends.
    if !group.is_static {
        consumer.unsubscribe();
    }
    for wish in asked.into_iter().chain(iter::from_fn(|| group.next_rebalance())) {
        match wish {
            Rebalance::Assign(partitions) => grant(&consumer, true, &kafka::partition_list(&partitions)),
            Rebalance::Revoke(partitions) => grant(&consumer, false, &kafka::partition_list(&partitions)),
        }
    }
    while !group.is_static && kafka::has_member_id(consumer.client()) {
        // Nothing that comes now is wanted.
        let _ = consumer.poll(LOOK);
    }
    match Arc::try_unwrap(consumer) {
        Ok(consumer) => drop(consumer),
        Err(lent) => close(&lent),
    }
}

/// Waits until the group knows that it is left. The client itself can't end while
/// messages are lent, but the process soon may.
fn close(consumer: &GroupConsumer) {
    if let Err(error) = consumer.close_queue() {
        tracing::debug!(%error, "leaving the group");
        return;
    }
    while !consumer.closed() {
        let _ = consumer.poll(LOOK);
    }
}
