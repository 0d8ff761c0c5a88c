//! Rejects that go to a topic: listed by the commit, read by whoever sends them, dropped once they are there.

use std::sync::Arc;

use super::Place;
use super::writer::{Writer, assert_exact, committed, repeat};
use crate::commit::{Commit, FileKind};

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
