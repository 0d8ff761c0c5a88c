//! What a record passes, in one direction:
//!
//! ```text
//! Kafka --> source --Fetch--> run --> stage (decode --RecordBatch--> files)
//! --StagedFile--> coverage --Commit--> sink
//! ```
//!
//! Only `run` knows all the stages. `tables` says where a topic's records go, and with which columns.

pub mod coverage;
pub mod decode;
pub mod event;
pub mod rejects;
pub mod run;
pub mod source;
pub mod stage;
pub mod tables;
