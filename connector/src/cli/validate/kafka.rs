//! Checks that ask Kafka.

use std::sync::Arc;

use tidegate_sinks::{Checkpoint, TopicPartition};

use super::{Check, Verdict};
use crate::config::timeouts::{self, Severity};
use crate::config::{Config, Rejects, Topics, client_properties};
use crate::flow::rejects::topic;
use crate::kafka::cluster::{Cluster, Connected, Quota};
use crate::kafka::{BrokerLimits, Offsets, Queries, QueryError, TopicIds};

/// What Kafka answered, as far as it did.
pub(super) struct Looked {
    pub(super) checks: Vec<Check>,
    /// Of a cluster that answered all that the chain is compared with.
    pub(super) logs: Option<Logs>,
}

/// The job's partitions as they are.
pub(super) struct Logs {
    pub(super) cluster_id: Option<String>,
    pub(super) topic_ids: TopicIds,
    pub(super) starts: Offsets,
    /// High watermarks.
    pub(super) ends: Offsets,
    /// What the job's group has committed.
    pub(super) committed: Offsets,
}

/// The job without the topics that it has given up, which may be gone.
pub(super) fn without_given_up(config: &Config, state: &Checkpoint) -> Config {
    let given_up = state.given_up().map(|(topic, _)| topic.into()).collect();
    let mut config = config.clone();
    config.kafka.topics = config.kafka.topics.without(&given_up);
    config
}

pub(super) async fn look(config: &Config) -> Looked {
    let properties = client_properties(config);
    let asked = config.clone();
    let answered = tokio::task::spawn_blocking(move || ask(&asked)).await;
    let mut looked = match answered {
        Ok(looked) => looked,
        Err(error) => Looked { checks: vec![Check::failed_with("broker", error)], logs: None },
    };
    if let Some(logs) = &looked.logs {
        let topics = config.kafka.topics.clone();
        let partitions = one_of_each_topic(&logs.starts);
        let group = config.kafka.group_id.clone();
        let one = Quota { records: 1, bytes: 1 };
        let quotas = partitions.iter().map(|partition| (partition.clone(), one)).collect();
        let read = async { Connected::connect(properties, topics, group).await?.sample(&quotas).await };
        looked.checks.push(match read.await {
            Ok(_) => Check::ok("read rights", format!("read from {} topics", partitions.len())),
            Err(error) => Check::failed_with("read rights", error),
        });
    }
    // Without a broker there is nothing more to say.
    if let Rejects::Topic(topic) = &config.rejects
        && looked.checks.iter().any(|check| check.check == "broker" && check.result == Verdict::Ok)
    {
        looked.checks.push(match topic::check(config).await {
            Ok(()) => Check::ok("rejects", format!("transactions that send to {topic} are allowed")),
            Err(error) => Check::failed_with("rejects", error),
        });
    }
    looked
}

fn one_of_each_topic(starts: &Offsets) -> Vec<TopicPartition> {
    let mut partitions: Vec<TopicPartition> = starts.keys().cloned().collect();
    partitions.dedup_by(|one, other| Arc::ptr_eq(&one.topic, &other.topic) || one.topic == other.topic);
    partitions
}

/// Asks one question after the other; where an answer is missing, what depends on it is left out.
fn ask(config: &Config) -> Looked {
    let mut checks = Vec::new();
    let servers = &config.kafka.bootstrap_servers;
    let queries = match Queries::connect(&client_properties(config)) {
        Ok(queries) => queries,
        Err(error) => return Looked { checks: vec![Check::failed_with("broker", error)], logs: None },
    };
    checks.push(Check::ok("broker", format!("{servers} answers")));
    let cluster_id = queries.cluster_id();
    checks.push(match &cluster_id {
        Some(id) => Check::ok("cluster id", id),
        None => Check::warning(
            "cluster id",
            "the brokers tell none: a change of the cluster is not noticed by it",
        ),
    });
    checks.extend(limits(config, queries.broker_limits()));
    let logs = topics(config, &queries, cluster_id, &mut checks);
    Looked { checks, logs }
}

fn limits(config: &Config, answer: Result<BrokerLimits, QueryError>) -> Vec<Check> {
    const CHECK: &str = "broker's limits";
    let limits = match answer {
        Ok(limits) => limits,
        Err(error) => return vec![Check::warning(CHECK, format!("not compared: {error}"))],
    };
    let findings = timeouts::check(config, &client_properties(config), Some(&limits), timeouts::kill_delay());
    // Warnings don't depend on the broker and were given before.
    let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
    let failed: Vec<_> = errors.map(|finding| Check::failed(CHECK, finding)).collect();
    if failed.is_empty() { vec![Check::ok(CHECK, "timeouts are within them")] } else { failed }
}

fn topics(
    config: &Config,
    queries: &Queries,
    cluster_id: Option<String>,
    checks: &mut Vec<Check>,
) -> Option<Logs> {
    let mut partitions = Vec::new();
    let mut complete = true;
    for topics in each_topic(&config.kafka.topics) {
        match queries.partitions(&topics) {
            Ok(found) => partitions.extend(found),
            Err(error) => {
                complete = false;
                checks.push(Check::failed_with("topics", error));
            }
        }
    }
    if partitions.is_empty() {
        match &config.kafka.topics {
            Topics::List(topics) if topics.is_empty() => {
                checks.push(Check::failed("topics", "the job has given up every topic of kafka.topics"));
            }
            _ if complete => {
                checks.push(Check::warning(
                    "topics",
                    "no topic matches yet; they are found while the job runs",
                ));
            }
            _ => {}
        }
    } else {
        checks.push(Check::ok("topics", format!("{} partitions", partitions.len())));
    }
    partitions.sort();
    partitions.dedup();
    let (partitions, left_out) = config.sink.table.named(partitions);
    checks.extend(left_out.into_iter().map(|(topic, problem)| {
        let why = format!("{topic} is left out, its records are not read: its table's name {problem}");
        let remedy =
            "rename it, change what sink.table puts around it (\"t_{topic}\"), or let the pattern not match it";
        Check::warning("topics", format!("{why}; {remedy}"))
    }));
    let group = &config.kafka.group_id;
    let ask = || {
        Ok::<_, QueryError>((
            queries.topic_ids(&partitions.iter().map(|partition| partition.topic.clone()).collect())?,
            queries.log_start(&partitions)?,
            queries.high_watermarks(&partitions)?,
            queries.committed_group_offsets(group, &partitions)?,
        ))
    };
    match ask() {
        Ok((topic_ids, starts, ends, committed)) => {
            checks.extend(identities(&topic_ids, queries.tell_epochs(&partitions)));
            checks.push(Check::ok(
                "group",
                format!("{group}: offsets committed for {} partitions", committed.len()),
            ));
            complete.then_some(Logs { cluster_id, topic_ids, starts, ends, committed })
        }
        Err(error) => {
            checks.push(Check::failed_with("offsets", error));
            None
        }
    }
}

/// What a topic that was recreated, and records that the brokers have lost, are noticed by.
fn identities(topic_ids: &TopicIds, tell_epochs: Result<bool, QueryError>) -> Vec<Check> {
    if topic_ids.is_empty() {
        return Vec::new();
    }
    let ids = if topic_ids.values().all(Option::is_some) {
        Check::ok("topic ids", format!("of {} topics", topic_ids.len()))
    } else {
        Check::warning(
            "topic ids",
            "the brokers tell none, as before Kafka 2.8: a topic that is recreated is noticed only while it is shorter than \
             the position",
        )
    };
    let epochs = match tell_epochs {
        Ok(true) => Check::ok("leader epochs", "told with each record"),
        Ok(false) => Check::warning(
            "leader epochs",
            "the brokers tell none, as before Kafka 2.4: records that they lose by an unclean election of a leader are \
             noticed only while the log is shorter than the position",
        ),
        Err(error) => Check::failed_with("leader epochs", error),
    };
    vec![ids, epochs]
}

/// One by one, so that each that is missing is named.
fn each_topic(topics: &Topics) -> Vec<Topics> {
    match topics {
        Topics::List(names) => names.iter().map(|name| Topics::List(vec![name.clone()])).collect(),
        Topics::Regex(_) => vec![topics.clone()],
    }
}
