//! The one place with unsafe code: records out of librdkafka.
//!
//! Records of all partitions are routed to one queue of their own, apart from the group's events, so back-pressure
//! is simply not reading it: nothing is purged and fetched again, as `pause` would do. An end-of-partition event
//! comes through the same queue and, unlike rust-rdkafka's, still carries its offset.

use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::error::RDKafkaErrorCode;

/// librdkafka's handle, as it hands it out.
pub(super) type Client = *mut native::rd_kafka_t;

/// A queue of librdkafka's. Must be dropped before the client it was made from.
#[derive(Debug)]
pub(super) struct Queue {
    client: Client,
    queue: *mut native::rd_kafka_queue_t,
    batch: Vec<*mut native::rd_kafka_message_t>,
}

// SAFETY: librdkafka's handles may be used from any thread; the queue has one owner, and loans end with each read.
unsafe impl Send for Queue {}

/// A record, or an event of a partition, on loan from [`Messages`].
#[derive(Debug)]
pub(super) struct Message<'a>(&'a native::rd_kafka_message_t);

impl Queue {
    pub(super) fn new(client: Client) -> Self {
        // SAFETY: the client lives longer than the queue, as the struct's owner ensures.
        let queue = unsafe { native::rd_kafka_queue_new(client) };
        Self { client, queue, batch: Vec::new() }
    }

    /// Routes a partition here. Starting or stopping a fetch takes the route away, so it is set again after each.
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

    /// Takes up to `most` messages, waiting at most `wait` for the first. One by one: librdkafka's own batch call counts
    /// the end of a partition as a record read, and after the pause that comes with a rebalance goes on behind the next one.
    pub(super) fn read(&mut self, most: usize, wait: Duration) -> Messages<'_> {
        self.batch.clear();
        let mut wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        while self.batch.len() < most {
            // SAFETY: the queue is alive, and what it gives is ours.
            let message = unsafe { native::rd_kafka_consume_queue(self.queue, wait) };
            if message.is_null() {
                break;
            }
            self.batch.push(message);
            wait = 0;
        }
        Messages(&self.batch)
    }
}

/// What one read took, given back to librdkafka when dropped.
#[derive(Debug)]
pub(super) struct Messages<'a>(&'a [*mut native::rd_kafka_message_t]);

impl Messages<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: librdkafka filled in valid messages, which are ours until they are destroyed.
        self.0.iter().map(|&message| Message(unsafe { &*message }))
    }
}

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        for &message in self.0 {
            // SAFETY: nothing borrows from it any more, and it is destroyed once.
            unsafe { native::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`, destroyed once.
        unsafe { native::rd_kafka_queue_destroy(self.queue) }
    }
}

impl Message<'_> {
    /// Tells topics apart without looking at their names; only valid as long as the message.
    pub(super) fn topic_handle(&self) -> usize {
        self.0.rkt as usize
    }

    /// `None` for an event that concerns no topic.
    pub(super) fn topic(&self) -> Option<&str> {
        if self.0.rkt.is_null() {
            return None;
        }
        // SAFETY: the topic's name lives as long as its handle, which the message holds.
        unsafe { CStr::from_ptr(native::rd_kafka_topic_name(self.0.rkt)).to_str().ok() }
    }

    pub(super) fn partition(&self) -> i32 {
        self.0.partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.0.offset
    }

    /// `None` for a record.
    pub(super) fn error(&self) -> Option<RDKafkaErrorCode> {
        (self.0.err != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| self.0.err.into())
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka gives the key's length with it.
        (!self.0.key.is_null()).then(|| unsafe { slice::from_raw_parts(self.0.key.cast(), self.0.key_len) })
    }

    /// `None` for a tombstone, and for an event (whose payload is a text).
    pub(super) fn payload(&self) -> Option<&[u8]> {
        let present = !self.0.payload.is_null() && self.error().is_none();
        // SAFETY: librdkafka gives the payload's length with it.
        present.then(|| unsafe { slice::from_raw_parts(self.0.payload.cast(), self.0.len) })
    }

    /// Bytes of key and payload.
    pub(super) fn size(&self) -> usize {
        self.key().map_or(0, <[u8]>::len) + self.payload().map_or(0, <[u8]>::len)
    }

    /// Milliseconds since 1970.
    pub(super) fn timestamp(&self) -> Option<i64> {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: reads two fields of the message.
        let timestamp = unsafe { native::rd_kafka_message_timestamp(self.0, &mut kind) };
        (timestamp >= 0).then_some(timestamp)
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let mut headers = ptr::null_mut();
        // SAFETY: the headers belong to the message; librdkafka parses them into it on this call.
        let found = unsafe { native::rd_kafka_message_headers(self.0, &mut headers) };
        let found = found == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let mut index = 0;
        std::iter::from_fn(move || {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null::<c_void>(), 0);
            // SAFETY: librdkafka checks the index; what it fills in lives as long as the message.
            unsafe {
                let error = if found {
                    native::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size)
                } else {
                    return None;
                };
                if error != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return None;
                }
                index += 1;
                let name = CStr::from_ptr(name).to_str().unwrap_or("");
                Some((name, (!value.is_null()).then(|| slice::from_raw_parts(value.cast(), size))))
            }
        })
    }
}
