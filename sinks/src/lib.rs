//! What a sink is: the place where staged files wait, the chain of checkpoints that says which offset is
//! next, and the one atomic step that moves both.
//!
//! The guarantee, which every sink keeps and `conformance` checks: a reader sees only
//! committed files, each record at most once; the positions of a [`Checkpoint`] and
//! the files it commits change together or not at all; and a writer whose positions
//! have been passed by somebody else changes nothing, however late it wakes.

pub mod chain;
pub mod conformance;
pub mod failpoints;
pub mod faulty;
pub mod memory;
pub mod model;
mod moves;
mod open;
mod settings;
pub mod sink;
pub mod store;
pub mod table;
mod tables;

pub use chain::shared::{Folder, SharedObjects};
pub use chain::{Chain, RESERVED};
pub use model::checkpoint::{
    Base, Checkpoint, Forgotten, PartitionState, RestoreChoice, Restored, Retracted,
};
pub use model::commit::{Begin, Commit, CommitId, FileKind, FinalName, Replay, StagedFile};
pub use model::error::{Error, Kind};
pub use model::limit::{Exceeded, RatioLimit, RejectLimit};
pub use model::position::{Delta, Gap, LeaderEpoch, Position, Span, TopicPartition};
pub use model::restore::{Move, Plan, Restore};
pub use model::{checkpoint, commit, error, limit, position, replay, restore, versioned};
pub use open::{open, open_on};
pub use settings::{Clock, MAX_RETAINED, SinkSettings, TableKind, Tables};
pub use sink::{Collected, Genesis, Outcome, Sink, StagedTotal, Upload, Uploaded};
