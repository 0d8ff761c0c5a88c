//! What a data file says of itself: the job, the commit, and the spans its rows
//! come from, as key-value metadata.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use serde::{Deserialize, Serialize};
use tidegate_sinks::CommitId;

const JOB: &str = "tidegate.job";
const COMMIT: &str = "tidegate.commit";
const SPANS: &str = "tidegate.spans";

/// Bytes of a file's end that are read at first: footers of some dozen columns and row groups fit.
const FIRST_READ_BYTES: u64 = 64 << 10;

/// The offsets `[from, to)` of a partition that the file's commit covers, and how
/// many rows of them the file has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpan {
    pub topic: Arc<str>,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
    pub rows: u64,
}

/// A file's own words; without those that it does not have, as files of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footer {
    /// Rows by the row groups' counts.
    pub rows: u64,
    pub job: Option<String>,
    pub commit: Option<CommitId>,
    pub spans: Option<Vec<FileSpan>>,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] tidegate_sinks::Error),
    #[error("not a readable Parquet file")]
    Parquet(#[from] ParquetError),
    /// What it holds, against what it says.
    #[error("{0}")]
    Contents(String),
}

pub(super) fn entries(job: &str, commit: &CommitId, spans: &[FileSpan]) -> [(&'static str, String); 3] {
    let spans = serde_json::to_string(spans).expect("strings and numbers are always JSON");
    [(JOB, job.to_owned()), (COMMIT, commit.to_string()), (SPANS, spans)]
}

impl Footer {
    pub fn parse(metadata: &ParquetMetaData) -> Self {
        let metadata = metadata.file_metadata();
        let entries = metadata.key_value_metadata().map(Vec::as_slice).unwrap_or_default();
        let value = |key: &str| entries.iter().find(|entry| entry.key == key)?.value.clone();
        Self {
            rows: u64::try_from(metadata.num_rows()).unwrap_or_default(),
            job: value(JOB),
            commit: value(COMMIT).map(|id| CommitId(id.into())),
            spans: value(SPANS).and_then(|spans| serde_json::from_str(&spans).ok()),
        }
    }
}

/// Reads a file's metadata out of its last bytes. `size` is the file's; `fetch` gives a range of its bytes.
pub async fn metadata(
    size: u64,
    fetch: &impl AsyncFn(Range<u64>) -> Result<Bytes, tidegate_sinks::Error>,
) -> Result<Arc<ParquetMetaData>, ReadError> {
    if size == 0 {
        // Not asked for: an object store fails to answer a question for no bytes, as it would in an outage.
        return Err(ParquetError::EOF("it is empty".to_owned()).into());
    }
    let mut tail = FIRST_READ_BYTES.min(size);
    loop {
        let bytes = fetch(size - tail..size).await?;
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(&bytes, size) {
            Ok(()) => return Ok(Arc::new(reader.finish()?)),
            // Each time more is asked for, so this ends.
            Err(ParquetError::NeedMoreData(needed)) if tail < needed as u64 && needed as u64 <= size => {
                tail = needed as u64;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_sinks::{Error, Kind};

    use super::*;

    #[tokio::test]
    async fn an_empty_file_is_no_outage() {
        let fetch = async |range: Range<u64>| {
            // As object stores do.
            if range.is_empty() {
                Err(Error::new(Kind::Retry, "an empty range"))
            } else {
                Ok(Bytes::from_static(b"torn"))
            }
        };
        for size in [0, 4] {
            let error = metadata(size, &fetch).await.unwrap_err();
            assert!(matches!(error, ReadError::Parquet(_)), "{size} bytes: {error:?}");
        }
    }
}
