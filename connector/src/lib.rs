//! Tidegate moves Kafka records into a warehouse one way, and the warehouse changes only at a checkpoint.
//!
//! ```text
//! Kafka --> source --Event--> run --> decode --RecordBatch--> stage --StagedFile--> checkpoint --Commit--> sink
//! ```
//!
//! Only `run` knows all the stages; stages never import one another; they share the plain structs on the arrows.

pub mod audit;
pub mod checkpoint;
pub mod cli;
pub mod cluster;
pub mod columns;
pub mod config;
pub mod control;
pub mod decode;
pub mod event;
pub mod failure;
pub mod http;
pub mod import;
pub mod kafka;
pub mod limits;
pub mod memory;
pub mod names;
pub mod outbox;
pub mod rejects;
pub mod reload;
pub mod replay;
pub mod retained;
pub mod run;
pub mod savepoint;
pub mod source;
pub mod stage;
pub mod status;
pub mod tables;
pub mod tasks;
pub mod telemetry;
pub mod traces;
