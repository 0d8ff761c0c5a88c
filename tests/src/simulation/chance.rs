//! The one source of randomness of a simulation. On one thread with paused time,
//! equal seeds throw equal numbers.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Clones throw the same dice.
#[derive(Clone, Debug)]
pub(super) struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    fn with<T>(&self, throw: impl FnOnce(&mut StdRng) -> T) -> T {
        throw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True with a probability from 0 to 1.
    pub(super) fn happens(&self, probability: f64) -> bool {
        self.with(|rng| rng.random::<f64>()) < probability
    }

    pub(super) fn number(&self, range: Range<u64>) -> u64 {
        self.with(|rng| rng.random_range(range))
    }

    pub(super) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// One of `among`, if there is any.
    pub(super) fn pick<'a, T>(&self, among: &'a [T]) -> Option<&'a T> {
        if among.is_empty() { None } else { among.get(self.number(0..among.len() as u64) as usize) }
    }
}
