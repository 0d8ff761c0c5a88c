//! What a sink is: the place where staged files wait, the chain of checkpoints that says which offset is next, and
//! the one atomic step that moves both.
//!
//! The guarantee, which every sink keeps and `conformance` checks: a reader sees only committed files, each record
//! at most once; the positions of a [`Checkpoint`] and the files it commits change together or not at all; and a
//! writer whose positions have been passed by somebody else changes nothing, however late it wakes.

pub mod checkpoint;
pub mod commit;
pub mod conformance;
pub mod error;
pub mod failpoints;
pub mod faulty;
pub mod files;
pub mod limit;
pub mod memory;
pub mod mistakes;
pub mod position;
pub mod replay;
pub mod restore;
pub mod shared;
pub mod sink;
pub mod store;

pub use checkpoint::{Base, Checkpoint, Forgotten, Gap, PartitionState, RestoreChoice, Restored, Retracted};
pub use commit::{Begin, Commit, CommitId, FileKind, StagedFile};
pub use error::{Error, Kind};
pub use limit::{Exceeded, RatioLimit, RejectLimit};
pub use position::{Delta, LeaderEpoch, Position, Span, TopicPartition};
pub use replay::Replay;
pub use restore::{Move, Plan, Restore};
pub use shared::{Folder, SharedObjects};
pub use sink::{Collected, Genesis, Outcome, Sink, StagedTotal, Upload, Uploaded};
