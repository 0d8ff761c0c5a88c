//! Before the first record: find the chain or begin one, and finish what an earlier process left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tidegate_sinks::chain::merge_pins;
use tidegate_sinks::{Checkpoint, CommitId, Genesis, PartitionState, Restore, Sink, TopicPartition};

use super::waiting::Waiting;
use super::{given_up, identity, starts};
use crate::columns;
use crate::config::{Config, Mode, Table};
use crate::error::RunError;
use crate::flow::tables::pins;
use crate::kafka::cluster::Cluster;

/// How the job is to begin where that is not plain.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// Begin anew though there are files of the job without their checkpoints, or its group has read before.
    pub new_incarnation: bool,
    /// Go on from a kept state.
    pub restore: Option<Restore>,
    /// Topics to give up first.
    pub forget: Vec<String>,
    /// The kept state's offsets are another cluster's: find the places again by the records' timestamps.
    pub other_cluster: bool,
}

/// The state the job goes on from, or none where it is to stop before it begins.
/// What the state lists is still to be finished, by [`recover`].
pub(super) async fn open<P>(
    config: &Config,
    sink: &dyn Sink,
    waiting: &Waiting<'_>,
    beginning: &Beginning,
    now: Timestamp,
    pin: impl Fn() -> P,
) -> Result<Option<Arc<Checkpoint>>, RunError>
where
    P: Future<Output = Result<serde_json::Value, RunError>>,
{
    let cluster = waiting.cluster;
    let mut loaded = match sink.load().await {
        Err(error) if beginning.new_incarnation && error.kind == tidegate_sinks::Kind::Refused => {
            tracing::warn!(%error, "beginning a new chain all the same, as --new-incarnation demands");
            None
        }
        other => other?,
    };
    if let Some(state) = &mut loaded {
        check_cluster(state, cluster).await?;
        *state = identity::give_up(sink, state.clone(), &beginning.forget, now).await?;
        cluster.leave_out(&given_up(state));
        // Before anything is restored: offsets of another log mean nothing in it.
        *state = identity::settle(sink, cluster, state.clone(), &identity::names(config, state)).await?;
    } else if let Some(topic) = beginning.forget.first() {
        let context = format!("--forget-topic {topic}: the job has read nothing yet");
        return Err(RunError::Config(context, None));
    }
    if let Some(restore) = beginning.restore.as_ref().filter(|_| !beginning.other_cluster) {
        check_cluster(&restore.target, cluster).await?;
        let topics = identity::names(config, loaded.as_deref().unwrap_or(&restore.target));
        identity::compare(&restore.target, &cluster.topic_ids(&topics).await?)?;
    }
    if let Some(state) = &loaded {
        not_applied(config, state, beginning);
    }
    let goes_on = loaded.is_some() && beginning.restore.is_none();
    let state = match (loaded, &beginning.restore) {
        (Some(state), None) => state,
        (None, None) => match begin(config, sink, waiting, beginning.new_incarnation, pin).await? {
            Some(state) => state,
            None => return Ok(None),
        },
        (Some(state), Some(restore)) => super::restore::restore(sink, cluster, state, restore).await?,
        (None, Some(restore)) => {
            super::restore::begin(config, sink, cluster, restore, beginning.other_cluster).await?
        }
    };
    if goes_on {
        return Ok(Some(state));
    }
    check_cluster(&state, cluster).await?;
    cluster.leave_out(&given_up(&state));
    identity::settle(sink, cluster, state.clone(), &identity::names(config, &state)).await.map(Some)
}

/// Says what of the settings does not apply, as the job has a position.
fn not_applied(config: &Config, state: &Checkpoint, beginning: &Beginning) {
    for finding in starts::not_applied(config, state) {
        match finding {
            starts::Finding::Told(text) => tracing::info!(checkpoint = state.n, "{text}"),
            other => tracing::warn!(checkpoint = state.n, "{other}"),
        }
    }
    if beginning.new_incarnation && beginning.restore.is_none() {
        tracing::warn!(
            checkpoint = state.n,
            "--new-incarnation does not apply: the job has its checkpoints, and goes on from them; to begin anew, give it \
             another name and sink folder"
        );
    }
}

async fn begin<P>(
    config: &Config,
    sink: &dyn Sink,
    waiting: &Waiting<'_>,
    new_incarnation: bool,
    pin: impl Fn() -> P,
) -> Result<Option<Arc<Checkpoint>>, RunError>
where
    P: Future<Output = Result<serde_json::Value, RunError>>,
{
    let cluster = waiting.cluster;
    let partitions = config.sink.table.named(cluster.partitions().await?).0;
    if !new_incarnation {
        let committed = cluster.group_offsets(&partitions).await?;
        if let Some(state) = check_group(config, sink, &committed).await? {
            return Ok(Some(state));
        }
    }
    let ask = || async { Ok((starts::resolve(&config.kafka, cluster, &partitions).await?, pin().await?)) };
    let Some((starts, pinned)) = waiting.until(ask).await? else { return Ok(None) };
    let place = |(partition, start)| (partition, PartitionState { start, next: start, rows: 0 });
    let starts = starts.into_iter().map(place).collect();
    let mut first = Checkpoint {
        pinned: columns::pin_seconds(pinned),
        ..Checkpoint::first(&config.job, Timestamp::now(), starts)
    };
    let tables = super::tables(config, &first, pins::topics_of(config, &first))?.accepted()?;
    first.pinned = merge_pins(&first.pinned, &tables);
    let topics = cluster.topic_ids(&identity::of(&partitions)).await?;
    first.pinned = merge_pins(&first.pinned, &identity::pins(&topics));
    let genesis = Genesis {
        cluster_id: cluster.id().await?,
        partitions: first.partitions,
        pinned: first.pinned,
        overwrite_tables: overwrite_tables(config, &partitions),
        ..Genesis::default()
    };
    tracing::info!(partitions = genesis.partitions.len(), "beginning the chain of checkpoints");
    Ok(Some(sink.begin_chain(genesis).await?))
}

/// Of a sink that had no chain: the one that another replica has begun since, and committed offsets of.
///
/// Errors: `Refused`, where nobody has: the group has read what the sink knows nothing of.
pub(crate) async fn check_group(
    config: &Config,
    sink: &dyn Sink,
    committed: &BTreeMap<TopicPartition, i64>,
) -> Result<Option<Arc<Checkpoint>>, RunError> {
    let Some((partition, offset)) = committed.iter().find(|(_, offset)| **offset > 0) else {
        return Ok(None);
    };
    match sink.load().await? {
        Some(state) => Ok(Some(state)),
        None => Err(RunError::refused(format!(
            "the sink has no checkpoint of job {}, but the group {} has read {partition} up to {offset}: a lost or \
             renamed job would write everything again{}; give --new-incarnation to do just that",
            config.job,
            config.kafka.group_id,
            if config.sink.mode == Mode::Overwrite { ", and clear the table before" } else { "" }
        ))),
    }
}

/// The tables that `mode: overwrite` clears.
pub(super) fn overwrite_tables(config: &Config, partitions: &[TopicPartition]) -> Vec<String> {
    match (&config.sink.mode, &config.sink.table) {
        (Mode::Append, _) => Vec::new(),
        (Mode::Overwrite, Table::Named(table)) => vec![table.clone()],
        (Mode::Overwrite, by_topic @ Table::ByTopic { .. }) => {
            let topics: BTreeSet<_> = partitions.iter().map(|p| p.topic.clone()).collect();
            topics.iter().filter_map(|topic| by_topic.name(topic).ok()).collect()
        }
    }
}

async fn check_cluster(state: &Checkpoint, cluster: &dyn Cluster) -> Result<(), RunError> {
    match (&state.cluster_id, cluster.id().await?) {
        (Some(expected), Some(found)) if *expected != found => Err(RunError::refused(format!(
            "the sink's offsets belong to the Kafka cluster {expected}, but bootstrap_servers leads to {found}: offsets \
             mean nothing there; correct bootstrap_servers, or use another job name and sink folder"
        ))),
        _ => Ok(()),
    }
}

/// Erases what is retracted, publishes what is committed, and drops both from the chain.
pub(crate) async fn recover(
    sink: &dyn Sink,
    mut state: Arc<Checkpoint>,
) -> Result<Arc<Checkpoint>, RunError> {
    while !state.retracted.is_empty() || !state.unpublished.is_empty() {
        let before = (state.retracted.len(), state.unpublished.len());
        tracing::info!(
            retracted = before.0,
            unpublished = before.1,
            "finishing what an earlier process left"
        );
        let ids: Vec<CommitId> = state.unpublished.clone();
        let is_published = sink.publish(&state, &ids).await?;
        state = sink.settle(state).await?;
        // Others may add to it meanwhile; those are theirs to publish.
        if is_published {
            break;
        }
    }
    Ok(state)
}

#[cfg(test)]
pub(super) mod tests {
    use async_trait::async_trait;
    use tidegate_sinks::Error;
    use tidegate_sinks::memory::Memory;
    use tokio::sync::watch;

    use super::*;
    use crate::config::{Origin, Start};
    use crate::flow::run::nobody_asks;
    use crate::kafka::cluster::{LogBounds, Quota, Sample};
    use crate::replica::status::Status;

    /// A cluster whose group has read; by the time it says so, `other` has begun the chain.
    #[derive(Debug, Default)]
    pub(in crate::flow::run) struct HasRead {
        other: Option<Memory>,
    }

    type Offsets = BTreeMap<TopicPartition, i64>;

    #[async_trait]
    impl Cluster for HasRead {
        async fn id(&self) -> Result<Option<String>, Error> {
            Ok(None)
        }

        async fn partitions(&self) -> Result<Vec<TopicPartition>, Error> {
            Ok(vec![TopicPartition::new("t", 0)])
        }

        async fn starts(&self, of: &[TopicPartition], _: &Start) -> Result<Offsets, Error> {
            Ok(of.iter().map(|partition| (partition.clone(), 0)).collect())
        }

        async fn bounds(&self, _: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LogBounds>, Error> {
            Ok(BTreeMap::new())
        }

        async fn topic_ids(&self, _: &identity::Names) -> Result<crate::kafka::TopicIds, Error> {
            Ok(crate::kafka::TopicIds::new())
        }

        fn leave_out(&self, _: &identity::Names) {}

        async fn group_offsets(&self, of: &[TopicPartition]) -> Result<Offsets, Error> {
            if let Some(other) = &self.other {
                let place = PartitionState { start: 0, next: 0, rows: 0 };
                let partitions = of.iter().map(|partition| (partition.clone(), place)).collect();
                other.begin_chain(Genesis { partitions, ..Genesis::default() }).await.unwrap();
            }
            Ok(of.iter().map(|partition| (partition.clone(), 13)).collect())
        }

        async fn sample(&self, _: &BTreeMap<TopicPartition, Quota>) -> Result<Sample, Error> {
            Ok(Sample::new())
        }
    }

    async fn opened(sink: &Memory, cluster: &HasRead) -> Result<Arc<Checkpoint>, RunError> {
        let text = "job: j\nkafka: {bootstrap_servers: 'localhost:9092', topics: [t]}\nsink: {url: 'file:///l', table: t}\n";
        let config = Config::parse(text, &Origin("job.yaml".into())).unwrap();
        let (now, pin) = (Timestamp::UNIX_EPOCH, || async { Ok(serde_json::Value::Null) });
        let (status, stop, asking) = (Status::default(), watch::channel(false).1, nobody_asks());
        let waiting = Waiting { cluster, status: &status, stop, asking, until_end: true };
        let state = open(&config, sink, &waiting, &Beginning::default(), now, pin).await?;
        Ok(state.expect("nobody stops it"))
    }

    #[tokio::test]
    async fn a_replica_that_begins_beside_the_first_one_takes_its_chain() {
        let sink = Memory::new("j");
        let other = Some(Memory::clone(&sink));
        assert_eq!(opened(&sink, &HasRead { other }).await.unwrap().n, 1);
    }

    #[tokio::test]
    async fn a_group_that_has_read_without_a_chain_is_refused() {
        let refused = opened(&Memory::new("j"), &HasRead { other: None }).await.unwrap_err();
        assert!(refused.to_string().contains("--new-incarnation"), "{refused}");
    }

    #[tokio::test]
    async fn a_chain_of_before_goes_on_with_the_bare_seconds_that_its_files_have() {
        let text = "job: j\nkafka: {bootstrap_servers: 'localhost:9092', topics: [t]}\nsink: {url: 'file:///l', table: t}\n\
                    format: {columns: [{name: at, type: 'timestamp(s)'}]}\n";
        let config = Config::parse(text, &Origin("job.yaml".into())).unwrap();
        let of_before = serde_json::json!({"columns": []});
        for (pinned, bare) in [(of_before.clone(), true), (columns::pin_seconds(of_before), false)] {
            let genesis = Genesis { pinned, ..Genesis::default() };
            let state = Memory::new("j").begin_chain(genesis).await.unwrap();
            let tables = crate::flow::tables::TableColumns::read(&config, Some(&state)).unwrap();
            let columns = tables.of_topic("t").unwrap();
            assert_eq!(columns[0].bare_seconds, bare);
            assert_eq!(columns::cautions(columns).len(), usize::from(bare));
        }
    }
}
