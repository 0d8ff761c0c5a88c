//! What a data file says of itself: the job, the commit, and the spans its rows come from, as key-value metadata.

use std::sync::Arc;

use parquet::file::metadata::FileMetaData;
use serde::{Deserialize, Serialize};
use tidegate_sinks::CommitId;

const JOB: &str = "tidegate.job";
const COMMIT: &str = "tidegate.commit";
const SPANS: &str = "tidegate.spans";

/// The offsets `[from, to)` of a partition that the file's commit covers, and how many rows of them the file has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpan {
    pub topic: Arc<str>,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
    pub rows: u64,
}

/// A file's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    pub job: String,
    pub commit: CommitId,
    pub spans: Vec<FileSpan>,
    /// Rows by the row groups' counts.
    pub rows: u64,
}

pub(super) fn entries(job: &str, commit: &CommitId, spans: &[FileSpan]) -> [(&'static str, String); 3] {
    let spans = serde_json::to_string(spans).expect("strings and numbers are always JSON");
    [(JOB, job.to_owned()), (COMMIT, commit.to_string()), (SPANS, spans)]
}

impl Footer {
    /// `None` for a file that Tidegate did not write.
    pub fn parse(metadata: &FileMetaData) -> Option<Self> {
        let entries = metadata.key_value_metadata()?;
        let value = |key: &str| entries.iter().find(|entry| entry.key == key)?.value.clone();
        Some(Self {
            job: value(JOB)?,
            commit: CommitId(value(COMMIT)?.into()),
            spans: serde_json::from_str(&value(SPANS)?).ok()?,
            rows: u64::try_from(metadata.num_rows()).ok()?,
        })
    }
}
