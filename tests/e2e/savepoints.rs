//! Savepoints by the real binary: made, looked after, damaged, cut short.

mod commands;
mod damaged;
mod damages;
mod kills;
mod periodic;
mod running;
mod scene;
