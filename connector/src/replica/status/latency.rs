//! A histogram of bounded size whose counts come many at a time, which the metrics
//! facade would record one by one.

use std::time::Duration;

use super::history;

/// Upper bounds of the buckets, in seconds.
pub const BOUNDS: [f64; 24] = [
    0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0,
    300.0, 900.0, 3600.0, 14400.0, 86400.0,
];

/// Records by how long it took from their timestamps until they were visible; the
/// last bucket is beyond every bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyCounts {
    pub buckets: [u64; BOUNDS.len() + 1],
    pub sum_seconds: f64,
}

impl LatencyCounts {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn add(&mut self, latency: Duration, records: u64) {
        let seconds = latency.as_secs_f64();
        self.buckets[BOUNDS.partition_point(|bound| *bound < seconds)] += records;
        self.sum_seconds += seconds * records as f64;
    }

    pub(super) fn merge(&mut self, more: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(more.buckets) {
            *bucket += more;
        }
        self.sum_seconds += more.sum_seconds;
    }

    /// What came after `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut more = *self;
        for (bucket, before) in more.buckets.iter_mut().zip(before.buckets) {
            *bucket = bucket.saturating_sub(before);
        }
        more.sum_seconds -= before.sum_seconds;
        more
    }

    /// `None` when there is no record.
    pub(super) fn percentiles(&self) -> Option<history::Latency> {
        Some(history::Latency { p50_seconds: self.quantile(0.5)?, p99_seconds: self.quantile(0.99)? })
    }

    /// Within the bucket, records are taken to be spread evenly, as Prometheus takes them.
    fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = self.count() as f64 * quantile;
        let mut below = 0.0;
        for (number, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if below + count >= rank {
                let from = number.checked_sub(1).map_or(0.0, |before| BOUNDS[before]);
                let to = BOUNDS.get(number).copied().unwrap_or(from);
                return Some(from + (to - from) * (rank - below) / count);
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let mut counts = LatencyCounts::default();
        counts.add(Duration::ZERO, 3);
        counts.add(Duration::from_millis(100), 2);
        counts.add(Duration::from_millis(101), 1);
        counts.add(Duration::from_secs(1_000_000), 1);
        assert_eq!((counts.buckets[0], counts.buckets[1], counts.buckets[BOUNDS.len()]), (5, 1, 1));
        assert_eq!(counts.count(), 7);
        assert!((counts.sum_seconds - 1_000_000.301).abs() < 1e-6);
    }

    #[test]
    fn percentiles_are_of_what_came_since() {
        let mut before = LatencyCounts::default();
        before.add(Duration::from_secs(3600), 1_000);
        let mut now = before;
        now.add(Duration::from_millis(800), 98);
        now.add(Duration::from_secs(40), 2);
        let more = now.since(&before);
        assert_eq!(more.count(), 100);
        let percentiles = more.percentiles().expect("there are records");
        assert!((0.75..1.0).contains(&percentiles.p50_seconds), "{percentiles:?}");
        assert!((30.0..=45.0).contains(&percentiles.p99_seconds), "{percentiles:?}");
        assert_eq!(now.since(&now).percentiles(), None);
    }
}
