//! The real binary against real servers: what is read back equals what was
//! committed, whatever is killed, whenever.

mod bad_input;
mod elections;
mod exact;
mod folders;
mod forget;
mod import;
mod kills;
mod kubernetes;
mod manual;
mod memory;
mod monitoring;
mod older;
mod operate;
mod page;
mod promises;
mod readers;
mod rejects;
mod reload;
mod replay;
mod replicas;
mod rest;
mod restore;
mod savepoints;
mod security;
mod steady;
mod stores;
mod support;
mod types;
