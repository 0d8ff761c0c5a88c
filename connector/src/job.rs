//! What people do with a job, beside running it.

pub mod audit;
pub mod checkpoints;
pub mod reload;
pub mod replay;
pub mod savepoint;
