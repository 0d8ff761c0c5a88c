//! Files and the attempts that stage them: what a collector, a publisher or an
//! operator can tell from an object's name and from `begin.json`.

use std::fmt;

/// Kafka partitions ("lanes") the model has room for; a configuration uses one or both.
pub const LANES: usize = 2;
/// Where a configuration has replays: the lane of the rejects, which no worker consumes from Kafka.
pub const REJECTS: usize = 1;

pub type Offset = u8;
/// The next offset of each lane; `None` for a lane that the chain has never heard of.
pub type Position = [Option<Offset>; LANES];
/// One attempt stages one data file under a unique id, so the same number names the
/// attempt, its commit id, its staged objects and its final ones.
pub type FileId = u8;

/// A set of files.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileSet(u8);

impl FileSet {
    pub const EMPTY: Self = Self(0);

    pub fn contains(self, file: FileId) -> bool {
        self.0 & (1 << file) != 0
    }
    pub fn insert(&mut self, file: FileId) {
        self.0 |= 1 << file;
    }
    pub fn remove(&mut self, file: FileId) {
        self.0 &= !(1 << file);
    }
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    pub fn is_subset_of(self, other: Self) -> bool {
        self.minus(other).is_empty()
    }
    pub fn iter(self) -> impl Iterator<Item = FileId> {
        (0..8).filter(move |&file| self.contains(file))
    }
}

impl fmt::Debug for FileSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Records `from..to` of one lane; empty when a file holds nothing of that lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    pub from: Offset,
    pub to: Offset,
}

impl Range {
    pub fn is_empty(self) -> bool {
        self.from == self.to
    }
    pub fn overlaps(self, other: Self) -> bool {
        self.from.max(other.from) < self.to.min(other.to)
    }
}

/// What `begin.json` of an attempt says about one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Begun {
    /// The lane was not assigned when the attempt began.
    #[default]
    No,
    /// The chain knew the lane, and it stood at `from`.
    At,
    /// The chain did not know the lane; `from` is the beginning of its log.
    New,
}

/// How far the writer of an attempt has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Progress {
    /// `begin.json` is durable, the data file is not.
    Begun,
    /// The data file is durable, the manifest is not.
    Staged,
    /// The manifest `commit.json` is durable too: the commit may be sent.
    #[default]
    Sealed,
}

/// What anybody who lists an attempt's objects can read: incarnation and lanes from
/// `begin.json`, records from names.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt {
    pub incarnation: u8,
    pub begun: [Begun; LANES],
    /// The records that the data file holds; of a lane begun without records so far, `from..from`.
    pub ranges: [Range; LANES],
    /// Rejects among them, where a configuration has replays.
    pub rejects: Offset,
    /// The commits whose rejects it replays; its range of [`REJECTS`] counts those rejects.
    pub sources: FileSet,
    pub progress: Progress,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "incarnation {}", self.incarnation)?;
        for (lane, range) in self.ranges.iter().enumerate() {
            if self.begun[lane] != Begun::No || !range.is_empty() {
                write!(f, ", lane {lane} ({:?}): {}..{}", self.begun[lane], range.from, range.to)?;
            }
        }
        if !self.sources.is_empty() {
            write!(f, ", replays {:?}", self.sources)?;
        }
        if self.progress == Progress::Sealed { Ok(()) } else { write!(f, ", {:?}", self.progress) }
    }
}

impl Attempt {
    pub fn overlaps(&self, other: &Self) -> bool {
        (0..LANES).any(|lane| self.ranges[lane].overlaps(other.ranges[lane]))
    }
}
