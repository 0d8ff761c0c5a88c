//! What is shown of a running job, to people and to machines.

pub mod http;
pub mod telemetry;
