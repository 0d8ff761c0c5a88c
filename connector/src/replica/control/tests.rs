//! What is asked is asked for good, whoever asks at the same time and whatever is damaged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_sinks::store::{self, Retries};
use tidegate_sinks::{Folder, SharedObjects};

use super::{Board, Change, FORMAT, Replica, ReplicaState};
use crate::error::RunError;
use crate::replica::agent::{Agent, Settings};
use crate::replica::status::Status;

pub(super) fn board() -> Board {
    let store = store::open("memory://board", &Default::default(), Retries::default()).unwrap();
    Board::new(SharedObjects::new(store), Duration::from_secs(1))
}

/// Of a replica that is asked for no savepoint.
pub(crate) fn settings(board: &Board, status: &Arc<Status>) -> Settings {
    Settings {
        board: board.clone(),
        status: status.clone(),
        address: None,
        patience: Duration::from_secs(60),
        make: Arc::new(|_, _| Box::pin(async { Err(RunError::failed("no savepoint is asked for")) })),
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

pub(super) fn replica(id: &str, updated: Timestamp) -> Replica {
    Replica {
        format: FORMAT,
        id: id.to_owned(),
        updated,
        address: None,
        state: ReplicaState::Running,
        control: 0,
        partitions: Vec::new(),
        records_per_second: 0.0,
        bytes_per_second: 0.0,
        checkpoint: 1,
        limit_bytes_per_second: 0,
    }
}

#[tokio::test]
async fn a_change_keeps_what_was_asked_before() {
    let board = board();
    assert_eq!(board.newest().await.unwrap(), None);
    board.request(Change::Speed(Some(5)), now()).await.unwrap();
    board.request(Change::Pause, now()).await.unwrap();
    let asked = board.request(Change::Checkpoint, now()).await.unwrap();
    assert_eq!((asked.n, asked.checkpoint, asked.paused, asked.bytes_per_second), (3, 3, true, Some(5)));
    let (id, to) = ("s".to_owned(), "file:///s".to_owned());
    let asked = board.request(Change::Savepoint { id, to, stop: true }, now()).await.unwrap();
    assert!(asked.stopped && asked.savepoint.as_ref().is_some_and(|request| request.n == 4));
    let asked = board.request(Change::Resume, now()).await.unwrap();
    assert!(!asked.stopped && !asked.paused && asked.savepoint.is_some());
    assert_eq!(board.newest().await.unwrap(), Some(asked));
}

#[tokio::test(start_paused = true)]
async fn a_replica_reports_at_every_tenth_look_and_when_something_has_changed() {
    let board = board();
    let status = Arc::new(Status::default());
    status.set_started();
    let agent = Agent::start(settings(&board, &status)).await.unwrap();
    let updated = async || board.replicas().await.unwrap()[0].updated;
    let seconds = |seconds: u64| tokio::time::sleep(Duration::from_millis(1_000 * seconds + 500));
    let first = updated().await;
    seconds(7).await;
    assert_eq!(updated().await, first, "there is nothing new");
    seconds(4).await;
    let tenth = updated().await;
    assert!(tenth > first, "others would take it for dead");
    status.set_stopping();
    seconds(1).await;
    let changed = updated().await;
    assert!(changed > tenth, "its state has changed");
    board.request(Change::Pause, now()).await.unwrap();
    for _ in 0..3 {
        let before = updated().await;
        seconds(1).await;
        assert!(updated().await > before, "somebody may wait for it");
    }
    agent.end().await;
}

/// A report that is written to a folder goes on when nobody waits for it any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_has_ended_leaves_no_report() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let store = store::open(&url, &Default::default(), Retries::default()).unwrap();
    let board = Board::new(SharedObjects::new(store), Duration::from_millis(1));
    for round in 0..50 {
        let status = Arc::new(Status::default());
        status.set_started();
        let agent = Agent::start(settings(&board, &status)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(round % 7)).await;
        agent.end().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(board.replicas().await.unwrap(), Vec::new(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_the_same_time_lose_no_change() {
    let board = board();
    let ask = |limit| {
        let board = board.clone();
        tokio::spawn(async move {
            board.request(Change::Speed(Some(limit)), now()).await.unwrap();
            board.request(Change::Checkpoint, now()).await.unwrap().n
        })
    };
    let mut asked: Vec<_> = (1..=20).map(ask).collect();
    asked.push({
        let board = board.clone();
        tokio::spawn(async move { board.request(Change::Pause, now()).await.unwrap().n })
    });
    let mut numbers = BTreeSet::new();
    for asked in asked {
        assert!(numbers.insert(asked.await.unwrap()), "two changes have one number");
    }
    let newest = board.newest().await.unwrap().unwrap();
    // Who is held up between writing and looking cannot tell whether it counts, and asks once more.
    assert!(newest.n >= 41 && newest.paused);
    assert!(newest.checkpoint > 0 && newest.bytes_per_second.is_some());
}

#[tokio::test]
async fn old_control_objects_are_cleaned_and_the_newest_never() {
    let board = board();
    for _ in 0..30 {
        board.request(Change::Checkpoint, now()).await.unwrap();
    }
    let names = board.objects.names(Folder::Control).await.unwrap();
    assert!((2..=9).contains(&names.len()), "{names:?}");
    assert_eq!(board.newest().await.unwrap().unwrap().n, 30);
}

#[tokio::test]
async fn a_damaged_control_object_is_passed_over_and_mended_by_the_next_change() {
    let board = board();
    board.request(Change::Speed(Some(7)), now()).await.unwrap();
    let damaged = format!("{:020}.json", 2);
    board.objects.put(Folder::Control, &damaged, "{\"format\": 1, \"n\": 2".into()).await.unwrap();
    assert_eq!(board.newest().await.unwrap().unwrap().n, 1);
    let asked = board.request(Change::Pause, now()).await.unwrap();
    assert_eq!((asked.n, asked.bytes_per_second, asked.paused), (3, Some(7), true));
    assert_eq!(board.newest().await.unwrap(), Some(asked));
}

#[tokio::test]
async fn a_newer_format_is_refused_and_unknown_fields_are_kept() {
    let board = board();
    let put = |n: u64, text: &str| {
        let (objects, text) = (board.objects.clone(), text.to_owned());
        async move { objects.put(Folder::Control, &format!("{n:020}.json"), text.into()).await.unwrap() }
    };
    put(1, r#"{"format": 1, "n": 1, "created": "2026-01-01T00:00:00Z", "colour": "red"}"#).await;
    let asked = board.request(Change::Pause, now()).await.unwrap();
    assert_eq!(asked.other["colour"], "red");
    put(3, r#"{"format": 2, "n": 3}"#).await;
    for error in [board.newest().await.unwrap_err(), board.request(Change::Resume, now()).await.unwrap_err()]
    {
        assert!(error.to_string().contains("format 2") && error.to_string().contains("upgrade"), "{error}");
    }
}

#[tokio::test]
async fn replicas_that_died_are_left_out_and_cleaned() {
    let board = board();
    board.report(&replica("dead", now() - Duration::from_secs(61))).await.unwrap();
    board.report(&replica("alive", now() - Duration::from_secs(50))).await.unwrap();
    board.objects.put(Folder::Replicas, "damaged.json", "{".into()).await.unwrap();
    let ids = |replicas: Vec<Replica>| replicas.into_iter().map(|r| r.id).collect::<Vec<_>>();
    assert_eq!(ids(board.replicas().await.unwrap()), ["alive"]);
    board.clean_replicas().await.unwrap();
    assert_eq!(ids(board.all_replicas().await.unwrap()), ["alive"]);
}
