//! A connector in small: begins, stages, commits, publishes, and repeats what may pass.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Options, Place};
use crate::model::checkpoint::{Checkpoint, PartitionState};
use crate::model::commit::{Begin, Commit, CommitId, FileKind, FinalName, StagedFile};
use crate::model::error::{Error, Kind};
use crate::model::position::{Delta, Span, TopicPartition};
use crate::sink::{Genesis, Outcome, Sink};

pub(super) const TABLE: &str = "t";

pub(super) struct Writer {
    pub(super) sink: Arc<dyn Sink>,
}

pub(super) fn partition(n: i32) -> TopicPartition {
    TopicPartition::new("topic", n)
}

/// A chain that starts with partitions `0..count` at offset 0.
pub(super) fn genesis(count: i32) -> Genesis {
    let start = PartitionState { start: 0, next: 0, rows: 0 };
    Genesis {
        cluster_id: Some("cluster".to_owned()),
        partitions: (0..count).map(|n| (partition(n), start)).collect(),
        pinned: serde_json::json!({"columns": []}),
        ..Genesis::default()
    }
}

/// Repeats a call while its error may pass.
pub(super) async fn repeat<T, F>(call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 0..1000 {
        match call().await {
            Ok(value) => return value,
            Err(error) if error.kind == Kind::Retry => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}: {:?}", error.source),
        }
    }
    panic!("a call failed a thousand times");
}

/// Stages the file of this number of an attempt, in two writes. Its final name lies in `folder`, which is
/// empty or ends with a slash; `rows` are those that it has of each partition.
pub async fn stage(
    sink: &dyn Sink,
    begin: &Begin,
    kind: FileKind,
    number: u32,
    folder: &str,
    bytes: Bytes,
    rows: BTreeMap<TopicPartition, u64>,
) -> Result<StagedFile, Error> {
    let staged = format!("{number:03}.staged");
    let mut upload = sink.stage(&begin.id, &staged).await?;
    upload.write(bytes.slice(..bytes.len() / 2)).await?;
    upload.write(bytes.slice(bytes.len() / 2..)).await?;
    let done = upload.finish().await?;
    assert_eq!(done.bytes, bytes.len() as u64);
    let name = FinalName { incarnation: begin.incarnation, commit: begin.id.clone(), number };
    Ok(StagedFile {
        kind,
        staged,
        path: format!("{folder}{name}"),
        bytes: done.bytes,
        rows: rows.values().sum(),
        sha256: done.sha256,
        partitions: rows,
    })
}

impl Writer {
    pub(super) fn new(place: &Arc<dyn Place>) -> Self {
        Self { sink: place.sink(Options::default()) }
    }

    pub(super) async fn with_chain(place: &Arc<dyn Place>, partitions: i32) -> (Self, Arc<Checkpoint>) {
        let writer = Self::new(place);
        let state = repeat(|| writer.sink.begin_chain(genesis(partitions))).await;
        (writer, state)
    }

    pub(super) async fn newest(&self) -> Arc<Checkpoint> {
        repeat(|| self.sink.load()).await.expect("the chain has begun")
    }

    /// Announces and stages an attempt that moves each partition of `moves` by so many offsets, with a row
    /// for each and `rejects` in a file of their own. `idle` partitions are announced and not moved.
    pub(super) async fn attempt_with(
        &self,
        state: &Checkpoint,
        moves: &[(i32, i64)],
        idle: &[i32],
        rejects: u64,
    ) -> Arc<Commit> {
        let moves: Vec<_> = moves.iter().map(|(n, count)| (partition(*n), *count, *count)).collect();
        let idle: Vec<_> = idle.iter().copied().map(partition).collect();
        self.attempt_on(state, &moves, &idle, rejects).await
    }

    /// Likewise, of any partitions, each with its own number of rows.
    pub(super) async fn attempt_on(
        &self,
        state: &Checkpoint,
        moves: &[(TopicPartition, i64, i64)],
        idle: &[TopicPartition],
        rejects: u64,
    ) -> Arc<Commit> {
        loop {
            match self.try_attempt(state, moves, idle, rejects).await {
                Ok(commit) => return commit,
                // With another id: what the failed one staged is for the collection.
                Err(error) if error.kind == Kind::Retry => {}
                Err(error) => panic!("{error}: {:?}", error.source),
            }
        }
    }

    pub(super) async fn attempt(&self, state: &Checkpoint, moves: &[(i32, i64)]) -> Arc<Commit> {
        self.attempt_with(state, moves, &[], 0).await
    }

    async fn try_attempt(
        &self,
        state: &Checkpoint,
        moves: &[(TopicPartition, i64, i64)],
        idle: &[TopicPartition],
        rejects: u64,
    ) -> Result<Arc<Commit>, Error> {
        let at = |lane: &TopicPartition| state.partitions.get(lane).map_or(0, |at| at.next);
        let all = moves.iter().map(|(lane, ..)| lane).chain(idle).cloned();
        let from = all.clone().map(|lane| (lane.clone(), at(&lane))).collect();
        let begin = Begin {
            new_partitions: all.filter(|lane| !state.partitions.contains_key(lane)).collect(),
            ..Begin::new(CommitId::new(), state.incarnation, from)
        };
        self.sink.begin(&begin).await?;
        let mut files = Vec::new();
        for (lane, _, count) in moves.iter().filter(|(.., count)| *count > 0) {
            let lines: String =
                (at(lane)..at(lane) + count).map(|offset| format!("{lane} {offset}\n")).collect();
            let rows = BTreeMap::from([(lane.clone(), count.unsigned_abs())]);
            let folder = format!("{TABLE}/part={}/", lane.partition);
            files.push(
                stage(&*self.sink, &begin, FileKind::Data, files.len() as u32, &folder, lines.into(), rows)
                    .await?,
            );
        }
        if rejects > 0 {
            let rows = BTreeMap::from([(moves[0].0.clone(), rejects)]);
            files.push(
                stage(&*self.sink, &begin, FileKind::Rejects, files.len() as u32, "", "bad\n".into(), rows)
                    .await?,
            );
        }
        let span = |(lane, offsets, _): &(TopicPartition, i64, i64)| {
            Some((lane.clone(), Span::new(at(lane), at(lane) + offsets)?))
        };
        Ok(Arc::new(Commit {
            delta: Delta(moves.iter().filter_map(span).collect()),
            rows: moves.iter().map(|(lane, _, rows)| (lane.clone(), rows.unsigned_abs())).collect(),
            rejects,
            files,
            ..Commit::of(begin, &state.job, Timestamp::UNIX_EPOCH)
        }))
    }

    pub(super) async fn commit(&self, base: &Arc<Checkpoint>, commit: &Arc<Commit>) -> Outcome {
        let sent = self.sink.commit(Arc::clone(base), Arc::clone(commit), None).await;
        sent.unwrap_or_else(|error| panic!("{error}: {:?}", error.source))
    }

    /// Stages and commits, which nobody hinders.
    pub(super) async fn commit_moves(
        &self,
        state: &Arc<Checkpoint>,
        moves: &[(i32, i64)],
    ) -> Arc<Checkpoint> {
        let commit = self.attempt(state, moves).await;
        committed(self.commit(state, &commit).await)
    }

    pub(super) async fn publish(&self, state: &Checkpoint) {
        repeat(|| self.sink.publish(state, &state.unpublished)).await;
    }

    /// Publishes, erases and settles until the newest state lists nothing that is to be done.
    pub(super) async fn finish_all(&self) -> Arc<Checkpoint> {
        loop {
            let state = self.newest().await;
            if state.unpublished.is_empty() && state.retracted.is_empty() {
                return state;
            }
            self.publish(&state).await;
            repeat(|| self.sink.settle(Arc::clone(&state))).await;
        }
    }
}

pub(super) fn committed(outcome: Outcome) -> Arc<Checkpoint> {
    match outcome {
        Outcome::Committed(state) => state,
        other => panic!("not committed: {other:?}"),
    }
}

pub(super) fn fenced(outcome: Outcome) -> Arc<Checkpoint> {
    match outcome {
        Outcome::Fenced(state) => state,
        other => panic!("not fenced: {other:?}"),
    }
}

pub(super) fn next(state: &Checkpoint, n: i32) -> i64 {
    state.partitions.get(&partition(n)).map_or(0, |at| at.next)
}

/// Panics unless what is visible in the table is every offset below the state's positions, each once.
pub(super) async fn assert_exact(place: &Arc<dyn Place>, state: &Checkpoint) {
    let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (path, bytes) in place.visible().await {
        if !path.starts_with(&format!("{TABLE}/")) {
            continue;
        }
        for line in std::str::from_utf8(&bytes).expect("our rows are text").lines() {
            let (partition, offset) = line.split_once(' ').expect("our rows have two columns");
            seen.entry(partition.to_owned()).or_default().push(offset.parse().expect("an offset"));
        }
    }
    seen.values_mut().for_each(|offsets| offsets.sort_unstable());
    let rows = state.partitions.iter().filter(|(_, at)| at.rows > 0);
    let wanted: BTreeMap<String, Vec<i64>> =
        rows.map(|(partition, at)| (partition.to_string(), (at.start..at.next).collect())).collect();
    assert_eq!(seen, wanted);
}
