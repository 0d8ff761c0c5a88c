//! Things worth reaching: a run that never reaches them proves little.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Event {
    /// A worker learnt that its commit is effective.
    Committed,
    /// A worker learnt for certain that its commit is not and never will be effective.
    Fenced,
    /// A worker could not tell, and went on as if it had just started.
    Unknown,
    /// A commit that had lost its slot became effective in a later one.
    Rebased,
    /// A late PUT filled a slot whose checkpoint had been deleted.
    Ghost,
    /// A PUT was refused because an earlier delivery of the very same commit had filled the slot.
    OwnAlreadyExists,
    /// A rollback became effective.
    RolledBack,
    /// Every retracted file was erased and dropped.
    Retracted,
    /// A load met a checkpoint that had been deleted since its LIST.
    LoadNotFound,
    /// A load had to start over because the chain had grown, or it had read a ghost.
    LoadOvertaken,
    /// A publisher found the staged copy gone and the final in place.
    AlreadyPublished,
    /// Neither copy was found, and a reload showed that this was in order.
    FalseSuspicion,
    /// Somebody outside moved a final away.
    Consumed,
    /// A staged file that could never be committed was deleted.
    StagedCollected,
    /// A genesis with other starts was refused because another had been created.
    GenesisLost,
    /// A late genesis filled slot 1 after the real one had been deleted.
    GenesisGhost,
    /// A worker found no chain, then files of the job, and then that the chain had been created meanwhile.
    ChainAppeared,
    /// A worker found no chain where there should be one, and stopped.
    LostChainRefused,
    /// The first commit of a lane that the chain did not know became effective.
    LaneAdded,
    /// Such a commit was fenced because somebody else's had come first.
    LaneTaken,
    /// A collector judged an attempt dead by `begin.json` whose writer had not staged everything yet.
    BegunCollected,
    /// A publisher found the staged manifest gone and the final one in place.
    FinishedByAnother,
    /// The table's foreign files were all erased and dropped, after which publishing begins.
    ForeignErased,
}

impl Event {
    pub const ALL: [Self; 23] = [
        Self::Committed,
        Self::Fenced,
        Self::Unknown,
        Self::Rebased,
        Self::Ghost,
        Self::OwnAlreadyExists,
        Self::RolledBack,
        Self::Retracted,
        Self::LoadNotFound,
        Self::LoadOvertaken,
        Self::AlreadyPublished,
        Self::FalseSuspicion,
        Self::Consumed,
        Self::StagedCollected,
        Self::GenesisLost,
        Self::GenesisGhost,
        Self::ChainAppeared,
        Self::LostChainRefused,
        Self::LaneAdded,
        Self::LaneTaken,
        Self::BegunCollected,
        Self::FinishedByAnother,
        Self::ForeignErased,
    ];
}

/// How often an exploration saw each event; evidence that it is not vacuous.
#[derive(Debug, Default)]
pub struct EventCounters([AtomicU64; Event::ALL.len()]);

impl EventCounters {
    pub fn count(&self, event: Event) -> u64 {
        self.0[event as usize].load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }
}
