//! The real binary against real servers: what is read back equals what was committed, whatever is killed, whenever.

mod bad_input;
mod exact;
mod kills;
mod replicas;
mod stores;
mod support;
