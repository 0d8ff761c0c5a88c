//! What the client reports on the side: rebalances, the ends of partitions, errors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::bindings::rd_kafka_resp_err_t as ResponseError;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::{Broker, Statistics};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, TopicPartitionList};
use tidegate_sinks::TopicPartition;

/// Ends of a partition as the client last saw them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// No record at or above it is decided yet.
    pub last_stable_offset: i64,
    pub high_watermark: i64,
    /// When the broker said so, by this machine's clock; `None` where that is not known.
    pub observed: Option<Timestamp>,
}

/// The ends of the partitions this replica reads, for lag.
pub type SharedEnds = Arc<Mutex<BTreeMap<TopicPartition, Ends>>>;

/// A wish of the group, not yet granted.
#[derive(Clone, Debug)]
pub(super) enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
}

/// Collects rebalances instead of obeying inside the callback: the answers come from the sink.
#[derive(Debug, Default)]
pub(super) struct Group {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// Set when leaving: then nobody is asked any more.
    leaving: AtomicBool,
    /// Whether the member keeps its partitions while it is away for less than a session timeout.
    pub(super) is_static: bool,
    ends: SharedEnds,
    /// What the client says of the error that it has told last.
    reason: Mutex<String>,
}

pub(super) type GroupConsumer = BaseConsumer<Group>;

impl Group {
    pub(super) fn join(
        properties: &BTreeMap<String, String>,
        ends: SharedEnds,
    ) -> Result<GroupConsumer, KafkaError> {
        let mut config = ClientConfig::new();
        config.extend(properties.clone());
        // Lag is read from them. No other client has them: they would pile up where nobody polls.
        config.set("statistics.interval.ms", "1000");
        config.set_log_level(RDKafkaLogLevel::Warning);
        let is_static = properties.contains_key("group.instance.id");
        config.create_with_context(Self { ends, is_static, ..Self::default() })
    }

    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// What the client says of the error that was polled last.
    pub(super) fn take_reason(&self) -> String {
        std::mem::take(&mut *self.reason.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on the group gets what it wants at once.
    pub(super) fn set_leaving(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }
}

/// The broker, and when it last sent anything: a reader at the end of a log asks it all the time.
fn heard(broker: &Broker, now: Timestamp) -> Option<(i32, Timestamp)> {
    let idle = Duration::from_micros(u64::try_from(broker.rxidle).ok()?);
    (broker.state == "UP").then(|| (broker.nodeid, now - idle))
}

impl ClientContext for Group {
    fn stats(&self, statistics: Statistics) {
        let now = Timestamp::now();
        let heard: BTreeMap<i32, Timestamp> =
            statistics.brokers.values().filter_map(|b| heard(b, now)).collect();
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, statistics) in statistics.topics {
            let topic: Arc<str> = topic.into();
            for (partition, statistics) in statistics.partitions {
                // Without transactions brokers may report no last stable offset.
                let high_watermark = statistics.hi_offset;
                let last_stable_offset =
                    if statistics.ls_offset >= 0 { statistics.ls_offset } else { high_watermark };
                if partition >= 0 && high_watermark >= 0 {
                    let partition = TopicPartition { topic: topic.clone(), partition };
                    let observed = heard.get(&statistics.broker).copied();
                    ends.insert(partition, Ends { last_stable_offset, high_watermark, observed });
                }
            }
        }
    }

    /// Called by the poll that returns the error.
    fn error(&self, _: KafkaError, reason: &str) {
        reason.clone_into(&mut self.reason.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, "{message}");
            }
            _ => tracing::warn!(facility, "{message}"),
        }
    }
}

/// Does what the group wants, whatever comes of it.
pub(super) fn grant(consumer: &GroupConsumer, assign: bool, list: &TopicPartitionList) {
    let granted =
        if assign { consumer.incremental_assign(list) } else { consumer.incremental_unassign(list) };
    if let Err(error) = granted {
        tracing::debug!(%error, "granting what the group wants while leaving it");
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assign = kind == ResponseError::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.leaving.load(Ordering::Relaxed) {
            return grant(consumer, assign, list);
        }
        let partitions = list
            .elements()
            .iter()
            .map(|element| TopicPartition::new(element.topic(), element.partition()))
            .collect();
        let rebalance = if assign { Rebalance::Assign(partitions) } else { Rebalance::Revoke(partitions) };
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push_back(rebalance);
    }
}
