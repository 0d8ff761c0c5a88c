//! What stands in a savepoint's files, and whether it fits together. Pure.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sinks::chain::check_inventory;
use tidegate_sinks::versioned::{self, Unread};
use tidegate_sinks::{Checkpoint, Commit, FileKind, checkpoint};

use super::folder::{CHECKPOINT, COMMITS, JOB, MANIFEST};
use super::{FORMAT, Manifest, Savepoint};
use crate::job::audit::{self, Found, Seen};

/// The body of `commits.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Commits {
    pub(super) format: u32,
    pub(super) commits: Vec<Commit>,
}

/// A file and what is wrong with it, to stand after its name.
pub(super) type Flaw = (&'static str, String);

/// Reads a file, its format first.
pub(super) fn parse<T: DeserializeOwned>(name: &'static str, bytes: &[u8], newest: u32) -> Result<T, Flaw> {
    versioned::parse(bytes, newest).map_err(|unread| match unread {
        Unread::Damaged(error) => (name, format!("does not read ({error})")),
        Unread::OtherFormat(format) => {
            let problem = format!(
                "has format {format}, and this version knows 1 to {newest} (a newer one is read by a newer tidegate: \
                 upgrade it)"
            );
            (name, problem)
        }
    })
}

pub(super) fn manifest(bytes: &[u8]) -> Result<Manifest, Flaw> {
    parse(MANIFEST, bytes, FORMAT)
}

pub(super) fn checkpoint(bytes: &[u8]) -> Result<Checkpoint, Flaw> {
    parse(CHECKPOINT, bytes, checkpoint::FORMAT)
}

pub(super) fn commits(bytes: &[u8]) -> Result<Vec<Commit>, Flaw> {
    parse(COMMITS, bytes, FORMAT).map(|Commits { commits, .. }| commits)
}

pub(super) fn job(bytes: &[u8]) -> Result<Value, Flaw> {
    let job: Value =
        serde_json::from_slice(bytes).map_err(|error| (JOB, format!("does not read ({error})")))?;
    if job.is_object() { Ok(job) } else { Err((JOB, "is not a job file".to_owned())) }
}

impl Savepoint {
    /// Whether its parts say the same of one another.
    pub(super) fn fits_together(self) -> Result<Self, Flaw> {
        let Self { manifest, checkpoint, commits, job } = self;
        let same = [
            ("job", manifest.job == checkpoint.job),
            ("checkpoint", manifest.checkpoint == checkpoint.n),
            ("incarnation", manifest.incarnation == checkpoint.incarnation),
            ("cluster_id", manifest.cluster_id == checkpoint.cluster_id),
        ];
        if let Some((field, _)) = same.iter().find(|(_, same)| !same) {
            return Err((MANIFEST, format!("and {CHECKPOINT} are of different origin: {field} differs")));
        }
        let (checkpoint, commits) = adds_up(checkpoint, commits)?;
        Ok(Self { manifest, checkpoint, commits, job })
    }
}

/// Whether the commits are those in force as of the checkpoint: their spans tile each partition, their rows
/// add up, their files lie in tables. Takes both to spare a copy, and gives them back.
pub(super) fn adds_up(
    checkpoint: Checkpoint,
    commits: Vec<Commit>,
) -> Result<(Checkpoint, Vec<Commit>), Flaw> {
    check_inventory(&checkpoint, &commits)
        .map_err(|error| (COMMITS, format!("contradicts {CHECKPOINT} ({error})")))?;
    let is_hash =
        |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut files = commits.iter().flat_map(|commit| &commit.files);
    if let Some(file) = files.find(|file| !is_hash(&file.sha256)) {
        return Err((COMMITS, format!("has no SHA-256 of {:?}", file.path)));
    }
    // Whether the files are there is another question, so all are taken to be.
    let seen = |kind| {
        let files = commits.iter().flat_map(|commit| &commit.files).filter(|file| file.kind == kind);
        files
            .map(|file| (file.path.clone(), Seen { bytes: file.bytes, footer: None }))
            .collect::<BTreeMap<_, _>>()
    };
    let (visible, rejects) = (seen(FileKind::Data), seen(FileKind::Rejects));
    let found = Found { checkpoint, commits, visible, rejects, staged: BTreeMap::new() };
    match audit::judge(&found).problems.first() {
        None => Ok((found.checkpoint, found.commits)),
        Some(problem) => {
            let audit::Problem { kind, subject, detail } = problem;
            Err((COMMITS, format!("contradicts {CHECKPOINT} ({kind}: {subject}: {detail})")))
        }
    }
}
