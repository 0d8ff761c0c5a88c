//! The byte rate limit over keys, values and headers: exact over seconds, with
//! bursts of at most a tenth of one.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// A limiter that is asked again until everything owed is paid, so a record may be larger than a burst.
#[derive(Debug)]
pub(super) struct Throttle {
    limiter: Option<(DefaultDirectRateLimiter, NonZeroU32)>,
    clock: DefaultClock,
}

impl Throttle {
    /// `bytes_per_second` 0: no limit.
    pub(super) fn new(bytes_per_second: u64) -> Self {
        let rate = u32::try_from(bytes_per_second).unwrap_or(u32::MAX);
        let limiter = NonZeroU32::new(rate).map(|rate| {
            let burst = NonZeroU32::new(rate.get() / 10).unwrap_or(NonZeroU32::MIN);
            (RateLimiter::direct(Quota::per_second(rate).allow_burst(burst)), burst)
        });
        Self { limiter, clock: DefaultClock::default() }
    }

    /// Pays as much of `owed` bytes as may pass now. Returns how long to wait for the
    /// next part, if any is left.
    pub(super) fn pay(&self, owed: &mut usize) -> Option<Duration> {
        let Some((limiter, burst)) = &self.limiter else {
            *owed = 0;
            return None;
        };
        while *owed > 0 {
            let part = NonZeroU32::new((*owed).min(burst.get() as usize) as u32)?;
            match limiter.check_n(part) {
                Ok(Ok(())) => *owed -= part.get() as usize,
                Ok(Err(not_until)) => return Some(not_until.wait_time_from(self.clock.now())),
                Err(_) => return None, // A part is never larger than the burst.
            }
        }
        None
    }

    /// How many records of about `record_bytes` fit into one burst.
    pub(super) fn batch(&self, record_bytes: usize, most: usize) -> usize {
        self.limiter
            .as_ref()
            .map_or(most, |(_, burst)| (burst.get() as usize / record_bytes.max(1)).clamp(1, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_everything_passes_at_once() {
        let mut owed = 1 << 40;
        assert_eq!(Throttle::new(0).pay(&mut owed), None);
        assert_eq!(owed, 0);
    }

    #[test]
    fn a_record_larger_than_a_burst_is_paid_in_parts() {
        let throttle = Throttle::new(1_000);
        let mut owed = 150;
        let wait = throttle.pay(&mut owed).expect("a burst is 100 bytes");
        assert_eq!(owed, 50);
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(100), "{wait:?}");
    }

    #[test]
    fn batches_fit_into_a_burst() {
        let throttle = Throttle::new(10_000);
        assert_eq!(throttle.batch(100, 4_096), 10);
        assert_eq!(throttle.batch(5_000, 4_096), 1);
        assert_eq!(Throttle::new(0).batch(5_000, 4_096), 4_096);
    }
}
