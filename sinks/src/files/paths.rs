//! Where things lie, and what their names say.

use jiff::Timestamp;

use crate::commit::{CommitId, FileKind, StagedFile};
use crate::error::{Error, Kind};
use crate::store::check_path;

/// The folder of the URL that holds what is not a table.
pub const RESERVED: &str = "_tidegate";

pub(super) const CHECKPOINTS: &str = "checkpoints";
pub(super) const COMMITS: &str = "commits";
/// Where a store is tried out.
pub(super) const PROBE: &str = "probe";

const BEGIN: &str = "begin.json";
const MANIFEST: &str = "commit.json";

/// File systems end a name here.
const NAME_MAX_BYTES: usize = 255;
/// Buckets end a key here.
const KEY_MAX_BYTES: usize = 1_024;
/// File systems end a path here, without the zero after it.
const PATH_MAX_BYTES: usize = 4_095;

/// Bytes that a path below a sink's URL may take.
pub fn path_room(url: &str) -> usize {
    let url = url.trim_end_matches('/');
    match url.split_once("://") {
        Some(("file", path)) => PATH_MAX_BYTES.saturating_sub(path.len() + 1),
        Some((_, rest)) => {
            KEY_MAX_BYTES.saturating_sub(rest.split_once('/').map_or(0, |(_, prefix)| prefix.len() + 1))
        }
        None => KEY_MAX_BYTES,
    }
}

/// Refuses a path at which nothing can be made: what is in force must be able to become visible.
///
/// Errors: `Config`.
pub(super) fn check_possible(url: &str, path: &str) -> Result<(), Error> {
    let name = path.split('/').map(str::len).max().unwrap_or_default();
    if name <= NAME_MAX_BYTES && path.len() <= path_room(url) {
        return Ok(());
    }
    let context = format!(
        "no file can be made at a path of {} bytes with a name of {name} below {url}: names end at {NAME_MAX_BYTES} \
         bytes, paths at {}; shorten the table's name or sink.partition_by",
        path.len(),
        path_room(url)
    );
    Err(Error::new(Kind::Config, context))
}

/// What the name of a final file says: `<incarnation>-<commit id>-<nnn>.parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalName {
    pub incarnation: u32,
    pub commit: CommitId,
    pub number: u32,
}

impl FinalName {
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

/// Whether a folder of the URL may be the table of a topic, whose name stands between these two. What is none is not to
/// be looked into: it may be nobody's to read, as `lost+found` of a mounted volume, or hold keys that no listing takes.
pub(super) fn is_table(folder: &str, prefix: &str, suffix: &str) -> bool {
    let of_a_topic = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let topic = folder.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
    // What begins so is hidden from readers; no table is.
    let is_hidden = folder.starts_with(['.', '_']);
    !is_hidden && topic.is_some_and(|topic| !topic.is_empty() && topic.bytes().all(of_a_topic))
}

/// `checkpoints/<n>.json` in the state's store.
pub(super) fn checkpoint(n: u64) -> String {
    format!("{CHECKPOINTS}/{n:020}.json")
}

pub(super) fn checkpoint_number(path: &str) -> Option<u64> {
    let digits = path.strip_prefix(CHECKPOINTS)?.strip_prefix('/')?.strip_suffix(".json")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// `commits/<id>.json` in the state's store.
pub(super) fn commit(id: &CommitId) -> String {
    format!("{COMMITS}/{id}.json")
}

/// Below the path of each commit whose attempt began at a time or later: an id begins with it, in milliseconds.
pub(super) fn first_commit_at(time: Timestamp) -> String {
    format!("{COMMITS}/{}", id_at(time))
}

/// How the ids and names begin that were made at a time.
pub(super) fn id_at(time: Timestamp) -> String {
    format!("{:012x}", time.as_millisecond().max(0))
}

pub(super) fn commit_id(path: &str) -> Option<CommitId> {
    let id = path.strip_prefix(COMMITS)?.strip_prefix('/')?.strip_suffix(".json")?;
    Some(CommitId(id.into()))
}

/// A job's paths in the data's store.
#[derive(Debug)]
pub(super) struct Paths {
    /// `_tidegate/<job>`.
    job: String,
}

impl Paths {
    /// Errors: `Config`, when the job's name is not one folder.
    pub(super) fn new(job: &str) -> Result<Self, Error> {
        if job.contains('/') || check_path(job).is_err() {
            let context = format!("the job's name {job:?} is to be a folder's: no slashes, no dot in front");
            return Err(Error::new(Kind::Config, context));
        }
        Ok(Self { job: format!("{RESERVED}/{job}") })
    }

    /// The folder of all attempts.
    pub(super) fn attempts(&self) -> String {
        format!("{}/staging", self.job)
    }

    pub(super) fn attempt(&self, id: &CommitId) -> String {
        format!("{}/staging/{id}", self.job)
    }

    pub(super) fn begin(&self, id: &CommitId) -> String {
        format!("{}/{BEGIN}", self.attempt(id))
    }

    /// The commit's body while its files are not all visible.
    pub(super) fn manifest(&self, id: &CommitId) -> String {
        format!("{}/{MANIFEST}", self.attempt(id))
    }

    /// Errors: `Corrupt`, for a name that a reader could take for a table's file, or that is used already.
    pub(super) fn staged(&self, id: &CommitId, name: &str) -> Result<String, Error> {
        let reserved = [BEGIN, MANIFEST].contains(&name) || name.ends_with(".parquet") || name.contains('/');
        if reserved {
            return Err(Error::new(Kind::Corrupt, format!("{name:?} is not a name for a staged file")));
        }
        let path = format!("{}/{name}", self.attempt(id));
        check_path(&path).map(|()| path)
    }

    pub(super) fn rejects(&self) -> String {
        format!("{}/rejects", self.job)
    }

    pub(super) fn probe(&self) -> String {
        format!("{}/{PROBE}", self.job)
    }

    /// Where a file is visible.
    ///
    /// Errors: `Corrupt`, for a path that leads out of the tables.
    pub(super) fn final_path(&self, file: &StagedFile) -> Result<String, Error> {
        let path = match file.kind {
            FileKind::Data => file.path.clone(),
            FileKind::Rejects => format!("{}/{}", self.rejects(), file.path),
        };
        check_path(&path)?;
        let in_table = path.contains('/') && path.split('/').next() != Some(RESERVED);
        let sound = match file.kind {
            FileKind::Data => in_table,
            FileKind::Rejects => !file.path.contains('/'),
        };
        if sound { Ok(path) } else { Err(Error::new(Kind::Corrupt, format!("{path:?} is not in a table"))) }
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
    fn checkpoints_are_named_by_number() {
        assert_eq!(checkpoint(42), "checkpoints/00000000000000000042.json");
        assert_eq!(checkpoint_number(&checkpoint(42)), Some(42));
        assert_eq!(checkpoint_number("checkpoints/42.json"), None);
        assert_eq!(checkpoint_number("checkpoints/x/00000000000000000042.json"), None);
        assert_eq!(checkpoint_number(&checkpoint(u64::MAX)), Some(u64::MAX));
    }

    #[test]
    fn commits_are_named_in_the_order_of_their_beginning() {
        let before = Timestamp::now();
        let path = commit(&CommitId::new());
        assert!(first_commit_at(before) < path);
        assert!(path < first_commit_at(before + jiff::SignedDuration::from_hours(1)));
    }

    #[test]
    fn a_table_by_topic_is_called_after_one() {
        let is_ours = |folder| is_table(folder, "raw_", ".v1");
        assert!(is_ours("raw_orders.v1") && is_ours("raw_a.B_c-1.v1") && is_table("orders", "", ""));
        for other in ["orders", "raw_orders", "raw_.v1", "raw_a b.v1", "raw_ü.v1"] {
            assert!(!is_ours(other), "{other}");
        }
        for other in [RESERVED, ".snapshot", "lost+found", "a b", "%40", ""] {
            assert!(!is_table(other, "", ""), "{other}");
        }
        // Where both overlap, nothing is left for a topic.
        assert!(!is_table("aa", "aa", "a"));
    }

    #[test]
    fn only_paths_that_can_be_made_are_possible() {
        let url = "s3://bucket/a/prefix";
        assert_eq!(path_room(url), 1_024 - 9);
        assert_eq!((path_room("s3://bucket"), path_room("file:///w/x/")), (1_024, 4_095 - 5));
        assert!(check_possible(url, &format!("t/{}/x.parquet", "l".repeat(255))).is_ok());
        let folders = vec!["l".repeat(200); 5].join("/");
        for path in [format!("t/{}/x.parquet", "l".repeat(256)), format!("t/{folders}/x.parquet")] {
            assert_eq!(check_possible(url, &path).unwrap_err().kind, Kind::Config, "{path}");
        }
        assert!(check_possible("file:///w", &format!("t/{folders}/x.parquet")).is_ok());
    }

    #[test]
    fn a_manifest_cannot_lead_out_of_the_tables() {
        let paths = Paths::new("job").unwrap();
        let file = |kind, path: &str| StagedFile {
            kind,
            staged: "0.staged".to_owned(),
            path: path.to_owned(),
            bytes: 0,
            rows: 0,
            sha256: String::new(),
            partitions: Default::default(),
        };
        assert!(paths.final_path(&file(FileKind::Data, "t/day=1/x.parquet")).is_ok());
        assert!(paths.final_path(&file(FileKind::Rejects, "x.parquet")).is_ok());
        for path in ["x.parquet", "_tidegate/job/checkpoints/x", "t/../x", "/t/x"] {
            assert!(paths.final_path(&file(FileKind::Data, path)).is_err(), "{path}");
        }
        assert!(paths.final_path(&file(FileKind::Rejects, "t/x.parquet")).is_err());
        for name in ["begin.json", "commit.json", "a/b", "..", "x.parquet", ""] {
            assert!(paths.staged(&CommitId::new(), name).is_err(), "{name}");
        }
        assert!(Paths::new("a/b").is_err() && Paths::new("").is_err() && Paths::new("..").is_err());
    }
}
