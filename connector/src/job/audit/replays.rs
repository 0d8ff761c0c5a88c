//! The part of the judgement that is about replayed rejects: each commit's are
//! taken at most once, whole, and what they have become adds up.

use std::collections::BTreeMap;

use tidegate_sinks::{Commit, CommitId, TopicPartition};

use super::{Found, ProblemKind, Report};

impl Report {
    pub(super) fn judge_replays(&mut self, found: &Found) {
        let known: BTreeMap<_, _> = found.commits.iter().map(|commit| (&commit.id, commit)).collect();
        let mut taken: BTreeMap<&CommitId, &CommitId> = BTreeMap::new();
        let lane = TopicPartition::rejects();
        for commit in &found.commits {
            let (Some(replay), Some(span)) = (&commit.replay, commit.delta.0.get(&lane)) else {
                if commit.replay.is_some() || commit.delta.0.contains_key(&lane) {
                    let detail = format!("it replays rejects, or moves {lane}, but not both");
                    self.problem(ProblemKind::Rows, &commit.id, detail);
                }
                continue;
            };
            for source in &replay.sources {
                if let Some(other) = taken.insert(source, &commit.id) {
                    let detail =
                        format!("its rejects are replayed by {other} and once more by {}", commit.id);
                    self.problem(ProblemKind::Duplicate, source, detail);
                }
            }
            let width = span.to.abs_diff(span.from);
            let rows: u64 = commit.rows.values().sum();
            let became = rows.saturating_add(commit.rejects).saturating_add(replay.skipped);
            if became != width {
                let detail = format!("{became} rows, rejects and skipped records of {width} replayed");
                self.problem(ProblemKind::Rows, &commit.id, detail);
            }
            match self.rejects_of(found, commit, &known) {
                Some(rejects) if rejects != width => {
                    let detail = format!("it replays {width} rejects, its sources have {rejects}");
                    self.problem(ProblemKind::Rows, &commit.id, detail);
                }
                _ => {}
            }
        }
    }

    /// Of all sources; `None` when some are forgotten, so that nobody knows.
    fn rejects_of(
        &mut self,
        found: &Found,
        commit: &Commit,
        known: &BTreeMap<&CommitId, &Commit>,
    ) -> Option<u64> {
        let sources = commit.replay.iter().flat_map(|replay| &replay.sources);
        let (here, gone): (Vec<_>, Vec<_>) = sources.partition(|source| known.contains_key(source));
        // Without a base nothing is forgotten, and the source must be in force.
        if let (None, Some(source)) = (&found.checkpoint.base, gone.first()) {
            let detail = format!("it replays rejects of {source}, which is not in force");
            self.problem(ProblemKind::Beyond, &commit.id, detail);
        }
        gone.is_empty().then(|| here.iter().map(|source| known[source].rejects).sum())
    }
}

#[cfg(test)]
mod tests {
    use tidegate_sinks::{Begin, Checkpoint, Delta, PartitionState, Replay, Span};

    use super::*;

    fn id(name: &str) -> CommitId {
        CommitId(name.into())
    }

    fn commit(name: &str, partition: TopicPartition, span: (i64, i64), rejects: u64) -> Commit {
        let begin = Begin::new(id(name), 1, BTreeMap::new());
        let delta = Delta(BTreeMap::from([(partition, Span::new(span.0, span.1).unwrap())]));
        Commit { delta, rejects, ..Commit::of(begin, "j", jiff::Timestamp::UNIX_EPOCH) }
    }

    fn replay(name: &str, span: (i64, i64), sources: &[&str], rejects: u64, skipped: u64) -> Commit {
        let sources = sources.iter().copied().map(id).collect();
        let replay = Some(Replay { sources, skipped });
        Commit { replay, ..commit(name, TopicPartition::rejects(), span, rejects) }
    }

    /// Two commits with rejects; both are replayed, and what failed again is.
    fn good() -> Found {
        let topic = TopicPartition::new("t", 0);
        let commits = vec![
            commit("a", topic.clone(), (0, 5), 3),
            commit("b", topic.clone(), (5, 9), 2),
            replay("c", (0, 5), &["a", "b"], 4, 1),
            replay("d", (5, 9), &["c"], 0, 4),
        ];
        let at = |next| PartitionState { start: 0, next, rows: 0 };
        let partitions = BTreeMap::from([(topic, at(9)), (TopicPartition::rejects(), at(9))]);
        let mut checkpoint = Checkpoint::first("j", jiff::Timestamp::UNIX_EPOCH, partitions);
        checkpoint.rejects = 9;
        // Files are judged elsewhere.
        let (visible, rejects, staged) = Default::default();
        Found { checkpoint, commits, visible, rejects, staged }
    }

    fn kinds(found: &Found) -> Vec<ProblemKind> {
        let mut report = super::super::judge(&good());
        report.problems.clear();
        report.judge_replays(found);
        report.problems.into_iter().map(|problem| problem.kind).collect()
    }

    #[test]
    fn each_harm_to_a_replay_is_found() {
        assert_eq!(kinds(&good()), []);
        let harmed = |harm: fn(&mut Found)| {
            let mut found = good();
            harm(&mut found);
            kinds(&found)
        };
        let taken_twice = |found: &mut Found| found.commits[3] = replay("d", (5, 8), &["a"], 3, 0);
        assert_eq!(harmed(taken_twice), [ProblemKind::Duplicate]);
        assert_eq!(harmed(|found| found.commits[0].rejects = 2), [ProblemKind::Rows]);
        assert_eq!(
            harmed(|found| found.commits[2].replay.as_mut().unwrap().skipped = 0),
            [ProblemKind::Rows]
        );
        assert_eq!(harmed(|found| found.commits[3].replay = None), [ProblemKind::Rows]);
        assert_eq!(harmed(|found| drop(found.commits.remove(0))), [ProblemKind::Beyond]);
    }
}
