//! Going on from a kept state: what is checked before the sink is asked, and where a sink of its own begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use tidegate_sinks::{
    Checkpoint, Genesis, Kind, PartitionState, Restore, RestoreChoice, Sink, TopicPartition,
};

use super::folders;
use super::start::overwrite_tables;
use crate::config::{Config, Start};
use crate::error::RunError;
use crate::flow::tables::pins;
use crate::kafka::cluster::Cluster;

/// Partitions whose place is asked for at the same time: each takes a question of
/// its own, as each has its own time.
const QUESTIONS_AT_ONCE: usize = 32;

/// Restores, unless the chain says that it was. Returns the newest state.
///
/// Errors: `Refused`, with nothing changed, when that could lose or double records.
pub(super) async fn restore(
    sink: &dyn Sink,
    cluster: &dyn Cluster,
    state: Arc<Checkpoint>,
    restore: &Restore,
) -> Result<Arc<Checkpoint>, RunError> {
    let from = &restore.restored.from;
    if restore.is_done_in(&state) {
        tracing::info!(from, checkpoint = state.n, "restored before; going on from the sink");
        return Ok(state);
    }
    match restore.restored.choice {
        RestoreChoice::NewIncarnation => {
            return Err(RunError::refused(format!(
                "the sink has a chain already, at checkpoint {}: --new-incarnation begins one of its own at the positions \
                 of {from}; give the job a name and a sink folder of its own, or choose --keep-sink or --rollback",
                state.n
            )));
        }
        RestoreChoice::Rollback => refuse_lost_records(sink, cluster, &restore.target).await?,
        RestoreChoice::KeepSink => {}
    }
    let restored = sink.restore(restore).await.map_err(|error| match error.kind {
        Kind::Retry => RunError::failed(format!(
            "{error}; it may have been restored all the same: start again with the same arguments to find out and go on"
        )),
        _ => error.into(),
    })?;
    tracing::warn!(
        from,
        choice = ?restore.restored.choice,
        checkpoint = restored.n,
        incarnation = restored.incarnation,
        retracted = restored.retracted.len(),
        "restored"
    );
    Ok(restored)
}

/// What a rollback takes back must still be there to be read again.
async fn refuse_lost_records(
    sink: &dyn Sink,
    cluster: &dyn Cluster,
    target: &Checkpoint,
) -> Result<(), RunError> {
    let mut moves = sink.plan_rollback(target).await?.moves;
    // What was replayed comes from files that stay.
    moves.retain(|partition, _| !partition.is_rejects());
    let known = cluster.partitions().await?;
    let (there, gone): (Vec<_>, Vec<_>) =
        moves.keys().cloned().partition(|partition| known.contains(partition));
    if let Some(partition) = gone.first() {
        return Err(RunError::refused(format!(
            "a rollback would take records of {partition} back, which Kafka does not have any more; restore with --keep-sink"
        )));
    }
    let bounds = cluster.bounds(&there).await?;
    for (partition, log) in &bounds {
        let to = moves.get(partition).map_or(log.start, |moves| moves.to);
        if to < log.start {
            return Err(RunError::refused(format!(
                "a rollback would take {partition} back to {to}, but Kafka has deleted what lies before {}: those records \
                 would be lost; restore something newer, or with --keep-sink",
                log.start
            )));
        }
    }
    Ok(())
}

/// Begins a chain at the positions of a savepoint: of this job, whose chain is
/// gone, or of another, which is forked.
pub(super) async fn begin(
    config: &Config,
    sink: &dyn Sink,
    cluster: &dyn Cluster,
    restore: &Restore,
    other_cluster: bool,
) -> Result<Arc<Checkpoint>, RunError> {
    let (from, target) = (&restore.restored.from, &restore.target);
    if restore.restored.choice != RestoreChoice::NewIncarnation {
        return Err(RunError::refused(format!(
            "the sink has no checkpoint of job {}, so nothing can be kept or rolled back: --new-incarnation begins a chain at \
             the positions of {from}, without the records before them",
            config.job
        )));
    }
    let place = |next: i64| PartitionState { start: next, next, rows: 0 };
    let (cluster_id, partitions) = if other_cluster {
        (cluster.id().await?, places_elsewhere(cluster, from, target).await?)
    } else {
        let next = |(partition, at): (&TopicPartition, &PartitionState)| (partition.clone(), at.next);
        (target.cluster_id.clone().or(cluster.id().await?), target.kafka_partitions().map(next).collect())
    };
    let genesis = Genesis {
        cluster_id,
        partitions: partitions.into_iter().map(|(partition, next)| (partition, place(next))).collect(),
        epochs: if other_cluster { BTreeMap::new() } else { target.epochs.clone() },
        pinned: folders::restored(config, pins::without_files(&pinned_here(target, other_cluster))),
        overwrite_tables: overwrite_tables(config, &cluster.partitions().await?),
        restored: Some(restore.restored.clone()),
        after_incarnation: target.incarnation,
    };
    tracing::info!(
        from,
        partitions = genesis.partitions.len(),
        "beginning a chain at the positions of a savepoint"
    );
    let state = sink.begin_chain(genesis).await?;
    if state.restored.as_ref() == Some(&restore.restored) {
        return Ok(state);
    }
    Err(RunError::refused(format!(
        "somebody else has begun the chain meanwhile, and not at the positions of {from}"
    )))
}

/// What a savepoint pins, without the ids of another cluster's topics.
fn pinned_here(target: &Checkpoint, other_cluster: bool) -> serde_json::Value {
    let mut pinned = target.pinned.clone();
    if other_cluster && let Some(pinned) = pinned.as_object_mut() {
        pinned.remove("topics");
    }
    pinned
}

/// Where each partition is to be read from in a cluster that holds the same records under other offsets: at
/// the first record that is as new as the last one committed. What is not committed comes after that one in
/// every copy of the partition, so nothing is missed; it, and whatever is as new before it, is written again.
async fn places_elsewhere(
    cluster: &dyn Cluster,
    from: &str,
    target: &Checkpoint,
) -> Result<BTreeMap<TopicPartition, i64>, RunError> {
    let id = cluster.id().await?;
    if id.is_some() && id == target.cluster_id {
        return Err(RunError::refused(format!(
            "{from} is of this very cluster, where its offsets are exact: leave --other-cluster out"
        )));
    }
    let known = cluster.partitions().await?;
    let is_known: BTreeSet<&TopicPartition> = known.iter().collect();
    if let Some(partition) =
        target.kafka_partitions().map(|(partition, _)| partition).find(|p| !is_known.contains(p))
    {
        return Err(RunError::refused(format!(
            "{from} stands in {partition}, which this cluster does not have: copy the topic first, with its partitions as \
             they are"
        )));
    }
    let mut places = cluster.starts(&known, &Start::Earliest).await?;
    let questions = stream::iter(target.timestamps.clone())
        .map(async |(partition, timestamp)| cluster.starts(&[partition], &Start::Timestamp(timestamp)).await);
    let mut answers = questions.buffer_unordered(QUESTIONS_AT_ONCE);
    while let Some(found) = answers.next().await {
        places.extend(found?);
    }
    tracing::warn!(
        from,
        partitions = places.len(),
        by_timestamp = target.timestamps.len(),
        "another cluster: places are found by the records' timestamps, so the last records may be written once more \
         (at least once); partitions without one are read from their beginning"
    );
    Ok(places)
}
