//! Whether a topic is still the one that the chain's offsets belong to. Kafka gives a topic an id when it is
//! made, so one that was deleted and made again has another, however long it is by now.
//!
//! The id is pinned before the first record of a topic is read, and compared at the start, at each
//! assignment, before each commit, and at each look at the topics (`look`). Records of another log are thus
//! never committed under the offsets of the first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_sinks::{Checkpoint, CommitId, Sink, TopicPartition};

use super::RunError;
use super::engine::{Done, Engine};
use crate::config::{Config, Topics};
use crate::kafka::TopicIds;
use crate::kafka::cluster::Cluster;

/// How long a commit waits for an answer. A Kafka that does not answer hands out no
/// other log's records either.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) type Names = BTreeSet<Arc<str>>;

/// The topics of the job that are known by name, without those that are given up.
pub(super) fn names(config: &Config, state: &Checkpoint) -> Names {
    match &config.kafka.topics {
        Topics::List(topics) => topics
            .iter()
            .filter(|topic| !state.is_given_up(topic))
            .map(|topic| Arc::from(topic.as_str()))
            .collect(),
        topics => of(state.kafka_partitions().map(|(partition, _)| partition))
            .into_iter()
            .filter(|topic| topics.has(topic))
            .collect(),
    }
}

pub(super) fn of<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Names {
    partitions.into_iter().filter(|p| !p.is_rejects()).map(|p| p.topic.clone()).collect()
}

/// What a chain pins of the topics that were found.
pub(super) fn pins(found: &TopicIds) -> Value {
    let told = found.iter().filter_map(|(topic, id)| Some((topic.to_string(), json!({"id": id.as_ref()?}))));
    json!({ "topics": told.collect::<serde_json::Map<_, _>>() })
}

/// Compares, and pins what the chain does not know yet. Returns the newest state, then.
///
/// Errors: `Refused` where a topic is another one.
pub(super) async fn settle(
    sink: &dyn Sink,
    cluster: &dyn Cluster,
    state: Arc<Checkpoint>,
    topics: &Names,
) -> Result<Arc<Checkpoint>, RunError> {
    pin(sink, state, cluster.topic_ids(topics).await?).await
}

/// The same with the ids that were found.
pub(super) async fn pin(
    sink: &dyn Sink,
    state: Arc<Checkpoint>,
    mut found: TopicIds,
) -> Result<Arc<Checkpoint>, RunError> {
    compare(&state, &found)?;
    found.retain(|topic, id| id.is_some() && state.topic_id(topic).is_none());
    if found.is_empty() {
        return Ok(state);
    }
    let state = sink.pin(state, &pins(&found)).await?;
    // Another replica may have been first, before the topic was made again.
    compare(&state, &found)?;
    Ok(state)
}

/// Errors: `Refused` where a topic is another one than the chain has pinned.
pub(super) fn compare(state: &Checkpoint, found: &TopicIds) -> Result<(), RunError> {
    for (topic, id) in found {
        if let (Some(pinned), Some(id)) = (state.topic_id(topic), id)
            && pinned != id
        {
            return Err(RunError::refused(format!(
                "topic {topic} was recreated: the sink's offsets belong to the topic with id {pinned}, and the one that has \
                 its name now has id {id}. To read on would skip its first records, and write others as if they came next; \
                 nothing of it is written. Give the topic up (`tidegate run JOB --forget-topic {topic}`): its rows stay, \
                 the job goes on without it, and another job, with a sink folder of its own, reads it from its start"
            )));
        }
    }
    Ok(())
}

/// The same, of a cluster that may be out of reach: then there is nothing to be said.
async fn look(cluster: Arc<dyn Cluster>, state: Arc<Checkpoint>, topics: Names) -> Result<(), RunError> {
    match tokio::time::timeout(PATIENCE, cluster.topic_ids(&topics)).await {
        Ok(Ok(found)) => compare(&state, &found),
        Ok(Err(error)) => {
            tracing::debug!(%error, "asking whether the topics are still the same");
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

/// Gives topics up: notes it in the chain, for ever.
///
/// Errors: `Config` for a topic that the chain does not know.
pub(super) async fn give_up(
    sink: &dyn Sink,
    state: Arc<Checkpoint>,
    topics: &[String],
    now: jiff::Timestamp,
) -> Result<Arc<Checkpoint>, RunError> {
    let mut pins = serde_json::Map::new();
    for topic in topics {
        if !state.partitions.keys().any(|partition| *partition.topic == **topic) {
            let known = of(state.partitions.keys());
            let known: Vec<&str> = known.iter().map(|topic| &**topic).collect();
            return Err(RunError::Config(
                format!(
                    "--forget-topic {topic}: the job has read no topic of this name; it knows {}",
                    known.join(", ")
                ),
                None,
            ));
        }
        if !state.is_given_up(topic) {
            pins.insert(topic.clone(), json!({ "given_up": format!("{now:.0}") }));
        }
    }
    if pins.is_empty() {
        return Ok(state);
    }
    tracing::warn!(topics = topics.join(", "), "given up: what was written stays, and nothing more is read");
    Ok(sink.pin(state, &json!({ "topics": pins })).await?)
}

impl Engine {
    /// Looks whether the topics are the same, after all of an attempt was read.
    pub(super) fn identify(&self, id: CommitId, topics: Names) {
        let (cluster, state) = (self.parts.cluster.clone(), self.parts.state.clone());
        self.spawn("identify", async move { Done::Identified(id, look(cluster, state, topics).await) });
    }

    pub(super) fn identified(&mut self, id: &CommitId) {
        if let Some(sealed) = self.sealed.iter_mut().find(|sealed| sealed.cut.id == *id) {
            sealed.identified = true;
            self.send_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_sinks::memory::Memory;
    use tidegate_sinks::{Genesis, PartitionState};

    use super::*;

    async fn chain(sink: &Memory, pinned: Value) -> Arc<Checkpoint> {
        let place = PartitionState { start: 0, next: 5, rows: 5 };
        let partitions = ["a", "b"].map(|topic| (TopicPartition::new(topic, 0), place)).into();
        sink.begin_chain(Genesis { partitions, pinned, ..Genesis::default() }).await.unwrap()
    }

    fn ids(of: &[(&str, Option<&str>)]) -> TopicIds {
        of.iter().map(|(topic, id)| (Arc::from(*topic), id.map(str::to_owned))).collect()
    }

    #[tokio::test]
    async fn another_id_is_refused_and_one_that_is_not_told_is_not() {
        let state = chain(&Memory::new("j"), pins(&ids(&[("a", Some("1"))]))).await;
        for found in [&[("a", Some("1"))][..], &[("a", None)], &[("b", Some("2"))], &[]] {
            compare(&state, &ids(found)).unwrap();
        }
        let refused = compare(&state, &ids(&[("a", Some("2"))])).unwrap_err();
        assert_eq!(refused.exit_code(), 3);
        for word in ["topic a", "id 1", "id 2", "--forget-topic a"] {
            assert!(refused.to_string().contains(word), "{word}: {refused}");
        }
    }

    #[tokio::test]
    async fn a_topic_that_is_given_up_stays_in_the_chain_and_is_none_of_the_jobs() {
        let sink = Memory::new("j");
        let state = chain(&sink, pins(&ids(&[("a", Some("1"))]))).await;
        let now = jiff::Timestamp::UNIX_EPOCH;
        let unknown = give_up(&sink, state.clone(), &["c".into()], now).await.unwrap_err();
        assert_eq!(unknown.exit_code(), 2);
        assert!(unknown.to_string().contains("a, b"), "{unknown}");
        let state = give_up(&sink, state, &["a".into()], now).await.unwrap();
        assert!(state.is_given_up("a") && !state.is_given_up("b"));
        assert_eq!(state.topic_id("a"), Some("1"), "what was pinned stays");
        assert_eq!(state.given_up().collect::<Vec<_>>(), [("a", "1970-01-01T00:00:00Z")]);
        assert_eq!(of(state.kafka_partitions().map(|(p, _)| p)), Names::from(["b".into()]));
        assert!(state.partitions.contains_key(&TopicPartition::new("a", 0)));
        let again = give_up(&sink, state.clone(), &["a".into()], now).await.unwrap();
        assert_eq!(again.n, state.n, "asked for twice, done once");
    }
}
