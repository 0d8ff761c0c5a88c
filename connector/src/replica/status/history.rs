//! The last hour and the last checkpoints, as the status page draws them. Memory is bounded by [`SAMPLES`]
//! and [`CHECKPOINTS`]; nothing of it outlives the process.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// Between two samples.
pub const EVERY: Duration = Duration::from_secs(5);
/// Samples kept: an hour of them.
pub const SAMPLES: usize = 720;
/// Checkpoints kept.
pub const CHECKPOINTS: usize = 100;

/// Totals since the process started, and what holds now: what a sample is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    pub records_read: u64,
    /// Bytes of keys, values and headers.
    pub bytes_read: u64,
    pub rows_written: u64,
    /// Records up to the last stable offset that are not committed; `None` while an offset is unknown.
    pub lag_lso: Option<u64>,
    /// The same up to the high watermark.
    pub lag_hw: Option<u64>,
    /// This replica's share of the byte limit in bytes/s; `None` without a limit.
    pub limit_bytes_per_second: Option<u64>,
    /// Of the records that became visible since the sample before; `None` when there
    /// were none, or it is not measured.
    pub latency: Option<Latency>,
}

/// Seconds from a record's timestamp until it was visible.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Latency {
    pub p50_seconds: f64,
    pub p99_seconds: f64,
}

/// One look at the job. Rates are averages since the sample before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Sample {
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    pub records_per_second: f64,
    pub bytes_per_second: f64,
    /// Rows committed to the sink.
    pub rows_per_second: f64,
    pub lag_lso: Option<u64>,
    pub lag_hw: Option<u64>,
    pub limit_bytes_per_second: Option<u64>,
    pub latency: Option<Latency>,
}

/// A step of a checkpoint, such as encoding or the commit itself.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Phase {
    pub name: &'static str,
    pub seconds: f64,
}

/// A checkpoint that this replica made.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CheckpointRecord {
    pub n: u64,
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// From the decision to checkpoint until it was in force.
    pub duration_seconds: f64,
    /// In the order in which they happened; empty where they are not measured.
    pub phases: Vec<Phase>,
    pub rows: u64,
    /// Of its files.
    pub bytes: u64,
    pub files: u64,
    pub rejects: u64,
}

/// Two rings, oldest first.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    checkpoints: VecDeque<CheckpointRecord>,
    last: Option<(Timestamp, Reading)>,
}

impl History {
    /// Takes a sample if [`EVERY`] has passed since the one before. The first reading
    /// only sets the base of the rates.
    pub fn read(&mut self, now: Timestamp, reading: Reading) {
        let Some((before, base)) = self.last else {
            self.last = Some((now, reading));
            return;
        };
        let passed = now.duration_since(before);
        // A clock that was set back begins anew; otherwise nothing would be drawn until it has caught up.
        if passed.is_negative() {
            self.last = Some((now, reading));
            return;
        }
        // Ticks are never exact: half a period of tolerance keeps one sample a tick.
        if passed.unsigned_abs() < EVERY / 2 {
            return;
        }
        let seconds = passed.as_secs_f64();
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        push(
            &mut self.samples,
            SAMPLES,
            Sample {
                time: now,
                records_per_second: rate(reading.records_read, base.records_read),
                bytes_per_second: rate(reading.bytes_read, base.bytes_read),
                rows_per_second: rate(reading.rows_written, base.rows_written),
                lag_lso: reading.lag_lso,
                lag_hw: reading.lag_hw,
                limit_bytes_per_second: reading.limit_bytes_per_second,
                latency: reading.latency,
            },
        );
        self.last = Some((now, reading));
    }

    pub fn checkpoint(&mut self, record: CheckpointRecord) {
        push(&mut self.checkpoints, CHECKPOINTS, record);
    }

    /// Adds a step to a checkpoint that is still kept: publishing ends after the checkpoint itself.
    pub fn add_phase(&mut self, n: u64, phase: Phase) {
        if let Some(record) = self.checkpoints.iter_mut().rev().find(|record| record.n == n) {
            record.phases.push(phase);
        }
    }

    /// Oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Oldest first.
    pub fn checkpoints(&self) -> impl Iterator<Item = &CheckpointRecord> {
        self.checkpoints.iter()
    }
}

fn push<T>(ring: &mut VecDeque<T>, most: usize, item: T) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    fn reading(records_read: u64) -> Reading {
        Reading { records_read, bytes_read: records_read * 100, ..Reading::default() }
    }

    #[test]
    fn rates_are_averages_since_the_sample_before() {
        let mut history = History::default();
        history.read(at(0), reading(1_000));
        assert_eq!(history.samples().count(), 0, "what was read before the first look has no rate");
        history.read(at(1), reading(1_500));
        assert_eq!(history.samples().count(), 0, "too early");
        history.read(at(5), reading(2_000));
        history.read(at(15), reading(2_000));
        let rates: Vec<_> = history.samples().map(|s| (s.records_per_second, s.bytes_per_second)).collect();
        assert_eq!(rates, [(200.0, 20_000.0), (0.0, 0.0)]);
    }

    #[test]
    fn a_clock_set_back_begins_anew() {
        let mut history = History::default();
        history.read(at(1_000), reading(0));
        history.read(at(0), reading(50));
        history.read(at(5), reading(100));
        assert_eq!(history.samples().map(|sample| sample.records_per_second).collect::<Vec<_>>(), [10.0]);
    }

    #[test]
    fn an_hour_and_the_last_hundred_checkpoints_are_kept() {
        let mut history = History::default();
        for n in 0..2_000 {
            history.read(at(5 * n), reading(0));
            history.checkpoint(CheckpointRecord {
                n: n as u64,
                created: at(5 * n),
                duration_seconds: 0.1,
                phases: Vec::new(),
                rows: 1,
                bytes: 1,
                files: 1,
                rejects: 0,
            });
        }
        let times: Vec<_> = history.samples().map(|sample| sample.time).collect();
        assert_eq!((times.len(), times[0], times[719]), (SAMPLES, at(5 * 1_280), at(5 * 1_999)));
        assert_eq!(
            history.checkpoints().map(|c| c.n).collect::<Vec<_>>(),
            (1_900..2_000).collect::<Vec<_>>()
        );
        history.add_phase(1_950, Phase { name: "publish", seconds: 2.0 });
        history.add_phase(3, Phase { name: "publish", seconds: 2.0 });
        let phases: usize = history.checkpoints().map(|record| record.phases.len()).sum();
        assert_eq!(phases, 1, "the third is long gone");
    }
}
