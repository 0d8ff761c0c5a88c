//! What the store does with a checkpoint that arrives: it creates the slot if it is
//! empty, and knows nothing else.

use super::bug::Bug;
use super::checkpoint::{Checkpoint, GENESIS, Savepoint};
use super::events::Event;
use super::system::ProtocolModel;
use super::world::{Phase, World};

impl ProtocolModel {
    /// A PUT arrives at the store. Returns whether it was stored.
    pub(super) fn put_if_absent(&self, world: &mut World, body: Checkpoint) -> bool {
        if world.is_occupied(body.slot) {
            return self.refuse(world, body);
        }
        if body.slot < world.newest.slot {
            world.occupied |= 1 << body.slot;
            world.fetchable.push(body);
            self.note(world, if body.slot == GENESIS { Event::GenesisGhost } else { Event::Ghost });
            return true;
        }
        let previous = std::mem::replace(&mut world.newest, body);
        if previous.is_chain() {
            world.occupied |= 1 << previous.slot;
            world.fetchable.push(previous);
            self.grew(world, &previous, &body);
        } else {
            world.harm.refounded |= world.start.is_some();
            world.start.get_or_insert(body.next);
        }
        world.revoked = world.revoked.or(body.retracted);
        if world.rollbacks_left > 0 {
            let point = Savepoint { incarnation: body.incarnation, next: body.next };
            if let Err(at) = world.savepoints.binary_search(&point) {
                world.savepoints.insert(at, point);
            }
        }
        true
    }

    /// A PUT meets an object. Returns whether it was stored all the same, which takes a mistake.
    fn refuse(&self, world: &mut World, body: Checkpoint) -> bool {
        if body.slot == GENESIS && self.rules.has(Bug::GenesisOverwrites) {
            if world.newest.slot == GENESIS {
                world.newest = body;
            }
            return true;
        }
        if body.slot == world.newest.slot && body.commit.is_some() && body.commit == world.newest.commit {
            self.note(world, Event::OwnAlreadyExists);
        }
        if body.slot == GENESIS && world.start != Some(body.next) {
            self.note(world, Event::GenesisLost);
        }
        false
    }

    /// Notes what the step from `previous` to `body` did to the chain.
    fn grew(&self, world: &mut World, previous: &Checkpoint, body: &Checkpoint) {
        if let Some(file) = body.commit {
            world.committed.insert(file);
            world.harm.stale_commit |= world.attempt(file).incarnation != previous.incarnation;
            if world.resent.contains(file) {
                self.note(world, Event::Rebased);
            }
            if previous.next.iter().zip(body.next).any(|(before, now)| before.is_none() && now.is_some()) {
                self.note(world, Event::LaneAdded);
            }
        }
        if !body.retracted.is_subset_of(previous.retracted) || body.incarnation != previous.incarnation {
            self.note(world, Event::RolledBack);
        }
        if body.retracted.is_empty() && !previous.retracted.is_empty() {
            let foreign = previous.retracted.is_subset_of(world.foreign);
            self.note(world, if foreign { Event::ForeignErased } else { Event::Retracted });
        }
    }

    /// The success of a PUT reaches the worker if it still waits. All it learns is that
    /// the slot was empty, so it goes on as if it had just read its own body. (Any
    /// other answer only ends the waiting: `Action::Load`.)
    pub(super) fn answer_stored(&self, world: &mut World, body: Checkpoint) {
        if let Some(id) = world.workers.iter().position(|worker| worker.awaits(&body)) {
            if self.rules.has(Bug::TrustStoredReply) {
                self.loaded(world, id, body);
            } else if self.bounds.collect_checkpoints {
                world.workers[id].phase = Phase::Confirming(body);
            }
        }
    }
}
