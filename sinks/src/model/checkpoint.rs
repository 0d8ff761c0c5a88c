//! A checkpoint: a complete, numbered, immutable description of the whole job, created only if its number is
//! free. Creating one is the commit; a savepoint is a copy of one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::commit::{Commit, CommitId};
use super::error::{Error, Kind};
use super::position::{Gap, LeaderEpoch, Position, Span, TopicPartition};

pub use super::commit::FORMAT;

/// One partition as of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Where the job began to read it.
    pub start: i64,
    /// First offset that is not committed.
    pub next: i64,
    /// Rows committed of `[start, next)`.
    pub rows: u64,
}

/// Something that has been taken back and must be erased before anything else is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retracted {
    /// A commit that a rollback cut off.
    Commit(CommitId),
    /// A file of others that `mode: overwrite` clears away; its path relative to the sink's URL.
    File(String),
}

impl Retracted {
    /// The commit, if it is one.
    pub fn commit(&self) -> Option<&CommitId> {
        match self {
            Self::Commit(id) => Some(id),
            Self::File(_) => None,
        }
    }
}

/// What a job was restored from, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The savepoint's id, or the number of a retained checkpoint.
    pub from: String,
    pub choice: RestoreChoice,
}

/// What happens to commits that are newer than what a job is restored from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreChoice {
    /// They stay, and the job goes on after them.
    KeepSink,
    /// They are taken back.
    Rollback,
    /// There are none: a sink of its own.
    NewIncarnation,
}

/// What is left of the oldest commits once they are forgotten: the sum of them. Its
/// files are the user's, and no audit looks at them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// When the newest of them were folded into it.
    pub created: Timestamp,
    /// How many there were.
    pub commits: u64,
    /// The highest of their ids.
    pub last: CommitId,
    /// Rejected records of theirs.
    pub rejects: u64,
    /// What they cover: each partition from where the job began to read it.
    pub partitions: BTreeMap<TopicPartition, Forgotten>,
}

/// One partition of a [`Base`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// First offset that is not forgotten.
    pub next: i64,
    /// Rows below it.
    pub rows: u64,
}

/// What was committed in a part of the window in which a job limits its rejects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentCount {
    /// Time of the first commit in it.
    pub since: Timestamp,
    pub rows: u64,
    pub rejects: u64,
}

/// The body of `checkpoints/<n>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub format: u32,
    /// Its number; the first is 1.
    pub n: u64,
    pub job: String,
    pub incarnation: u32,
    pub created: Timestamp,
    /// The Kafka cluster that the offsets belong to, when it could be learnt.
    pub cluster_id: Option<String>,
    pub partitions: BTreeMap<TopicPartition, PartitionState>,
    /// The commit that this checkpoint made, if it made one.
    pub commit: Option<CommitId>,
    /// The commits that checkpoints n-1, n-2, … made; at most [`crate::sink::HISTORY`] entries.
    pub history: Vec<Option<CommitId>>,
    /// Committed, not yet known to be visible; oldest first.
    pub unpublished: Vec<CommitId>,
    pub retracted: Vec<Retracted>,
    /// For each ended incarnation, the positions at which it was cut; the first entry is incarnation 1's.
    pub cuts: Vec<Position>,
    /// Rejected records since the start of the chain. One that fails again when it is replayed counts again.
    pub rejects: u64,
    /// Losses accepted since the start of the chain.
    pub gaps: Vec<Gap>,
    /// The savepoint that this incarnation was restored from, so that the same start
    /// again does not restore again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
    /// The newest control object that the job had applied.
    #[serde(default)]
    pub control: u64,
    /// Commits whose rejects are not known to be in the topic for them; oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsent: Vec<CommitId>,
    /// Timestamp of the last record committed of each partition, in milliseconds since 1970: what finds the
    /// place again in a cluster with other offsets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timestamps: BTreeMap<TopicPartition, i64>,
    /// Leader epoch of the last record committed of each partition: by it the brokers are asked whether they
    /// still have all that was read. Chains begun before learn it with their next records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub epochs: BTreeMap<TopicPartition, LeaderEpoch>,
    /// What was committed lately, where the job limits its rejects in a window; oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<RecentCount>,
    /// The commits that were forgotten. All others since the start of the chain are stored one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// What the job pinned, such as an inferred schema: a tree of objects whose leaves
    /// never change. The connector's own.
    pub pinned: Value,
    /// Fields of this format that this version does not know; carried along, never dropped.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Checkpoint {
    /// The first of a chain, in which nothing has happened.
    pub fn first(
        job: &str,
        created: Timestamp,
        partitions: BTreeMap<TopicPartition, PartitionState>,
    ) -> Self {
        Self {
            format: FORMAT,
            n: 1,
            job: job.to_owned(),
            incarnation: 1,
            created,
            cluster_id: None,
            partitions,
            commit: None,
            history: Vec::new(),
            unpublished: Vec::new(),
            retracted: Vec::new(),
            cuts: Vec::new(),
            rejects: 0,
            gaps: Vec::new(),
            restored: None,
            control: 0,
            unsent: Vec::new(),
            timestamps: BTreeMap::new(),
            epochs: BTreeMap::new(),
            recent: Vec::new(),
            base: None,
            pinned: Value::Null,
            other: BTreeMap::new(),
        }
    }

    /// Whether a stored commit is part of what is forgotten: the base counts it
    /// already. A late publisher may store it once more.
    pub fn has_forgotten(&self, commit: &Commit) -> bool {
        let forgotten = |(partition, span): (_, &Span)| {
            let base = self.base.as_ref().and_then(|base| base.partitions.get(partition));
            base.is_some_and(|at| span.to <= at.next)
        };
        commit.delta.0.iter().all(forgotten)
    }

    /// Refuses to go back to positions inside of what is forgotten: nobody knows any
    /// more which files would have to go.
    ///
    /// Errors: `Refused`.
    pub fn check_remembered(&self, target: &Position) -> Result<(), Error> {
        let Some(base) = &self.base else { return Ok(()) };
        let below = |(partition, at): (&TopicPartition, &Forgotten)| {
            let to = target.next(partition).unwrap_or(0);
            (to < at.next).then(|| format!("{partition}: {to} is before {}", at.next))
        };
        let below: Vec<String> = base.partitions.iter().filter_map(below).collect();
        if below.is_empty() {
            return Ok(());
        }
        let context = format!(
            "cannot go back into commits that `tidegate forget` has folded on {:.0} ({}): their files may have been \
             compacted or deleted. Choose a younger savepoint or checkpoint, keep what the sink has, or begin a new sink",
            base.created,
            below.join(", ")
        );
        Err(Error::new(Kind::Refused, context))
    }

    /// Rejects that no replay has taken yet.
    pub fn outstanding_rejects(&self) -> u64 {
        let taken = self.partitions.get(&TopicPartition::rejects()).map_or(0, |lane| lane.next);
        self.rejects.saturating_sub(taken.unsigned_abs())
    }

    /// Rows that rejects have become.
    pub fn replayed_rows(&self) -> u64 {
        self.partitions.get(&TopicPartition::rejects()).map_or(0, |lane| lane.rows)
    }

    /// The partitions of Kafka's topics, but for topics that were given up.
    pub fn kafka_partitions(&self) -> impl Iterator<Item = (&TopicPartition, &PartitionState)> {
        let is_read =
            |partition: &TopicPartition| !partition.is_rejects() && !self.is_given_up(&partition.topic);
        self.partitions.iter().filter(move |(partition, _)| is_read(partition))
    }

    /// The id that Kafka gave the topic that is read under this name, where it is known.
    pub fn topic_id(&self, topic: &str) -> Option<&str> {
        self.pinned.get("topics")?.get(topic)?.get("id")?.as_str()
    }

    /// Whether a topic is read no more: what was written of it stays, and its positions stand still.
    pub fn is_given_up(&self, topic: &str) -> bool {
        let topic = self.pinned.get("topics").and_then(|topics| topics.get(topic));
        topic.is_some_and(|topic| topic.get("given_up").is_some())
    }

    /// The topics that are read no more, with the time when that was asked for.
    pub fn given_up(&self) -> impl Iterator<Item = (&str, &str)> {
        let topics = self.pinned.get("topics").and_then(Value::as_object);
        topics.into_iter().flatten().filter_map(|(topic, pinned)| {
            let since = pinned.get("given_up")?;
            Some((topic.as_str(), since.as_str().unwrap_or_default()))
        })
    }

    /// The next offset of each partition of Kafka's topics.
    pub fn kafka_position(&self) -> Position {
        Position(self.kafka_partitions().map(|(partition, state)| (partition.clone(), state.next)).collect())
    }

    /// The next offset of each partition, the lane of the rejects among them.
    pub fn position(&self) -> Position {
        Position(self.partitions.iter().map(|(partition, state)| (partition.clone(), state.next)).collect())
    }
}
