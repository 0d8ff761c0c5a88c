//! A commit: what one attempt staged, the offsets it covers, and the names of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::position::{Delta, Gap, LeaderEpoch, TopicPartition};

/// The newest format of checkpoints and commits that this version writes and reads.
pub const FORMAT: u32 = 1;

/// The unique name of one attempt to commit, never reused; ordered by time of creation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommitId(pub Arc<str>);

impl CommitId {
    /// 32 hexadecimal digits: the creation time in milliseconds, then random bits.
    #[expect(
        clippy::new_without_default,
        reason = "each call makes another id, which Default does not suggest"
    )]
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string().into())
    }

    /// When it was made, by the clock of its maker; `None` where [`CommitId::new`] did not make it.
    pub fn created(&self) -> Option<Timestamp> {
        let (seconds, nanoseconds) = uuid::Uuid::try_parse(&self.0).ok()?.get_timestamp()?.to_unix();
        Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the name of a final file says: `<incarnation>-<commit id>-<nnn>.parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalName {
    pub incarnation: u32,
    pub commit: CommitId,
    pub number: u32,
}

impl FinalName {
    /// What the last segment of a path says.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::parse(path.rsplit('/').next()?)
    }

    /// `None` for a name that no version of this sink would give.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".parquet")?.split('-');
        let (incarnation, id, number) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if parts.next().is_some() || !is_id || !digits(incarnation) || !digits(number) {
            return None;
        }
        Some(Self {
            incarnation: incarnation.parse().ok()?,
            commit: CommitId(id.into()),
            number: number.parse().ok()?,
        })
    }
}

impl fmt::Display for FinalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:03}.parquet", self.incarnation, self.commit, self.number)
    }
}

/// What a staged file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Rows of a table.
    Data,
    /// Records that did not decode.
    Rejects,
}

/// A finished Parquet file that waits under its temporary name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    pub kind: FileKind,
    /// Name in the commit's staging folder.
    pub staged: String,
    /// Path once visible, relative to the sink's URL: `table/day=2026-01-31/name.parquet`. For rejects: the
    /// file name alone, in the job's rejects folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    pub rows: u64,
    /// SHA-256 of the bytes, hexadecimal.
    pub sha256: String,
    /// Rows of each partition.
    pub partitions: BTreeMap<TopicPartition, u64>,
}

impl StagedFile {
    /// The table that its rows belong to; none of rejects.
    pub fn table(&self) -> Option<&str> {
        match self.kind {
            FileKind::Data => self.path.split('/').next(),
            FileKind::Rejects => None,
        }
    }
}

/// What a commit has decoded once more. Each reject of its sources has become a row
/// of it, or a reject of it, or is skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The commits whose rejects these are, each with all of them.
    pub sources: BTreeSet<CommitId>,
    /// Records that are neither any more: tombstones, where the job has come to skip them.
    #[serde(default)]
    pub skipped: u64,
}

/// Everything about one commit, immutable, durable before the checkpoint that commits it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub format: u32,
    pub id: CommitId,
    pub job: String,
    pub incarnation: u32,
    pub created: Timestamp,
    /// Where every partition of the attempt stood when it began: the `from` of its
    /// [`Begin`]. The commit depends on all of them, also on those that `delta` does
    /// not move, because leftovers are judged by them.
    pub from: BTreeMap<TopicPartition, i64>,
    /// The offsets covered; may name partitions without any rows.
    pub delta: Delta,
    /// Those of `from` that no checkpoint knew when the attempt began.
    pub new_partitions: BTreeSet<TopicPartition>,
    /// Rows of each partition in the files of kind [`FileKind::Data`].
    pub rows: BTreeMap<TopicPartition, u64>,
    /// Records that did not decode; each is a row of a file of kind [`FileKind::Rejects`].
    pub rejects: u64,
    /// The topic that the rejects are sent to as well, once the commit is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects_topic: Option<String>,
    /// Timestamp of the last record of each partition in `delta` that has any, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timestamps: BTreeMap<TopicPartition, i64>,
    /// Leader epoch of the last record of each partition in `delta` that has any, where the brokers tell it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub epochs: BTreeMap<TopicPartition, LeaderEpoch>,
    /// Offsets that the log lost before they were read; inside `delta`.
    pub gaps: Vec<Gap>,
    /// The newest control object that the replica had heard of.
    #[serde(default)]
    pub control: u64,
    /// For a commit that replays rejects of earlier ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    pub files: Vec<StagedFile>,
}

impl Commit {
    /// A commit of the attempt that covers nothing yet. `created` belongs to it, not to the attempt.
    pub fn of(begin: Begin, job: &str, created: Timestamp) -> Self {
        Self {
            format: begin.format,
            id: begin.id,
            job: job.to_owned(),
            incarnation: begin.incarnation,
            created,
            from: begin.from,
            delta: Delta::default(),
            new_partitions: begin.new_partitions,
            rows: BTreeMap::new(),
            rejects: 0,
            rejects_topic: None,
            timestamps: BTreeMap::new(),
            epochs: BTreeMap::new(),
            gaps: Vec::new(),
            control: 0,
            replay: None,
            files: Vec::new(),
        }
    }

    /// How the attempt was announced, or would have been if it had files.
    pub fn begin(&self) -> Begin {
        Begin {
            format: self.format,
            id: self.id.clone(),
            incarnation: self.incarnation,
            from: self.from.clone(),
            new_partitions: self.new_partitions.clone(),
        }
    }
}

/// Written before the first file of a commit. Leftovers are judged by it: an
/// attempt whose start has been passed can never commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    pub format: u32,
    pub id: CommitId,
    pub incarnation: u32,
    /// Where each partition of the attempt stands when it begins.
    pub from: BTreeMap<TopicPartition, i64>,
    /// Those of `from` that no checkpoint knew.
    pub new_partitions: BTreeSet<TopicPartition>,
}

impl Begin {
    /// An attempt on partitions that the chain knows.
    pub fn new(id: CommitId, incarnation: u32, from: BTreeMap<TopicPartition, i64>) -> Self {
        Self { format: FORMAT, id, incarnation, from, new_partitions: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_ours() {
        let id = CommitId::new();
        let name = FinalName::parse(&format!("3-{id}-012.parquet")).unwrap();
        assert_eq!(name, FinalName { incarnation: 3, commit: id.clone(), number: 12 });
        let many = FinalName { number: 12_345, ..name };
        assert_eq!(FinalName::parse(&many.to_string()), Some(many));
        for foreign in [
            "part-00000-1234.snappy.parquet".to_owned(),
            format!("3-{id}-012.staged"),
            format!("3-{id}-012-1.parquet"),
            format!("+3-{id}-012.parquet"),
            format!("3-{}-012.parquet", id.to_string().to_uppercase()),
            format!("3-{}-012.parquet", &id.to_string()[1..]),
        ] {
            assert_eq!(FinalName::parse(&foreign), None, "{foreign}");
        }
    }

    #[test]
    fn an_id_tells_when_it_was_made() {
        // The example of RFC 9562.
        let example = CommitId("017f22e279b07cc398c4dc0c0c07398f".into());
        assert_eq!(example.created(), Some("2022-02-22T19:22:22Z".parse().unwrap()));
        let now = Timestamp::now().as_second();
        assert!((now..now + 60).contains(&CommitId::new().created().unwrap().as_second()));
        assert_eq!(CommitId("a".into()).created(), None);
    }
}
