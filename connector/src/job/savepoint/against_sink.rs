//! Whether the files that a savepoint stands for are still there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};
use tidegate_sinks::store::hex;
use tidegate_sinks::{Chain, Error, Sink};

use super::Savepoint;
use crate::error::RunError;

/// How much of a file is read at a time, in bytes.
const PART_BYTES: u64 = 8 << 20;

/// What was found of a savepoint's files in a sink.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Compared {
    /// Files of the inventory.
    pub files: usize,
    /// And their sizes together.
    pub bytes: u64,
    /// Committed and still to be made visible, by the next run or a replica.
    pub pending: Vec<String>,
    pub problems: Vec<FileProblem>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileProblem {
    /// Relative to the sink's URL.
    pub path: String,
    pub problem: String,
}

/// Looks for every file of the inventory by its name and size; with `deep`, reads it and compares its hash.
///
/// Errors: `Refused`, when the sink is another job's.
pub async fn compare(
    savepoint: &Savepoint,
    sink: &Chain,
    job: &str,
    deep: bool,
) -> Result<Compared, RunError> {
    if savepoint.manifest.job != job {
        return Err(RunError::refused(format!(
            "the savepoint is of job {}, the job file of {job}: name the job file of {}",
            savepoint.manifest.job, savepoint.manifest.job
        )));
    }
    // What is staged moves on to be visible, so this order sees every file in one of the two places.
    let state = sink.load().await?;
    let staged = match &state {
        Some(state) => sink.staged_files(state).await?,
        None => Vec::new(),
    };
    let staged: BTreeSet<_> = staged.into_iter().collect();
    let visible = sink.visible_files(&savepoint.commits).await?;
    let visible: BTreeMap<_, _> = visible.into_iter().map(|file| (file.path, file.bytes)).collect();
    let mut compared = Compared::default();
    for (commit, file) in savepoint.commits.iter().flat_map(|c| c.files.iter().map(move |file| (c, file))) {
        compared.files += 1;
        compared.bytes += file.bytes;
        let path = sink.visible_path(file)?;
        let problem = match visible.get(&path) {
            Some(bytes) if *bytes != file.bytes => {
                Some(format!("has {bytes} bytes, the savepoint says {}", file.bytes))
            }
            Some(_) if deep => content(sink, &path, file.bytes, &file.sha256).await?,
            Some(_) => None,
            None if staged.contains(&(commit.id.clone(), file.staged.clone(), file.bytes)) => {
                compared.pending.push(path.clone());
                None
            }
            None if state.as_ref().is_some_and(|state| state.has_forgotten(commit)) => {
                Some("is missing; the job has forgotten its commit, so it may have been compacted".to_owned())
            }
            None => Some("is missing".to_owned()),
        };
        compared.problems.extend(problem.map(|problem| FileProblem { path, problem }));
    }
    Ok(compared)
}

/// What is wrong with a file's bytes, if anything is.
async fn content(sink: &Chain, path: &str, bytes: u64, sha256: &str) -> Result<Option<String>, Error> {
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < bytes {
        let to = bytes.min(at + PART_BYTES);
        let Some(part) = sink.read_range(path, at..to).await? else {
            return Ok(Some("went away while it was read".to_owned()));
        };
        hash.update(&part);
        at = to;
    }
    Ok((hex(hash) != sha256).then(|| "has other bytes than the savepoint says (SHA-256)".to_owned()))
}
