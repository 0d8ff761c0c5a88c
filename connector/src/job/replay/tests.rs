use super::*;

fn source(rejects: u64) -> Commit {
    let begin = Begin::new(CommitId::new(), 1, BTreeMap::new());
    Commit { rejects, ..Commit::of(begin, "j", Timestamp::UNIX_EPOCH) }
}

#[test]
fn chunks_take_each_source_whole_and_once() {
    let rejects = [1, RECORDS, 1, RECORDS - 1, 1, 5 * RECORDS, 1];
    let sources: Vec<_> = rejects.into_iter().map(source).collect();
    let found = chunks(&sources);
    let counts: Vec<Vec<_>> = found.iter().map(|c| c.iter().map(|source| source.rejects).collect()).collect();
    assert_eq!(counts, [vec![1], vec![RECORDS], vec![1, RECORDS - 1], vec![1], vec![5 * RECORDS], vec![1]]);
    assert_eq!(found.concat(), sources);
    let many: Vec<_> = (0..SOURCES + 1).map(|_| source(1)).collect();
    assert_eq!(chunks(&many).iter().map(|c| c.len()).collect::<Vec<_>>(), [SOURCES, 1]);
    assert!(chunks(&[]).is_empty());
}
