//! Properties of the Kafka client: those that Tidegate owns, because exactly once rests on them, and those that a
//! user may set beside them.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use super::error::Wrong;
use super::section::Value;
use super::{Config, Topics};
use crate::memory::Shares;

/// Owned properties and what to do instead of setting them.
const OWNED: [(&str, &str); 25] = [
    ("bootstrap.servers", "set kafka.bootstrap_servers"),
    ("metadata.broker.list", "set kafka.bootstrap_servers"),
    ("group.id", "set kafka.group_id"),
    ("auto.offset.reset", "set kafka.start and kafka.on_data_loss"),
    ("transaction.timeout.ms", "set kafka.transaction_timeout"),
    ("transactional.id", "remove it: it follows from the job's name"),
    ("enable.idempotence", "remove it: Tidegate always writes idempotently"),
    ("isolation.level", "remove it: only committed records are read"),
    ("enable.auto.commit", "remove it: offsets are committed with the data"),
    ("auto.commit.enable", "remove it: offsets are committed with the data"),
    ("auto.commit.interval.ms", "set checkpoint.interval"),
    ("enable.auto.offset.store", "remove it: offsets are committed with the data"),
    ("offset.store.method", "remove it: offsets are committed with the data"),
    ("offset.store.path", "remove it: offsets are committed with the data"),
    ("offset.store.sync.interval.ms", "remove it: offsets are committed with the data"),
    ("enable.partition.eof", "remove it: the end of a partition moves its position"),
    ("partition.assignment.strategy", "remove it: it is always cooperative-sticky"),
    ("group.protocol", "remove it: the classic protocol is used"),
    ("group.protocol.type", "remove it: the classic protocol is used"),
    ("group.remote.assignor", "remove it: it is always cooperative-sticky"),
    ("statistics.interval.ms", "remove it: lag and positions are read from the statistics"),
    ("topic.blacklist", "remove it: write kafka.topics_regex so that it matches only what is wanted"),
    ("queued.max.messages.kbytes", "set memory.limit, of which the queue has its share"),
    ("consume.callback.max.messages", "remove it: records are taken by polling"),
    ("plugin.library.paths", "remove it: no code is loaded into the connector"),
];

/// `kafka.properties` as text. Refuses what Tidegate owns, and what the client library does not know or take.
pub(super) fn check(value: &Value<'_>) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    for (key, property) in value.entries("a map of librdkafka properties").unwrap_or_default() {
        let Some(text) = property.text() else { continue };
        // librdkafka takes a topic's property with and without this prefix.
        let bare = key.strip_prefix("topic.").unwrap_or(key);
        if let Some((_, remedy)) = OWNED.iter().find(|(owned, _)| *owned == key || *owned == bare) {
            property.wrong(Wrong::new("belongs to Tidegate", *remedy));
        } else if let Some(problem) = refusal(key, text, property.is_substituted() || is_secret(key)) {
            property.wrong(Wrong::new(problem, "see librdkafka's CONFIGURATION.md for names and values"));
        } else {
            properties.insert(key.to_owned(), text.to_owned());
        }
    }
    properties
}

/// The library's own reason, unless the value that it may repeat is to be `hidden`.
fn refusal(key: &str, text: &str, hidden: bool) -> Option<String> {
    match ClientConfig::new().set(key, text).create_native_config() {
        Ok(_) => None,
        Err(KafkaError::ClientConfig(_, reason, ..)) if !hidden => {
            Some(format!("the Kafka client refuses it: {}", reason.trim_end()))
        }
        Err(_) => Some("the Kafka client refuses it".to_owned()),
    }
}

/// Whether a property of this name may hold a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "password",
        "secret",
        "token",
        "jaas",
        ".pem",
        "credential",
        "oauthbearer.config",
        "private",
        "sasl.username",
    ]
    .iter()
    .any(|word| key.contains(word))
}

/// Everything that the client is created with: what Tidegate prefers, then the user's properties, then what
/// Tidegate owns. It may hold secrets.
pub fn client_properties(config: &Config) -> BTreeMap<String, String> {
    let shares = Shares::of(config.memory_limit);
    let preferred = [
        // Positions are the sink's, so a replica that is gone may be declared dead early.
        ("session.timeout.ms", "10000".to_owned()),
        ("client.id", format!("tidegate-{}", config.job)),
        // Its default would be as long as the shortest transaction timeout.
        ("socket.timeout.ms", "30000".to_owned()),
        ("socket.keepalive.enable", "true".to_owned()),
        // How soon a new topic or partition is found.
        ("topic.metadata.refresh.interval.ms", "30000".to_owned()),
        // Bounds by how much the queue is passed; a record that is larger still gets through.
        ("fetch.max.bytes", shares.answer_bytes.clamp(1 << 20, 50 << 20).to_string()),
        // Small messages take more memory than their bytes.
        ("queued.min.messages", shares.queue_messages.min(1_000_000).to_string()),
        // The default sleeps for a second when the queue is full, which starves a fast reader of a small queue.
        ("fetch.queue.backoff.ms", "10".to_owned()),
    ];
    let owned = [
        ("bootstrap.servers", config.kafka.bootstrap_servers.clone()),
        ("group.id", config.kafka.group_id.clone()),
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        ("auto.offset.reset", "error".to_owned()),
        ("isolation.level", "read_committed".to_owned()),
        ("partition.assignment.strategy", "cooperative-sticky".to_owned()),
        ("enable.partition.eof", "true".to_owned()),
        ("queued.max.messages.kbytes", (shares.queue_bytes / 1024).clamp(1024, 2_097_151).to_string()),
    ];
    let mut properties = BTreeMap::from(preferred.map(|(key, value)| (key.to_owned(), value)));
    properties.extend(config.kafka.properties.clone());
    properties.extend(owned.map(|(key, value)| (key.to_owned(), value)));
    if let Topics::Regex(_) = config.kafka.topics {
        // `.*` means the user's topics, not the group offsets of the whole cluster.
        properties.insert("topic.blacklist".to_owned(), "^__".to_owned());
    }
    properties
}
