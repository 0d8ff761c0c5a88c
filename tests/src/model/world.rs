//! What exists in the modelled world: the object store, requests on the network, the workers' memory, and a
//! few oracle fields that no worker can read and that only the properties look at.

use super::checkpoint::{Checkpoint, Savepoint, Slot};
use super::events::Event;
use super::files::{Attempt, FileId, FileSet, Position};

/// Connector processes the model has room for; a configuration uses two or three.
pub const WORKERS: usize = 3;

/// Where a worker is. A worker may rest in any phase for as long as it likes: that is what makes it a zombie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    Down,
    /// Load, before the LIST (again, after a 404).
    Listing,
    /// Load, after a LIST that was empty: about to look for traces of an earlier life.
    NoChain,
    /// Found neither a chain nor traces of one: about to create the genesis.
    Founding,
    /// Has sent this genesis and waits for the answer.
    Creating(Checkpoint),
    /// Found no chain where there should be one: stopped, for a person to look.
    Refused,
    /// Load, after the LIST: about to GET this slot.
    Getting(Slot),
    /// Knows that this body was in its slot, from a GET or from the success of its own PUT: about to LIST
    /// (again) to learn whether it is the newest.
    Confirming(Checkpoint),
    /// Has loaded this state, which may have become stale since.
    Ready(Checkpoint),
    /// Has sent a PUT and waits for the answer.
    Waiting,
}

/// Multi-step work on one commit that a worker may be in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hand {
    Free,
    /// The store is executing the worker's server-side copy of the data (only where copies are slow).
    Copying(FileId),
    /// The data is final; its staged copy still has to be deleted.
    Copied(FileId),
    /// The data is final and staged no more: the manifest is next (only where it moves on its own).
    DataMoved(FileId),
    /// The worker's copy or PUT of the manifest is on its way.
    CopyingManifest(FileId),
    /// The manifest is final; its staged copy still has to be deleted.
    ManifestCopied(FileId),
    /// Part of a retraction: so many of the commit's copies are deleted.
    Erasing(FileId, u8),
    /// Neither staged nor final was found: reload before raising the alarm.
    Suspect(FileId),
}

/// A worker's memory; lost in a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Worker {
    pub phase: Phase,
    /// The attempt it has begun and wants to commit.
    pub attempt: Option<FileId>,
    /// The slot of that attempt's last PUT, while the outcome is unknown.
    pub sent_to: Option<Slot>,
    /// Commits it has found or made finished: its next checkpoint drops them.
    pub done: FileSet,
    /// Retracted commits it has erased: its next checkpoint drops them from `retracted`.
    pub erased: FileSet,
    /// The commits that it found stored, after it had accepted its state; only where a
    /// configuration has replays.
    pub listed: Option<FileSet>,
    pub hand: Hand,
}

impl Worker {
    pub fn down() -> Self {
        Self {
            phase: Phase::Down,
            attempt: None,
            sent_to: None,
            done: FileSet::EMPTY,
            erased: FileSet::EMPTY,
            listed: None,
            hand: Hand::Free,
        }
    }

    /// Whether it waits for the answer to this PUT of its commit or genesis.
    pub fn awaits(&self, request: &Checkpoint) -> bool {
        match self.phase {
            Phase::Creating(body) => body == *request,
            Phase::Waiting => self.sent_to == Some(request.slot) && self.attempt == request.commit,
            _ => false,
        }
    }
}

/// One state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    // ---- the object store ----
    /// The checkpoint in the highest slot, or [`Checkpoint::absent`].
    pub newest: Checkpoint,
    /// Lower slots that hold an object, as bits; a clear bit means that a PUT to the slot would succeed.
    pub occupied: u16,
    /// Bodies in lower slots that some worker is about to GET. Others cannot be read
    /// any more and are forgotten.
    pub fetchable: Vec<Checkpoint>,
    /// Data files under `staging/`. Where the manifest does not move on its own, it is part of its data file.
    pub staged: FileSet,
    /// Data files in the table.
    pub visible: FileSet,
    /// Manifests `staging/<id>/commit.json`.
    pub staged_manifests: FileSet,
    /// Manifests `commits/<id>.json`.
    pub manifests: FileSet,
    /// Server-side copies of data, and copies or PUTs of manifests, that outlived the
    /// worker that asked for them.
    pub orphan_copies: FileSet,
    pub orphan_manifests: FileSet,

    // ---- the network ----
    /// PUTs that have been sent and may still arrive, sorted.
    pub requests: Vec<Checkpoint>,

    // ---- the workers ----
    pub workers: [Worker; WORKERS],
    /// Begun so far; the index is the `FileId`.
    pub attempts: Vec<Attempt>,

    // ---- budgets that keep the exploration finite ----
    pub crashes_left: u8,
    pub duplicates_left: u8,
    pub rollbacks_left: u8,
    pub losses_left: u8,

    // ---- the oracle ----
    /// Files that were in the table before the chain.
    pub foreign: FileSet,
    /// What the first genesis said; `None` before it.
    pub start: Option<Position>,
    /// Earlier points an operator may try to restore, sorted.
    pub savepoints: Vec<Savepoint>,
    /// Commits that became effective.
    pub committed: FileSet,
    /// Commits that an effective rollback took back, and foreign files that the genesis listed.
    pub revoked: FileSet,
    /// Finals that somebody outside moved away.
    pub consumed: FileSet,
    /// Harm that shows in a step, not in a state.
    pub harm: Harm,
    /// Commits that lost a slot and may be sent again; stays empty unless the run looks for witnesses.
    pub resent: FileSet,
    /// Events so far; stays empty unless the run looks for witnesses.
    pub events: u32,
}

/// Harm that shows in a step, not in a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Harm {
    /// A final came back after somebody had moved it away.
    pub resurrected: bool,
    /// A commit became effective in another incarnation than the one it was staged for.
    pub stale_commit: bool,
    /// A worker took something else than the newest state for the newest state.
    pub misled: bool,
    /// A worker raised the LOST alarm.
    pub alarm: bool,
    /// A worker drew a wrong conclusion about its commit.
    pub wrong_verdict: bool,
    /// A chain was begun although there had been one.
    pub refounded: bool,
    /// A worker reported a lost chain although it was there.
    pub false_refusal: bool,
}

impl World {
    /// Files that readers are entitled to: committed and not taken back.
    pub fn effective(&self) -> FileSet {
        self.committed.minus(self.revoked)
    }

    /// The commits whose `commits/<id>.json` is there; where manifests are part of
    /// their data, nobody moves them away.
    pub fn stored(&self, separate_manifests: bool) -> FileSet {
        if separate_manifests { self.manifests } else { self.visible.or(self.consumed) }
    }

    pub fn attempt(&self, file: FileId) -> &Attempt {
        &self.attempts[usize::from(file)]
    }

    pub fn is_occupied(&self, slot: Slot) -> bool {
        (slot == self.newest.slot && self.newest.is_chain()) || self.occupied & (1 << slot) != 0
    }

    /// The body a GET of `slot` returns; `None` stands for 404.
    pub fn get(&self, slot: Slot) -> Option<Checkpoint> {
        if slot == self.newest.slot {
            Some(self.newest)
        } else if self.is_occupied(slot) {
            self.fetchable.iter().copied().find(|body| body.slot == slot)
        } else {
            None
        }
    }

    /// Whether a server-side copy of the data of `file` is running.
    pub fn is_being_copied(&self, file: FileId) -> bool {
        self.orphan_copies.contains(file) || self.workers.iter().any(|w| w.hand == Hand::Copying(file))
    }

    /// Whether a copy, or a PUT, of the manifest of `file` is on its way.
    pub fn manifest_is_coming(&self, file: FileId) -> bool {
        let coming = Hand::CopyingManifest(file);
        self.orphan_manifests.contains(file) || self.workers.iter().any(|w| w.hand == coming)
    }

    /// Makes the final of `file` exist.
    pub fn make_visible(&mut self, file: FileId) {
        self.visible.insert(file);
        self.harm.resurrected |= self.consumed.contains(file);
    }

    /// Deletes everything staged of `file`.
    pub fn delete_staged(&mut self, file: FileId) {
        self.staged.remove(file);
        self.staged_manifests.remove(file);
    }

    pub fn happened(&self, event: Event) -> bool {
        self.events & (1 << event as u32) != 0
    }
}
