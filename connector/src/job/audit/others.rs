//! The part of the judgement that is about files which no commit in force names: whose they are by their
//! footers and names, and whether readers see rows by them that were not committed so.

use std::collections::BTreeSet;

use tidegate_sinks::{Checkpoint, CommitId, FinalName, TopicPartition};

use super::{ProblemKind, Seen};
use crate::flow::stage::footer::{FileSpan, Footer};

/// A visible file that no commit in force names.
pub(super) struct Other<'a> {
    name: Option<FinalName>,
    /// Of a file that reads; `None` when nobody looked.
    footer: Option<Result<&'a Footer, &'a String>>,
}

/// What it is.
pub(super) enum Judged {
    /// Somebody else's.
    Foreign,
    /// What a forgotten commit left.
    Forgotten,
    Problem(ProblemKind, String),
}

impl<'a> Other<'a> {
    /// `path` ends with the file's name.
    pub(super) fn new(path: &str, seen: &'a Seen) -> Self {
        Self {
            name: path.rsplit('/').next().and_then(FinalName::parse),
            footer: seen.footer.as_ref().map(Result::as_ref),
        }
    }

    /// The commit whose file this is by its name, and, where it reads, by its footer as well.
    pub(super) fn named_commit(&self) -> Option<&CommitId> {
        let named = &self.name.as_ref()?.commit;
        let footer = self.footer.and_then(Result::ok);
        footer.is_none_or(|footer| footer.commit.as_ref() == Some(named)).then_some(named)
    }

    pub(super) fn judge(&self, checkpoint: &Checkpoint, in_force: &BTreeSet<&CommitId>) -> Judged {
        match (self.footer, &self.name) {
            (None, _) | (Some(Err(_)), None) => Judged::Foreign,
            (Some(Err(_)), Some(_)) => {
                let detail = "a name that only a sink of this kind gives, and no Parquet that reads: torn, and readers fail at it";
                Judged::Problem(ProblemKind::Uncommitted, detail.to_owned())
            }
            (Some(Ok(footer)), _) if footer.job.as_ref() == Some(&checkpoint.job) => {
                self.ours(checkpoint, in_force, footer)
            }
            // Rewritten, as by a compaction; of what is forgotten that is the user's right.
            (Some(Ok(Footer { job: None, .. })), Some(name)) if !is_folded(checkpoint, &name.commit) => {
                let detail =
                    "a name that only a sink of this kind gives, and a footer that names no job: rewritten";
                Judged::Problem(ProblemKind::Uncommitted, detail.to_owned())
            }
            (Some(Ok(_)), _) => Judged::Foreign,
        }
    }

    /// By its footer it is of this job.
    fn ours(&self, checkpoint: &Checkpoint, in_force: &BTreeSet<&CommitId>, footer: &Footer) -> Judged {
        match &footer.commit {
            Some(id) if in_force.contains(id) => {
                let detail =
                    format!("a copy of a file of commit {id}: readers see its rows once more; remove it");
                Judged::Problem(ProblemKind::Duplicate, detail)
            }
            Some(id) if is_forgotten(checkpoint, id, self.name.as_ref(), footer) => Judged::Forgotten,
            _ => {
                let detail = "a file of this job that no commit in force names".to_owned();
                Judged::Problem(ProblemKind::Uncommitted, detail)
            }
        }
    }
}

fn is_folded(checkpoint: &Checkpoint, id: &CommitId) -> bool {
    checkpoint.base.as_ref().is_some_and(|base| *id <= base.last)
}

/// Whether a file is what a forgotten commit left: all its spans lie in the base,
/// and no rollback has cut them off. Under another name it may be a user's own, as
/// a compaction may keep the footer of what it was made of.
fn is_forgotten(checkpoint: &Checkpoint, id: &CommitId, name: Option<&FinalName>, footer: &Footer) -> bool {
    let (Some(base), Some(spans)) = (&checkpoint.base, &footer.spans) else { return false };
    let incarnation = match name {
        Some(name) if name.commit != *id || name.incarnation > checkpoint.incarnation => return false,
        Some(name) => name.incarnation,
        None if !is_folded(checkpoint, id) => return false,
        None => checkpoint.incarnation,
    };
    let since = (incarnation as usize).saturating_sub(1);
    let is_below = |span: &FileSpan| {
        let partition = TopicPartition::new(span.topic.clone(), span.partition);
        let mut cuts = checkpoint.cuts.iter().skip(since);
        base.partitions.get(&partition).is_some_and(|base| span.to <= base.next)
            && cuts.all(|cut| cut.next(&partition).is_some_and(|at| span.to <= at))
    };
    !spans.is_empty() && spans.iter().all(is_below)
}
