//! Questions to Kafka: what there is to read, from where to where, and what the broker allows.
//!
//! Nothing here takes part in reading records or makes anything on the cluster: no topic, no group. Every
//! call blocks, at most for [`TIMEOUT`] and a second, so async code calls it through `spawn_blocking`.

pub mod cluster;
mod codes;
mod look;
mod message;
mod native;
mod refused;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use regex::Regex;
use tidegate_sinks::TopicPartition;

use codes::code_of;
pub(crate) use codes::{kind_of, passes, remedy};
pub use look::{Look, TopicLook};
pub use message::Message;
pub(crate) use message::headers_of;
use native::Failure;
pub(crate) use native::{has_member_id, set_leader_epoch};
pub(crate) use refused::Refusal;
pub(crate) use topics::is_internal;
pub use topics::{Start, Topics};

/// How long an answer may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before asking again about a partition that is between leaders.
const PAUSE: Duration = Duration::from_millis(200);

/// What a broker allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerLimits {
    /// `transaction.max.timeout.ms`
    pub transaction_max_timeout: Duration,
    /// `group.min.session.timeout.ms`
    pub group_min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`
    pub group_max_session_timeout: Duration,
}

/// What kind of failure a [`QueryError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryErrorKind {
    /// No broker answered in time, or a partition has no leader.
    Unreachable,
    /// The broker refused the credentials, or the user lacks a right.
    Unauthorized,
    /// A topic or partition that was named does not exist, or may not be seen.
    Missing,
    /// The client's properties do not fit one another.
    Config,
    /// The broker does not know the request.
    Unsupported,
    Other,
}

impl QueryErrorKind {
    /// Whether asking again may help. Any other kind stays until something is changed.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Other)
    }
}

/// Why a question has no answer.
#[derive(Debug)]
pub struct QueryError {
    pub kind: QueryErrorKind,
    context: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for QueryError {}

/// An offset for each partition that was asked about.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// The id of each topic that exists; `None` where the brokers have none, as before Kafka 2.8.
pub type TopicIds = BTreeMap<Arc<str>, Option<String>>;

/// A connection for questions.
pub struct Queries {
    admin: AdminClient<DefaultClientContext>,
    config: ClientConfig,
    servers: String,
}

impl fmt::Debug for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queries").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Queries {
    /// Makes a client of librdkafka `properties` and waits until a broker answers.
    pub fn connect(properties: &BTreeMap<String, String>) -> Result<Self, QueryError> {
        let mut config = ClientConfig::new();
        for (key, value) in properties {
            config.set(key, value);
        }
        // An admin client counts as a producer, whose questions would create a topic that is missing.
        config.set("allow.auto.create.topics", "false");
        // Its log says why a broker is not reached, whatever the level of ours.
        config.set_log_level(RDKafkaLogLevel::Info);
        let servers = properties.get("bootstrap.servers").cloned().unwrap_or_default();
        let admin = config.create().map_err(|error| client_refused(&error, &config))?;
        let queries = Self { admin, config, servers };
        queries.check_reachable()?;
        Ok(queries)
    }

    fn check_reachable(&self) -> Result<(), QueryError> {
        // One topic is the smallest question; whether it exists does not matter, and asking does not make it.
        match self.admin.inner().fetch_metadata(Some("_"), TIMEOUT) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed("reaching a broker", code_of(&error), "")),
        }
    }

    /// The id that the cluster gave itself; `None` on a broker that has none.
    pub fn cluster_id(&self) -> Option<String> {
        self.admin.inner().fetch_cluster_id(TIMEOUT)
    }

    /// Every partition of the topics, in order. A topic of a list that does not exist
    /// is an error; a pattern may match nothing yet.
    pub fn partitions(&self, topics: &Topics) -> Result<Vec<TopicPartition>, QueryError> {
        let mut found = match topics {
            Topics::List(names) => {
                let lists = names.iter().map(|name| self.partitions_of(name));
                lists.collect::<Result<Vec<_>, _>>()?.concat()
            }
            Topics::Regex(pattern) => self.partitions_matching(pattern)?,
        };
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn partitions_of(&self, name: &str) -> Result<Vec<TopicPartition>, QueryError> {
        let asking = format!("asking for the partitions of topic {name:?}");
        self.patiently(|| {
            let metadata = self.metadata(Some(name))?;
            let topic = metadata.topics().first();
            let code = topic.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from);
            match (topic, code) {
                (Some(topic), None) if !topic.partitions().is_empty() => Ok(topic
                    .partitions()
                    .iter()
                    .map(|partition| TopicPartition::new(name, partition.id()))
                    .collect()),
                (_, code) => {
                    Err(self.failed(&asking, code.unwrap_or(RDKafkaErrorCode::UnknownTopicOrPartition), ""))
                }
            }
        })
    }

    fn partitions_matching(&self, pattern: &str) -> Result<Vec<TopicPartition>, QueryError> {
        let pattern = Regex::new(&format!("^(?:{pattern})$"))
            .map_err(|error| QueryError { kind: QueryErrorKind::Config, context: error.to_string() })?;
        let metadata = self.patiently(|| self.metadata(None))?;
        let matching = metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none())
            .filter(|topic| !is_internal(topic.name()) && pattern.is_match(topic.name()));
        Ok(matching
            .flat_map(|topic| {
                topic.partitions().iter().map(|partition| TopicPartition::new(topic.name(), partition.id()))
            })
            .collect())
    }

    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, QueryError> {
        let metadata = self.admin.inner().fetch_metadata(topic, TIMEOUT);
        metadata.map_err(|error| self.failed("asking for the topics", code_of(&error), ""))
    }

    /// The ids of those topics that exist.
    pub fn topic_ids(&self, topics: &BTreeSet<Arc<str>>) -> Result<TopicIds, QueryError> {
        let asking = "asking for the ids of the topics";
        self.patiently(|| {
            let mut ids = TopicIds::new();
            for (topic, answer) in self.described(asking, topics)? {
                match answer {
                    Ok(found) => drop(ids.insert(topic.into(), found.id)),
                    Err(code) if kind_of(code) == QueryErrorKind::Missing => {}
                    Err(code) => return Err(self.failed(&format!("{asking}, of {topic:?},"), code, "")),
                }
            }
            Ok(ids)
        })
    }

    /// How these topics are, each for itself.
    fn described(&self, asking: &str, topics: &BTreeSet<Arc<str>>) -> Result<native::Topics, QueryError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        let broker = self.metadata(Some("_"))?.orig_broker_id();
        native::topics(&self.admin, broker, &names, TIMEOUT)
            .map_err(|Failure { code, reason }| self.failed(asking, code, &reason))
    }

    /// Whether the brokers tell by which leader a record was taken.
    pub fn tell_epochs(&self, partitions: &[TopicPartition]) -> Result<bool, QueryError> {
        self.patiently(|| {
            native::tell_epochs(&self.admin, partitions, TIMEOUT).map_err(|Failure { code, reason }| {
                self.failed("asking whether the brokers tell leader epochs", code, &reason)
            })
        })
    }

    /// The first offset that each log still has.
    pub fn log_start(&self, partitions: &[TopicPartition]) -> Result<Offsets, QueryError> {
        self.offsets("asking where the log starts", partitions, native::EARLIEST, false)
    }

    /// The end of each log, records of open transactions included.
    pub fn high_watermarks(&self, partitions: &[TopicPartition]) -> Result<Offsets, QueryError> {
        self.offsets("asking for the high watermark", partitions, native::LATEST, false)
    }

    /// How far each log may be read under read_committed: no transaction below is open.
    pub fn last_stable_offsets(&self, partitions: &[TopicPartition]) -> Result<Offsets, QueryError> {
        self.offsets("asking for the last stable offset", partitions, native::LATEST, true)
    }

    /// The first offset at or after a time (milliseconds since 1970), or the log's end
    /// where there is none yet.
    pub fn offsets_for_timestamp(
        &self,
        partitions: &[TopicPartition],
        timestamp: i64,
    ) -> Result<Offsets, QueryError> {
        let mut offsets = self.offsets("asking for a time's offset", partitions, timestamp.max(0), false)?;
        if offsets.values().any(|offset| *offset < 0) {
            let ends = self.high_watermarks(partitions)?;
            for (partition, offset) in &mut offsets {
                if *offset < 0 {
                    *offset = ends.get(partition).copied().unwrap_or_default();
                }
            }
        }
        Ok(offsets)
    }

    fn offsets(
        &self,
        asking: &str,
        partitions: &[TopicPartition],
        spec: i64,
        read_committed: bool,
    ) -> Result<Offsets, QueryError> {
        if partitions.is_empty() {
            return Ok(Offsets::new());
        }
        self.patiently(|| {
            let answers = native::list_offsets(&self.admin, partitions, spec, read_committed, TIMEOUT)
                .map_err(|Failure { code, reason }| self.failed(asking, code, &reason))?;
            self.each(asking, answers)
        })
    }

    /// Refuses brokers that cannot leave out what is not committed: the client would ask them in a way that
    /// knows no transactions, and say nothing. Connects once more.
    pub fn check_isolation(&self) -> Result<(), QueryError> {
        if !native::fetches_uncommitted(&self.config, TIMEOUT) {
            return Ok(());
        }
        let context = format!(
            "the brokers at {} cannot leave out records that are not committed, which takes Kafka 0.11 or newer: upgrade them",
            self.servers
        );
        Err(QueryError { kind: QueryErrorKind::Unsupported, context })
    }

    /// The offsets that a group has committed; partitions without one are left out. Joins nothing.
    pub fn committed_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Offsets, QueryError> {
        if partitions.is_empty() {
            return Ok(Offsets::new());
        }
        let asking = format!("asking for the offsets of group {group:?}");
        let failed = |error: &KafkaError| self.failed(&asking, code_of(error), "");
        // A consumer that never subscribes joins nothing. The admin client's request for
        // the same crashes librdkafka 2.12 while a coordinator is being chosen: it looks
        // for the group that only a consumer has.
        let mut config = self.config.clone();
        config.set("group.id", group);
        let consumer: BaseConsumer = config.create().map_err(|error| client_refused(&error, &config))?;
        let list = partition_list(partitions);
        let committed = self.patiently(|| {
            consumer.committed_offsets(list.clone(), TIMEOUT).map_err(|error| failed(&error))
        })?;
        let offset = |element: TopicPartitionListElem<'_>| {
            element.error().map_err(|error| failed(&error))?;
            let partition = TopicPartition::new(element.topic(), element.partition());
            Ok(element.offset().to_raw().filter(|offset| *offset >= 0).map(|offset| (partition, offset)))
        };
        committed.elements().into_iter().filter_map(|element| offset(element).transpose()).collect()
    }

    fn each(&self, asking: &str, answers: native::Answers) -> Result<Offsets, QueryError> {
        answers
            .into_iter()
            .map(|(partition, answer)| match answer {
                Ok(offset) => Ok((partition, offset)),
                Err(code) => Err(self.failed(&format!("{asking} of {partition}"), code, "")),
            })
            .collect()
    }

    /// The bounds that the brokers set on timeouts. Needs the right to describe the cluster's configuration.
    pub fn broker_limits(&self) -> Result<BrokerLimits, QueryError> {
        let value = self.broker_settings("asking a broker for its limits")?;
        let value = |name| value(name).map(Duration::from_millis);
        Ok(BrokerLimits {
            transaction_max_timeout: value("transaction.max.timeout.ms")?,
            group_min_session_timeout: value("group.min.session.timeout.ms")?,
            group_max_session_timeout: value("group.max.session.timeout.ms")?,
        })
    }

    /// How long the brokers keep the offsets of a group that has no members. Needs the same right.
    pub fn offsets_retention(&self) -> Result<Duration, QueryError> {
        let value = self.broker_settings("asking a broker how long it keeps offsets")?;
        Ok(Duration::from_secs(value("offsets.retention.minutes")?.saturating_mul(60)))
    }

    /// A broker's settings that are whole numbers, by their names.
    fn broker_settings(
        &self,
        asking: &'static str,
    ) -> Result<impl Fn(&str) -> Result<u64, QueryError>, QueryError> {
        let metadata = self.patiently(|| self.metadata(Some("_")))?;
        let broker = metadata
            .brokers()
            .first()
            .ok_or_else(|| self.failed(asking, RDKafkaErrorCode::BrokerNotAvailable, ""))?;
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| self.failed(asking, RDKafkaErrorCode::Fail, &error.to_string()))?;
        let resource = ResourceSpecifier::Broker(broker.id());
        let described = runtime
            .block_on(self.admin.describe_configs([&resource], &options))
            .map_err(|error| self.failed(asking, code_of(&error), ""))?;
        let resource = described.into_iter().next().transpose();
        let resource = resource.map_err(|code| self.failed(asking, code, ""))?;
        Ok(move |name: &str| {
            let entry = resource.as_ref().and_then(|resource| resource.get(name));
            entry.and_then(|entry| entry.value.as_deref()?.parse().ok()).ok_or_else(|| {
                self.failed(&format!("{asking} ({name})"), RDKafkaErrorCode::UnsupportedFeature, "")
            })
        })
    }

    /// Asks again, within [`TIMEOUT`], while a partition is between leaders or a coordinator is being chosen.
    fn patiently<T>(&self, ask: impl Fn() -> Result<T, QueryError>) -> Result<T, QueryError> {
        // What went wrong before this question is not why it fails.
        native::complaints(self.admin.inner());
        let start = Instant::now();
        loop {
            match ask() {
                Err(error)
                    if error.kind == QueryErrorKind::Unreachable && start.elapsed() + PAUSE < TIMEOUT =>
                {
                    std::thread::sleep(PAUSE);
                }
                answer => return answer,
            }
        }
    }

    fn failed(&self, asking: &str, code: RDKafkaErrorCode, reason: &str) -> QueryError {
        // What the client logged names the address and the cause; the code alone is often only "timed out".
        let mut complaints = native::complaints(self.admin.inner());
        let login = complaints.iter().rev().find_map(|complaint| {
            refused::login(complaint, &self.config).map(|(code, remedy)| (complaint.clone(), code, remedy))
        });
        let (complaint, code, remedy) = login.unwrap_or_else(|| {
            let complaint = complaints.pop().unwrap_or_else(|| reason.to_owned());
            let remedy = format!("{}{}", remedy(code), refused::connection(&complaint));
            (complaint, code, remedy)
        });
        let mut context = format!("{asking} at {} failed: {code}", self.servers);
        if !complaint.is_empty() {
            context = format!("{context} ({complaint})");
        }
        QueryError { kind: kind_of(code), context: context + &remedy }
    }
}

/// Whether the properties of a consumer fit one another, as the library sees it. Connects to nothing, and
/// looks at no certificate, which may not lie here.
pub fn check_client(properties: &BTreeMap<String, String>) -> Result<(), QueryError> {
    let mut config = ClientConfig::new();
    let is_of_login =
        |key: &str| ["ssl.", "sasl.", "security.", "bootstrap."].iter().any(|of| key.starts_with(of));
    for (key, value) in properties.iter().filter(|(key, _)| !is_of_login(key)) {
        config.set(key, value);
    }
    config.create::<BaseConsumer>().map(drop).map_err(|error| client_refused(&error, &config))
}

/// The client's list of `partitions`, without offsets.
pub(crate) fn partition_list(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    list
}

fn client_refused(error: &KafkaError, config: &ClientConfig) -> QueryError {
    // The value stays out: it may be a secret.
    let context = match error {
        KafkaError::ClientConfig(_, reason, key, _) => format!("Kafka property {key:?} is refused: {reason}"),
        error => {
            format!("the Kafka client is refused: {error}{}", refused::client(&error.to_string(), config))
        }
    };
    QueryError { kind: QueryErrorKind::Config, context }
}

#[cfg(test)]
mod tests;
