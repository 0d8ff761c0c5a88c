//! `kafka.properties`, the Kafka client's own: those that Tidegate owns, because exactly once rests on them,
//! and those that a user may set beside them.

use std::collections::BTreeMap;

use bytesize::ByteSize;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use super::{Topics, defaults};
use crate::config::Config;
use crate::config::file::error::Wrong;
use crate::config::file::value::Value;
use crate::memory::Shares;

/// Owned properties and what to do instead of setting them.
const OWNED: [(&str, &str); 32] = [
    ("bootstrap.servers", "set kafka.bootstrap_servers"),
    ("metadata.broker.list", "set kafka.bootstrap_servers"),
    ("group.id", "set kafka.group_id"),
    ("auto.offset.reset", "set kafka.start and kafka.on_data_loss"),
    ("transaction.timeout.ms", "set kafka.transaction_timeout"),
    ("transactional.id", "remove it: it follows from the job's name"),
    ("enable.idempotence", "remove it: Tidegate always writes idempotently"),
    ("isolation.level", "remove it: only committed records are read"),
    // Without them a client asks old brokers' way, which knows no isolation level: aborted records come as
    // well.
    ("api.version.request", "remove it: the client must ask in a version that leaves aborted records out"),
    (
        "api.version.fallback.ms",
        "remove it: the client must ask in a version that leaves aborted records out",
    ),
    (
        "broker.version.fallback",
        "remove it: the client must ask in a version that leaves aborted records out",
    ),
    // They put made-up brokers in place of those of the job.
    ("test.mock.num.brokers", "remove it: it takes the place of kafka.bootstrap_servers"),
    ("test.mock.broker.rtt", "remove it: it is of brokers that are made up"),
    // The client's reports of logins and losses come by both.
    ("enabled_events", "remove it: what the client reports is read in any case"),
    ("log.queue", "remove it: what the client logs is read in any case"),
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
        } else if let Err(wrong) = taken(key, bare, text, property.is_substituted() || is_secret(key)) {
            property.wrong(wrong);
        } else {
            properties.insert(key.to_owned(), text.to_owned());
        }
    }
    properties
}

/// Whether the library takes a property as it is meant. Its own reason is repeated unless the value, which
/// may be in it, is to be `hidden`.
fn taken(key: &str, bare: &str, text: &str, hidden: bool) -> Result<(), Wrong> {
    let refused =
        |problem: String| Wrong::new(problem, "see librdkafka's CONFIGURATION.md for names and values");
    let native = match ClientConfig::new().set(key, text).create_native_config() {
        Ok(native) => native,
        Err(KafkaError::ClientConfig(_, reason, ..)) if !hidden => {
            return Err(refused(format!("the Kafka client refuses it: {}", reason.trim_end())));
        }
        Err(_) => return Err(refused("the Kafka client refuses it".to_owned())),
    };
    match native.get(key).or_else(|_| native.get(bare)) {
        Ok(read) => as_meant(bare, text, &read, hidden),
        // It keeps no text of this one.
        Err(_) => Ok(()),
    }
}

/// The library reads a number as far as it goes, so that 6s is 6, and 010 is 8: what it has `read` must be
/// what is written.
fn as_meant(bare: &str, text: &str, read: &str, hidden: bool) -> Result<(), Wrong> {
    let Ok(number) = read.parse::<f64>() else { return Ok(()) };
    let is_plain = text == read || (text.parse() == Ok(number) && !text.starts_with(['0', '+']));
    if is_plain {
        return Ok(());
    }
    if hidden {
        return Err(Wrong::new("is not a plain number", "write one, without a unit"));
    }
    let remedy = match in_unit(bare, text) {
        Some((number, unit)) => format!("write {number} ({unit})"),
        None => format!("write a plain number{}", unit_of(bare).map_or("", |unit| unit.of)),
    };
    Err(Wrong::new(format!("is not a number: the Kafka client would take it for {read}"), remedy))
}

/// What librdkafka counts a property in, by the end of its name.
struct Unit {
    end: &'static str,
    /// How it goes on after "a plain number".
    of: &'static str,
    name: &'static str,
    /// Milliseconds, or bytes, of one.
    size: u64,
    is_time: bool,
}

const UNITS: [Unit; 3] = [
    Unit { end: ".ms", of: " of milliseconds", name: "milliseconds", size: 1, is_time: true },
    Unit { end: ".kbytes", of: " of kibibytes", name: "KiB", size: 1_024, is_time: false },
    Unit { end: "bytes", of: " of bytes", name: "bytes", size: 1, is_time: false },
];

fn unit_of(bare: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|unit| bare.ends_with(unit.end))
}

/// The number that a duration or a size with a unit is for this property, and of what.
fn in_unit(bare: &str, text: &str) -> Option<(u64, &'static str)> {
    let unit = unit_of(bare)?;
    let whole = if unit.is_time {
        u64::try_from(humantime::parse_duration(text.trim()).ok()?.as_millis()).ok()?
    } else {
        text.trim().parse::<ByteSize>().ok()?.0
    };
    whole.is_multiple_of(unit.size).then_some((whole / unit.size, unit.name))
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
        ("client.id", format!("tidegate-{}", config.job)),
        ("socket.timeout.ms", defaults::SOCKET.as_millis().to_string()),
        ("socket.keepalive.enable", "true".to_owned()),
        // How soon a new topic or partition is found.
        ("topic.metadata.refresh.interval.ms", "30000".to_owned()),
        // Small messages take more memory than their bytes.
        ("queued.min.messages", shares.queue_messages.min(1_000_000).to_string()),
        // The default sleeps for a second when the queue is full, which starves a fast reader of a small
        // queue.
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
    // Bounds by how much the queue is passed; a record that is larger still gets through.
    let answer_bytes = shares.answer_bytes.clamp(1 << 20, 50 << 20) as u64;
    properties.extend(defaults::of_client(&config.kafka.properties, config.timeouts.revoke, answer_bytes));
    properties.extend(config.kafka.properties.clone());
    properties.extend(owned.map(|(key, value)| (key.to_owned(), value)));
    if let Topics::Regex(_) = config.kafka.topics {
        // `.*` means the user's topics, not the group offsets of the whole cluster.
        properties.insert("topic.blacklist".to_owned(), "^__".to_owned());
    }
    properties
}
