//! Where things lie, and what their names say.

use jiff::Timestamp;

use crate::model::commit::{CommitId, FileKind, StagedFile};
use crate::model::error::{Error, Kind};
use crate::store::check_path;

/// The folder of the URL that holds what is not a table.
pub const RESERVED: &str = "_tidegate";

pub(super) const CHECKPOINTS: &str = "checkpoints";
pub(super) const COMMITS: &str = "commits";
/// Where a store is tried out.
pub(super) const PROBE: &str = "probe";

const BEGIN: &str = "begin.json";
const MANIFEST: &str = "commit.json";

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

/// Below the path of each commit whose attempt began at a time or later: an id
/// begins with it, in milliseconds.
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
pub(crate) struct Paths {
    /// `_tidegate/<job>`.
    job: String,
}

impl Paths {
    /// Errors: `Config`, when the job's name is not one folder.
    pub(crate) fn new(job: &str) -> Result<Self, Error> {
        if job.contains('/') || check_path(job).is_err() {
            let context = format!("the job's name {job:?} is to be a folder's: no slashes, no dot in front");
            return Err(Error::new(Kind::Config, context));
        }
        Ok(Self { job: format!("{RESERVED}/{job}") })
    }

    /// The folder of all attempts.
    pub(crate) fn attempts(&self) -> String {
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
