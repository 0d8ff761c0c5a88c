//! Rejects: those that go to a topic are listed by the commit, read by whoever
//! sends them, and dropped once they are there; all are replayed once.

use std::sync::Arc;

use super::Place;
use super::writer::{TABLE, Writer, assert_exact, committed, fenced, next, repeat};
use crate::model::checkpoint::{Checkpoint, RestoreChoice, Restored};
use crate::model::commit::Replay;
use crate::model::commit::{Commit, CommitId, FileKind};
use crate::model::error::Kind;
use crate::model::position::TopicPartition;
use crate::model::replay::outstanding;
use crate::model::restore::Restore;

pub(super) async fn unsent_commits_are_listed_until_they_are_sent(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 2).await;
    let mut commit = Commit::clone(&*writer.attempt_with(&state, &[(0, 2)], &[], 1).await);
    commit.rejects_topic = Some("dead".to_owned());
    let id = commit.id.clone();
    let state = committed(writer.commit(&state, &Arc::new(commit.clone())).await);
    assert_eq!(state.unsent, std::slice::from_ref(&id));
    let state = writer.commit_moves(&state, &[(1, 1)]).await;
    assert_eq!(state.unsent, std::slice::from_ref(&id), "without rejects there is nothing to send");
    writer.publish(&state).await;

    let other = Writer::new(&place);
    let found = repeat(|| other.sink.read_commit(&id)).await.expect("it is in force");
    assert_eq!(found, commit);
    let file = found.files.iter().find(|file| file.kind == FileKind::Rejects).expect("it has rejects");
    let part = repeat(|| other.sink.read_visible(file, 1..3)).await;
    assert_eq!(part.as_deref(), Some(&b"ad"[..]));
    other.sink.note_sent(&state, &id);
    assert!(other.sink.has_finished());
    let settled = other.finish_all().await;
    let settled = repeat(|| other.sink.settle(Arc::clone(&settled))).await;
    assert!(settled.unsent.is_empty() && !other.sink.has_finished());

    // A sender that was slower has nothing to drop any more, and harms nothing.
    writer.sink.note_sent(&state, &id);
    let state = writer.commit_moves(&settled, &[(0, 1)]).await;
    assert!(state.unsent.is_empty());
    let state = writer.finish_all().await;
    assert!(!writer.sink.has_finished());
    assert_exact(&place, &state).await;
}

/// Decodes the rejects of `sources` once more: all become rows but `failing`.
async fn replay(writer: &Writer, state: &Checkpoint, sources: &[&Commit], failing: u64) -> Arc<Commit> {
    let count: u64 = sources.iter().map(|commit| commit.rejects).sum();
    let sources = sources.iter().map(|commit| commit.id.clone()).collect();
    let moves = [(TopicPartition::rejects(), count as i64, (count - failing) as i64)];
    let mut commit = Commit::clone(&*writer.attempt_on(state, &moves, &[], failing).await);
    commit.replay = Some(Replay { sources, skipped: 0 });
    Arc::new(commit)
}

pub(super) async fn rejects_are_replayed_once(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 2).await;
    let source = writer.attempt_with(&state, &[(0, 5)], &[], 3).await;
    committed(writer.commit(&state, &source).await);
    let state = writer.finish_all().await;
    assert_eq!(outstanding(&state, &[Commit::clone(&source)]), [&*source]);
    assert_eq!(state.outstanding_rejects(), 3);

    // Two at once, beside one who reads.
    let other = Writer::new(&place);
    let (first, second) =
        (replay(&writer, &state, &[&source], 1).await, replay(&other, &state, &[&source], 0).await);
    let late = replay(&other, &state, &[&source], 2).await;
    writer.commit_moves(&state, &[(1, 2)]).await;
    let replayed = committed(writer.commit(&state, &first).await);
    assert_eq!((replayed.outstanding_rejects(), replayed.replayed_rows()), (1, 2));
    let lost = fenced(other.commit(&state, &second).await);
    assert_eq!(lost.position(), replayed.position());
    repeat(|| other.sink.discard(&second.id)).await;
    let now = writer.finish_all().await;
    let in_force = [Commit::clone(&source), Commit::clone(&first)];
    assert_eq!(outstanding(&now, &in_force), [&*first], "what failed again waits again");

    // What failed again is replayed in its turn, and then nothing waits.
    let again = replay(&writer, &now, &[&first], 0).await;
    let done = committed(writer.commit(&now, &again).await);
    assert_eq!((done.outstanding_rejects(), done.replayed_rows()), (0, 3));
    let done = writer.finish_all().await;
    assert_eq!(visible_rows(&place).await, 7 + 3);

    // A rollback takes the replays back, and the rejects wait again.
    let restored = Restored { from: "kept".to_owned(), choice: RestoreChoice::Rollback };
    let restore = Restore { restored, target: Checkpoint::clone(&state), again: false };
    repeat(|| writer.sink.restore(&restore)).await;
    let back = writer.finish_all().await;
    assert_eq!((back.outstanding_rejects(), back.replayed_rows()), (3, 0));
    assert_eq!(next(&back, 0), 5);
    assert_eq!(visible_rows(&place).await, 5);
    fenced(other.commit(&back, &late).await);
    fenced(other.commit(&done, &late).await);
    let twice = replay(&writer, &back, &[&source], 0).await;
    committed(writer.commit(&back, &twice).await);
    writer.finish_all().await;
    assert_eq!(visible_rows(&place).await, 5 + 3);
}

pub(super) async fn a_replay_that_does_not_add_up_is_refused(place: Arc<dyn Place>) {
    let (writer, state) = Writer::with_chain(&place, 1).await;
    let source = writer.attempt_with(&state, &[(0, 5)], &[], 3).await;
    committed(writer.commit(&state, &source).await);
    let state = writer.finish_all().await;
    let good = replay(&writer, &state, &[&source], 1).await;
    let wrongs: [fn(&mut Commit); 5] = [
        |commit| commit.replay = None,
        |commit| commit.replay = Some(Replay::default()),
        |commit| commit.rejects = 0,
        |commit| commit.replay.as_mut().expect("it is one").skipped = 1,
        |commit| commit.rejects_topic = Some("dead".to_owned()),
    ];
    for wrong in wrongs {
        let mut commit = Commit::clone(&good);
        wrong(&mut commit);
        let refused = writer
            .sink
            .commit(Arc::clone(&state), Arc::new(commit), None)
            .await
            .expect_err("it does not add up");
        assert_eq!(refused.kind, Kind::Corrupt, "{refused}");
    }
    // More than ever were rejected.
    let foreign = Commit { id: CommitId::new(), ..Commit::clone(&source) };
    let more = replay(&writer, &state, &[&source, &foreign], 1).await;
    let refused = writer.sink.commit(Arc::clone(&state), more, None).await.expect_err("it does not add up");
    assert_eq!(refused.kind, Kind::Corrupt, "{refused}");
    committed(writer.commit(&state, &good).await);
}

async fn visible_rows(place: &Arc<dyn Place>) -> usize {
    let files = place.visible().await;
    let tables = files.iter().filter(|(path, _)| path.starts_with(&format!("{TABLE}/")));
    tables.map(|(_, bytes)| bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()).sum()
}
