use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use tidegate_sinks::memory::Memory;
use tidegate_sinks::{Begin, Commit, CommitId, Delta, Genesis, Outcome, Sink, Span, TopicPartition};
use tokio::runtime::Handle;

use super::*;
use crate::config::{Column, Format, Table};
use crate::flow::decode;
use crate::flow::event::Fetch;
use crate::flow::stage::tests::support::settings;
use crate::flow::stage::{Attempt, StageSettings, Staged, Stager};

/// Everything that is to come back of a reject.
type Whole =
    (i64, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, Option<String>);

fn stager(sink: &Arc<dyn Sink>) -> Stager {
    let column = Column::new("id", "int64");
    let format = Format::default();
    let settings = StageSettings { table: Table::Named("t".into()), ..settings() };
    let columns = [column];
    Stager::new(settings, sink.clone(), move |_: &str| decode::decoder(&format, &columns)).unwrap()
}

/// Commits `fetch`, of which nothing decodes.
async fn commit(sink: &Arc<dyn Sink>, fetch: &Fetch) -> Commit {
    let state = sink.begin_chain(Genesis::default()).await.unwrap();
    let id = CommitId::new();
    let attempt = Attempt {
        id: id.clone(),
        incarnation: 1,
        job: "j".into(),
        counted_as: None,
        next_file: Arc::default(),
    };
    let mut stager = stager(sink);
    stager.accept(&Arc::new(attempt), fetch).await.unwrap();
    let span = Span::new(0, fetch.next).unwrap();
    let delta = Delta(BTreeMap::from([(fetch.partition.clone(), span)]));
    let staged = stager.seal(&delta).await.unwrap();
    let from = BTreeMap::from([(fetch.partition.clone(), 0)]);
    let new_partitions = BTreeSet::from([fetch.partition.clone()]);
    let begin = Begin { new_partitions, ..Begin::new(id, 1, from) };
    let Staged { rows, rejects, files, .. } = staged;
    let commit = Commit { delta, rows, rejects, files, ..Commit::of(begin, "j", Timestamp::now()) };
    let outcome = sink.commit(state, Arc::new(commit.clone()), None).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    commit
}

async fn read_back(sink: Arc<dyn Sink>, commit: Commit) -> Result<Vec<Whole>, ReadError> {
    let runtime = Handle::current();
    let read = move || {
        let mut found = Vec::new();
        batches(&runtime, &sink, &commit, |batch, path| {
            for reject in Rows::new(batch, path)?.iter() {
                assert_eq!((reject.topic, reject.partition), ("t", 3));
                let headers = reject.headers.iter();
                let headers = headers.map(|(name, value)| (name.to_string(), value.map(<[u8]>::to_vec)));
                found.push((
                    reject.offset,
                    reject.timestamp,
                    reject.key.map(<[u8]>::to_vec),
                    reject.payload.map(<[u8]>::to_vec),
                    headers.collect(),
                    reject.column.map(str::to_owned),
                ));
            }
            Ok::<_, ReadError>(())
        })?;
        Ok(found)
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test]
async fn each_reject_comes_back_with_its_bytes_key_and_headers() {
    let mut fetch = Fetch::new(TopicPartition::new("t", 3), 1, 0);
    let empty: &[u8] = b"";
    fetch.push(0, Some(7), Some(b"\xffkey"), Some(b"\x00not json"), [("a", Some(&b"1"[..])), ("a", None)]);
    fetch.push(1, None, None, Some(empty), []);
    fetch.push(5, Some(-1), Some(empty), Some(b"{\"id\":1.5}"), [("", Some(empty))]);
    let sink: Arc<dyn Sink> = Arc::new(Memory::new("j"));
    let commit = commit(&sink, &fetch).await;
    assert_eq!(commit.rejects, 3);
    let expected: Vec<Whole> = vec![
        (
            0,
            Some(7),
            Some(b"\xffkey".to_vec()),
            Some(b"\x00not json".to_vec()),
            vec![("a".into(), Some(b"1".to_vec())), ("a".into(), None)],
            None,
        ),
        (1, None, None, Some(Vec::new()), Vec::new(), None),
        (
            5,
            Some(-1),
            Some(Vec::new()),
            Some(b"{\"id\":1.5}".to_vec()),
            vec![(String::new(), Some(Vec::new()))],
            Some("id".into()),
        ),
    ];
    assert_eq!(read_back(sink, commit).await.unwrap(), expected);
}

#[tokio::test]
async fn a_large_file_is_read_in_parts() {
    let mut fetch = Fetch::new(TopicPartition::new("t", 3), 1, 0);
    let mut noise = 1_u64;
    let payloads: Vec<Vec<u8>> = (0..2_000)
        .map(|_| {
            let byte = |_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise as u8
            };
            (0..6_000).map(byte).collect()
        })
        .collect();
    for (offset, payload) in (0..).zip(&payloads) {
        fetch.push(offset, None, None, Some(payload), [("h", Some(&b"v"[..]))]);
    }
    let sink: Arc<dyn Sink> = Arc::new(Memory::new("j"));
    let commit = commit(&sink, &fetch).await;
    assert!(commit.files[0].bytes > 8 << 20, "{} bytes", commit.files[0].bytes);
    let found = read_back(sink, commit).await.unwrap();
    assert_eq!(found.len(), payloads.len());
    for ((offset, payload), found) in (0..).zip(payloads).zip(found) {
        assert!(found.0 == offset && found.3 == Some(payload) && found.4.len() == 1, "{offset}");
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_by_name() {
    let mut fetch = Fetch::new(TopicPartition::new("t", 3), 1, 0);
    fetch.push(0, None, None, Some(b"bad"), []);
    let sink: Arc<dyn Sink> = Arc::new(Memory::new("j"));
    let mut commit = commit(&sink, &fetch).await;
    commit.files[0].path = "elsewhere.parquet".into();
    let error = read_back(sink, commit).await.unwrap_err();
    assert!(error.to_string().contains("elsewhere.parquet"), "{error}");
}
