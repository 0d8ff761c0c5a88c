//! A record, or an event of a partition, as librdkafka hands it out: read where it
//! lies, and given back when dropped.

use std::ffi::{CStr, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Mutex, PoisonError};

use rdkafka::bindings as native;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;

/// Must be dropped before its client is.
#[derive(Debug)]
pub struct Message(NonNull<native::rd_kafka_message_t>);

// SAFETY: a message has one owner, and librdkafka counts its references to what messages share atomically.
unsafe impl Send for Message {}
// SAFETY: nothing is changed by what is called here but for `headers`, which takes a lock.
unsafe impl Sync for Message {}

/// One field. Never a reference to the whole: its `err` may hold a number that the
/// enum does not know, to which no reference may exist.
macro_rules! field {
    ($message:expr, $name:ident) => {
        // SAFETY: librdkafka filled the message in, and it is ours until it is dropped.
        unsafe { (&raw const (*$message.0.as_ptr()).$name).read() }
    };
}

impl Message {
    /// # Safety
    /// `message` is null, or came from one of librdkafka's calls that consume and is nobody else's.
    pub(crate) unsafe fn own(message: *mut native::rd_kafka_message_t) -> Option<Self> {
        NonNull::new(message).map(Self)
    }

    /// Tells topics apart without looking at their names; only valid as long as the message.
    pub fn topic_handle(&self) -> usize {
        field!(self, rkt) as usize
    }

    /// `None` for an event that concerns no topic.
    pub fn topic(&self) -> Option<&str> {
        let topic = field!(self, rkt);
        if topic.is_null() {
            return None;
        }
        // SAFETY: the topic's name lives as long as its handle, which the message holds.
        unsafe { CStr::from_ptr(native::rd_kafka_topic_name(topic)).to_str().ok() }
    }

    pub fn partition(&self) -> i32 {
        field!(self, partition)
    }

    #[inline]
    pub fn offset(&self) -> i64 {
        field!(self, offset)
    }

    /// `None` for a record.
    #[inline]
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        // SAFETY: librdkafka filled it in, and it is ours until it is dropped.
        unsafe { error_at(&raw const (*self.0.as_ptr()).err) }
    }

    /// What the client says of an error; empty for a record.
    pub fn reason(&self) -> String {
        // SAFETY: of an error the text lives as long as its message, or for ever; of a record there is none.
        unsafe { super::native::text(native::rd_kafka_message_errstr(self.0.as_ptr())) }
    }

    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        let (key, length) = (field!(self, key), field!(self, key_len));
        // SAFETY: librdkafka gives the key's length with it, and both live as long as the message.
        (!key.is_null()).then(|| unsafe { slice::from_raw_parts(key.cast(), length) })
    }

    /// `None` for a tombstone, and for an event (whose payload is a text).
    #[inline]
    pub fn payload(&self) -> Option<&[u8]> {
        let (payload, length) = (field!(self, payload), field!(self, len));
        let present = !payload.is_null() && self.error().is_none();
        // SAFETY: librdkafka gives the payload's length with it, and both live as long as the message.
        present.then(|| unsafe { slice::from_raw_parts(payload.cast(), length) })
    }

    /// Bytes of key and payload.
    #[inline]
    pub fn size(&self) -> usize {
        self.key().map_or(0, <[u8]>::len) + self.payload().map_or(0, <[u8]>::len)
    }

    /// Milliseconds since 1970.
    #[inline]
    pub fn timestamp(&self) -> Option<i64> {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: reads two fields of the message.
        let timestamp = unsafe { native::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) };
        (timestamp >= 0).then_some(timestamp)
    }

    /// The epoch of the leader that took the record; `None` for an event, and where the brokers tell none.
    pub fn leader_epoch(&self) -> Option<i32> {
        if self.error().is_some() {
            return None;
        }
        // SAFETY: the message is a record of a consumer, and is ours until it is dropped.
        let epoch = unsafe { native::rd_kafka_message_leader_epoch(self.0.as_ptr()) };
        (epoch >= 0).then_some(epoch)
    }

    /// In their order. Costs more than reading the message, also when there are none. A
    /// name need not be UTF-8.
    pub fn headers(&self) -> Vec<(&[u8], Option<&[u8]>)> {
        // SAFETY: the message lives as long as what is borrowed of it.
        unsafe { headers(self.0.as_ptr()) }
    }
}

/// Headers of a message of rust-rdkafka's, whose own accessor panics at a name that is not UTF-8.
pub(crate) fn headers_of<'a>(message: &'a BorrowedMessage<'_>) -> Vec<(&'a [u8], Option<&'a [u8]>)> {
    // SAFETY: the message lives as long as what is borrowed of it.
    unsafe { headers(message.ptr()) }
}

/// # Safety
/// The message must live for `'a`.
unsafe fn headers<'a>(message: *mut native::rd_kafka_message_t) -> Vec<(&'a [u8], Option<&'a [u8]>)> {
    // librdkafka parses them into the message at the first question, without a lock of its own.
    static PARSING: Mutex<()> = Mutex::new(());
    let mut headers = ptr::null_mut();
    // SAFETY: the headers belong to the message, and live as long.
    let found = unsafe {
        let _parsing = PARSING.lock().unwrap_or_else(PoisonError::into_inner);
        native::rd_kafka_message_headers(message, &mut headers)
    };
    if found != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Vec::new();
    }
    let header = |index| {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null::<c_void>(), 0);
        // SAFETY: librdkafka checks the index; what it fills in lives as long as the message.
        unsafe {
            let end = native::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
            if end != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            let name = CStr::from_ptr(name).to_bytes();
            Some((name, (!value.is_null()).then(|| slice::from_raw_parts(value.cast(), size))))
        }
    };
    (0..).map_while(header).collect()
}

/// Reads a code as the number that it is: a broker may know some that the client's enum does not.
///
/// # Safety
/// `place` may be read.
#[inline]
pub(super) unsafe fn error_at(place: *const native::rd_kafka_resp_err_t) -> Option<RDKafkaErrorCode> {
    // SAFETY: by the contract of this function; the enum is an i32.
    error_of(unsafe { place.cast::<i32>().read() })
}

/// What a code stands for; one that the client's enum does not know counts as a plain failure.
#[inline]
pub(super) fn error_of(code: i32) -> Option<RDKafkaErrorCode> {
    match code {
        0 => None,
        code => {
            let known = native::rd_kafka_resp_err_t::try_from(code);
            Some(known.map_or(RDKafkaErrorCode::Fail, RDKafkaErrorCode::from))
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from it any more, and it is destroyed once.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_the_client_does_not_know_is_a_failure() {
        for (code, expected) in [
            (0_i32, None),
            (3, Some(RDKafkaErrorCode::UnknownTopicOrPartition)),
            (-191, Some(RDKafkaErrorCode::PartitionEOF)),
            (30_000, Some(RDKafkaErrorCode::Fail)),
        ] {
            // SAFETY: the number is there to be read.
            assert_eq!(unsafe { error_at((&raw const code).cast()) }, expected, "{code}");
        }
    }

    /// Nothing but its error may be read as an enum, and that only as the number that it is. Miri judges it.
    #[test]
    fn a_message_with_a_code_that_the_client_does_not_know_is_read_field_by_field() {
        let mut raw = std::mem::MaybeUninit::<native::rd_kafka_message_t>::zeroed();
        let payload = b"text";
        // SAFETY: zeroes are a message but for what is written here; no reference to the whole is made.
        unsafe {
            let raw = raw.as_mut_ptr();
            (&raw mut (*raw).err).cast::<i32>().write(30_000);
            (&raw mut (*raw).partition).write(3);
            (&raw mut (*raw).offset).write(7);
            (&raw mut (*raw).payload).write(payload.as_ptr().cast_mut().cast());
            (&raw mut (*raw).len).write(payload.len());
        }
        // SAFETY: it is never dropped, as it is not librdkafka's to be destroyed.
        let message = unsafe { Message::own(raw.as_mut_ptr()) }.map(std::mem::ManuallyDrop::new).unwrap();
        assert_eq!((message.partition(), message.offset(), message.key()), (3, 7, None));
        assert_eq!((message.error(), message.payload()), (Some(RDKafkaErrorCode::Fail), None));
        assert_eq!((message.topic(), message.leader_epoch()), (None, None));
    }
}
