//! `kafka`: which cluster, which topics, and where to begin.

mod defaults;
mod properties;
mod start;
mod topics;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::file::error::Wrong;
use super::file::secret::shown_options;
use super::file::section::{Section, key};
use super::file::values::{self, Parsed};
pub use crate::kafka::{Start, Topics};
pub(super) use defaults::{SOCKET, TRANSACTION_SLACK, message_timeout, revoke};
pub use properties::client_properties;
pub(crate) use properties::is_secret;
pub(super) use topics::read as read_topics;

/// Shown without its properties' values.
#[derive(Clone)]
pub struct Kafka {
    pub bootstrap_servers: String,
    pub topics: Topics,
    pub group_id: String,
    pub start: Start,
    pub on_data_loss: OnDataLoss,
    /// librdkafka properties of the user's, checked against those that Tidegate owns.
    pub properties: BTreeMap<String, String>,
    pub transaction_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDataLoss {
    Fail,
    Record,
}

const LOSSES: [(&str, OnDataLoss); 2] = [("fail", OnDataLoss::Fail), ("record", OnDataLoss::Record)];

/// Without topics of its own where `needs_topics` is not set.
pub(super) fn read(kafka: &mut Section<'_>, job: &str, needs_topics: bool) -> Kafka {
    let bootstrap_servers = kafka.need(
        key("bootstrap_servers", "`host:port` of one or more brokers, separated by commas."),
        servers,
        "write host:port of one or more brokers",
    );
    let topics = topics::read(kafka, needs_topics);
    let group_id = kafka.get(
        key(
            "group_id",
            "The consumer group that spreads partitions over replicas. Its committed offsets are for lag tools; \
             the job never reads from them.",
        )
        .default_text("`tidegate-<job>`"),
        values::text,
        format!("tidegate-{job}"),
    );
    let start = start::read(kafka);
    let on_data_loss = kafka.word(
        key(
            "on_data_loss",
            "When Kafka has deleted records before they were read: `fail` stops with exit code 3; `record` goes \
             on, writes the gap into the checkpoint and counts it.",
        ),
        &LOSSES,
        OnDataLoss::Fail,
    );
    let properties = kafka.read(
        key(
            "properties",
            "Further properties of librdkafka, by their own names: TLS, SASL, timeouts. Those on which exactly \
             once rests are refused, with the key to use instead. Numbers stand without a unit, in the one that \
             the name says.",
        ),
        |value| value.map(properties::check).unwrap_or_default(),
        |properties| Some(shown_options(properties, |name| !is_secret(name))),
    );
    let transaction_timeout = kafka.get(
        key(
            "transaction_timeout",
            "Of the transactions that send rejects to a topic. At most the broker's \
             `transaction.max.timeout.ms`.",
        ),
        values::duration(Duration::from_secs(1)),
        defaults::transaction_timeout(&properties),
    );
    kafka.not_built(&["start_group"]);
    let bootstrap_servers = bootstrap_servers.unwrap_or_default();
    Kafka { bootstrap_servers, topics, group_id, start, on_data_loss, properties, transaction_timeout }
}

/// `host:port,host:port`, as librdkafka takes it.
fn servers(value: &str) -> Parsed<String> {
    let fits = |server: &str| match server.trim().rsplit_once(':') {
        Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0),
        None => false,
    };
    if value.split(',').all(fits) {
        return Ok(value.split(',').map(str::trim).collect::<Vec<_>>().join(","));
    }
    Err(Wrong::new("is not a list of brokers", "write host:port, several separated by commas"))
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("topics", &self.topics)
            .field("group_id", &self.group_id)
            .field("start", &self.start)
            .field("on_data_loss", &self.on_data_loss)
            .field("properties", &self.properties.keys())
            .field("transaction_timeout", &self.transaction_timeout)
            .finish_non_exhaustive()
    }
}
