//! Partitions of which nothing comes, though there is something and nothing here holds it back.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_sinks::TopicPartition;
use tokio::time::Instant;

use crate::flow::source::Ends;

/// For so long nothing may come.
const PATIENCE: Duration = Duration::from_secs(40);
/// Seconds of these in which all that the client had was taken, at least: under back-pressure or a byte limit
/// what comes next waits for its turn, and its partition is well.
const DRAINED_SECONDS: u64 = 20;
/// By less than this, the time at which a broker was heard of may differ though nothing was heard.
const TREMBLES: Duration = Duration::from_millis(250);

/// How far each partition has come, and when it moved last.
#[derive(Debug, Default)]
pub(super) struct Reading(BTreeMap<TopicPartition, Place>);

#[derive(Debug)]
struct Place {
    next: i64,
    ends: Option<Ends>,
    /// Since when it stands where it is, and how many seconds there were by then in
    /// which the client was drained.
    stands: Mark,
    /// The same, since its broker was heard of.
    silent: Mark,
    heard: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    since: Instant,
    drained: u64,
}

impl Mark {
    fn is_over(self, now: Self, patience: Duration) -> bool {
        now.since.duration_since(self.since) >= patience && now.drained - self.drained >= DRAINED_SECONDS
    }
}

impl Reading {
    /// Takes in all held partitions, with the next offset of each and what the client knows of its ends;
    /// others are forgotten. `drained` are the seconds so far in which all that the client had was taken.
    pub(super) fn see<'a>(
        &mut self,
        held: impl Iterator<Item = (&'a TopicPartition, i64, Option<Ends>)>,
        drained: u64,
    ) {
        let now = Mark { since: Instant::now(), drained };
        let mut before = std::mem::take(&mut self.0);
        for (partition, next, ends) in held {
            let place = match before.remove(partition) {
                Some(place) => place.moved(next, ends, now),
                None => Place { next, ends, stands: now, silent: now, heard: None },
            };
            self.0.insert(partition.clone(), place);
        }
    }

    /// What is wrong with those of which nothing comes. `waits` is how long a broker
    /// may hold an answer back, as the job asks it to.
    pub(super) fn stalled(&self, drained: u64, waits: Duration) -> BTreeMap<String, String> {
        let now = Mark { since: Instant::now(), drained };
        let stalled = |(partition, place): (&TopicPartition, &Place)| {
            Some((partition.to_string(), place.stalled(partition, now, PATIENCE + waits)?))
        };
        self.0.iter().filter_map(stalled).collect()
    }
}

impl Place {
    fn moved(self, next: i64, ends: Option<Ends>, now: Mark) -> Self {
        let position = |ends: Option<Ends>| ends.map(|ends| ends.position);
        let has_moved = next != self.next || position(ends) != position(self.ends);
        // A reader at the end of its log asks all the time, so a broker that leads one is heard of. The time
        // is reckoned back from now, and trembles.
        let observed = ends.and_then(|ends| ends.observed);
        let is_heard = observed.is_some_and(|at| self.heard.is_none_or(|heard| at > heard + TREMBLES));
        Self {
            next,
            ends,
            stands: if has_moved { now } else { self.stands },
            silent: if is_heard { now } else { self.silent },
            heard: if is_heard { observed } else { self.heard },
        }
    }

    fn stalled(&self, partition: &TopicPartition, now: Mark, patience: Duration) -> Option<String> {
        let stands = self.stands.is_over(now, patience);
        match self.ends.filter(|ends| ends.is_fresh) {
            None if stands => {
                Some(format!("partition {partition}: nothing has come of it since it was taken over"))
            }
            Some(ends) if stands && ends.last_stable_offset > self.next => Some(format!(
                "partition {partition}: nothing comes of it, though offset {} is next and its records go up to {}",
                self.next, ends.last_stable_offset
            )),
            Some(_) if self.silent.is_over(now, patience) => {
                Some(format!("partition {partition}: the broker that leads it does not answer"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        reading: Reading,
        partition: TopicPartition,
        drained: u64,
        second: i64,
    }

    impl Scene {
        fn new() -> Self {
            let partition = TopicPartition::new("t", 0);
            Self { reading: Reading::default(), partition, drained: 0, second: 0 }
        }

        /// A minute, in each second of which this is seen.
        async fn minute(
            &mut self,
            is_drained: bool,
            see: impl Fn(i64) -> (i64, Option<Ends>),
        ) -> Option<String> {
            for _ in 0..60 {
                let (next, ends) = see(self.second);
                self.reading.see([(&self.partition, next, ends)].into_iter(), self.drained);
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.drained += u64::from(is_drained);
                self.second += 1;
            }
            self.reading.stalled(self.drained, Duration::ZERO).into_values().next()
        }
    }

    fn ends(end: i64, heard: i64) -> Option<Ends> {
        let observed = Some(Timestamp::from_second(heard).unwrap());
        Some(Ends { last_stable_offset: end, high_watermark: end + 5, observed, position: 0, is_fresh: true })
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_with_records_of_which_nothing_comes_is_named() {
        let mut scene = Scene::new();
        let said = scene.minute(true, |second| (3, ends(9, second))).await.expect("it stands still");
        assert!(
            said.contains("t/0") && said.contains("offset 3 is next") && said.contains("up to 9"),
            "{said}"
        );
        assert_eq!(scene.minute(true, |second| (second, ends(999, second))).await, None, "it moves");
        assert_eq!(
            scene.minute(true, |second| (9, ends(9, second))).await,
            None,
            "at its end, or an open transaction"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_back_pressure_or_a_byte_limit_holds_back_is_no_stall() {
        let mut scene = Scene::new();
        assert_eq!(scene.minute(false, |second| (3, ends(9, second))).await, None);
        assert_eq!(scene.minute(false, |_| (3, None)).await, None);
    }

    /// Aborted records are fetched, and nothing is handed out of them.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_on_without_a_record_is_no_stall() {
        let mut scene = Scene::new();
        let moving = |second| (3, ends(9_000, second).map(|ends| Ends { position: second, ..ends }));
        assert_eq!(scene.minute(true, moving).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_that_was_never_fetched_or_whose_broker_is_silent_is_named() {
        let said = Scene::new().minute(true, |_| (3, None)).await.expect("it was never fetched");
        assert!(said.contains("since it was taken over"), "{said}");
        let said = Scene::new().minute(true, |_| (9, ends(9, 0))).await.expect("nothing is known of its end");
        assert!(said.contains("does not answer"), "{said}");
    }
}
