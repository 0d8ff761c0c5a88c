//! The chain: `checkpoints/<slot>`, each body the full state of the sink.

use std::fmt;

use super::files::{Attempt, FileId, FileSet, LANES, Offset, Position};

/// The longest commit history a checkpoint has room for; a configuration uses `0..=HISTORY` entries of it.
pub const HISTORY: usize = 2;
/// How many times an operator may roll the chain back, at most.
pub const ROLLBACKS: usize = 2;

pub type Slot = u8;
/// The slot of the genesis; slot 0 stands for "no chain".
pub const GENESIS: Slot = 1;

/// The body of `checkpoints/<slot>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checkpoint {
    pub slot: Slot,
    pub incarnation: u8,
    /// First offset of each lane that is not committed.
    pub next: Position,
    /// Committed, not yet confirmed as published.
    pub unpublished: FileSet,
    /// Taken back by a rollback, or found in the table by a genesis that overwrites;
    /// not yet confirmed as erased.
    pub retracted: FileSet,
    /// The commit that this checkpoint made, if it made one.
    pub commit: Option<FileId>,
    /// The commits made by checkpoints `slot-1`, `slot-2`, …
    pub history: [Option<FileId>; HISTORY],
    /// `cuts[i]`: how far incarnation `i+1` got before a rollback ended it; 0 for a
    /// lane that was unknown then.
    pub cuts: [[Offset; LANES]; ROLLBACKS],
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}: incarnation {}, next", self.slot, self.incarnation)?;
        for next in self.next {
            match next {
                Some(next) => write!(f, " {next}")?,
                None => write!(f, " -")?,
            }
        }
        if let Some(file) = self.commit {
            write!(f, ", commits {file}")?;
        }
        write!(f, ", unpublished {:?}", self.unpublished)?;
        if !self.retracted.is_empty() {
            write!(f, ", retracted {:?}", self.retracted)?;
        }
        Ok(())
    }
}

impl Checkpoint {
    /// The stand-in for a chain that does not exist; nobody can read it.
    pub fn absent() -> Self {
        Self {
            slot: 0,
            incarnation: 1,
            next: [None; LANES],
            unpublished: FileSet::EMPTY,
            retracted: FileSet::EMPTY,
            commit: None,
            history: [None; HISTORY],
            cuts: [[Offset::MAX; LANES]; ROLLBACKS],
        }
    }

    /// The first checkpoint: every known lane with its resolved start.
    pub fn genesis(start: Position, retracted: FileSet) -> Self {
        Self { slot: GENESIS, next: start, retracted, ..Self::absent() }
    }

    pub fn is_chain(&self) -> bool {
        self.slot >= GENESIS
    }

    /// Whether the cuts, together with an attempt's name, say that a rollback took its commit back.
    pub fn cuts_off(&self, attempt: &Attempt) -> bool {
        let since = usize::from(attempt.incarnation) - 1..usize::from(self.incarnation) - 1;
        self.cuts[since].iter().any(|cut| {
            let mut lanes = attempt.ranges.iter().zip(cut);
            lanes.any(|(range, cut)| !range.is_empty() && range.to > *cut)
        })
    }
}

/// A point an operator may restore: a copy of an earlier checkpoint's lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Savepoint {
    pub incarnation: u8,
    pub next: Position,
}

/// The offsets of a position, a lane that it does not know counting as one without records.
pub fn offsets(position: &Position) -> [Offset; LANES] {
    position.map(|next| next.unwrap_or(0))
}
