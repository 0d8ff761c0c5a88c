//! The protocol itself, as pure functions of what a writer can read: no clock, no
//! store, no memory. The model that is checked for every order of events has the
//! same functions, line by line; the chain calls them through [`Rules`].

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::checkpoint::{Checkpoint, Forgotten, PartitionState, Retracted};
use crate::model::commit::{Begin, Commit, CommitId, FileKind};
use crate::model::error::{Error, Kind};
use crate::model::position::{Span, TopicPartition};
use crate::model::replay;
use crate::model::restore::Restore;
use crate::sink::HISTORY;

pub(crate) mod pins;
mod rollback;

pub(crate) use rollback::is_restored;
pub use rollback::{check_target, goal, restored_on, taken_back};

/// The decisions that a chain goes by, as one value, so that a test can put a wrong one in its place and see
/// that somebody notices: a rule whose removal nobody notices is either superfluous or untested.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub is_newest: fn(u64, Option<u64>) -> bool,
    pub resolve: fn(&Checkpoint, &Begin, Option<u64>) -> Verdict,
    pub check_step: fn(&Checkpoint, &Checkpoint) -> Result<(), Error>,
    pub may_publish: fn(&Checkpoint) -> bool,
    pub is_lost: fn(Option<&Checkpoint>, &CommitId) -> bool,
    pub is_chain_lost: fn(Option<&Checkpoint>) -> bool,
    pub may_collect_staged: fn(&Checkpoint, &Begin) -> bool,
    pub check_target: fn(&Checkpoint, &Checkpoint) -> Result<(), Error>,
    pub taken_back: TakenBack,
    pub restored_on: RestoredOn,
}

/// The type of [`taken_back`].
pub type TakenBack = for<'a> fn(&Checkpoint, &Checkpoint, Vec<&'a Commit>) -> Result<Vec<&'a Commit>, Error>;

/// The type of [`restored_on`].
pub type RestoredOn = fn(
    &Checkpoint,
    &BTreeSet<CommitId>,
    &BTreeSet<Retracted>,
    &Restore,
    &BTreeSet<CommitId>,
    Timestamp,
) -> Checkpoint;

impl Rules {
    /// The protocol.
    pub const SOUND: Self = Self {
        is_newest,
        resolve,
        check_step,
        may_publish,
        is_lost,
        is_chain_lost,
        may_collect_staged,
        check_target,
        taken_back,
        restored_on,
    };
}

/// What a writer concludes about its commit from a state that it has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// In force.
    Committed,
    /// Not in force so far, and still possible: send it to the slot after the state.
    Retry,
    /// Not in force, and impossible from now on.
    Fenced,
    /// Overtaken, and too late to tell by whom.
    Unknown,
}

/// The commit rule: every partition of the attempt stands exactly where the attempt began, in its own
/// incarnation; one that no checkpoint knew is still unknown. It looks at all that the attempt began with,
/// not only at what it covers in the end, because its leftovers are judged by the same.
pub fn untouched(state: &Checkpoint, begin: &Begin) -> bool {
    state.incarnation == begin.incarnation
        && begin.from.iter().all(|(partition, from)| {
            let is_new = begin.new_partitions.contains(partition);
            state.partitions.get(partition).map_or(is_new, |at| !is_new && at.next == *from)
        })
}

/// The outcome of a commit, last sent to the slot `sent_to`, judged by an accepted state. The order of the
/// questions matters: a commit in force has moved its own partitions.
pub fn resolve(state: &Checkpoint, begin: &Begin, sent_to: Option<u64>) -> Verdict {
    let own = Some(&begin.id);
    if state.commit.as_ref() == own || state.history.iter().any(|id| id.as_ref() == own) {
        return Verdict::Committed;
    }
    if untouched(state, begin) {
        return Verdict::Retry;
    }
    match sent_to {
        // Never sent, or proved absent from every slot it was sent to.
        None => Verdict::Fenced,
        Some(slot) if slot <= state.n && state.n - slot <= state.history.len() as u64 => Verdict::Fenced,
        Some(_) => Verdict::Unknown,
    }
}

/// The body after `state` that changes nothing but drops what this writer has finished.
pub(crate) fn housekeeping_on(
    state: &Checkpoint,
    published: &BTreeSet<CommitId>,
    erased: &BTreeSet<Retracted>,
    now: Timestamp,
) -> Checkpoint {
    let mut body = state.clone();
    body.n = state.n + 1;
    body.created = now;
    body.history.insert(0, body.commit.take());
    body.history.truncate(HISTORY);
    body.unpublished.retain(|id| !published.contains(id));
    body.retracted.retain(|item| !erased.contains(item));
    body
}

/// The body after `state` that commits. All lists come from `state`, never from an older one.
pub(crate) fn commit_on(
    state: &Checkpoint,
    published: &BTreeSet<CommitId>,
    erased: &BTreeSet<Retracted>,
    commit: &Commit,
    now: Timestamp,
) -> Checkpoint {
    let mut body = housekeeping_on(state, published, erased, now);
    body.commit = Some(commit.id.clone());
    body.unpublished.push(commit.id.clone());
    for (partition, span) in &commit.delta.0 {
        let fresh = PartitionState { start: span.from, next: span.from, rows: 0 };
        let at = body.partitions.entry(partition.clone()).or_insert(fresh);
        at.next = span.to;
        at.rows = at.rows.saturating_add(commit.rows.get(partition).copied().unwrap_or(0));
    }
    body.rejects = body.rejects.saturating_add(commit.rejects);
    if commit.rejects > 0 && commit.rejects_topic.is_some() {
        body.unsent.push(commit.id.clone());
    }
    body.timestamps.extend(commit.timestamps.iter().map(|(partition, at)| (partition.clone(), *at)));
    // Below a gap nothing is left to be compared.
    for gap in &commit.gaps {
        body.epochs.remove(&gap.partition);
    }
    body.epochs.extend(commit.epochs.iter().map(|(partition, at)| (partition.clone(), *at)));
    body.gaps.extend(commit.gaps.iter().cloned());
    body.control = body.control.max(commit.control);
    body
}

/// Whether an attempt that is not committed in `state` can never be committed in any later state either.
/// Attempts of an incarnation that `state` has not heard of are not judged.
pub fn can_never_commit(state: &Checkpoint, begin: &Begin) -> bool {
    let passed = || {
        begin.from.iter().any(|(partition, from)| {
            let is_new = begin.new_partitions.contains(partition);
            state.partitions.get(partition).is_some_and(|at| is_new || *from < at.next)
        })
    };
    begin.incarnation < state.incarnation || (begin.incarnation == state.incarnation && passed())
}

/// Whether anybody who has accepted `state` may remove what an attempt staged.
pub fn may_collect_staged(state: &Checkpoint, begin: &Begin) -> bool {
    !state.unpublished.contains(&begin.id)
        && !state.retracted.contains(&Retracted::Commit(begin.id.clone()))
        && can_never_commit(state, begin)
}

/// Whether a writer that has accepted `state` may publish from it.
pub fn may_publish(state: &Checkpoint) -> bool {
    state.retracted.is_empty()
}

/// Whether a checkpoint whose creation was answered with success is in force: only if it is the highest in a
/// listing since. Its slot may have been filled before, collected, and filled again by the late request.
pub fn is_newest(n: u64, highest: Option<u64>) -> bool {
    highest == Some(n)
}

/// Whether what was found neither staged nor in its place is lost, by the newest state: what it does not list
/// as unpublished was published by somebody else, dropped, and used.
pub fn is_lost(newest: Option<&Checkpoint>, id: &CommitId) -> bool {
    newest.is_some_and(|newest| newest.unpublished.contains(id))
}

/// Whether the chain of a job is lost that has files and no chain, by a second
/// look: one that has begun since the first has files by now.
pub fn is_chain_lost(second_look: Option<&Checkpoint>) -> bool {
    second_look.is_none()
}

/// Whether a rollback since has taken back a commit that was in force: it reaches beyond a place at which its
/// incarnation, or a later one, was cut.
pub(crate) fn is_cut_off(state: &Checkpoint, commit: &Commit) -> bool {
    let since = usize::try_from(commit.incarnation).unwrap_or(usize::MAX).saturating_sub(1);
    let mut cuts = state.cuts.iter().skip(since);
    cuts.any(|cut| {
        commit.delta.0.iter().any(|(partition, span)| cut.next(partition).is_none_or(|at| span.to > at))
    })
}

/// Whether a commit whose body is stored is in force in `state`: neither newer, nor taken back.
pub(crate) fn is_in_force(state: &Checkpoint, commit: &Commit) -> bool {
    let reached = |(partition, span): (_, &Span)| {
        state.partitions.get(partition).is_some_and(|at| at.start <= span.from && span.to <= at.next)
    };
    state.unpublished.contains(&commit.id)
        || (commit.incarnation <= state.incarnation
            && commit.delta.0.iter().all(reached)
            && !is_cut_off(state, commit)
            && !state.retracted.contains(&Retracted::Commit(commit.id.clone())))
}

/// Whether a stored commit, which is in force by that, is newer than `state`.
pub(crate) fn is_beyond(state: &Checkpoint, commit: &Commit) -> bool {
    let passed = |(partition, span): (_, &Span)| {
        state.partitions.get(partition).is_none_or(|known| known.next < span.to)
    };
    commit.incarnation > state.incarnation
        || (commit.incarnation == state.incarnation && commit.delta.0.iter().any(passed))
}

/// Refuses a body that contradicts the state before it, whatever made it.
///
/// Errors: `Corrupt`.
pub fn check_step(state: &Checkpoint, body: &Checkpoint) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::new(Kind::Corrupt, format!("checkpoint {}: {what}", body.n)));
    if body.n != state.n + 1 || body.job != state.job || body.incarnation < state.incarnation {
        return refuse(format!("does not follow checkpoint {}", state.n));
    }
    if body.incarnation == state.incarnation {
        for (partition, before) in &state.partitions {
            match body.partitions.get(partition) {
                Some(after) if after.next >= before.next && after.start == before.start => {}
                _ => return refuse(format!("{partition} would go back from {}", before.next)),
            }
        }
    } else if let Err(what) = rollback::check_cut(state, body) {
        return refuse(what);
    }
    let grown = |(partition, before): (_, &Forgotten)| {
        let after = body.base.as_ref().and_then(|base| base.partitions.get(partition));
        after.is_some_and(|after| after.next >= before.next && after.rows >= before.rows)
    };
    if !state.base.iter().flat_map(|base| &base.partitions).all(grown) {
        return refuse("would remember what is forgotten".to_owned());
    }
    check_state(body)
}

/// Refuses a state that contradicts itself.
///
/// Errors: `Corrupt`.
pub(crate) fn check_state(state: &Checkpoint) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::new(Kind::Corrupt, format!("checkpoint {}: {what}", state.n)));
    for (partition, at) in &state.partitions {
        let offsets = u64::try_from(at.next.saturating_sub(at.start)).unwrap_or(0);
        if at.start < 0 || at.next < at.start || at.rows > offsets {
            return refuse(format!("{} rows of {partition} in [{}, {})", at.rows, at.start, at.next));
        }
    }
    if let Some(lane) = state.partitions.get(&TopicPartition::rejects())
        && (lane.start != 0 || lane.next.unsigned_abs() > state.rejects)
    {
        return refuse(format!("{} rejects are replayed of {}", lane.next, state.rejects));
    }
    for (partition, forgotten) in state.base.iter().flat_map(|base| &base.partitions) {
        let within = |at: &PartitionState| {
            at.start <= forgotten.next && forgotten.next <= at.next && forgotten.rows <= at.rows
        };
        if !state.partitions.get(partition).is_some_and(within) {
            let Forgotten { next, rows } = forgotten;
            return refuse(format!("{rows} rows of {partition} up to {next} are forgotten, but not in it"));
        }
    }
    let unpublished: BTreeSet<_> = state.unpublished.iter().collect();
    if unpublished.len() != state.unpublished.len() {
        return refuse("lists a commit twice as unpublished".to_owned());
    }
    if u64::from(state.incarnation) != state.cuts.len() as u64 + 1 {
        return refuse(format!("incarnation {} with {} cuts", state.incarnation, state.cuts.len()));
    }
    Ok(())
}

/// Refuses a commit that does not add up.
///
/// Errors: `Corrupt`.
pub(crate) fn check_commit(commit: &Commit) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::new(Kind::Corrupt, format!("commit {}: {what}", commit.id)));
    if commit.delta.is_empty() {
        return refuse("covers nothing".to_owned());
    }
    for (partition, span) in &commit.delta.0 {
        if commit.from.get(partition) != Some(&span.from) || span.from < 0 || span.to <= span.from {
            return refuse(format!("{partition} {span} does not start where the attempt began"));
        }
        let rows = commit.rows.get(partition).copied().unwrap_or(0);
        if rows > u64::try_from(span.to - span.from).unwrap_or(0) {
            return refuse(format!("{rows} rows of {partition} {span}"));
        }
    }
    let counted = commit.rows.keys().all(|partition| commit.delta.0.contains_key(partition));
    if !counted || !commit.new_partitions.iter().all(|partition| commit.from.contains_key(partition)) {
        return refuse("names a partition that it does not cover".to_owned());
    }
    let mut rows = BTreeMap::new();
    let mut rejects = 0;
    for file in &commit.files {
        if file.rows != file.partitions.values().sum::<u64>() {
            return refuse(format!("{} has {} rows, its partitions others", file.path, file.rows));
        }
        match file.kind {
            FileKind::Rejects => rejects += file.rows,
            FileKind::Data => {
                for (partition, count) in &file.partitions {
                    *rows.entry(partition.clone()).or_insert(0) += count;
                }
            }
        }
    }
    rows.retain(|_, count| *count > 0);
    let declared = commit.rows.iter().filter(|(_, count)| **count > 0);
    if !declared.eq(rows.iter()) {
        return refuse("its files do not hold the rows that it counts".to_owned());
    }
    if rejects > commit.rejects {
        return refuse(format!("{rejects} rejected rows in files, {} counted", commit.rejects));
    }
    replay::flaw(commit).map_or(Ok(()), refuse)
}

pub(crate) mod fold;

#[cfg(test)]
mod tests;
