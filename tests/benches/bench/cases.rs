//! The benches, one a file. Each returns a table of medians.

pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod objects;
pub(crate) mod scaling;
pub(crate) mod stall;
pub(crate) mod standard;
pub(crate) mod start;
pub(crate) mod tuning;
