//! What is measured of each attempt on its way to its readers: phases, and how old
//! its records are when they become visible. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tidegate_sinks::{CommitId, TopicPartition};
use tokio::time::Instant;

use super::timestamps::Timestamps;
use crate::flow::event::Fetch;
use crate::metrics;
use crate::replica::status::history::{CheckpointRecord, Phase};
use crate::replica::status::{LatencyCounts, Status};
use crate::replica::traces;

/// Timestamps looked at of each fetch. Those of a partition are mostly in order, so
/// a few stand for all of them.
const SAMPLES: usize = 8;

/// All attempts of this replica that are not visible yet.
#[derive(Debug, Default)]
pub(super) struct Observed {
    attempts: BTreeMap<CommitId, Attempt>,
    /// Newest timestamp of each held partition that readers see, in milliseconds since 1970.
    visible: BTreeMap<TopicPartition, i64>,
    /// Commits made before a partition was taken over, which may hold its records and are not visible yet.
    foreign: BTreeMap<TopicPartition, BTreeSet<CommitId>>,
}

#[derive(Debug, Default)]
struct Attempt {
    timestamps: Timestamps,
    newest: BTreeMap<TopicPartition, i64>,
    moments: Option<Moments>,
}

/// When each phase of an attempt has ended.
#[derive(Debug)]
struct Moments {
    decided: Instant,
    /// The same by the wall clock.
    at: Timestamp,
    /// All that was read before is encoded.
    sealed: Instant,
    /// All files are durable.
    staged: Instant,
    /// In force, as this.
    committed: Option<(CheckpointRecord, Instant)>,
}

impl Observed {
    pub(super) fn read(&mut self, id: &CommitId, fetch: &Fetch) {
        if fetch.is_empty() {
            return;
        }
        if !self.attempts.contains_key(id) {
            self.attempts.insert(id.clone(), Attempt::default());
        }
        let Some(attempt) = self.attempts.get_mut(id) else { return };
        let mut newest = i64::MIN;
        for (timestamp, records) in fetch.sampled_timestamps(SAMPLES) {
            attempt.timestamps.add(timestamp, records);
            newest = newest.max(timestamp);
        }
        if newest >= 0 {
            match attempt.newest.get_mut(&fetch.partition) {
                Some(known) => *known = newest.max(*known),
                None => drop(attempt.newest.insert(fetch.partition.clone(), newest)),
            }
        }
    }

    /// The attempt is to be committed. Without records nothing is to be staged.
    pub(super) fn decided(&mut self, id: &CommitId, at: Timestamp) {
        let decided = Instant::now();
        let moments = Moments { decided, at, sealed: decided, staged: decided, committed: None };
        self.attempts.entry(id.clone()).or_default().moments = Some(moments);
    }

    /// Its files are durable; `sealed` is when all that was read before was encoded.
    pub(super) fn staged(&mut self, id: &CommitId, sealed: Option<Instant>) {
        if let Some(moments) = self.moments(id) {
            moments.sealed = sealed.unwrap_or(moments.sealed);
            moments.staged = Instant::now();
        }
    }

    /// It is in force. Adds how long it took, and its phases up to now.
    pub(super) fn committed(&mut self, id: &CommitId, record: &mut CheckpointRecord) {
        let now = Instant::now();
        let Some(moments) = self.moments(id) else { return };
        record.duration_seconds = (now - moments.decided).as_secs_f64();
        record.phases = vec![
            phase("seal", moments.sealed - moments.decided),
            phase("stage", moments.staged - moments.sealed),
            phase("commit", now - moments.staged),
        ];
        metrics::CHECKPOINT_DURATION.histogram().record(record.duration_seconds);
        moments.committed = Some((record.clone(), now));
    }

    /// Readers see it.
    pub(super) fn published(&mut self, id: &CommitId, now: Timestamp, status: &Status) {
        // One that was dropped before its answer came is measured no further.
        let Some(attempt) = self.attempts.remove(id) else { return };
        if let Some(Moments { at, committed: Some((mut record, committed)), .. }) = attempt.moments {
            let publish = phase("publish", committed.elapsed());
            status.add_phase(record.n, publish.clone());
            record.phases.push(publish);
            traces::completed(&record, at.into());
        }
        let now = now.as_millisecond();
        let mut latency = LatencyCounts::default();
        for (timestamp, records) in attempt.timestamps.iter() {
            // A producer whose clock is ahead makes records of the future.
            let milliseconds = u64::try_from(now.saturating_sub(timestamp)).unwrap_or(0);
            latency.add(Duration::from_millis(milliseconds), records);
        }
        status.add_latency(&latency);
        for (partition, newest) in attempt.newest {
            self.complete(partition, newest.min(now));
        }
    }

    /// Measures those that somebody else has published, as the newest checkpoint shows
    /// by listing them no longer.
    pub(super) fn published_elsewhere(&mut self, unpublished: &[CommitId], now: Timestamp, status: &Status) {
        let in_force = |attempt: &Attempt| attempt.moments.as_ref().is_some_and(|m| m.committed.is_some());
        let published =
            |(id, attempt): &(&CommitId, &Attempt)| in_force(attempt) && !unpublished.contains(id);
        let ids: Vec<CommitId> = self.attempts.iter().filter(published).map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| self.published(id, now, status));
    }

    /// Attempts that are not in force are dropped.
    pub(super) fn dropped(&mut self) {
        self.attempts.retain(|_, attempt| match &attempt.moments {
            Some(Moments { committed: None, at, decided, .. }) => {
                traces::dropped((*at).into(), decided.elapsed());
                false
            }
            Some(_) => true,
            None => false,
        });
    }

    /// Partitions are taken over, while these commits are not known to be visible.
    pub(super) fn assigned(&mut self, partitions: &[TopicPartition], unpublished: &[CommitId]) {
        for partition in partitions {
            self.visible.remove(partition);
            self.foreign.insert(partition.clone(), unpublished.iter().cloned().collect());
        }
    }

    /// Forgets partitions that are no longer held, and foreign commits that are no longer waited for.
    pub(super) fn retain(&mut self, held: impl Fn(&TopicPartition) -> bool, unpublished: &[CommitId]) {
        self.visible.retain(|partition, _| held(partition));
        self.foreign.retain(|partition, commits| {
            commits.retain(|commit| unpublished.contains(commit));
            held(partition) && !commits.is_empty()
        });
    }

    /// All records of the partition up to this time are visible, as far as the timestamps are in order.
    pub(super) fn complete(&mut self, partition: TopicPartition, milliseconds: i64) {
        let known = self.visible.entry(partition).or_insert(milliseconds);
        *known = milliseconds.max(*known);
    }

    /// Up to when all records of the partition are visible, in milliseconds since 1970.
    pub(super) fn complete_through(&self, partition: &TopicPartition) -> Option<i64> {
        self.visible.get(partition).copied().filter(|_| !self.foreign.contains_key(partition))
    }

    fn moments(&mut self, id: &CommitId) -> Option<&mut Moments> {
        self.attempts.get_mut(id)?.moments.as_mut()
    }
}

fn phase(name: &'static str, took: Duration) -> Phase {
    metrics::CHECKPOINT_PHASE.histogram_of("phase", name).record(took.as_secs_f64());
    Phase { name, seconds: took.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(partition: i32, timestamps: &[i64]) -> Fetch {
        let mut fetch = Fetch::new(TopicPartition::new("t", partition), 1, 0);
        for (offset, timestamp) in timestamps.iter().enumerate() {
            fetch.push(offset as i64, Some(*timestamp), None, Some(b"x"), []);
        }
        fetch
    }

    fn record(n: u64) -> CheckpointRecord {
        CheckpointRecord {
            n,
            created: at(0),
            duration_seconds: 0.0,
            phases: Vec::new(),
            rows: 3,
            bytes: 1,
            files: 1,
            rejects: 0,
        }
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).expect("in range")
    }

    #[tokio::test(start_paused = true)]
    async fn phases_follow_one_another_and_records_are_as_old_as_when_they_are_seen() {
        let (mut observed, status, id) = (Observed::default(), Status::default(), CommitId("a".into()));
        let wait = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        observed.read(&id, &fetch(0, &[10_000, 11_000]));
        observed.read(&id, &fetch(1, &[99_000_000]));
        observed.decided(&id, at(0));
        wait(1).await;
        let sealed = Instant::now();
        wait(2).await;
        observed.staged(&id, Some(sealed));
        wait(3).await;
        let mut record = record(7);
        observed.committed(&id, &mut record);
        let phases: Vec<_> = record.phases.iter().map(|phase| (phase.name, phase.seconds)).collect();
        assert_eq!(phases, [("seal", 1.0), ("stage", 2.0), ("commit", 3.0)]);
        assert_eq!(record.duration_seconds, 6.0);
        observed.published(&id, at(20_000), &status);
        let latency = status.latency();
        assert_eq!(latency.count(), 3);
        assert_eq!(latency.buckets[0], 1, "a record of the future is seen at once");
        assert!((latency.sum_seconds - 19.0).abs() < 0.1, "{}", latency.sum_seconds);
        assert_eq!(observed.complete_through(&TopicPartition::new("t", 0)), Some(11_000));
        assert_eq!(observed.complete_through(&TopicPartition::new("t", 1)), Some(20_000), "never the future");
        assert!(observed.attempts.is_empty());
    }

    #[test]
    fn a_partition_taken_over_is_complete_only_when_what_came_before_is_visible() {
        let mut observed = Observed::default();
        let (partition, before) = (TopicPartition::new("t", 0), CommitId("before".into()));
        observed.assigned(std::slice::from_ref(&partition), std::slice::from_ref(&before));
        observed.complete(partition.clone(), 5);
        observed.retain(|_| true, &[before, CommitId("later".into())]);
        assert_eq!(observed.complete_through(&partition), None);
        observed.retain(|_| true, &[CommitId("later".into())]);
        assert_eq!(observed.complete_through(&partition), Some(5));
        observed.retain(|_| false, &[]);
        assert_eq!(observed.complete_through(&partition), None);
    }

    #[test]
    fn what_somebody_else_has_published_is_measured_as_well() {
        let (mut observed, status) = (Observed::default(), Status::default());
        let (sent, committed) = (CommitId("sent".into()), CommitId("committed".into()));
        for id in [&sent, &committed] {
            observed.read(id, &fetch(0, &[1]));
            observed.decided(id, at(0));
        }
        observed.committed(&committed, &mut record(2));
        observed.published_elsewhere(std::slice::from_ref(&committed), at(1), &status);
        assert_eq!(status.latency().count(), 0);
        observed.published_elsewhere(&[], at(1), &status);
        assert_eq!((status.latency().count(), observed.attempts.len()), (1, 1));
    }

    #[test]
    fn what_is_dropped_is_not_measured() {
        let (mut observed, status) = (Observed::default(), Status::default());
        let (dropped, kept) = (CommitId("dropped".into()), CommitId("kept".into()));
        for id in [&dropped, &kept] {
            observed.read(id, &fetch(0, &[1]));
            observed.decided(id, at(0));
        }
        observed.committed(&kept, &mut record(2));
        observed.dropped();
        observed.published(&dropped, at(1), &status);
        assert_eq!(status.latency().count(), 0);
        observed.published(&kept, at(1), &status);
        assert_eq!(status.latency().count(), 1);
    }
}
