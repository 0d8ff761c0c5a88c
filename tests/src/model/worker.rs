//! A worker's steps: which it may take in which phase, and what each does.

use super::bug::Bug;
use super::checkpoint::Checkpoint;
use super::events::Event;
use super::files::{Attempt, Begun, FileId, FileSet, LANES, Offset, Progress, REJECTS, Range};
use super::system::{Action, Origin, ProtocolModel, WorkerId};
use super::world::{Hand, Phase, World};

impl ProtocolModel {
    pub(super) fn worker_actions(&self, world: &World, id: WorkerId, actions: &mut Vec<Action>) {
        let worker = &world.workers[id];
        if worker.phase != Phase::Down && world.crashes_left > 0 {
            actions.push(Action::Crash(id));
        }
        match &worker.phase {
            Phase::Refused => {}
            Phase::Down | Phase::Listing | Phase::Waiting | Phase::Creating(_) => {
                actions.push(Action::Load(id))
            }
            Phase::NoChain => actions.push(Action::LookForTraces(id)),
            Phase::Founding => {
                if let Origin::Racing(starts) = &self.bounds.origin {
                    actions.extend(starts.iter().map(|start| Action::PutGenesis(id, *start)));
                }
            }
            Phase::Getting(_) => actions.push(Action::Get(id)),
            Phase::Confirming(_) => actions.push(Action::Confirm(id)),
            Phase::Ready(state) => match worker.hand {
                Hand::Free => self.free_actions(world, id, state, actions),
                hand => self.hand_actions(world, id, hand, actions),
            },
        }
    }

    /// What a worker in the middle of something may do.
    fn hand_actions(&self, world: &World, id: WorkerId, hand: Hand, actions: &mut Vec<Action>) {
        match hand {
            Hand::Free => {}
            Hand::Copying(file) => actions.push(Action::CopyLands(id, file)),
            Hand::Copied(file) => {
                if self.rules.has(Bug::DropBeforeDelete) && world.workers[id].done.contains(file) {
                    actions.push(Action::PutHousekeeping(id));
                }
                actions.push(Action::DeleteStaged(id, file));
            }
            Hand::DataMoved(file) => actions.push(Action::MoveManifest(id, file)),
            Hand::CopyingManifest(file) => actions.push(Action::ManifestLands(id, file)),
            Hand::ManifestCopied(file) => actions.push(Action::DeleteStagedManifest(id, file)),
            Hand::Erasing(file, deleted) => {
                if self.may_erase(world, file, deleted) {
                    actions.push(Action::Erase(id, file));
                }
            }
            Hand::Suspect(_) => actions.push(Action::Load(id)),
        }
    }

    /// What a worker that has accepted `state`, and is in the middle of nothing, may do.
    fn free_actions(&self, world: &World, id: WorkerId, state: &Checkpoint, actions: &mut Vec<Action>) {
        let worker = &world.workers[id];
        if state.slot != world.newest.slot {
            actions.push(Action::Load(id));
        }
        for file in world.staged.or(world.staged_manifests).iter() {
            if self.rules.may_collect_staged(state, file, world.attempt(file)) && worker.attempt != Some(file)
            {
                actions.push(Action::CollectStaged(id, file));
            }
        }
        if let Some(file) = worker.attempt {
            return self.attempt_actions(world, id, state, file, actions);
        }
        let foreign = usize::from(self.bounds.foreign);
        if world.attempts.len() < self.bounds.attempts + foreign {
            actions.extend(self.beginnings(id, state).into_iter().map(|attempt| Action::Begin(id, attempt)));
            self.replay_actions(world, id, state, actions);
        }
        if self.rules.may_publish(state) {
            let files = state.unpublished.minus(worker.done);
            actions.extend(files.iter().map(|file| Action::Publish(id, file)));
        }
        let retracted = state.retracted.minus(worker.erased);
        let erasable = retracted.iter().filter(|&file| self.may_erase(world, file, 0));
        actions.extend(erasable.map(|file| Action::Erase(id, file)));
        if !worker.done.is_empty() || !worker.erased.is_empty() {
            actions.push(Action::PutHousekeeping(id));
        }
        if world.rollbacks_left > 0 {
            // The operator's tool refuses when a file that it would have to retract has been moved away.
            let gone = world.consumed.minus(world.revoked);
            for point in &world.savepoints {
                let spoilt = gone.iter().any(|file| self.rules.is_after(world.attempt(file), point));
                if !spoilt && self.rules.may_restore(state, point) {
                    actions.push(Action::PutRollback(id, *point));
                }
            }
        }
    }

    /// First the list, then an attempt by it; a load in between makes the list worthless.
    fn replay_actions(&self, world: &World, id: WorkerId, state: &Checkpoint, actions: &mut Vec<Action>) {
        if !self.bounds.replays {
            return;
        }
        let stored = world.stored(self.rules.separate_manifests());
        let replayable = |stored| self.rules.replayable(state, stored, &world.attempts);
        match world.workers[id].listed {
            None if !replayable(stored).is_empty() => actions.push(Action::ListCommits(id)),
            None => {}
            Some(listed) => {
                for sources in subsets(replayable(listed)) {
                    let rejects: u8 = sources.iter().map(|file| world.attempt(file).rejects).sum();
                    let replay = |failing| self.rules.replay(state, sources, failing, &world.attempts);
                    actions.extend((0..rejects).map(|failing| Action::Begin(id, replay(failing))));
                }
            }
        }
    }

    fn attempt_actions(
        &self,
        world: &World,
        id: WorkerId,
        state: &Checkpoint,
        file: FileId,
        actions: &mut Vec<Action>,
    ) {
        let attempt = world.attempt(file);
        match attempt.progress {
            Progress::Begun => {
                let filled = self.filled(id, state, attempt).into_iter();
                actions.extend(filled.map(|filled| Action::StageData(id, file, filled)));
            }
            Progress::Staged => {
                actions.push(Action::StageManifest(id, file));
                if self.rules.has(Bug::CommitBeforeManifest) {
                    actions.push(Action::PutCommit(id, file));
                }
            }
            Progress::Sealed => {
                actions.push(Action::PutCommit(id, file));
                if self.rules.has(Bug::PublishBeforeCommit) && world.workers[id].sent_to.is_none() {
                    actions.push(Action::Publish(id, file));
                }
            }
        }
    }

    // ---- attempts ----

    /// Where a worker that has accepted `state` may begin with `lane`.
    fn froms(&self, state: &Checkpoint, lane: usize) -> Vec<(Begun, Offset)> {
        match state.next[lane] {
            Some(next) => vec![(Begun::At, next)],
            None => self.bounds.beginnings.iter().map(|&from| (Begun::New, from)).collect(),
        }
    }

    /// Every non-empty batch of records from `from`.
    fn batches(&self, from: Offset) -> impl Iterator<Item = Range> {
        let longest = self.bounds.batch.min(self.bounds.records.saturating_sub(from));
        (1..=longest).map(move |length| Range { from, to: from + length })
    }

    /// The attempts that a worker may begin: any of its lanes; where attempts are not
    /// stepwise, with any records.
    fn beginnings(&self, id: WorkerId, state: &Checkpoint) -> Vec<Attempt> {
        let stepwise = self.bounds.stepwise_attempts;
        let progress = if stepwise { Progress::Begun } else { Progress::Sealed };
        let base = Attempt { incarnation: state.incarnation, progress, ..Attempt::default() };
        let mut begun = combine(base, |lane| {
            let mut choices = Vec::new();
            let is_read = !self.bounds.replays || lane != REJECTS;
            if is_read && self.bounds.lanes_of[id].contains(&lane) {
                for (begun, from) in self.froms(state, lane) {
                    if stepwise && from < self.bounds.records {
                        choices.push((begun, Range { from, to: from }));
                    } else if !stepwise {
                        choices.extend(self.batches(from).map(|range| (begun, range)));
                    }
                }
            }
            choices
        });
        begun.retain(|attempt| attempt.begun != base.begun);
        if self.bounds.replays {
            begun
                .iter_mut()
                .for_each(|attempt| attempt.rejects = attempt.ranges[0].to - attempt.ranges[0].from);
        }
        begun
    }

    /// The data files that a begun attempt may come to: records of any lanes that it
    /// began with, not of all perhaps.
    fn filled(&self, id: WorkerId, state: &Checkpoint, attempt: &Attempt) -> Vec<Attempt> {
        let progress = if self.rules.separate_manifests() { Progress::Staged } else { Progress::Sealed };
        let mut filled = combine(Attempt { progress, ..*attempt }, |lane| match attempt.begun[lane] {
            Begun::No
                if self.rules.has(Bug::JoinBegunAttempt) && self.bounds.lanes_of[id].contains(&lane) =>
            {
                let joined = self.froms(state, lane).into_iter();
                joined.flat_map(|(_, from)| self.batches(from)).map(|range| (Begun::No, range)).collect()
            }
            Begun::No => Vec::new(),
            begun => self.batches(attempt.ranges[lane].from).map(|range| (begun, range)).collect(),
        });
        filled.retain(|attempt| attempt.ranges.iter().any(|range| !range.is_empty()));
        filled
    }

    // ---- what the steps do ----

    pub(super) fn apply_worker(&self, world: &mut World, step: Action) {
        match step {
            Action::Load(id) => self.load(world, id),
            Action::Get(id) => self.get(world, id),
            Action::Confirm(id) => self.confirm(world, id),
            Action::LookForTraces(id) => self.look_for_traces(world, id),
            Action::Publish(id, file) => self.publish(world, id, file),
            Action::CopyLands(id, file) => {
                world.workers[id].hand = Hand::Copied(file);
                world.make_visible(file);
            }
            Action::DeleteStaged(id, file) => {
                world.staged.remove(file);
                self.data_moved(world, id, file);
            }
            Action::MoveManifest(id, file) => self.move_manifest(world, id, file),
            Action::ManifestLands(id, file) => {
                world.workers[id].hand = Hand::ManifestCopied(file);
                world.manifests.insert(file);
            }
            Action::DeleteStagedManifest(id, file) => {
                world.staged_manifests.remove(file);
                self.finished(world, id, file);
            }
            Action::Erase(id, file) => self.erase(world, id, file),
            Action::CollectStaged(_, file) => {
                if world.attempt(file).progress == Progress::Staged {
                    self.note(world, Event::BegunCollected);
                }
                world.delete_staged(file);
                self.note(world, Event::StagedCollected);
            }
            Action::Crash(id) => {
                self.stop(world, id);
                world.crashes_left -= 1;
            }
            step => self.apply_writing(world, step),
        }
    }

    /// The steps that stage an attempt or send a checkpoint.
    fn apply_writing(&self, world: &mut World, step: Action) {
        match step {
            Action::PutGenesis(id, start) => {
                let body = self.rules.genesis(start, world.visible);
                self.send(world, id, body);
                let keeps_own = self.rules.has(Bug::LoserKeepsOwnStart);
                world.workers[id].phase = if keeps_own { Phase::Ready(body) } else { Phase::Creating(body) };
            }
            Action::Begin(id, attempt) => {
                let file =
                    FileId::try_from(world.attempts.len()).expect("a run begins fewer than 8 attempts");
                world.attempts.push(attempt);
                if attempt.progress == Progress::Sealed {
                    world.staged.insert(file);
                    self.stage_manifest(world, file);
                }
                world.workers[id].attempt = Some(file);
                world.workers[id].listed = None;
            }
            Action::ListCommits(id) => {
                world.workers[id].listed = Some(world.stored(self.rules.separate_manifests()));
            }
            Action::StageData(_, file, attempt) => {
                world.attempts[usize::from(file)] = attempt;
                world.staged.insert(file);
            }
            Action::StageManifest(_, file) => {
                world.attempts[usize::from(file)].progress = Progress::Sealed;
                self.stage_manifest(world, file);
            }
            Action::PutCommit(id, file) => {
                let (state, attempt) = (ready(world, id), *world.attempt(file));
                let body = self.rules.commit_on(&state, &world.workers[id], file, &attempt);
                world.workers[id].sent_to = Some(body.slot);
                self.send(world, id, body);
            }
            Action::PutHousekeeping(id) => {
                let body = self.rules.housekeeping_on(&ready(world, id), &world.workers[id]);
                self.send(world, id, body);
            }
            Action::PutRollback(id, point) => {
                let (state, worker) = (ready(world, id), &world.workers[id]);
                let body = self.rules.rollback_on(&state, worker, &point, world.visible, &world.attempts);
                world.rollbacks_left -= 1;
                self.send(world, id, body);
            }
            other => unreachable!("{other:?} is no worker's step"),
        }
    }

    fn stage_manifest(&self, world: &mut World, file: FileId) {
        if self.rules.separate_manifests() {
            world.staged_manifests.insert(file);
        }
    }

    /// Sends a PUT and waits.
    fn send(&self, world: &mut World, id: WorkerId, body: Checkpoint) {
        world.workers[id].phase = Phase::Waiting;
        if !world.requests.contains(&body) {
            world.requests.push(body);
        }
    }
}

/// Every attempt that differs from `base` in no lane or in some, each taking one of its `choices`.
fn combine(base: Attempt, choices: impl Fn(usize) -> Vec<(Begun, Range)>) -> Vec<Attempt> {
    let mut attempts = vec![base];
    for lane in 0..LANES {
        for at in 0..attempts.len() {
            for (begun, range) in choices(lane) {
                let mut attempt = attempts[at];
                (attempt.begun[lane], attempt.ranges[lane]) = (begun, range);
                attempts.push(attempt);
            }
        }
    }
    attempts
}

/// All but the empty one.
fn subsets(files: FileSet) -> Vec<FileSet> {
    let mut subsets = vec![FileSet::EMPTY];
    for file in files.iter() {
        for at in 0..subsets.len() {
            let mut with = subsets[at];
            with.insert(file);
            subsets.push(with);
        }
    }
    subsets.split_off(1)
}

fn ready(world: &World, id: WorkerId) -> Checkpoint {
    match world.workers[id].phase {
        Phase::Ready(state) => state,
        phase => unreachable!("worker {id} is in {phase:?}"),
    }
}
