//! A reject as a record of the topic for rejects: its own bytes, key and headers, and behind them what went
//! wrong, in headers named as Kafka Connect names them, so that tools which read its dead letters read these.

use rdkafka::message::{Header, OwnedHeaders};
use tidegate_sinks::CommitId;

use crate::flow::rejects::Rejected;

/// The commit that rejected the record; a sender looks for it.
pub(super) const COMMIT_HEADER: &str = "tidegate.commit";
/// The rejected record's own time, milliseconds since 1970. The time of the new record is when it was sent,
/// or a topic that keeps records for a week would drop an old one at once.
const TIMESTAMP_HEADER: &str = "tidegate.timestamp";

/// What was left out because the topic does not take it. The rejects' files have it.
const OMITTED_HEADER: &str = "tidegate.omitted";

/// `omits`: the record goes without its key, payload and headers.
pub(super) fn headers(
    reject: &Rejected<'_>,
    job: &str,
    decoder: &str,
    commit: &CommitId,
    omits: bool,
) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(reject.headers.len() + 12);
    for (name, value) in &reject.headers {
        headers = headers.insert(Header { key: name, value: *value });
    }
    let partition = reject.partition.to_string();
    let offset = reject.offset.to_string();
    let error = if reject.column.is_some() { "tidegate.RejectedValue" } else { "tidegate.UnreadableRecord" };
    for (name, value) in [
        ("__connect.errors.topic", reject.topic),
        ("__connect.errors.partition", &partition),
        ("__connect.errors.offset", &offset),
        ("__connect.errors.connector.name", job),
        ("__connect.errors.task.id", "0"),
        ("__connect.errors.stage", "VALUE_CONVERTER"),
        ("__connect.errors.class.name", decoder),
        ("__connect.errors.exception.class.name", error),
        ("__connect.errors.exception.message", reject.error),
        (COMMIT_HEADER, &commit.0),
    ] {
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    if let Some(timestamp) = reject.timestamp {
        headers = headers.insert(Header { key: TIMESTAMP_HEADER, value: Some(&timestamp.to_string()) });
    }
    if omits {
        headers = headers.insert(Header { key: OMITTED_HEADER, value: Some("key, payload, headers") });
    }
    headers
}
