//! Finding out the newest state, or that there is none, and what a worker concludes
//! from it about its own commit.

use super::bug::Bug;
use super::checkpoint::Checkpoint;
use super::events::Event;
use super::files::Begun;
use super::rules::Verdict;
use super::system::{ProtocolModel, WorkerId};
use super::world::{Hand, Phase, World};

impl ProtocolModel {
    /// Starts a load; where loads are not stepwise, also finishes it.
    pub(super) fn load(&self, world: &mut World, id: WorkerId) {
        if !world.newest.is_chain() {
            world.workers[id].phase = Phase::NoChain;
        } else if self.bounds.collect_checkpoints {
            world.workers[id].phase = Phase::Getting(world.newest.slot);
        } else {
            self.loaded(world, id, world.newest);
        }
    }

    pub(super) fn get(&self, world: &mut World, id: WorkerId) {
        let Phase::Getting(slot) = world.workers[id].phase else { unreachable!("not about to GET") };
        match world.get(slot) {
            Some(body) if self.rules.has(Bug::LoadWithoutConfirm) => self.loaded(world, id, body),
            Some(body) => world.workers[id].phase = Phase::Confirming(body),
            None => {
                world.workers[id].phase = Phase::Listing;
                self.note(world, Event::LoadNotFound);
            }
        }
    }

    pub(super) fn confirm(&self, world: &mut World, id: WorkerId) {
        let Phase::Confirming(body) = world.workers[id].phase else { unreachable!("nothing to confirm") };
        if world.newest.slot == body.slot {
            self.loaded(world, id, body);
        } else {
            // This LIST serves as the first one of the next try.
            world.workers[id].phase = Phase::Getting(world.newest.slot);
            self.note(world, Event::LoadOvertaken);
        }
    }

    /// After an empty LIST: lists the table. Files of the job may be those of a chain created since, so only
    /// a second LIST that is empty proves that a chain was lost.
    pub(super) fn look_for_traces(&self, world: &mut World, id: WorkerId) {
        let own_files = world.visible.minus(world.foreign);
        if !self.rules.must_refuse_to_found(own_files) {
            world.workers[id].phase = Phase::Founding;
        } else if world.newest.is_chain() && !self.rules.has(Bug::RefuseWithoutSecondLook) {
            self.note(world, Event::ChainAppeared);
            self.load(world, id);
        } else {
            world.workers[id].phase = Phase::Refused;
            world.harm.false_refusal |= world.newest.is_chain();
            self.note(world, Event::LostChainRefused);
        }
    }

    /// The worker accepts `state` as the newest: it decides about its commit, and looks
    /// at what it still has to do.
    pub(super) fn loaded(&self, world: &mut World, id: WorkerId, state: Checkpoint) {
        world.harm.misled |= state != world.newest;
        let worker = &mut world.workers[id];
        worker.phase = Phase::Ready(state);
        worker.done = worker.done.and(state.unpublished);
        worker.erased = worker.erased.and(state.retracted);
        if !self.rules.has(Bug::ReplayListsFirst) {
            worker.listed = None;
        }
        if let Hand::Suspect(file) = worker.hand {
            worker.hand = Hand::Free;
            if state.unpublished.contains(file) {
                world.harm.alarm = true;
            } else {
                self.note(world, Event::FalseSuspicion);
            }
        }
        self.judge(world, id, &state);
    }

    /// What becomes of the worker's own commit, given the newest state.
    fn judge(&self, world: &mut World, id: WorkerId, state: &Checkpoint) {
        let Some(file) = world.workers[id].attempt else { return };
        let attempt = *world.attempt(file);
        let verdict = self.rules.resolve(state, file, &attempt, world.workers[id].sent_to);
        match verdict {
            Verdict::Committed => {
                world.harm.wrong_verdict |= !world.committed.contains(file);
                self.note(world, Event::Committed);
            }
            Verdict::Retry => {
                // Absent from a slot at or below a state that it has not moved: absent for good.
                if world.workers[id].sent_to.is_some_and(|slot| slot <= state.slot) {
                    world.workers[id].sent_to = None;
                    if self.bounds.remember_events {
                        world.resent.insert(file);
                    }
                }
                return;
            }
            Verdict::Fenced => {
                world.harm.wrong_verdict |= world.committed.contains(file);
                // Sure of itself, the worker clears away what it has staged.
                world.delete_staged(file);
                self.note(world, Event::Fenced);
                let taken = |(begun, next): (&Begun, &Option<u8>)| *begun == Begun::New && next.is_some();
                if attempt.begun.iter().zip(&state.next).any(taken) {
                    self.note(world, Event::LaneTaken);
                }
            }
            Verdict::Unknown => self.note(world, Event::Unknown),
        }
        world.workers[id].attempt = None;
        world.workers[id].sent_to = None;
    }
}
