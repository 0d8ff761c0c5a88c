//! A person on call: slows a job down, pauses it, stops it, starts it again.

mod collect;
mod limit;
mod pause;
mod rescale;
pub(crate) mod scene;
mod stop;
