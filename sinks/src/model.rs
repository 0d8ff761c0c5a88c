//! What a sink and its users speak of, as plain values: no store, no clock, no await. Imports go one way:
//! `error` and `position` are the ground, then `commit`, `checkpoint`, and what is said of both.

pub mod checkpoint;
pub mod commit;
pub mod error;
pub mod limit;
pub mod position;
pub mod replay;
pub mod restore;
pub mod versioned;
