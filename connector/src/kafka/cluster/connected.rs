//! A real cluster: blocking questions, asked on threads that may block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tidegate_sinks::{Error, Kind, TopicPartition};
use tokio::task::JoinError;

use super::{Cluster, LogBounds, Quota, Sample, sample};
use crate::kafka::{Look, Queries, QueryError, TopicIds};
use crate::kafka::{Start, Topics};

/// The cluster that the job's `bootstrap_servers` lead to.
#[derive(Debug)]
pub struct Connected {
    queries: Arc<Queries>,
    properties: BTreeMap<String, String>,
    topics: Topics,
    /// Those of `topics` that are none of the job's any more.
    left_out: Mutex<BTreeSet<Arc<str>>>,
    group_id: String,
}

impl Connected {
    /// Waits until a broker answers.
    pub async fn connect(
        properties: BTreeMap<String, String>,
        topics: Topics,
        group_id: String,
    ) -> Result<Self, Error> {
        let asked = properties.clone();
        let queries = blocking(move || {
            let queries = Queries::connect(&asked)?;
            queries.check_isolation()?;
            Ok(queries)
        })
        .await?;
        let left_out = Mutex::default();
        Ok(Self { queries: Arc::new(queries), properties, topics, left_out, group_id })
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Queries) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Error> {
        let queries = self.queries.clone();
        blocking(move || question(&queries)).await
    }
}

async fn blocking<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(question).await {
        Ok(answer) => Ok(answer?),
        Err(error) => Err(Error::new(Kind::Config, format!("asking Kafka: {error}"))),
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        let kind = if error.kind.may_pass() { Kind::Retry } else { Kind::Config };
        Self::new(kind, error.to_string()).with_source(error)
    }
}

#[async_trait]
impl Cluster for Connected {
    async fn id(&self) -> Result<Option<String>, Error> {
        self.ask(|queries| Ok(queries.cluster_id())).await
    }

    async fn topic_ids(&self, topics: &BTreeSet<Arc<str>>) -> Result<TopicIds, Error> {
        let topics = topics.clone();
        self.ask(move |queries| queries.topic_ids(&topics)).await
    }

    fn leave_out(&self, topics: &BTreeSet<Arc<str>>) {
        topics.clone_into(&mut self.left_out.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn partitions(&self) -> Result<Vec<TopicPartition>, Error> {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let topics = self.topics.clone().without(&left_out);
        self.ask(move |queries| {
            let mut partitions = queries.partitions(&topics)?;
            partitions.retain(|partition| !left_out.contains(&partition.topic));
            Ok(partitions)
        })
        .await
    }

    async fn starts(
        &self,
        partitions: &[TopicPartition],
        start: &Start,
    ) -> Result<BTreeMap<TopicPartition, i64>, Error> {
        let (partitions, start) = (partitions.to_vec(), start.clone());
        self.ask(move |queries| match start {
            Start::Earliest => queries.log_start(&partitions),
            // What a reader of committed records may see next, so that an open transaction is not cut in two.
            Start::Latest => queries.last_stable_offsets(&partitions),
            Start::Timestamp(timestamp) => queries.offsets_for_timestamp(&partitions, timestamp),
            Start::Offsets(given) => {
                let mut starts = queries.log_start(&partitions)?;
                for (partition, start) in &mut starts {
                    let given =
                        given.get(&*partition.topic).and_then(|topic| topic.get(&partition.partition));
                    *start = given.copied().unwrap_or(*start);
                }
                Ok(starts)
            }
        })
        .await
    }

    async fn bounds(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, LogBounds>, Error> {
        let partitions = partitions.to_vec();
        self.ask(move |queries| {
            let starts = queries.log_start(&partitions)?;
            let stable = queries.last_stable_offsets(&partitions)?;
            let high = queries.high_watermarks(&partitions)?;
            let bounds = starts.into_iter().filter_map(|(partition, start)| {
                let (last_stable_offset, high_watermark) = (*stable.get(&partition)?, *high.get(&partition)?);
                Some((partition, LogBounds { start, last_stable_offset, high_watermark }))
            });
            Ok(bounds.collect())
        })
        .await
    }

    async fn group_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, Error> {
        let (partitions, group) = (partitions.to_vec(), self.group_id.clone());
        self.ask(move |queries| queries.committed_group_offsets(&group, &partitions)).await
    }

    async fn look(&self, known: &BTreeSet<Arc<str>>) -> Result<Look, Error> {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (topics, known) = (self.topics.clone().without(&left_out), known.clone());
        self.ask(move |queries| {
            let mut look = queries.look(&topics, &known)?;
            look.retain(|topic, _| !left_out.contains(topic));
            Ok(look)
        })
        .await
    }

    async fn sample(&self, quotas: &BTreeMap<TopicPartition, Quota>) -> Result<Sample, Error> {
        let (properties, quotas) = (self.properties.clone(), quotas.clone());
        let read = tokio::task::spawn_blocking(move || sample::read(&properties, &quotas)).await;
        let failed = |error: JoinError| Error::new(Kind::Retry, format!("reading a sample: {error}"));
        read.map_err(failed)?
    }
}
