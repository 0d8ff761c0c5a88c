//! An explicit-state model of the commit protocol: from an empty store, whatever
//! workers, network and operators do and in whatever order, every record of a lane
//! is committed once, published once, and never lost.
//!
//! The protocol's rules are pure functions in [`rules`]; the rest is the world they
//! act in. `docs/protocol-model.md` says what is modelled, with which bounds, and
//! what is not. To change the protocol, change [`rules`] first; a new rule deserves
//! a [`bug::Bug`] that drops it and a control that shows what it is for.

pub mod bug;
pub mod checkpoint;
pub mod controls;
pub mod events;
pub mod explore;
pub mod files;
pub mod properties;
pub mod rules;
pub mod runs;
pub mod system;
pub mod witnesses;
pub mod world;

mod config;
mod load;
mod publish;
mod store;
mod worker;
