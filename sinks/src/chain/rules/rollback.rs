//! Going back to a kept state, as pure functions. See the module above.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::housekeeping_on;
use crate::model::checkpoint::{Checkpoint, PartitionState, RestoreChoice, Retracted};
use crate::model::commit::{Commit, CommitId};
use crate::model::error::{Error, Kind};
use crate::model::position::{Position, Span, TopicPartition};
use crate::model::restore::Restore;

/// Refuses a kept state that does not lie on the lineage in force: the chain has
/// never stood there, or somebody has taken it back since.
///
/// Errors: `Refused`.
pub fn check_target(state: &Checkpoint, target: &Checkpoint) -> Result<(), Error> {
    let refuse = |what: String| {
        let context = format!("checkpoint {} of job {:?} cannot be restored: {what}", target.n, target.job);
        Err(Error::new(Kind::Refused, context))
    };
    if target.job != state.job {
        return refuse(format!(
            "the sink holds job {:?}; a sink of its own takes --new-incarnation",
            state.job
        ));
    }
    if target.n > state.n || target.incarnation > state.incarnation {
        return refuse(format!(
            "it is ahead of the sink, whose newest checkpoint is {}: the sink is another one, or has lost checkpoints; \
             nothing was changed",
            state.n
        ));
    }
    for (partition, at) in &target.partitions {
        let Some(now) = state.partitions.get(partition).filter(|now| now.start == at.start) else {
            return refuse(format!(
                "{partition} begins elsewhere in the sink, which is of another life of the job"
            ));
        };
        let since = (target.incarnation as usize).saturating_sub(1);
        let cut =
            state.cuts.iter().skip(since).find(|cut| cut.next(partition).is_none_or(|cut| at.next > cut));
        if cut.is_some() {
            return refuse(format!(
                "a later rollback has taken back what led to it, {partition} up to {}; restore that rollback's target, or \
                 something newer",
                at.next
            ));
        }
        if at.next > now.next {
            return refuse(format!(
                "{partition} stands at {} there, and only at {} in the sink",
                at.next, now.next
            ));
        }
    }
    Ok(())
}

/// Where each partition stands after a rollback. One that `target` does not know goes back to its start and
/// stays known, so that offsets which the log has lost since are missed, not skipped.
pub fn goal(state: &Checkpoint, target: &Checkpoint) -> BTreeMap<TopicPartition, PartitionState> {
    let place = |(partition, now): (&TopicPartition, &PartitionState)| {
        let start = PartitionState { start: now.start, next: now.start, rows: 0 };
        (partition.clone(), target.partitions.get(partition).copied().unwrap_or(start))
    };
    state.partitions.iter().map(place).collect()
}

/// The commits that a rollback takes back, of all that are in force in `state`.
///
/// Errors: `Refused`, when they are not exactly what lies between `target` and
/// `state`, or some are forgotten.
pub fn taken_back<'a>(
    state: &Checkpoint,
    target: &Checkpoint,
    in_force: Vec<&'a Commit>,
) -> Result<Vec<&'a Commit>, Error> {
    let goal = goal(state, target);
    state.check_remembered(&Position(
        goal.iter().map(|(partition, at)| (partition.clone(), at.next)).collect(),
    ))?;
    let beyond =
        |(partition, span): (&TopicPartition, &Span)| goal.get(partition).is_none_or(|at| span.to > at.next);
    let is_beyond = |commit: &&Commit| commit.delta.0.iter().any(beyond);
    let taken: Vec<_> = in_force.into_iter().filter(is_beyond).collect();
    check_taken(state, target, &goal, &taken)?;
    Ok(taken)
}

/// Between two states of one chain lie whole commits: end to end, with the rows and
/// rejects of the difference.
fn check_taken(
    state: &Checkpoint,
    target: &Checkpoint,
    goal: &BTreeMap<TopicPartition, PartitionState>,
    taken: &[&Commit],
) -> Result<(), Error> {
    let refuse = |what: String| {
        let context = format!(
            "a rollback from checkpoint {} to {} would not be exact: {what}; the target is of another life of the job, or \
             `forget` has folded these commits",
            state.n, target.n
        );
        Err(Error::new(Kind::Refused, context))
    };
    for (partition, now) in &state.partitions {
        let to = goal.get(partition).copied().unwrap_or(*now);
        let mut spans: Vec<_> = taken.iter().filter_map(|commit| commit.delta.0.get(partition)).collect();
        spans.sort_unstable_by_key(|span| span.from);
        let mut at = to.next;
        for span in spans {
            if span.from != at {
                return refuse(format!("of {partition}, {span} follows {at}"));
            }
            at = span.to;
        }
        if at != now.next {
            return refuse(format!("of {partition}, no commit covers [{at}, {})", now.next));
        }
        let rows: u64 = taken.iter().filter_map(|commit| commit.rows.get(partition)).sum();
        if to.rows.checked_add(rows) != Some(now.rows) {
            return refuse(format!("of {partition}, {rows} rows lie between {} and {}", to.rows, now.rows));
        }
    }
    let rejects: u64 = taken.iter().map(|commit| commit.rejects).sum();
    if target.rejects.checked_add(rejects) != Some(state.rejects) {
        return refuse(format!("{rejects} rejects lie between {} and {}", target.rejects, state.rejects));
    }
    Ok(())
}

/// Whether `restore` is done in `state`. `since` is the incarnation that was in force when it was first asked
/// for: with `again`, only an incarnation ended since at the target's position counts.
pub(crate) fn is_restored(state: &Checkpoint, restore: &Restore, since: u32) -> bool {
    let is_said = state.restored.as_ref() == Some(&restore.restored);
    let target = restore.target.position();
    let agrees = |cut: &Position| target.0.iter().all(|(partition, next)| cut.next(partition) == Some(*next));
    let ended = || state.cuts.iter().skip((since as usize).saturating_sub(1)).any(agrees);
    is_said && (!restore.again || restore.restored.choice != RestoreChoice::Rollback || ended())
}

/// The body after `state` that restores, and takes `taken` back where that is a
/// rollback. They were found after `state` was loaded.
pub fn restored_on(
    state: &Checkpoint,
    published: &BTreeSet<CommitId>,
    erased: &BTreeSet<Retracted>,
    restore: &Restore,
    taken: &BTreeSet<CommitId>,
    now: Timestamp,
) -> Checkpoint {
    let mut body = housekeeping_on(state, published, erased, now);
    body.restored = Some(restore.restored.clone());
    // What was pinned since stays: the tables and topics it is about may be there still.
    body.pinned = super::pins::merged(&restore.target.pinned, &state.pinned);
    if restore.restored.choice != RestoreChoice::Rollback {
        return body;
    }
    body.partitions = goal(state, &restore.target);
    body.rejects = restore.target.rejects;
    body.gaps = restore.target.gaps.clone();
    body.timestamps = restore.target.timestamps.clone();
    body.epochs = restore.target.epochs.clone();
    body.recent = restore.target.recent.clone();
    // What is committed and unpublished goes, too: somebody would publish it beside its replay.
    body.unpublished.retain(|id| !taken.contains(id));
    body.unsent.retain(|id| !taken.contains(id));
    body.retracted.extend(taken.iter().cloned().map(Retracted::Commit));
    // Dead attempts would come back to life with their offsets.
    body.incarnation += 1;
    body.cuts.push(body.position());
    body
}

/// Refuses a body that begins an incarnation, and is not where the one before was cut.
///
/// Errors: what is wrong with it.
pub(super) fn check_cut(state: &Checkpoint, body: &Checkpoint) -> Result<(), String> {
    if body.incarnation != state.incarnation + 1 || body.cuts.last() != Some(&body.position()) {
        return Err(format!(
            "incarnation {} does not begin where {} was cut",
            body.incarnation, state.incarnation
        ));
    }
    for (partition, before) in &state.partitions {
        match body.partitions.get(partition) {
            Some(after) if after.next <= before.next && after.start == before.start => {}
            _ => {
                return Err(format!(
                    "a rollback would take {partition} elsewhere than back from {}",
                    before.next
                ));
            }
        }
    }
    Ok(())
}
