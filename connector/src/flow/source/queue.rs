//! Messages out of librdkafka.
//!
//! Records of all partitions are routed to one queue of their own, apart from the group's events, so
//! back-pressure is simply not reading it: nothing is purged and fetched again, as `pause` would do. An
//! end-of-partition event comes through the same queue and, unlike rust-rdkafka's, still carries its offset.

use std::ffi::CString;
use std::time::Duration;

use rdkafka::bindings as native;

use crate::kafka::Message;

/// librdkafka's handle, as it hands it out.
pub(super) type Client = *mut native::rd_kafka_t;

/// A queue of librdkafka's. Must be dropped before the client it was made from.
#[derive(Debug)]
pub(super) struct Queue {
    client: Client,
    queue: *mut native::rd_kafka_queue_t,
}

// SAFETY: librdkafka's handles may be used from any thread; the queue has one owner.
unsafe impl Send for Queue {}

impl Queue {
    pub(super) fn new(client: Client) -> Self {
        // SAFETY: the client lives longer than the queue, as the struct's owner ensures.
        let queue = unsafe { native::rd_kafka_queue_new(client) };
        Self { client, queue }
    }

    /// Routes a partition here. Starting or stopping a fetch takes the route away, so
    /// it is set again after each.
    pub(super) fn route(&self, topic: &str, partition: i32) {
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: both queues are alive during the call, and the partition's handle is given back.
        unsafe {
            let source = native::rd_kafka_queue_get_partition(self.client, topic.as_ptr(), partition);
            if !source.is_null() {
                native::rd_kafka_queue_forward(source, self.queue);
                native::rd_kafka_queue_destroy(source);
            }
        }
    }

    /// Takes up to `most` messages, waiting at most `wait` for the first. One by one:
    /// librdkafka's own batch call counts the end of a partition as a record read, and
    /// after the pause that comes with a rebalance goes on behind the next one.
    pub(super) fn read(&mut self, most: usize, wait: Duration) -> impl Iterator<Item = Message> {
        let mut wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        std::iter::from_fn(move || {
            // SAFETY: the queue is alive, and what it gives is ours.
            let message = unsafe { Message::own(native::rd_kafka_consume_queue(self.queue, wait)) };
            wait = 0;
            message
        })
        .take(most)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`, destroyed once.
        unsafe { native::rd_kafka_queue_destroy(self.queue) }
    }
}
