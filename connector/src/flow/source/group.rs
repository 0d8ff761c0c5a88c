//! What the client reports on the side: rebalances, the ends of partitions, errors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::bindings::rd_kafka_resp_err_t as ResponseError;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::{Broker, ConsumerGroup, Partition, Statistics};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, TopicPartitionList};
use tidegate_sinks::TopicPartition;

/// Ends of a partition as the client last saw them, and how far it has fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// No record at or above it is decided yet.
    pub last_stable_offset: i64,
    pub high_watermark: i64,
    /// When the broker said so, by this machine's clock; `None` where that is not known.
    pub observed: Option<Timestamp>,
    /// The offset that the client fetches next. It goes on over what is never handed out, as aborted records.
    pub position: i64,
    /// Whether the broker has answered since the partition was taken over. Before, the client tells what it
    /// has known for how long ever: the log may have grown since.
    pub is_fresh: bool,
}

/// What the client says of itself.
#[derive(Debug, Default)]
pub struct Seen {
    /// The ends of the partitions this replica reads, as far as they are known.
    pub ends: BTreeMap<TopicPartition, Ends>,
    /// Seconds in which all that the client had was taken.
    pub drained: u64,
    /// While the replica is not a member of the group with all its partitions taken
    /// over: the client's words for where it stands, and since when.
    pub joining: Option<(String, Instant)>,
    /// The last error that the client told, and when.
    pub error: Option<(String, Instant)>,
    held: BTreeMap<TopicPartition, Answer>,
}

/// What has come of a partition since it was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    None,
    /// Something; statistics that are under way may be older.
    First,
    /// Statistics of after that have come as well.
    Settled,
}

impl Seen {
    /// The partition is read from a place of its own choice: nothing is known of its
    /// ends until the broker answers.
    pub(super) fn taken_over(&mut self, partition: TopicPartition) {
        self.ends.remove(&partition);
        self.held.insert(partition, Answer::None);
    }

    /// The partition is read no more.
    pub(super) fn given_up(&mut self, partition: &TopicPartition) {
        self.ends.remove(partition);
        self.held.remove(partition);
    }

    /// A record of the partition has come, or its end.
    pub(super) fn answered(&mut self, partition: &TopicPartition) {
        if let Some(answer) = self.held.get_mut(partition)
            && *answer == Answer::None
        {
            *answer = Answer::First;
        }
    }

    fn of_partition(
        &mut self,
        partition: TopicPartition,
        statistics: &Partition,
        observed: Option<Timestamp>,
    ) {
        let Some(answer) = self.held.get_mut(&partition) else { return };
        let is_fresh = *answer == Answer::Settled && statistics.fetch_state == "active";
        if *answer == Answer::First {
            *answer = Answer::Settled;
        }
        let high_watermark = statistics.hi_offset;
        if high_watermark < 0 {
            return;
        }
        // Without transactions brokers may report no last stable offset.
        let last_stable_offset =
            if statistics.ls_offset >= 0 { statistics.ls_offset } else { high_watermark };
        let position = statistics.next_offset;
        self.ends
            .insert(partition, Ends { last_stable_offset, high_watermark, observed, position, is_fresh });
    }

    fn of_group(&mut self, group: &ConsumerGroup) {
        let joining = match (group.state.as_str(), group.join_state.as_str()) {
            ("up", "steady") => None,
            ("up", joining) => Some(joining),
            (state, _) => Some(state),
        };
        let since = self.joining.take().map(|(_, since)| since);
        self.joining = joining.map(|words| (words.to_owned(), since.unwrap_or_else(Instant::now)));
    }
}

/// What the client says, to whoever looks.
pub type SharedSeen = Arc<Mutex<Seen>>;

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
    seen: SharedSeen,
    /// What the client says of the error that it has told last.
    reason: Mutex<String>,
}

pub(super) type GroupConsumer = BaseConsumer<Group>;

impl Group {
    pub(super) fn join(
        properties: &BTreeMap<String, String>,
        seen: SharedSeen,
    ) -> Result<GroupConsumer, KafkaError> {
        let mut config = ClientConfig::new();
        config.extend(properties.clone());
        // Lag is read from them. No other client has them: they would pile up where nobody polls.
        config.set("statistics.interval.ms", "1000");
        config.set_log_level(RDKafkaLogLevel::Warning);
        let is_static = properties.contains_key("group.instance.id");
        config.create_with_context(Self { seen, is_static, ..Self::default() })
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
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = &statistics.cgrp {
            seen.of_group(group);
        }
        for (topic, statistics) in statistics.topics {
            let topic: Arc<str> = topic.into();
            for (partition, statistics) in statistics.partitions {
                let partition = TopicPartition { topic: topic.clone(), partition };
                seen.of_partition(partition, &statistics, heard.get(&statistics.broker).copied());
            }
        }
    }

    /// Called by the poll that returns the error.
    fn error(&self, _: KafkaError, reason: &str) {
        reason.clone_into(&mut self.reason.lock().unwrap_or_else(PoisonError::into_inner));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.error = Some((reason.to_owned(), Instant::now()));
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
    let granted = match assign {
        true => consumer.incremental_assign(list),
        false => consumer.incremental_unassign(&held(consumer, list)),
    };
    if let Err(error) = granted {
        tracing::debug!(%error, "granting what the group wants while leaving it");
    }
}

/// Those of the list that were taken over: the client refuses to give up any other, such as those of a topic
/// that is left out, and then gives up none.
fn held(consumer: &GroupConsumer, list: &TopicPartitionList) -> TopicPartitionList {
    let Ok(assigned) = consumer.assignment() else { return list.clone() };
    let mut held = TopicPartitionList::new();
    for element in list.elements() {
        if assigned.find_partition(element.topic(), element.partition()).is_some() {
            held.add_partition(element.topic(), element.partition());
        }
    }
    held
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

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(fetch_state: &str, end: i64) -> Partition {
        Partition {
            fetch_state: fetch_state.into(),
            hi_offset: end,
            ls_offset: end,
            next_offset: end,
            ..Partition::default()
        }
    }

    /// The client keeps what it knew of a partition while others read it, and tells it as if it were of now.
    #[test]
    fn ends_count_only_when_the_broker_has_answered_since_the_partition_was_taken_over() {
        let partition = TopicPartition::new("t", 0);
        let mut seen = Seen::default();
        let tell = |seen: &mut Seen, fetch_state: &str, end| {
            seen.of_partition(partition.clone(), &statistics(fetch_state, end), None);
            seen.ends.get(&partition).map(|ends| (ends.high_watermark, ends.is_fresh))
        };
        assert_eq!(tell(&mut seen, "active", 9), None, "not held");
        seen.taken_over(partition.clone());
        assert_eq!(tell(&mut seen, "active", 9), Some((9, false)), "of before it was given away");
        seen.answered(&partition);
        assert_eq!(
            tell(&mut seen, "active", 9),
            Some((9, false)),
            "may be on its way since before the answer"
        );
        assert_eq!(tell(&mut seen, "active", 500), Some((500, true)));
        assert_eq!(tell(&mut seen, "offset-wait", 500), Some((500, false)), "not being fetched");
        assert_eq!(tell(&mut seen, "active", 501), Some((501, true)));
        seen.taken_over(partition.clone());
        assert!(seen.ends.is_empty(), "rewound, or back again");
        seen.answered(&partition);
        seen.given_up(&partition);
        assert_eq!(tell(&mut seen, "active", 501), None);
    }

    #[test]
    fn a_replica_joins_its_group_until_all_its_partitions_are_taken_over() {
        let mut seen = Seen::default();
        let mut tell = |state: &str, join_state: &str| {
            seen.of_group(&ConsumerGroup {
                state: state.into(),
                join_state: join_state.into(),
                ..ConsumerGroup::default()
            });
            seen.joining.clone()
        };
        let (words, since) = tell("query-coord", "init").unwrap();
        assert_eq!(words, "query-coord");
        assert_eq!(tell("up", "wait-assign-call"), Some(("wait-assign-call".into(), since)));
        assert_eq!(tell("up", "steady"), None);
    }
}
