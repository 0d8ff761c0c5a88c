//! `timeouts`, which with that of a checkpoint must fit one another, the client and the broker.

mod relations;

use std::time::Duration;

use tidegate_sinks::store::Retries;

use super::file::section::{Section, key};
use super::file::values;
use super::kafka::{self, Kafka};
pub use relations::{Finding, Severity, check, kill_delay};

#[derive(Clone, Debug)]
pub struct Timeouts {
    pub store_request: Duration,
    pub store_retry: Duration,
    pub broker: Duration,
    pub revoke: Duration,
    pub stop: Duration,
}

impl Timeouts {
    /// How long a store's requests may take.
    pub fn retries(&self) -> Retries {
        Retries { request_timeout: self.store_request, retry_timeout: self.store_retry }
    }
}

pub(super) const LEAST: Duration = Duration::from_millis(1);

/// Defaults of those that must be one above the other.
pub(super) struct Defaults {
    store_request: Duration,
    store_retry: Duration,
    pub(super) checkpoint: Duration,
}

impl Defaults {
    /// They give way to what the file sets of them.
    pub(super) fn of(root: &Section<'_>) -> Self {
        let keys = ["timeouts.store_request", "timeouts.store_retry", "checkpoint.timeout"];
        let given = keys.map(|path| root.peek(path, |value| value.parse(values::duration(LEAST))));
        let [store_request, store_retry, checkpoint] =
            ascending(given, [60, 300, 600].map(Duration::from_secs));
        Self { store_request, store_retry, checkpoint }
    }
}

pub(super) fn read(timeouts: &mut Section<'_>, defaults: &Defaults, kafka: &Kafka) -> Timeouts {
    let mut get = |key, default| timeouts.get(key, values::duration(LEAST), default);
    Timeouts {
        store_request: get(
            key("store_request", "Of one request to the store; of a copy by the store, five times as long."),
            defaults.store_request,
        ),
        broker: get(
            key(
                "broker",
                "How long a start waits for a Kafka broker to answer. A job that runs waits as long as it takes.",
            ),
            Duration::from_secs(60),
        ),
        store_retry: get(
            key(
                "store_retry",
                "How long a request is repeated before the job stops. Above `store_request`, below \
                 `checkpoint.timeout`; the default of each of the three gives way to what the others are set to.",
            ),
            defaults.store_retry,
        ),
        revoke: get(
            key(
                "revoke",
                "For the last checkpoint of partitions that the group takes away. Below \
                 `max.poll.interval.ms`; each default gives way to the other.",
            ),
            kafka::revoke(&kafka.properties),
        ),
        stop: get(
            key(
                "stop",
                "For the last checkpoint after SIGTERM. Below the platform's kill delay \
                 (`TIDEGATE_KILL_DELAY`, 30s).",
            ),
            Duration::from_secs(25),
        ),
    }
}

/// Values each of which must be below the next, as `defaults` are: one that is given stands, and those that
/// are not are chosen so that they fit it. Only values that were all given can contradict one another.
fn ascending<const N: usize>(given: [Option<Duration>; N], defaults: [Duration; N]) -> [Duration; N] {
    let mut values = std::array::from_fn(|n| given[n].unwrap_or(defaults[n]));
    for n in (0..N.saturating_sub(1)).rev() {
        if given[n].is_none() && values[n] >= values[n + 1] {
            values[n] = values[n + 1] / 2;
        }
    }
    for n in 1..N {
        if given[n].is_none() && values[n] <= values[n - 1] {
            let above = given[n + 1..].iter().flatten().next().filter(|above| **above > values[n - 1]);
            values[n] = match above {
                Some(above) => values[n - 1] + (*above - values[n - 1]) / 2,
                None => values[n - 1].saturating_mul(2),
            };
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds<const N: usize>(values: [Option<u64>; N]) -> [Option<Duration>; N] {
        values.map(|value| value.map(Duration::from_secs))
    }

    #[test]
    fn each_default_gives_way_to_what_is_given() {
        let defaults = [60, 300, 600].map(Duration::from_secs);
        for (given, expected) in [
            ([None, None, None], [60, 300, 600]),
            ([None, None, Some(60)], [15, 30, 60]),
            ([None, None, Some(400)], [60, 300, 400]),
            ([None, Some(40), None], [20, 40, 600]),
            ([None, Some(900), None], [60, 900, 1800]),
            ([Some(400), None, None], [400, 800, 1600]),
            ([Some(400), None, Some(500)], [400, 450, 500]),
            ([Some(10), None, Some(12)], [10, 11, 12]),
            // These contradict each other: as they are given they stand, to be told.
            ([Some(50), Some(40), None], [50, 40, 600]),
        ] {
            assert_eq!(ascending(seconds(given), defaults), expected.map(Duration::from_secs), "{given:?}");
        }
    }
}
