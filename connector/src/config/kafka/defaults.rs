//! Defaults that give way to what is set among the client's properties: one that is given stands, and those
//! that are not are chosen so that they fit it. Only values that were all given can contradict one another.
//! Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// As librdkafka has it.
const HEARTBEAT: u64 = 3_000;
/// Positions are the sink's, so a replica that is gone may be declared dead early.
const SESSION: u64 = 10_000;
const POLL: u64 = 300_000;
const REVOKE: Duration = Duration::from_secs(15);
/// librdkafka takes no longer session, and no longer poll.
const SESSION_MAX: u64 = 3_600_000;
const POLL_MAX: u64 = 86_400_000;
/// librdkafka's own would be as long as the shortest transaction timeout.
pub(in crate::config) const SOCKET: Duration = Duration::from_secs(30);
const TRANSACTION: Duration = Duration::from_secs(60);
/// librdkafka's required distance between a request and the transaction around it.
pub(in crate::config) const TRANSACTION_SLACK: Duration = Duration::from_millis(100);
/// What librdkafka needs around the records of an answer.
const ANSWER_FRAME: u64 = 512;
/// librdkafka's own for the largest record that is sent, which bounds what is fetched as well.
const RECORD_BYTES: u64 = 1_000_000;

type Properties = BTreeMap<String, String>;

/// A number among librdkafka's properties; the first of these names that is there.
fn number(properties: &Properties, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| properties.get(*name)?.parse().ok())
}

fn milliseconds(properties: &Properties, names: &[&str]) -> Option<Duration> {
    number(properties, names).map(Duration::from_millis)
}

/// Of a message that is sent, by all its names.
pub(in crate::config) fn message_timeout(properties: &Properties) -> Option<Duration> {
    let names = [
        "message.timeout.ms",
        "delivery.timeout.ms",
        "topic.message.timeout.ms",
        "topic.delivery.timeout.ms",
    ];
    milliseconds(properties, &names)
}

/// `kafka.transaction_timeout`, where it is not given.
pub(super) fn transaction_timeout(properties: &Properties) -> Duration {
    let socket = milliseconds(properties, &["socket.timeout.ms"]).map(|socket| socket + TRANSACTION_SLACK);
    [socket, message_timeout(properties)].into_iter().flatten().fold(TRANSACTION, Duration::max)
}

/// `timeouts.revoke`, where it is not given: below `max.poll.interval.ms`.
pub(in crate::config) fn revoke(properties: &Properties) -> Duration {
    let poll = milliseconds(properties, &["max.poll.interval.ms"]);
    poll.filter(|poll| *poll <= REVOKE).map_or(REVOKE, |poll| poll / 2)
}

/// Properties that stand in a relation to what the user has `given`, and are not given themselves.
/// `answer_bytes` is what an answer of a broker should have at most.
pub(super) fn of_client(given: &Properties, revoke: Duration, answer_bytes: u64) -> Properties {
    let mut chosen = Properties::new();
    let mut choose = |key: &str, value: u64| {
        if !given.contains_key(key) {
            chosen.insert(key.to_owned(), value.to_string());
        }
    };
    let at = |key| number(given, &[key]);
    let (heartbeat, poll) = (at("heartbeat.interval.ms"), at("max.poll.interval.ms"));
    let session = at("session.timeout.ms").unwrap_or_else(|| {
        let session = SESSION.min(poll.unwrap_or(SESSION));
        let most = poll.unwrap_or(SESSION_MAX).min(SESSION_MAX);
        heartbeat
            .filter(|heartbeat| *heartbeat >= session)
            .map_or(session, |heartbeat| (heartbeat * 3).min(most))
    });
    choose("session.timeout.ms", session);
    if session <= HEARTBEAT {
        choose("heartbeat.interval.ms", (session / 3).max(1));
    }
    let revoke = u64::try_from(revoke.as_millis()).unwrap_or(POLL_MAX);
    if session.max(revoke + 1) > POLL {
        choose("max.poll.interval.ms", session.max(revoke.saturating_mul(2)).min(POLL_MAX));
    }

    let record = at("message.max.bytes");
    let answer = at("fetch.max.bytes").unwrap_or_else(|| {
        let most = at("receive.message.max.bytes").map_or(u64::MAX, |most| most.saturating_sub(ANSWER_FRAME));
        answer_bytes.max(record.unwrap_or(0)).min(most)
    });
    choose("fetch.max.bytes", answer);
    if answer < RECORD_BYTES {
        choose("message.max.bytes", answer.max(1_000));
    }

    if let Some(most) = at("reconnect.backoff.max.ms").filter(|most| *most < 100) {
        choose("reconnect.backoff.ms", most);
    }
    if let Some(least) = at("reconnect.backoff.ms").filter(|least| *least > 10_000) {
        choose("reconnect.backoff.max.ms", least);
    }
    chosen
}
