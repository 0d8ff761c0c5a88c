//! What the job asks a Kafka cluster outside of reading it. A trait, so that a simulation can stand in.

mod connected;
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_sinks::{Error, TopicPartition};

pub use connected::Connected;

use crate::kafka::Start;
use crate::kafka::{Look, TopicIds};

/// Where a partition's log begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// First offset that is still there.
    pub start: i64,
    /// Everything below is decided; what a reader of committed records can see ends here.
    pub last_stable_offset: i64,
    pub high_watermark: i64,
}

/// How much to read of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub records: usize,
    /// Of payloads; one record is read whatever it has.
    pub bytes: usize,
}

/// Payloads of a few records of each partition.
pub type Sample = BTreeMap<TopicPartition, Vec<Vec<u8>>>;

/// What a job asks the cluster. An error says the remedy; asking again helps only with one of [`Kind::Retry`]: a missing topic or a
/// refused login does not pass.
///
/// [`Kind::Retry`]: tidegate_sinks::Kind::Retry
#[async_trait]
pub trait Cluster: fmt::Debug + Send + Sync + 'static {
    /// Its id; `None` where the broker tells none.
    async fn id(&self) -> Result<Option<String>, Error>;

    /// The ids of those topics that exist.
    async fn topic_ids(&self, topics: &BTreeSet<Arc<str>>) -> Result<TopicIds, Error>;

    /// From now on, these are no topics of the job.
    fn leave_out(&self, topics: &BTreeSet<Arc<str>>);

    /// All partitions of the job's topics.
    async fn partitions(&self) -> Result<Vec<TopicPartition>, Error>;

    /// Where to begin to read each of `partitions`.
    async fn starts(
        &self,
        partitions: &[TopicPartition],
        start: &Start,
    ) -> Result<BTreeMap<TopicPartition, i64>, Error>;

    async fn bounds(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, LogBounds>, Error>;

    /// Offsets that the group has committed, of those partitions where it has any.
    async fn group_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, Error>;

    /// How the topics that the job must read are now: those of its list, or those that match its pattern and
    /// those of `known` that did. Tried once, so an election that is under way shows.
    async fn look(&self, known: &BTreeSet<Arc<str>>) -> Result<Look, Error> {
        let _ = known;
        Ok(Look::new())
    }

    /// The first committed records of each partition, without tombstones: as many as
    /// its quota, or all that there are.
    ///
    /// Errors: a partition that does not answer; so what comes back is never cut short by chance.
    async fn sample(&self, quotas: &BTreeMap<TopicPartition, Quota>) -> Result<Sample, Error>;
}
