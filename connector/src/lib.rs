//! Tidegate moves Kafka records into a warehouse one way, and the warehouse changes only at a checkpoint.
//!
//! The rooms, each built only on those above it:
//!
//! ```text
//! limits names memory tasks error metrics    constants and small tools kafka  columns  formats
//! what Kafka is asked; the types of columns; what a record's bytes may be config  logs
//! the job file; the log replica                                    what a running replica is asked,
//! and what it says of itself flow                                       what a record passes, from
//! its fetch to its commit job                                        what people do with a job:
//! savepoints, audit, replay, reload show                                       HTTP, the status
//! page, metrics, logs import  cli                                other tools' job files; commands
//! ```

pub mod cli;
pub mod columns;
pub mod config;
pub mod error;
pub mod flow;
pub mod formats;
pub mod import;
pub mod job;
pub mod kafka;
pub mod limits;
pub mod logs;
pub mod memory;
pub mod metrics;
pub mod names;
pub mod replica;
pub mod show;
pub mod tasks;
