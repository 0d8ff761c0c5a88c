//! Rejects that are decoded once more: which of them wait for it, and what a commit
//! says of those that it took.
//!
//! The guarantee: of each commit in force, at most one replay in force has taken the rejects.
//! A replay is a commit of a lane of its own, [`TopicPartition::rejects`], whose offsets
//! count the rejects taken so far. So two who have seen the same rejects waiting begin at the
//! same offset, and one of them is fenced; a rollback that takes back the rejects takes back
//! their replay, which came later; and whoever reads Kafka is in nobody's way.

use std::collections::BTreeMap;

use super::checkpoint::Checkpoint;
use super::commit::{Commit, CommitId};
use super::position::TopicPartition;

/// Which replay has taken the rejects of which commit, of those that are in force and not forgotten.
pub fn replays<'a>(in_force: impl IntoIterator<Item = &'a Commit>) -> BTreeMap<&'a CommitId, &'a Commit> {
    let taken = in_force.into_iter().filter_map(|commit| Some((commit, commit.replay.as_ref()?)));
    taken.flat_map(|(commit, replay)| replay.sources.iter().map(move |source| (source, commit))).collect()
}

/// The commits whose rejects may be replayed. `in_force` are all that are and were not forgotten, found after
/// `state` was accepted. Those that are not known to be visible are left out, so that whoever finds a replay
/// among the stored commits finds its sources there, too, until they are forgotten.
pub fn outstanding<'a>(state: &Checkpoint, in_force: &'a [Commit]) -> Vec<&'a Commit> {
    let taken = replays(in_force);
    let waits = |commit: &&Commit| {
        commit.rejects > 0 && !taken.contains_key(&commit.id) && !state.unpublished.contains(&commit.id)
    };
    in_force.iter().filter(waits).collect()
}

/// What is wrong with the part of a commit that this module is about.
pub(crate) fn flaw(commit: &Commit) -> Option<String> {
    let lane = TopicPartition::rejects();
    let Some(replay) = &commit.replay else {
        return commit.from.contains_key(&lane).then(|| format!("moves {lane}, and replays nothing"));
    };
    let Some(span) =
        commit.delta.0.get(&lane).filter(|_| commit.from.len() == 1 && commit.delta.0.len() == 1)
    else {
        return Some(format!("replays rejects, and is not of {lane} alone"));
    };
    let rows = commit.rows.get(&lane).copied().unwrap_or(0);
    let found = rows.saturating_add(commit.rejects).saturating_add(replay.skipped);
    if replay.sources.is_empty() || commit.rejects_topic.is_some() || found != span.to.abs_diff(span.from) {
        let (sources, skipped) = (replay.sources.len(), replay.skipped);
        return Some(format!(
            "replays {span} of {sources} commits, and has {rows} rows, {} rejects and {skipped} skipped",
            commit.rejects
        ));
    }
    None
}
