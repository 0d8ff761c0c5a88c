//! What the client reports on the side: rebalances, the ends of partitions, errors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::bindings::rd_kafka_resp_err_t as ResponseError;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
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
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
}

/// Collects rebalances instead of obeying inside the callback: the answers come from the sink.
#[derive(Debug, Default)]
pub(super) struct Group {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// Set when closing: then partitions are given back at once.
    closing: std::sync::atomic::AtomicBool,
    ends: SharedEnds,
}

pub(super) type GroupConsumer = BaseConsumer<Group>;

impl Group {
    pub(super) fn join(
        properties: &BTreeMap<String, String>,
        ends: SharedEnds,
    ) -> Result<GroupConsumer, rdkafka::error::KafkaError> {
        let mut config = ClientConfig::new();
        config.extend(properties.clone());
        config.set_log_level(RDKafkaLogLevel::Warning);
        config.create_with_context(Self { ends, ..Self::default() })
    }

    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(super) fn close(&self) {
        self.closing.store(true, std::sync::atomic::Ordering::Relaxed);
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

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, "{message}");
            }
            _ => tracing::warn!(facility, "{message}"),
        }
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(std::sync::atomic::Ordering::Relaxed) {
            if let Err(error) = consumer.incremental_unassign(list) {
                tracing::debug!(%error, "giving partitions back while closing");
            }
            return;
        }
        let partitions = list
            .elements()
            .iter()
            .map(|element| TopicPartition::new(element.topic(), element.partition()))
            .collect();
        let rebalance = if kind == ResponseError::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke(partitions)
        };
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push_back(rebalance);
    }
}
