//! Savepoints: a checkpoint with everything it stands for, in a folder of its own that belongs to a person.
//! Nothing here ever removes one by itself but periodic ones past `savepoints.retained`.
//!
//! A savepoint is `<to>/<id>/` with `checkpoint.json`, `commits.json` (the commits in force as of it: every
//! file with its size, rows and SHA-256), `job.json` (the job without secrets), `manifest.json` (name, size
//! and SHA-256 of each) and, written last, `manifest.sha256`, as `sha256sum` writes it. Without that last
//! file it is not complete. It names nothing by a path of its own, so the folder may be copied anywhere.
//!
//! The guarantee: what [`read`] returns is exactly what [`create`] copied, one state that the sink accepted;
//! anything else is refused, and the sink is not even opened.

mod against_sink;
mod contents;
mod diff;
mod dispose;
mod folder;
mod list;
mod periodic;
mod read;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tidegate_sinks::{Checkpoint, Commit, StagedFile};

pub use against_sink::{Compared, compare};
pub use diff::{Change, Diff, FileInfo, PartitionDiff, diff};
pub use dispose::dispose;
pub use list::{Listed, list};
pub use periodic::Periodic;
pub use read::read;
pub use write::create;

use crate::limits::SAVEPOINT_FILES_MAX_COUNT;
pub(crate) use crate::replica::control::place::is_plain_name;
pub use crate::replica::control::place::{
    StoreOptions, check_id, check_to, default_to, new_id, store_options, uri,
};

/// The newest format that this version writes and reads.
pub const FORMAT: u32 = 1;

/// A sound savepoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Savepoint {
    pub manifest: Manifest,
    pub checkpoint: Checkpoint,
    /// In force as of the checkpoint, in order of their ids; those it lists as unpublished among them.
    pub commits: Vec<Commit>,
    /// The job that made it, without secrets.
    pub job: Value,
}

impl Savepoint {
    /// The inventory: every file of every commit, rejects among them.
    pub fn files(&self) -> impl Iterator<Item = &StagedFile> {
        self.commits.iter().flat_map(|commit| &commit.files)
    }
}

/// The body of `manifest.json`. Fields that this version does not know are of no matter to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub id: String,
    /// Name of the job.
    pub job: String,
    pub created: Timestamp,
    /// Number of the checkpoint.
    pub checkpoint: u64,
    pub incarnation: u32,
    pub cluster_id: Option<String>,
    /// URL of the tables. They may have been moved since.
    pub sink: String,
    /// Version of the program that made it.
    pub tool: String,
    /// The other files, by name.
    #[serde(deserialize_with = "each_once")]
    pub files: BTreeMap<String, FileEntry>,
}

/// What a manifest says of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes, hexadecimal.
    pub sha256: String,
}

/// A map of files in which no name comes twice: JSON itself would let the last one win.
fn each_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, FileEntry>, D::Error> {
    struct Files;
    impl<'de> Visitor<'de> for Files {
        type Value = BTreeMap<String, FileEntry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of files")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut files = BTreeMap::new();
            while let Some((name, entry)) = access.next_entry::<String, FileEntry>()? {
                if files.insert(name, entry).is_some() {
                    return Err(A::Error::custom("names a file twice"));
                }
                if files.len() > SAVEPOINT_FILES_MAX_COUNT {
                    return Err(A::Error::custom(format!(
                        "names more than {SAVEPOINT_FILES_MAX_COUNT} files"
                    )));
                }
            }
            Ok(files)
        }
    }
    deserializer.deserialize_map(Files)
}
