//! The protocol itself, as pure functions of what a worker can read: the
//! implementation can be compared with this file line by line.

use super::bug::Bug;
use super::checkpoint::{Checkpoint, Savepoint, Slot, offsets};
use super::files::{Attempt, Begun, FileId, FileSet, LANES, Position, REJECTS, Range};
use super::world::Worker;

/// How a staged object becomes a final one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishBy {
    /// A server-side copy that takes effect at once, then a delete.
    Copy,
    /// A server-side copy that reads its source when it starts and writes its target at some later time.
    SlowCopy,
    /// An atomic rename on a local file system.
    Rename,
}

/// How a commit's manifest becomes final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manifests {
    /// As part of its data file: one object.
    WithData,
    /// On its own, after the data, the way the data is published.
    Moved,
    /// On its own, after the data, by a PUT of what the publisher has read: as late as that PUT may come.
    Put,
}

/// When somebody outside may move a final away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeWhen {
    Never,
    /// Once the newest checkpoint lists the file neither as unpublished nor as retracted, and no copy that
    /// began before its staged source was deleted can still be running.
    Dropped,
    /// As soon as it can be seen.
    Visible,
}

/// Parameters of the protocol, and the mistake, if any.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub publish: PublishBy,
    pub manifests: Manifests,
    pub consume: ConsumeWhen,
    /// Whether a file found neither staged nor final is reported as lost (after a reload).
    pub alarm_when_missing: bool,
    /// `mode: overwrite`: the genesis retracts what it finds in the table.
    pub overwrite: bool,
    /// How many slots below the newest the commit history covers.
    pub history: u8,
    /// How many checkpoints survive; lower slots may be deleted.
    pub keep: u8,
    pub bug: Option<Bug>,
}

/// What a worker concludes about a commit from a state that it has loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Effective.
    Committed,
    /// Not effective so far, and still possible: send it to the slot after the loaded state.
    Retry,
    /// Not effective, and impossible from now on.
    Fenced,
    /// Overtaken, and too late to tell by whom: go on from the loaded state as after a restart.
    Unknown,
}

impl Rules {
    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether manifests are objects of their own.
    pub fn separate_manifests(&self) -> bool {
        self.manifests != Manifests::WithData
    }

    // ---- start of a chain ----

    /// Whether a worker that has found no chain must stop: the table holds files of
    /// this job, so there was one.
    pub fn must_refuse_to_found(&self, own_files: FileSet) -> bool {
        !own_files.is_empty() && !self.has(Bug::FreshStartAfterLoss)
    }

    /// The genesis of a worker that has resolved `start` and found `listed` in the table.
    pub fn genesis(&self, start: Position, listed: FileSet) -> Checkpoint {
        Checkpoint::genesis(start, if self.overwrite { listed } else { FileSet::EMPTY })
    }

    // ---- commit ----

    /// The commit rule: every lane that the attempt began with, with or without records
    /// since, must stand exactly where the attempt started, and one that was unknown
    /// must be so still; in the attempt's own incarnation.
    pub fn lanes_untouched(&self, state: &Checkpoint, attempt: &Attempt) -> bool {
        let untouched = |lane: usize| {
            let (begun, range) = (attempt.begun[lane], attempt.ranges[lane]);
            if begun == Begun::No || (range.is_empty() && self.has(Bug::CheckOnlyLanesWithData)) {
                return true;
            }
            match state.next[lane] {
                Some(_) if begun == Begun::New => self.has(Bug::NewLaneUnchecked),
                Some(next) => next == range.from,
                None => begun == Begun::New,
            }
        };
        let unguarded = !attempt.sources.is_empty() && self.has(Bug::ReplayUnguarded);
        state.incarnation == attempt.incarnation && (unguarded || (0..LANES).all(untouched))
    }

    /// The outcome of `file`'s commit, last sent to `sent_to`, judged by a genuine `state`.
    pub fn resolve(
        &self,
        state: &Checkpoint,
        file: FileId,
        attempt: &Attempt,
        sent_to: Option<Slot>,
    ) -> Verdict {
        if self.has(Bug::FencedByIncarnation) && state.incarnation != attempt.incarnation {
            return Verdict::Fenced;
        }
        let history = &state.history[..usize::from(self.history)];
        if state.commit == Some(file) || history.contains(&Some(file)) {
            return Verdict::Committed;
        }
        if self.lanes_untouched(state, attempt) || self.has(Bug::BlindRebase) {
            return Verdict::Retry;
        }
        match sent_to {
            // Never sent, or proved absent from every slot it was sent to.
            None => Verdict::Fenced,
            Some(slot) => {
                let covered = slot <= state.slot && state.slot - slot <= self.history;
                if covered || self.has(Bug::ShortHistoryMeansFenced) {
                    Verdict::Fenced
                } else {
                    Verdict::Unknown
                }
            }
        }
    }

    /// The body after `state` that changes nothing but drops what this worker has finished.
    pub fn housekeeping_on(&self, state: &Checkpoint, worker: &Worker) -> Checkpoint {
        let mut body = *state;
        body.slot += 1;
        body.history.rotate_right(1);
        body.history[0] = state.commit;
        body.history[usize::from(self.history)..].fill(None);
        body.commit = None;
        body.unpublished = state.unpublished.minus(worker.done);
        body.retracted = state.retracted.minus(worker.erased);
        body
    }

    /// The body after `state` that commits `file`. All lists are taken from `state`, never from an older one.
    pub fn commit_on(
        &self,
        state: &Checkpoint,
        worker: &Worker,
        file: FileId,
        attempt: &Attempt,
    ) -> Checkpoint {
        let mut body = self.housekeeping_on(state, worker);
        body.commit = Some(file);
        body.unpublished.insert(file);
        for (next, range) in body.next.iter_mut().zip(attempt.ranges) {
            if !range.is_empty() {
                *next = Some(next.map_or(range.to, |next| next.max(range.to)));
            }
        }
        body
    }

    // ---- replay ----

    /// Whether a commit that is stored is in force in `state`: neither newer, nor taken back.
    pub fn is_in_force(&self, state: &Checkpoint, attempt: &Attempt) -> bool {
        let passed = |lane: usize| {
            attempt.ranges[lane].is_empty() || Some(attempt.ranges[lane].to) <= state.next[lane]
        };
        attempt.incarnation <= state.incarnation && !state.cuts_off(attempt) && (0..LANES).all(passed)
    }

    /// The commits whose rejects may be replayed by one who has accepted `state` and has found `stored`
    /// since: in force, known to be visible, and no other replay in force has taken them.
    pub fn replayable(&self, state: &Checkpoint, stored: FileSet, attempts: &[Attempt]) -> FileSet {
        let of = |file: FileId| &attempts[usize::from(file)];
        let counts = |file: &FileId| self.is_in_force(state, of(*file)) || self.has(Bug::ReplayRetracted);
        let in_force: Vec<FileId> = stored.or(state.unpublished).iter().filter(counts).collect();
        let replayed = in_force.iter().fold(FileSet::EMPTY, |all, &file| all.or(of(file).sources));
        let mut found = FileSet::EMPTY;
        let rejecting = in_force.iter().filter(|&&file| of(file).rejects > 0);
        rejecting.for_each(|&file| found.insert(file));
        found.minus(replayed).minus(state.unpublished)
    }

    /// The attempt that replays `sources`, of whose rejects `failing` fail once more.
    pub fn replay(&self, state: &Checkpoint, sources: FileSet, failing: u8, attempts: &[Attempt]) -> Attempt {
        let rejects: u8 = sources.iter().map(|file| attempts[usize::from(file)].rejects).sum();
        let from = state.next[REJECTS].unwrap_or(0);
        let mut replay =
            Attempt { incarnation: state.incarnation, rejects: failing, sources, ..Attempt::default() };
        replay.begun[REJECTS] = if state.next[REJECTS].is_some() { Begun::At } else { Begun::New };
        replay.ranges[REJECTS] = Range { from, to: from + rejects };
        replay
    }

    // ---- rollback ----

    /// Whether an operator may restore `point` on top of `state`: it must lie on the
    /// lineage that is in force.
    pub fn may_restore(&self, state: &Checkpoint, point: &Savepoint) -> bool {
        if point.incarnation > state.incarnation {
            return false; // `state` is stale.
        }
        let restored = offsets(&point.next);
        let at_or_below = |limit: &[u8; LANES]| (0..LANES).all(|lane| restored[lane] <= limit[lane]);
        let cut_since = &state.cuts[usize::from(point.incarnation) - 1..usize::from(state.incarnation) - 1];
        at_or_below(&offsets(&state.next))
            && point.next != state.next
            && (self.has(Bug::RestoreCutBranch) || cut_since.iter().all(at_or_below))
    }

    /// Whether `attempt` holds records at or after `point`; of a lane that the point does not know, all are.
    pub fn is_after(&self, attempt: &Attempt, point: &Savepoint) -> bool {
        (0..LANES).any(|lane| {
            let range = attempt.ranges[lane];
            match point.next[lane] {
                Some(next) => !range.is_empty() && range.to > next,
                None => !range.is_empty() && !self.has(Bug::RollbackForgetsNewLanes),
            }
        })
    }

    /// The body after `state` that takes the lanes back to `point` and every file after it out of the sink.
    /// `visible` must have been listed after `state` was loaded.
    pub fn rollback_on(
        &self,
        state: &Checkpoint,
        worker: &Worker,
        point: &Savepoint,
        visible: FileSet,
        attempts: &[Attempt],
    ) -> Checkpoint {
        let mut body = self.housekeeping_on(state, worker);
        let only_visible = self.has(Bug::RetractVisibleOnly);
        let candidates = if only_visible { visible } else { visible.or(state.unpublished) };
        for file in candidates.iter() {
            if self.is_after(&attempts[usize::from(file)], point) {
                body.unpublished.remove(file);
                body.retracted.insert(file);
            }
        }
        // The code keeps a lane that the point does not know, at its start; nobody can tell the two apart but
        // a reader of a log that has lost its beginning since.
        body.next = point.next;
        if !self.has(Bug::RollbackKeepsIncarnation) {
            body.cuts[usize::from(state.incarnation) - 1] = offsets(&point.next);
            body.incarnation += 1;
        }
        body
    }

    // ---- collection ----

    /// Whether `attempt`, not committed in `state`, can never be committed in any later state either.
    /// Attempts of an incarnation that `state` has not heard of are not judged.
    pub fn can_never_commit(&self, state: &Checkpoint, attempt: &Attempt) -> bool {
        let passed = (0..LANES).any(|lane| {
            state.next[lane].is_some_and(|next| match attempt.begun[lane] {
                Begun::No => false,
                Begun::At => attempt.ranges[lane].from < next,
                Begun::New => true,
            })
        });
        if self.has(Bug::CollectAcrossIncarnations) {
            return attempt.incarnation != state.incarnation || passed;
        }
        attempt.incarnation < state.incarnation || (attempt.incarnation == state.incarnation && passed)
    }

    /// Whether anybody who has loaded `state` may delete what is staged of `file`. What is retracted is left
    /// to those who erase it: its staged manifest may be all that tells which finals belong to it.
    pub fn may_collect_staged(&self, state: &Checkpoint, file: FileId, attempt: &Attempt) -> bool {
        let unpublished = state.unpublished.contains(file) && !self.has(Bug::CollectUnpublished);
        let retracted = state.retracted.contains(file) && !self.has(Bug::CollectRetracted);
        let dead = self.can_never_commit(state, attempt) || self.has(Bug::CollectStagedByAge);
        dead && !unpublished && !retracted
    }

    // ---- publishing and use ----

    /// Whether a worker that has loaded `state` may publish from it.
    pub fn may_publish(&self, state: &Checkpoint) -> bool {
        state.retracted.is_empty() || self.has(Bug::PublishDuringRetraction)
    }

    /// Whether somebody outside may move the final of `file` away, `newest` having been loaded after the
    /// final was seen. `copy_running` is what waiting for the longest possible copy stands for.
    pub fn may_consume(&self, newest: &Checkpoint, file: FileId, copy_running: bool) -> bool {
        match self.consume {
            ConsumeWhen::Never => false,
            ConsumeWhen::Visible => true,
            ConsumeWhen::Dropped => {
                newest.is_chain()
                    && !newest.unpublished.contains(file)
                    && !newest.retracted.contains(file)
                    && (!copy_running || self.has(Bug::NoCopyGrace))
            }
        }
    }
}
