//! Calls into librdkafka that rdkafka does not wrap: offsets by isolation level, ids of topics, leader
//! epochs, and the log lines that say why a broker is not reached.
//!
//! Every pointer made here is owned by a guard that frees it; what comes back is plain data.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaType;
use tidegate_sinks::TopicPartition;

use super::message::{error_at, error_of};

// Declared once more, as the numbers that they return: a broker may know codes
// that the client's enum does not.
unsafe extern "C" {
    #[link_name = "rd_kafka_event_error"]
    fn event_error(event: *mut rd::rd_kafka_event_t) -> c_int;
    #[link_name = "rd_kafka_error_code"]
    fn error_code(error: *const rd::rd_kafka_error_t) -> c_int;
}

/// The offset spec that asks for the first offset of the log.
pub(super) const EARLIEST: i64 = rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64;
/// The offset spec that asks for the end: last stable offset or high watermark, by isolation level.
pub(super) const LATEST: i64 = rd::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64;

/// One answer a partition: an offset (negative: none), or why there is none.
pub(super) type Answers = Vec<(TopicPartition, Result<i64, RDKafkaErrorCode>)>;

/// A request as a whole failed.
pub(super) struct Failure {
    pub(super) code: RDKafkaErrorCode,
    /// librdkafka's own words.
    pub(super) reason: String,
}

/// Offsets for a spec: [`EARLIEST`], [`LATEST`], or a timestamp in milliseconds
/// (the first record at or after it).
pub(super) fn list_offsets<C: ClientContext>(
    admin: &AdminClient<C>,
    partitions: &[TopicPartition],
    spec: i64,
    read_committed: bool,
    timeout: Duration,
) -> Result<Answers, Failure> {
    // SAFETY: what is passed is a topic partition of librdkafka's.
    ask_offsets(admin, partitions, spec, read_committed, timeout, |answer| unsafe { answer_of(answer) })
}

/// Whether any partition's end comes with the epoch of its leader.
pub(super) fn tell_epochs<C: ClientContext>(
    admin: &AdminClient<C>,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<bool, Failure> {
    let epochs = ask_offsets(admin, partitions, LATEST, false, timeout, |answer| {
        // SAFETY: what is passed is a topic partition of librdkafka's.
        unsafe { rd::rd_kafka_topic_partition_get_leader_epoch(answer) }
    })?;
    Ok(epochs.iter().any(|epoch| *epoch >= 0))
}

fn ask_offsets<C: ClientContext, T>(
    admin: &AdminClient<C>,
    partitions: &[TopicPartition],
    spec: i64,
    read_committed: bool,
    timeout: Duration,
    each: impl Fn(*const rd::rd_kafka_topic_partition_t) -> T,
) -> Result<Vec<T>, Failure> {
    let client = admin.inner().native_ptr();
    let list = List::new(partitions.iter().map(|partition| (partition, spec)))?;
    let options = Options::new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout);
    if read_committed {
        let level = rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED;
        // SAFETY: `options` is live. The returned error is null, as the operation takes this option.
        let error = unsafe { rd::rd_kafka_AdminOptions_set_isolation_level(options.0.as_ptr(), level) };
        debug_assert!(error.is_null(), "ListOffsets takes an isolation level");
    }
    let queue = Queue::new(client);
    // SAFETY: all pointers are live; the call copies `list` and `options`, and answers on `queue`.
    unsafe {
        rd::rd_kafka_ListOffsets(client, list.0.as_ptr(), options.0.as_ptr(), queue.0.as_ptr());
    }
    let answer = queue.answer(timeout)?;
    let mut count = 0;
    // SAFETY: the answer is to ListOffsets (the only request on this queue) and lives to the end of the
    // function; the array has `count` elements, each with a topic partition that lives as long as the answer.
    unsafe {
        let result = rd::rd_kafka_event_ListOffsets_result(answer.0.as_ptr());
        let infos = rd::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let answer_at = |index| rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(index));
        Ok((0..count).map(|index| each(answer_at(index))).collect())
    }
}

/// A topic as a broker describes it.
pub(super) struct Topic {
    /// As Kafka's own tools write it; `None`: the brokers have none.
    pub(super) id: Option<String>,
    /// Its partitions, and whether each has a leader.
    pub(super) leaders: BTreeMap<i32, bool>,
    /// As far as the broker tells.
    pub(super) may_read: bool,
}

/// Topics, each with what is known of it or why nothing is.
pub(super) type Topics = Vec<(String, Result<Topic, RDKafkaErrorCode>)>;

/// How each of these topics is. Asks one broker: librdkafka would wait for a controller, and not
/// every cluster names one.
pub(super) fn topics<C: ClientContext>(
    admin: &AdminClient<C>,
    broker: i32,
    topics: &[&str],
    timeout: Duration,
) -> Result<Topics, Failure> {
    let client = admin.inner().native_ptr();
    let names = topics.iter().map(|topic| c_string(topic)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the array has as many live strings as is said, and they are copied.
    let collection =
        unsafe { rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let collection = Collection(NonNull::new(collection).expect("librdkafka aborts when memory is out"));
    let options = Options::new(client, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout);
    let mut reason = [0; 256];
    // SAFETY: options and buffer are live, and the length is the buffer's; the second returns null, as the
    // operation knows the option. Refused is only a negative id: then it waits for the controller.
    unsafe {
        rd::rd_kafka_AdminOptions_set_broker(options.0.as_ptr(), broker, reason.as_mut_ptr(), reason.len());
        rd::rd_kafka_AdminOptions_set_include_authorized_operations(options.0.as_ptr(), 1);
    }
    let queue = Queue::new(client);
    // SAFETY: all pointers are live; the call copies `collection` and `options`, and answers on `queue`.
    unsafe {
        rd::rd_kafka_DescribeTopics(client, collection.0.as_ptr(), options.0.as_ptr(), queue.0.as_ptr());
    }
    let answer = queue.answer(timeout)?;
    let mut count = 0;
    // SAFETY: the answer is to DescribeTopics (the only request on this queue) and lives to the end of the
    // function; the array has `count` elements, which live as long, and so do all that is read of them.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(answer.0.as_ptr());
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok((0..count).map(|index| topic(*topics.add(index))).collect())
    }
}

/// # Safety
/// `topic` points to a topic's description of librdkafka's.
unsafe fn topic(topic: *const rd::rd_kafka_TopicDescription_t) -> (String, Result<Topic, RDKafkaErrorCode>) {
    // SAFETY: by the contract of this function; an id is never null, its text and the
    // arrays live as long as it, and the arrays have as many elements as is said. An
    // operation may be one that the client's enum does not know.
    unsafe {
        let name = text(rd::rd_kafka_TopicDescription_name(topic));
        let error = rd::rd_kafka_TopicDescription_error(topic);
        if let Some(code) = (!error.is_null()).then(|| error_of(error_code(error))).flatten() {
            return (name, Err(code));
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let is_set = rd::rd_kafka_Uuid_most_significant_bits(id) != 0
            || rd::rd_kafka_Uuid_least_significant_bits(id) != 0;
        let mut count = 0;
        let partitions = rd::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let partition = |index: usize| {
            let partition = *partitions.add(index);
            let leader = rd::rd_kafka_TopicPartitionInfo_leader(partition);
            let has_leader = !leader.is_null() && rd::rd_kafka_Node_id(leader) >= 0;
            (rd::rd_kafka_TopicPartitionInfo_partition(partition), has_leader)
        };
        let leaders = (0..count).map(partition).collect();
        let operations: *const c_int =
            rd::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count).cast();
        let read = rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ as c_int;
        // Brokers before 2.3 tell none, and so do some that are not Apache's.
        let may_read = count == 0 || (0..count).any(|index| *operations.add(index) == read);
        let id = is_set.then(|| text(rd::rd_kafka_Uuid_base64str(id)));
        (name, Ok(Topic { id, leaders, may_read }))
    }
}

/// Says of a partition of `list`, which is there, by which leader's epoch its offset was read.
pub(crate) fn set_leader_epoch(list: &mut TopicPartitionList, partition: &TopicPartition, epoch: i32) {
    let Ok(topic) = CString::new(&*partition.topic) else { return };
    // SAFETY: list and name are live, and nobody else uses the list; what is found belongs to the list.
    unsafe {
        let found = rd::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), partition.partition);
        if !found.is_null() {
            rd::rd_kafka_topic_partition_set_leader_epoch(found, epoch);
        }
    }
}

/// Whether the coordinator has given the client a member id: it has, from the first
/// answer to a JoinGroup until the group is left.
pub(crate) fn has_member_id<C: ClientContext>(client: &Client<C>) -> bool {
    // SAFETY: the client is live; what it returns is null or a text of our own, which
    // is freed the way it asks for.
    unsafe {
        let id = rd::rd_kafka_memberid(client.native_ptr());
        let has_one = !id.is_null() && !CStr::from_ptr(id).is_empty();
        if !id.is_null() {
            rd::rd_kafka_mem_free(client.native_ptr(), id.cast());
        }
        has_one
    }
}

/// The warnings, errors and lost connections that the client has logged since the last call.
pub(super) fn complaints<C: ClientContext>(client: &Client<C>) -> Vec<String> {
    const WARNING: c_int = 4;
    logged(client, |level, facility| (level <= WARNING || facility == "FAIL") && facility != "CONFWARN")
}

/// What the client has logged since the last call of levels and facilities to `keep`; the rest is gone.
fn logged<C: ClientContext>(client: &Client<C>, keep: impl Fn(c_int, &str) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    // SAFETY: the client is live; the guard gives back the reference to its main queue.
    let queue = unsafe { rd::rd_kafka_queue_get_main(client.native_ptr()) };
    let Some(queue) = NonNull::new(queue).map(Queue) else { return lines };
    // SAFETY: the queue is live; the guard frees each event; the strings live as long as their event.
    while let Some(event) = NonNull::new(unsafe { rd::rd_kafka_queue_poll(queue.0.as_ptr(), 0) }).map(Event) {
        let (mut facility, mut line, mut level) = (std::ptr::null(), std::ptr::null(), 0);
        // SAFETY: as above; a result other than 0 says that the event is no log line, and
        // nothing was written.
        unsafe {
            let log =
                rd::rd_kafka_event_log(event.0.as_ptr(), &raw mut facility, &raw mut line, &raw mut level);
            if log == 0 && keep(level, &text(facility)) {
                lines.push(text(line));
            }
        }
    }
    lines
}

/// Whether a broker has said that it takes no Fetch of version 4, the first that knows transactions. The
/// client tells it in its log alone, so one of its own is made to log that.
pub(super) fn fetches_uncommitted(config: &ClientConfig, timeout: Duration) -> bool {
    let mut config = config.clone();
    config.set("debug", "feature").set_log_level(RDKafkaLogLevel::Debug);
    let Ok(client) = config.create::<AdminClient<DefaultClientContext>>() else { return false };
    let client = client.inner();
    let _ = client.fetch_metadata(Some("_"), timeout);
    let told = logged(client, |_, facility| facility == "APIVERSION");
    told.iter().any(|line| line.contains("Fetch (4..") && line.contains("NOT supported"))
}

/// What is wrong with the brokers' certificates, in the words of `explain` (from OpenSSL's verification
/// error): the client's own message is the same for all flaws. Connects anew to find out.
pub(super) fn certificate_flaw(config: &ClientConfig, timeout: Duration) -> Option<String> {
    let native = config.create_native_config().ok()?;
    // SAFETY: the configuration is live, and the callback is a function of this program.
    unsafe { rd::rd_kafka_conf_set_ssl_cert_verify_cb(native.ptr(), Some(explain_flaw)) };
    let client = Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext).ok()?;
    // It fails, once it has been told why.
    let _ = client.fetch_metadata(Some("_"), timeout);
    complaints(&client).into_iter().find(|complaint| complaint.contains("verification callback failed"))
}

/// Takes what OpenSSL takes, and writes its reason for anything else. librdkafka
/// logs it, with the certificate's names.
unsafe extern "C" fn explain_flaw(
    _: *mut rd::rd_kafka_t,
    _: *const c_char,
    _: i32,
    error: *mut c_int,
    _: c_int,
    _: *const c_char,
    _: usize,
    reason: *mut c_char,
    size: usize,
    _: *mut c_void,
) -> c_int {
    // SAFETY: librdkafka passes a live integer, and a buffer of `size` bytes.
    unsafe {
        if *error == 0 {
            return 1;
        }
        let text = super::refused::certificate(*error).as_bytes();
        let length = text.len().min(size.saturating_sub(1));
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), reason, length);
        *reason.add(length) = 0;
    }
    0
}

/// # Safety
/// `partition` points to a topic partition of librdkafka's.
unsafe fn answer_of(
    partition: *const rd::rd_kafka_topic_partition_t,
) -> (TopicPartition, Result<i64, RDKafkaErrorCode>) {
    // SAFETY: by the contract of this function; a topic's name is never null. Single fields, and no reference
    // to the whole: its code may be one that the enum does not know.
    unsafe {
        let answer = error_at(&raw const (*partition).err).map_or(Ok((*partition).offset), Err);
        (TopicPartition::new(text((*partition).topic), (*partition).partition), answer)
    }
}

/// # Safety
/// `pointer` is null or a string that ends with a zero byte.
pub(super) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: by the contract of this function.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

fn c_string(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| Failure {
        code: RDKafkaErrorCode::InvalidArgument,
        reason: "a name holds a zero byte".into(),
    })
}

/// A list of partitions with an offset each.
struct List(NonNull<rd::rd_kafka_topic_partition_list_t>);

impl List {
    fn new<'a>(entries: impl ExactSizeIterator<Item = (&'a TopicPartition, i64)>) -> Result<Self, Failure> {
        // SAFETY: the call has no precondition; it aborts rather than return null.
        let list = unsafe { rd::rd_kafka_topic_partition_list_new(entries.len() as c_int) };
        let list = Self(NonNull::new(list).expect("librdkafka aborts when memory is out"));
        for (partition, offset) in entries {
            let topic = c_string(&partition.topic)?;
            // SAFETY: list and name are live; the name is copied; the new element is never null.
            unsafe {
                let added = rd::rd_kafka_topic_partition_list_add(
                    list.0.as_ptr(),
                    topic.as_ptr(),
                    partition.partition,
                );
                (*added).offset = offset;
            }
        }
        Ok(list)
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.0.as_ptr()) }
    }
}

/// Names of topics.
struct Collection(NonNull<rd::rd_kafka_TopicCollection_t>);

impl Drop for Collection {
    fn drop(&mut self) {
        // SAFETY: made by `topic_ids`, freed once.
        unsafe { rd::rd_kafka_TopicCollection_destroy(self.0.as_ptr()) }
    }
}

/// Options of an admin request.
struct Options(NonNull<rd::rd_kafka_AdminOptions_t>);

impl Options {
    fn new(client: *mut rd::rd_kafka_t, operation: rd::rd_kafka_admin_op_t, timeout: Duration) -> Self {
        // SAFETY: the client is live; null comes back only for an unknown operation.
        let options = unsafe { rd::rd_kafka_AdminOptions_new(client, operation) };
        let options = Self(NonNull::new(options).expect("this librdkafka knows the operation"));
        let mut reason = [0; 256];
        // SAFETY: options and buffer are live, and the length is the buffer's.
        unsafe {
            rd::rd_kafka_AdminOptions_set_request_timeout(
                options.0.as_ptr(),
                milliseconds(timeout),
                reason.as_mut_ptr(),
                reason.len(),
            );
        }
        options
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe { rd::rd_kafka_AdminOptions_destroy(self.0.as_ptr()) }
    }
}

/// A queue for the answer to one request, or a reference to the client's main queue.
struct Queue(NonNull<rd::rd_kafka_queue_t>);

impl Queue {
    fn new(client: *mut rd::rd_kafka_t) -> Self {
        // SAFETY: the client is live.
        let queue = unsafe { rd::rd_kafka_queue_new(client) };
        Self(NonNull::new(queue).expect("librdkafka aborts when memory is out"))
    }

    fn answer(&self, timeout: Duration) -> Result<Event, Failure> {
        // Beyond the request's own timeout, so that its reason is the one reported.
        let timeout = milliseconds(timeout).saturating_add(1_000);
        // SAFETY: the queue is live.
        let event = unsafe { rd::rd_kafka_queue_poll(self.0.as_ptr(), timeout) };
        let event = NonNull::new(event).map(Event).ok_or_else(|| Failure {
            code: RDKafkaErrorCode::OperationTimedOut,
            reason: "no answer in time".into(),
        })?;
        // SAFETY: the event is live, and its error string lives as long.
        unsafe {
            match error_of(event_error(event.0.as_ptr())) {
                None => Ok(event),
                Some(code) => {
                    Err(Failure { code, reason: text(rd::rd_kafka_event_error_string(event.0.as_ptr())) })
                }
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: one reference was taken, and one is given back.
        unsafe { rd::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// An event that was taken off a queue.
struct Event(NonNull<rd::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: taken off a queue, freed once.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

fn milliseconds(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}
