//! Proves the output: what is visible is what was committed, and what was committed
//! covers the log without a gap and without an overlap.
//!
//! Pure: it judges what others have looked up, so that every way in which a state can be wrong is tested by
//! making it wrong. Spans tile each partition from where the job began to its position; rows add up from
//! files to commits to the checkpoint; each file is there with its size and rows. What is forgotten counts as
//! the checkpoint's base says, and its files may be there or not. Files of others are listed and do no harm.

pub mod deep;
mod others;
mod replays;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::flow::stage::footer::Footer;
use others::{Judged, Other};
use serde::Serialize;
use tidegate_sinks::{Checkpoint, Commit, CommitId, FileKind, Retracted, Span, StagedFile, TopicPartition};

/// What was found, to be judged.
#[derive(Clone, Debug)]
pub struct Found {
    /// The newest.
    pub checkpoint: Checkpoint,
    /// Those that count towards the checkpoint and are not forgotten, in any order.
    pub commits: Vec<Commit>,
    /// Final files of all tables, by path relative to the sink's URL.
    pub visible: BTreeMap<String, Seen>,
    /// Files of the rejects folder, by name.
    pub rejects: BTreeMap<String, Seen>,
    /// Bytes of staged files, by commit and staged name.
    pub staged: BTreeMap<(CommitId, String), u64>,
}

/// One file as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub bytes: u64,
    /// What its footer says, or why it does not read; `None` when nobody looked.
    pub footer: Option<Result<Footer, String>>,
}

/// Something that makes the output not exact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub kind: ProblemKind,
    /// The partition, commit or file.
    pub subject: String,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// Offsets that no commit covers.
    Gap,
    /// Offsets that more than one commit covers.
    Overlap,
    /// A commit covers a partition or offsets that the checkpoint does not know of.
    Beyond,
    /// Counts that do not add up.
    Rows,
    /// A file of a commit is neither visible nor staged.
    Missing,
    /// A file has another size than was committed.
    Size,
    /// A file's content is not what was committed.
    Content,
    /// A file is visible that no commit has made so.
    Uncommitted,
    /// A row is there more than once.
    Duplicate,
    /// A position lies above what the log holds.
    AheadOfLog,
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gap => "gap",
            Self::Overlap => "overlap",
            Self::Beyond => "beyond the checkpoint",
            Self::Rows => "rows",
            Self::Missing => "missing file",
            Self::Size => "size",
            Self::Content => "content",
            Self::Uncommitted => "uncommitted file",
            Self::Duplicate => "duplicate",
            Self::AheadOfLog => "ahead of the log",
        })
    }
}

/// The judgement.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub exact: bool,
    pub job: String,
    pub checkpoint: u64,
    pub incarnation: u32,
    pub commits: usize,
    /// Commits that are forgotten: only their sum is judged.
    pub forgotten_commits: u64,
    pub partitions: Vec<PartitionReport>,
    /// Data files that are visible.
    pub files: usize,
    pub bytes: u64,
    pub rows: u64,
    pub rejects: u64,
    /// Those that no replay has made rows of.
    pub outstanding_rejects: u64,
    /// Committed files that are still to be made visible; the next run or replica does.
    pub pending: Vec<String>,
    /// Files of forgotten commits that are still there; not checked.
    pub forgotten: Vec<String>,
    /// Files in the tables that are none of this job's.
    pub foreign: Vec<String>,
    /// Files that are to be erased, such as what `mode: overwrite` found.
    pub retracted: Vec<String>,
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PartitionReport {
    pub partition: TopicPartition,
    pub start: i64,
    pub next: i64,
    pub rows: u64,
    /// First offset that is not forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgotten_to: Option<i64>,
    /// Since when its topic is read no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_up: Option<String>,
    /// How many commits cover `[start, next)`, forgotten ones aside.
    pub spans: usize,
    /// With Kafka at hand: the last stable offset, and how far the position is from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_stable_offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
}

/// Judges what was found.
pub fn judge(found: &Found) -> Report {
    let mut report = Report {
        exact: true,
        job: found.checkpoint.job.clone(),
        checkpoint: found.checkpoint.n,
        incarnation: found.checkpoint.incarnation,
        commits: found.commits.len(),
        forgotten_commits: found.checkpoint.base.as_ref().map_or(0, |base| base.commits),
        partitions: Vec::new(),
        files: 0,
        bytes: 0,
        rows: 0,
        rejects: found.checkpoint.rejects,
        outstanding_rejects: found.checkpoint.outstanding_rejects(),
        pending: Vec::new(),
        forgotten: Vec::new(),
        foreign: Vec::new(),
        retracted: Vec::new(),
        problems: Vec::new(),
    };
    report.judge_partitions(found);
    for commit in &found.commits {
        report.judge_counts(commit);
        for file in &commit.files {
            report.judge_file(found, commit, file);
        }
    }
    report.judge_rejects(found);
    report.judge_replays(found);
    report.judge_others(found);
    report.exact = report.problems.is_empty();
    report
}

impl Report {
    /// Adds a problem; the output is not exact.
    pub fn problem(&mut self, kind: ProblemKind, subject: impl fmt::Display, detail: impl Into<String>) {
        self.exact = false;
        self.problems.push(Problem { kind, subject: subject.to_string(), detail: detail.into() });
    }

    /// Compares positions with what the log holds (last stable offsets). That of a
    /// topic that was given up is another one.
    pub fn judge_ends(&mut self, ends: &BTreeMap<TopicPartition, i64>) {
        for index in 0..self.partitions.len() {
            let state = &mut self.partitions[index];
            let Some(&end) = ends.get(&state.partition).filter(|_| state.given_up.is_none()) else {
                continue;
            };
            state.last_stable_offset = Some(end);
            state.lag = Some(end - state.next);
            let (partition, next) = (state.partition.clone(), state.next);
            if next > end {
                let detail =
                    format!("the position is {next}, the log ends at {end}: another log, or one cut off");
                self.problem(ProblemKind::AheadOfLog, partition, detail);
            }
        }
    }

    fn judge_partitions(&mut self, found: &Found) {
        let mut spans: BTreeMap<&TopicPartition, Vec<(Span, &Commit)>> = BTreeMap::new();
        for commit in &found.commits {
            for (partition, span) in &commit.delta.0 {
                spans.entry(partition).or_default().push((*span, commit));
            }
        }
        for partition in spans.keys().filter(|key| !found.checkpoint.partitions.contains_key(**key)) {
            self.problem(ProblemKind::Beyond, partition, "the checkpoint does not know this partition");
        }
        let base = found.checkpoint.base.as_ref();
        let given_up: BTreeMap<_, _> = found.checkpoint.given_up().collect();
        for (partition, state) in &found.checkpoint.partitions {
            let mut spans = spans.remove(partition).unwrap_or_default();
            spans.sort_by_key(|(span, _)| (span.from, span.to));
            let forgotten = base.and_then(|base| base.partitions.get(partition));
            self.judge_tiling(partition, forgotten.map_or(state.start, |base| base.next), state.next, &spans);
            let rows: u64 = spans.iter().filter_map(|(_, commit)| commit.rows.get(partition)).sum();
            let rows = rows + forgotten.map_or(0, |base| base.rows);
            if rows != state.rows {
                let detail = format!("the commits have {rows} rows, the checkpoint {}", state.rows);
                self.problem(ProblemKind::Rows, partition, detail);
            }
            self.rows += state.rows;
            self.partitions.push(PartitionReport {
                partition: partition.clone(),
                start: state.start,
                next: state.next,
                rows: state.rows,
                forgotten_to: forgotten.map(|base| base.next),
                given_up: given_up.get(&*partition.topic).map(|since| (*since).to_owned()),
                spans: spans.len(),
                last_stable_offset: None,
                lag: None,
            });
        }
    }

    fn judge_tiling(&mut self, partition: &TopicPartition, start: i64, next: i64, spans: &[(Span, &Commit)]) {
        let mut at = start;
        for (span, commit) in spans {
            if span.from > at {
                self.problem(ProblemKind::Gap, partition, format!("no commit covers [{at}, {})", span.from));
            }
            if span.from < at {
                let to = at.min(span.to);
                let detail = format!("commit {} covers [{}, {to}) once more", commit.id, span.from);
                self.problem(ProblemKind::Overlap, partition, detail);
            }
            at = at.max(span.to);
        }
        if at < next {
            self.problem(ProblemKind::Gap, partition, format!("no commit covers [{at}, {next})"));
        }
        if at > next {
            let detail = format!("commits reach {at}, the checkpoint says {next}");
            self.problem(ProblemKind::Beyond, partition, detail);
        }
    }

    /// Within a commit: files add up to its rows, and rows fit into its spans.
    fn judge_counts(&mut self, commit: &Commit) {
        let mut in_files: BTreeMap<&TopicPartition, u64> = BTreeMap::new();
        for file in &commit.files {
            let of_partitions: u64 = file.partitions.values().sum();
            if of_partitions != file.rows {
                let detail = format!("{} rows, but {of_partitions} of its partitions", file.rows);
                self.problem(ProblemKind::Rows, &file.path, detail);
            }
            if file.kind == FileKind::Data {
                for (partition, rows) in &file.partitions {
                    *in_files.entry(partition).or_default() += rows;
                }
            }
        }
        let partitions: BTreeSet<_> = in_files.keys().copied().chain(commit.rows.keys()).collect();
        for partition in partitions {
            let rows = commit.rows.get(partition).copied().unwrap_or_default();
            let files = in_files.get(partition).copied().unwrap_or_default();
            let room = commit.delta.0.get(partition).map_or(0, |span| span.to.abs_diff(span.from));
            let subject = format!("{} {partition}", commit.id);
            if files != rows {
                let detail = format!("its files have {files} rows, the commit {rows}");
                self.problem(ProblemKind::Rows, &subject, detail);
            }
            if rows > room {
                let detail = format!("{rows} rows in a span of {room} offsets");
                self.problem(ProblemKind::Rows, &subject, detail);
            }
        }
        let rejects = commit.files.iter().filter(|file| file.kind == FileKind::Rejects).map(|file| file.rows);
        let rejects: u64 = rejects.sum();
        if rejects != commit.rejects {
            let detail = format!("{rejects} rejects in files, {} in the commit", commit.rejects);
            self.problem(ProblemKind::Rows, &commit.id, detail);
        }
    }

    fn judge_file(&mut self, found: &Found, commit: &Commit, file: &StagedFile) {
        let visible = match file.kind {
            FileKind::Data => found.visible.get(&file.path),
            FileKind::Rejects => found.rejects.get(&file.path),
        };
        let Some(seen) = visible else {
            let staged = found.staged.get(&(commit.id.clone(), file.staged.clone()));
            match staged.filter(|_| found.checkpoint.unpublished.contains(&commit.id)) {
                None => self.problem(ProblemKind::Missing, &file.path, format!("of commit {}", commit.id)),
                Some(bytes) if *bytes != file.bytes => {
                    let detail = format!("{bytes} bytes are staged, {} were committed", file.bytes);
                    self.problem(ProblemKind::Size, &file.path, detail);
                }
                Some(_) => self.pending.push(file.path.clone()),
            }
            return;
        };
        if file.kind == FileKind::Data {
            self.files += 1;
            self.bytes += seen.bytes;
        }
        if seen.bytes != file.bytes {
            let detail = format!("{} bytes, {} were committed", seen.bytes, file.bytes);
            self.problem(ProblemKind::Size, &file.path, detail);
        }
        match &seen.footer {
            None => {}
            Some(Err(error)) => self.problem(ProblemKind::Content, &file.path, error),
            Some(Ok(footer)) => self.judge_footer(commit, file, footer),
        }
    }

    fn judge_footer(&mut self, commit: &Commit, file: &StagedFile, footer: &Footer) {
        if footer.rows != file.rows {
            let detail = format!("{} rows, {} were committed", footer.rows, file.rows);
            self.problem(ProblemKind::Content, &file.path, detail);
        }
        if footer.job.as_deref() != Some(&commit.job) || footer.commit.as_ref() != Some(&commit.id) {
            let detail =
                format!("its footer does not name its job and commit, {} and {}", commit.job, commit.id);
            self.problem(ProblemKind::Content, &file.path, detail);
        }
        let spans = footer.spans.iter().flatten();
        let spans: BTreeMap<_, _> = spans
            .map(|span| {
                (TopicPartition::new(span.topic.clone(), span.partition), (span.from, span.to, span.rows))
            })
            .collect();
        let same = |(partition, rows): (&TopicPartition, &u64)| {
            let span = commit.delta.0.get(partition);
            span.is_some_and(|span| spans.get(partition) == Some(&(span.from, span.to, *rows)))
        };
        if !file.partitions.iter().all(same) || spans.len() != file.partitions.len() {
            let detail = "its footer names other spans than were committed";
            self.problem(ProblemKind::Content, &file.path, detail);
        }
    }

    fn judge_rejects(&mut self, found: &Found) {
        let rejects: u64 = found.commits.iter().map(|commit| commit.rejects).sum();
        let rejects = rejects + found.checkpoint.base.as_ref().map_or(0, |base| base.rejects);
        if rejects != found.checkpoint.rejects {
            let detail =
                format!("the commits have {rejects} rejects, the checkpoint {}", found.checkpoint.rejects);
            self.problem(ProblemKind::Rows, "rejects", detail);
        }
    }

    /// What is visible, but belongs to no commit in force.
    fn judge_others(&mut self, found: &Found) {
        let (mut tables, mut rejects) = (BTreeSet::new(), BTreeSet::new());
        for file in found.commits.iter().flat_map(|commit| &commit.files) {
            let named = if file.kind == FileKind::Data { &mut tables } else { &mut rejects };
            if !named.insert(file.path.as_str()) {
                self.problem(ProblemKind::Overlap, &file.path, "more than one commit names this file");
            }
        }
        let (mut files, mut commits) = (BTreeSet::new(), BTreeSet::new());
        for retracted in &found.checkpoint.retracted {
            match retracted {
                Retracted::File(file) => drop(files.insert(file)),
                Retracted::Commit(id) => drop(commits.insert(id)),
            }
        }
        let others = found.visible.iter().filter(|(path, _)| !tables.contains(path.as_str()));
        let others = others.chain(found.rejects.iter().filter(|(path, _)| !rejects.contains(path.as_str())));
        let in_force: BTreeSet<_> = found.commits.iter().map(|commit| &commit.id).collect();
        for (path, seen) in others {
            let other = Other::new(path, seen);
            if files.contains(path) || other.named_commit().is_some_and(|id| commits.contains(id)) {
                self.retracted.push(path.clone());
                continue;
            }
            match other.judge(&found.checkpoint, &in_force) {
                Judged::Foreign => self.foreign.push(path.clone()),
                Judged::Forgotten => self.forgotten.push(path.clone()),
                Judged::Problem(kind, detail) => self.problem(kind, path, detail),
            }
        }
    }
}

#[cfg(test)]
mod tests;
