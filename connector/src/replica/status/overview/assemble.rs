//! From status, settings and peers to an overview.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidegate_sinks::{Checkpoint, TopicPartition};

use super::{
    HeldBack, Lag, LeftOut, Limits, NewestCheckpoint, Overview, Partition, Peer, PeerPartition, Peers,
    RejectRatio, Rejects, UnmatchedTable,
};
use crate::config::{Config, Unknown};
use crate::replica::control::Replica;
use crate::replica::status::conditions::Condition;
use crate::replica::status::verdict::{self, Facts, Verdict};
use crate::replica::status::{OpenTransaction, PartitionStatus, Status};

/// The overview as of `now`. `process` is when this process began to listen.
pub fn overview(
    config: &Config,
    status: &Status,
    peers: &Peers,
    process: Timestamp,
    now: Timestamp,
) -> Overview {
    let id = status.replica();
    let assigned = status.partitions();
    let checkpoint = status.newest();
    let servers = &config.kafka.bootstrap_servers;
    let open_transactions = status.standing().open_transactions;
    let held_back: Vec<_> = open_transactions.into_iter().map(|open| held_back(open, servers)).collect();
    let rejects = checkpoint.as_ref().map(|checkpoint| checkpoint.outstanding_rejects());
    Overview {
        now,
        process,
        job: config.job.clone(),
        version: env!("CARGO_PKG_VERSION"),
        state: status.state(),
        paused: peers.control.as_ref().is_some_and(|control| control.paused || control.stopped),
        sink: config.sink.url.clone(),
        verdict: verdict(config, status, now),
        latest: status.samples().last().copied(),
        lag: lag(&assigned),
        partitions: partitions(checkpoint.as_deref(), &assigned, &peers.replicas, id),
        left_out: status.left_out().into_iter().map(|(topic, problem)| LeftOut { topic, problem }).collect(),
        held_back,
        rejects: Rejects {
            total: rejects,
            limit: config.error_limit.records,
            ratio: reject_ratio(config, checkpoint.as_deref(), now),
            place: format!("{}/_tidegate/{}/rejects/", config.sink.url.trim_end_matches('/'), config.job),
        },
        unmatched: status
            .unmatched()
            .into_iter()
            .map(|(table, unmatched)| UnmatchedTable {
                table: table.to_string(),
                members: unmatched.members,
                keys: unmatched.keys.into_keys().collect(),
                rows: unmatched.rows,
            })
            .collect(),
        limits: Limits {
            bytes_per_second: peers
                .control
                .as_ref()
                .and_then(|control| control.bytes_per_second)
                .unwrap_or(config.speed.bytes_per_second),
            share_bytes_per_second: status.limit(),
            memory_limit: config.memory_limit,
            memory_used: status.memory(),
            checkpoint_timeout_seconds: config.checkpoint.timeout.as_secs_f64(),
        },
        checkpoint: checkpoint.map(|checkpoint| NewestCheckpoint {
            n: checkpoint.n,
            created: checkpoint.created,
            incarnation: checkpoint.incarnation,
            unpublished: checkpoint.unpublished.len(),
            interval_seconds: config.checkpoint.interval.as_secs_f64(),
        }),
        replicas: peers.replicas.iter().map(|replica| peer(replica, id)).collect(),
        replicas_reason: peers.failure.clone(),
    }
}

fn reject_ratio(config: &Config, checkpoint: Option<&Checkpoint>, now: Timestamp) -> Option<RejectRatio> {
    let limit = config.error_limit.limit().ratio?;
    let (rejects, records) = checkpoint.map(|checkpoint| limit.counts(checkpoint, now)).unwrap_or_default();
    let window_seconds = limit.window.map(|window| window.as_secs_f64());
    Some(RejectRatio { most: limit.most, window_seconds, rejects, records })
}

/// Whether all is well as of `now`, for the page, for `/readyz` and for metrics.
pub fn verdict(config: &Config, status: &Status, now: Timestamp) -> Verdict {
    let checkpoint = status.newest();
    let age = |since: Timestamp| now.duration_since(since).try_into().unwrap_or_default();
    let samples = status.samples();
    let reload = status.reload();
    let unsent = checkpoint.as_ref().and_then(|checkpoint| {
        let oldest = checkpoint.unsent.first()?.created()?;
        Some((checkpoint.unsent.len(), age(oldest)))
    });
    let retracted = checkpoint.as_ref().zip(status.retracted_since());
    let with_age = |held: Condition| {
        let age = age(held.since);
        (held, age)
    };
    let conditions: Vec<_> = status.conditions().into_iter().map(with_age).collect();
    let held_back = |open: &OpenTransaction| {
        let records = (open.high_watermark - open.last_stable_offset).max(0) as u64;
        (format!("{}-{}", open.partition.topic, open.partition.partition), age(open.since), records)
    };
    verdict::judge(&Facts {
        state: status.state(),
        checkpoint_age: checkpoint.as_ref().map(|checkpoint| age(checkpoint.created)),
        interval: config.checkpoint.interval,
        lag_lso: lag(&status.partitions()).lso,
        behind: status.behind_since().map(age),
        held_back: status.standing().open_transactions.first().map(held_back),
        rejects: checkpoint.as_ref().map(|checkpoint| checkpoint.outstanding_rejects()),
        rejects_limit: config.error_limit.records,
        rows_without_values: match config.format.unknown {
            Unknown::Ignore => 0,
            Unknown::Warn | Unknown::Reject => status.unmatched().values().map(|table| table.rows).sum(),
        },
        reject_ratio: reject_ratio(config, checkpoint.as_deref(), now),
        unpublished: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.unpublished.len()),
        unsent,
        retracted: retracted.map(|(checkpoint, since)| (checkpoint.retracted.len(), age(since))),
        copy_grace: config.checkpoint.copy_grace,
        reload_failure: reload.as_ref().and_then(|reload| reload.failure.as_deref()),
        conditions: &conditions,
        samples: &samples,
    })
}

type Assigned = BTreeMap<TopicPartition, PartitionStatus>;

fn behind(end: Option<i64>, next: Option<i64>) -> Option<u64> {
    Some((end? - next?).max(0) as u64)
}

fn lag(assigned: &Assigned) -> Lag {
    let to = |end: fn(&PartitionStatus) -> Option<i64>| {
        assigned.values().map(|partition| behind(end(partition), partition.next)).sum()
    };
    Lag { lso: to(|partition| partition.last_stable_offset), hw: to(|partition| partition.high_watermark) }
}

/// Those of the newest checkpoint, and those that are assigned and in no checkpoint yet.
fn partitions(
    checkpoint: Option<&Checkpoint>,
    assigned: &Assigned,
    replicas: &[Replica],
    id: Option<&str>,
) -> Vec<Partition> {
    let readers: BTreeMap<_, _> = replicas
        .iter()
        .filter(|replica| Some(replica.id.as_str()) != id)
        .flat_map(|replica| replica.partitions.iter().map(move |partition| (partition, &replica.id)))
        .collect();
    let states = checkpoint.map(|checkpoint| &checkpoint.partitions);
    let all: BTreeSet<_> = states.iter().flat_map(|states| states.keys()).chain(assigned.keys()).collect();
    all.into_iter()
        .filter(|partition| !partition.is_rejects())
        .map(|partition| {
            let here = assigned.get(partition);
            let known = here.copied().unwrap_or_default();
            let next = known.next.or_else(|| Some(states?.get(partition)?.next));
            Partition {
                topic: partition.topic.clone(),
                partition: partition.partition,
                next,
                last_stable_offset: known.last_stable_offset,
                high_watermark: known.high_watermark,
                lag_lso: behind(known.last_stable_offset, next),
                lag_hw: behind(known.high_watermark, next),
                here: here.is_some(),
                replica: readers.get(partition).filter(|_| here.is_none()).map(|id| (*id).clone()),
            }
        })
        .collect()
}

fn held_back(transaction: OpenTransaction, bootstrap_servers: &str) -> HeldBack {
    HeldBack {
        topic: transaction.partition.topic.clone(),
        partition: transaction.partition.partition,
        offset: transaction.last_stable_offset,
        records: (transaction.high_watermark - transaction.last_stable_offset).max(0) as u64,
        since: transaction.since,
        show: transaction.command(bootstrap_servers),
        abort: transaction.abort_command(bootstrap_servers),
    }
}

fn peer(replica: &Replica, id: Option<&str>) -> Peer {
    let partitions = replica
        .partitions
        .iter()
        .map(|partition| PeerPartition { topic: partition.topic.clone(), partition: partition.partition });
    Peer {
        id: replica.id.clone(),
        here: Some(replica.id.as_str()) == id,
        address: replica.address.clone(),
        state: replica.state,
        updated: replica.updated,
        partitions: partitions.collect(),
        records_per_second: replica.records_per_second,
        bytes_per_second: replica.bytes_per_second,
    }
}
