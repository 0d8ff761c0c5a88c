use proptest::prelude::*;
use proptest::sample::Index;
use tidegate_sinks::{Base, Begin, Delta, Forgotten, PartitionState};

use super::*;
use crate::flow::stage::footer::FileSpan;

/// Lengths of the spans of each partition in each commit, and how many offsets of each are holes.
type Shape = Vec<Vec<(i64, i64)>>;

fn shape() -> impl Strategy<Value = Shape> {
    // Each commit moves three partitions by 1 to 50 offsets, of which none are holes or up to all.
    let span = (1_i64..50).prop_flat_map(|length| (Just(length), 0..=length));
    prop::collection::vec(prop::collection::vec(span, 3), 1..6)
}

fn good(shape: &Shape, unpublished: usize) -> Found {
    let mut partitions: BTreeMap<_, _> = (0..3)
        .map(|partition| {
            let start = i64::from(partition) * 100;
            (TopicPartition::new("t", partition), PartitionState { start, next: start, rows: 0 })
        })
        .collect();
    let mut found = Found {
        checkpoint: empty_checkpoint(),
        commits: Vec::new(),
        visible: BTreeMap::new(),
        rejects: BTreeMap::new(),
        staged: BTreeMap::new(),
    };
    for (index, spans) in shape.iter().enumerate() {
        let id = CommitId(format!("{index:032x}").into());
        let mut delta = Delta::default();
        let mut rows = BTreeMap::new();
        for ((partition, state), (length, holes)) in partitions.iter_mut().zip(spans) {
            delta.0.insert(partition.clone(), Span::new(state.next, state.next + length).unwrap());
            let count = (length - holes) as u64;
            rows.insert(partition.clone(), count);
            state.next += length;
            state.rows += count;
        }
        let file = file(index, &rows);
        let published = index + unpublished < shape.len();
        if published {
            found.visible.insert(file.path.clone(), seen(&file, &id, &delta));
        } else {
            found.staged.insert((id.clone(), file.staged.clone()), file.bytes);
            found.checkpoint.unpublished.push(id.clone());
        }
        found.commits.push(commit(id, delta, rows, file));
    }
    found.checkpoint.partitions = partitions;
    found
}

fn empty_checkpoint() -> Checkpoint {
    Checkpoint { n: 7, ..Checkpoint::first("j", jiff::Timestamp::UNIX_EPOCH, BTreeMap::new()) }
}

fn file(index: usize, rows: &BTreeMap<TopicPartition, u64>) -> StagedFile {
    StagedFile {
        kind: FileKind::Data,
        staged: "000.staged".into(),
        path: format!("t/1-{index:032x}-000.parquet"),
        bytes: 1_000 + index as u64,
        rows: rows.values().sum(),
        sha256: String::new(),
        partitions: rows.clone(),
    }
}

fn commit(id: CommitId, delta: Delta, rows: BTreeMap<TopicPartition, u64>, file: StagedFile) -> Commit {
    let from = delta.0.iter().map(|(partition, span)| (partition.clone(), span.from)).collect();
    let begin = Begin::new(id, 1, from);
    Commit { delta, rows, files: vec![file], ..Commit::of(begin, "j", jiff::Timestamp::UNIX_EPOCH) }
}

fn seen(file: &StagedFile, id: &CommitId, delta: &Delta) -> Seen {
    let span = |(partition, rows): (&TopicPartition, &u64)| FileSpan {
        topic: partition.topic.clone(),
        partition: partition.partition,
        from: delta.0[partition].from,
        to: delta.0[partition].to,
        rows: *rows,
    };
    let spans = file.partitions.iter().map(span).collect();
    let footer =
        Footer { rows: file.rows, job: Some("j".into()), commit: Some(id.clone()), spans: Some(spans) };
    Seen { bytes: file.bytes, footer: Some(Ok(footer)) }
}

/// A way to spoil a good state, and what the audit must call it.
#[derive(Clone, Copy, Debug)]
enum Harm {
    DropFile,
    DropCommit,
    RepeatCommit,
    ShiftSpan,
    StretchSpan,
    ForgetPartition,
    RaisePosition,
    LowerPosition,
    ChangeSize,
    ChangeFooterRows,
    ChangeFooterCommit,
    ChangeFooterSpan,
    ReplaceFile,
    BreakFooter,
    ChangeCommitRows,
    ChangeCheckpointRows,
    ShowUncommitted,
    ShowTorn,
    ShowRewritten,
    CopyFile,
    LoseStaged,
    ChangeRejects,
}

const HARMS: [(Harm, ProblemKind); 22] = [
    (Harm::DropFile, ProblemKind::Missing),
    (Harm::DropCommit, ProblemKind::Gap),
    (Harm::RepeatCommit, ProblemKind::Overlap),
    (Harm::ShiftSpan, ProblemKind::Gap),
    (Harm::StretchSpan, ProblemKind::Overlap),
    (Harm::ForgetPartition, ProblemKind::Beyond),
    (Harm::RaisePosition, ProblemKind::Gap),
    (Harm::LowerPosition, ProblemKind::Beyond),
    (Harm::ChangeSize, ProblemKind::Size),
    (Harm::ChangeFooterRows, ProblemKind::Content),
    (Harm::ChangeFooterCommit, ProblemKind::Content),
    (Harm::ChangeFooterSpan, ProblemKind::Content),
    (Harm::ReplaceFile, ProblemKind::Content),
    (Harm::BreakFooter, ProblemKind::Content),
    (Harm::ChangeCommitRows, ProblemKind::Rows),
    (Harm::ChangeCheckpointRows, ProblemKind::Rows),
    (Harm::ShowUncommitted, ProblemKind::Uncommitted),
    (Harm::ShowTorn, ProblemKind::Uncommitted),
    (Harm::ShowRewritten, ProblemKind::Uncommitted),
    (Harm::CopyFile, ProblemKind::Duplicate),
    (Harm::LoseStaged, ProblemKind::Missing),
    (Harm::ChangeRejects, ProblemKind::Rows),
];

fn spoil(found: &mut Found, harm: Harm, at: Index) {
    let partition = TopicPartition::new("t", at.index(3) as i32);
    let which = at.index(found.commits.len());
    let path = found.commits[which].files[0].path.clone();
    let state = found.checkpoint.partitions.get_mut(&partition).unwrap();
    let span = found.commits[which].delta.0.get_mut(&partition).unwrap();
    let footer = |found: &mut Found, change: fn(&mut Footer)| {
        let seen = found.visible.get_mut(&path).unwrap();
        change(seen.footer.as_mut().unwrap().as_mut().unwrap());
    };
    match harm {
        Harm::DropFile => drop(found.visible.remove(&path).unwrap()),
        Harm::DropCommit => drop(found.commits.remove(which)),
        Harm::RepeatCommit => {
            let commit = found.commits[which].clone();
            found.commits.push(commit);
        }
        Harm::ShiftSpan => *span = Span { from: span.from + 1, to: span.to + 1 },
        Harm::StretchSpan => *span = Span { from: span.from - 1, to: span.to },
        Harm::ForgetPartition => drop(found.checkpoint.partitions.remove(&partition).unwrap()),
        Harm::RaisePosition => state.next += 1,
        Harm::LowerPosition => state.next -= 1,
        Harm::ChangeSize => found.visible.get_mut(&path).unwrap().bytes += 1,
        Harm::ChangeFooterRows => footer(found, |footer| footer.rows += 1),
        Harm::ChangeFooterCommit => footer(found, |footer| footer.commit = Some(CommitId("other".into()))),
        Harm::ChangeFooterSpan => footer(found, |footer| footer.spans.as_mut().unwrap()[0].to += 1),
        Harm::ReplaceFile => {
            footer(found, |footer| *footer = Footer { rows: footer.rows, ..Footer::default() })
        }
        Harm::BreakFooter => {
            found.visible.get_mut(&path).unwrap().footer = Some(Err("torn".into()));
        }
        Harm::ChangeCommitRows => *found.commits[which].rows.get_mut(&partition).unwrap() += 1,
        Harm::ChangeCheckpointRows => state.rows += 1,
        Harm::ShowUncommitted => {
            let mut seen = found.visible[&path].clone();
            let id = CommitId(format!("{:032x}", 0xffff).into());
            seen.footer.as_mut().unwrap().as_mut().unwrap().commit = Some(id.clone());
            found.visible.insert(format!("t/1-{id}-000.parquet"), seen);
        }
        Harm::ShowTorn => {
            let torn = Seen { bytes: 9, footer: Some(Err("torn".into())) };
            found.visible.insert(format!("t/1-{:032x}-000.parquet", 0xffff), torn);
        }
        Harm::ShowRewritten => {
            let rewritten = Seen { bytes: 9, footer: Some(Ok(Footer { rows: 1, ..Footer::default() })) };
            found.visible.insert(format!("t/1-{:032x}-000.parquet", 0xffff), rewritten);
        }
        Harm::CopyFile => {
            // Under its own name elsewhere, under another, under a hidden one: readers see its
            // rows once more.
            let seen = found.visible[&path].clone();
            let elsewhere = path.replace("t/", "t/old/");
            let copies = ["t/day=2/copy.parquet", "t/.old/x.parquet", "t/copy", &elsewhere];
            found.visible.insert(copies[at.index(copies.len())].to_owned(), seen);
        }
        Harm::LoseStaged => {
            // As if it had been swept between the commit and its publication.
            found.visible.remove(&path).unwrap();
            found.checkpoint.unpublished.push(found.commits[which].id.clone());
        }
        Harm::ChangeRejects => found.checkpoint.rejects += 1,
    }
}

proptest! {
    #[test]
    fn a_good_state_is_exact(shape in shape(), unpublished in 0_usize..3) {
        let report = judge(&good(&shape, unpublished));
        prop_assert!(report.exact, "{:?}", report.problems);
        prop_assert_eq!(report.pending.len(), unpublished.min(shape.len()));
        prop_assert_eq!(report.files + report.pending.len(), shape.len());
    }

    #[test]
    fn each_harm_is_found_and_named(shape in shape(), harm in 0..HARMS.len(), at: Index) {
        let (harm, kind) = HARMS[harm];
        let mut found = good(&shape, 0);
        spoil(&mut found, harm, at);
        let report = judge(&found);
        prop_assert!(!report.exact);
        let kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
        prop_assert!(kinds.contains(&kind), "{:?}: {:?}", harm, report.problems);
    }
}

#[test]
fn files_of_others_are_listed_and_do_no_harm() {
    let mut found = good(&vec![vec![(5, 0); 3]], 0);
    let foreign = Footer { rows: 3, job: Some("another".into()), ..Footer::default() };
    found.visible.insert("t/a.parquet".into(), Seen { bytes: 9, footer: None });
    found.visible.insert("t/b.parquet".into(), Seen { bytes: 9, footer: Some(Ok(foreign)) });
    found.visible.insert("t/old.parquet".into(), Seen { bytes: 9, footer: None });
    found.checkpoint.retracted.push(Retracted::File("t/old.parquet".into()));
    let report = judge(&found);
    assert!(report.exact, "{:?}", report.problems);
    assert_eq!(report.foreign, ["t/a.parquet", "t/b.parquet"]);
    assert_eq!(report.retracted, ["t/old.parquet"]);
}

/// Folds the first `count` commits into a base, as a `forget` does; their files stay.
fn forget(found: &mut Found, count: usize) {
    let mut base = Base {
        created: jiff::Timestamp::UNIX_EPOCH,
        commits: count as u64,
        last: CommitId("0".into()),
        rejects: 0,
        partitions: BTreeMap::new(),
    };
    for commit in found.commits.drain(..count) {
        base.last = commit.id;
        for (partition, span) in commit.delta.0 {
            let at = base.partitions.entry(partition.clone()).or_insert(Forgotten { next: 0, rows: 0 });
            *at = Forgotten { next: span.to, rows: at.rows + commit.rows[&partition] };
        }
    }
    found.checkpoint.base = Some(base);
}

proptest! {
    #[test]
    fn what_is_forgotten_still_adds_up(shape in shape(), count: Index, gone: Index, harm in 0..HARMS.len(), at: Index) {
        let mut found = good(&shape, 0);
        let count = count.index(shape.len() + 1);
        forget(&mut found, count);
        let left = judge(&found);
        prop_assert!(left.exact, "{:?}", left.problems);
        prop_assert_eq!((left.forgotten.len(), left.files), (count, shape.len() - count));
        if count > 0 {
            // Deleted, or compacted into one.
            let path = &left.forgotten[gone.index(count)];
            found.visible.remove(path).unwrap();
            // One that has kept the footer of what it was made of, or none.
            let kept = left.forgotten.last().and_then(|path| found.visible.get(path)).cloned();
            let keeps = usize::from(kept.is_some());
            let compacted = kept.unwrap_or(Seen { bytes: 9, footer: Some(Ok(Footer::default())) });
            found.visible.insert("t/compacted.parquet".into(), compacted);
            let report = judge(&found);
            prop_assert!(report.exact, "{:?}", report.problems);
            prop_assert_eq!(report.forgotten.len(), count - 1 + keeps);
        }
        if count < shape.len() {
            let (harm, kind) = HARMS[harm];
            spoil(&mut found, harm, at);
            let kinds: Vec<_> = judge(&found).problems.iter().map(|problem| problem.kind).collect();
            prop_assert!(kinds.contains(&kind), "{:?}: {:?}", harm, kinds);
        }
    }
}

#[test]
fn a_file_that_a_rollback_took_back_is_not_taken_for_a_forgotten_one() {
    let mut found = good(&vec![vec![(5, 0); 3]; 3], 0);
    forget(&mut found, 2);
    found.checkpoint.incarnation = 2;
    found.checkpoint.cuts = vec![found.checkpoint.position()];
    assert!(judge(&found).exact);
    let cut = found.checkpoint.cuts[0].0.values_mut().next().unwrap();
    *cut -= 6;
    let report = judge(&found);
    assert_eq!(report.problems[0].kind, ProblemKind::Uncommitted);
}

#[test]
fn a_staged_file_counts_only_while_its_commit_is_unpublished() {
    let mut found = good(&vec![vec![(5, 0); 3]], 1);
    assert!(judge(&found).exact);
    found.checkpoint.unpublished.clear();
    let report = judge(&found);
    assert_eq!(report.problems[0].kind, ProblemKind::Missing);
}

#[test]
fn a_position_above_the_log_is_named() {
    let mut report = judge(&good(&vec![vec![(5, 0); 3]], 0));
    let ends = |end| BTreeMap::from([(TopicPartition::new("t", 0), end)]);
    report.judge_ends(&ends(7));
    assert!(report.exact);
    assert_eq!((report.partitions[0].lag, report.partitions[1].lag), (Some(2), None));
    report.judge_ends(&ends(4));
    assert_eq!(report.problems[0].kind, ProblemKind::AheadOfLog);
    assert!(!report.exact);
}
