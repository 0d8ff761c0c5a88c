//! Whether `kafka.start` can be meant: judged on what the brokers say, before the
//! chain begins. Later it does not apply, which is told.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use tidegate_sinks::{Checkpoint, TopicPartition};

use super::RunError;
use crate::config::{Config, Kafka, Mode, OnDataLoss, Start};
use crate::kafka::cluster::Cluster;

/// How far the clocks of a broker and of this machine may lie apart.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(10);
/// In milliseconds since 1970 this is March 1973: whoever writes less most likely counts seconds.
const LIKELY_SECONDS: i64 = 100_000_000_000;

pub(crate) type Offsets = BTreeMap<TopicPartition, i64>;

/// What is to be said of `kafka.start`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The job file must be changed first.
    Wrong(String),
    /// Records are lost, which the job does not accept.
    Lost(String),
    /// It is taken, and somebody should know.
    Told(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Wrong(text) | Self::Lost(text) | Self::Told(text)) = self;
        f.write_str(text)
    }
}

/// Judges the start of a job without a position. `starts` and `ends` are those of
/// the logs of all its partitions.
pub(crate) fn judge(kafka: &Kafka, starts: &Offsets, ends: &Offsets, now: Timestamp) -> Vec<Finding> {
    match &kafka.start {
        Start::Earliest | Start::Latest => Vec::new(),
        Start::Timestamp(at) => of_timestamp(*at, now).into_iter().collect(),
        Start::Offsets(given) => {
            let named = given.iter().flat_map(|(topic, offsets)| {
                offsets
                    .iter()
                    .map(move |(partition, at)| (TopicPartition::new(topic.as_str(), *partition), *at))
            });
            named.filter_map(|(partition, at)| of_offset(kafka, &partition, at, starts, ends)).collect()
        }
    }
}

fn of_timestamp(at: i64, now: Timestamp) -> Option<Finding> {
    let time = Timestamp::from_millisecond(at).ok();
    match time {
        Some(time) if time <= now + CLOCKS_APART => (1..LIKELY_SECONDS).contains(&at).then(|| {
            Finding::Told(format!(
                "kafka.start.timestamp {at} is {time}: it counts milliseconds since 1970; if seconds are meant, write {at}000"
            ))
        }),
        _ => {
            let when = time.map_or_else(|| "beyond the year 9999".to_owned(), |time| time.to_string());
            Some(Finding::Wrong(format!(
                "kafka.start.timestamp lies in the future ({when}): no record is so new, and older ones that come from now on \
                 would be read all the same; write a time that has passed, in milliseconds since 1970, or latest to begin with \
                 what comes"
            )))
        }
    }
}

fn of_offset(
    kafka: &Kafka,
    partition: &TopicPartition,
    at: i64,
    starts: &Offsets,
    ends: &Offsets,
) -> Option<Finding> {
    let (Some(&start), Some(&end)) = (starts.get(partition), ends.get(partition)) else {
        let others = starts.keys().filter(|other| other.topic == partition.topic).count();
        let (topic, number) = (&partition.topic, partition.partition);
        return Some(Finding::Wrong(match others {
            0 => format!(
                "kafka.start.offsets names {topic}, which is not among the job's topics; remove it, or add the topic"
            ),
            _ => format!(
                "kafka.start.offsets names partition {number} of {topic}, which has {others} partitions, from 0; correct it"
            ),
        }));
    };
    if at > end {
        return Some(Finding::Wrong(format!(
            "kafka.start.offsets: {partition} is to start at {at}, but its log ends at {end}: the start is {} offsets beyond \
             the end; write an offset from {start} to {end}, or leave the partition out to begin at its earliest record",
            at - end
        )));
    }
    if at < start {
        let gap = format!(
            "kafka.start.offsets: {partition} is to start at {at}, but its log begins at {start}: the {} offsets between are \
             not there (any more)",
            start - at
        );
        return Some(match kafka.on_data_loss {
            OnDataLoss::Fail => Finding::Lost(format!(
                "{gap}; write {start}, or set kafka.on_data_loss: record to have the gap written into the checkpoint"
            )),
            OnDataLoss::Record => Finding::Told(format!("{gap}, and are recorded as a gap")),
        });
    }
    None
}

/// Where a job without a position begins to read each partition.
///
/// Errors: what [`judge`] finds wrong.
pub(super) async fn resolve(
    kafka: &Kafka,
    cluster: &dyn Cluster,
    partitions: &[TopicPartition],
) -> Result<Offsets, RunError> {
    let places = cluster.starts(partitions, &kafka.start).await?;
    if matches!(kafka.start, Start::Earliest | Start::Latest) {
        return Ok(places);
    }
    let bounds = cluster.bounds(partitions).await?;
    let starts = bounds.iter().map(|(partition, log)| (partition.clone(), log.start)).collect();
    let ends: Offsets =
        bounds.iter().map(|(partition, log)| (partition.clone(), log.high_watermark)).collect();
    let (mut wrong, mut lost) = (Vec::new(), Vec::new());
    for finding in judge(kafka, &starts, &ends, Timestamp::now()) {
        match finding {
            Finding::Wrong(text) => wrong.push(text),
            Finding::Lost(text) => lost.push(text),
            Finding::Told(text) => tracing::warn!("{text}"),
        }
    }
    if !wrong.is_empty() {
        return Err(RunError::Config(wrong.join("\n"), None));
    }
    if !lost.is_empty() {
        return Err(RunError::refused(lost.join("\n")));
    }
    if let Start::Timestamp(_) = kafka.start {
        let at_end =
            places.iter().filter(|(partition, at)| ends.get(*partition).is_some_and(|end| *at >= end));
        let at_end = at_end.count();
        if at_end > 0 {
            tracing::info!(
                partitions = at_end,
                "no record is as new as kafka.start: these begin at their ends"
            );
        }
    }
    Ok(places)
}

/// What of the job file does not apply, as the job has a position: nothing, where
/// it says what the default does, or what was done.
pub(crate) fn not_applied(config: &Config, state: &Checkpoint) -> Vec<Finding> {
    let overwrite = (config.sink.mode == Mode::Overwrite).then(|| {
        Finding::Told("sink.mode: overwrite was for the first start; nothing is cleared any more".to_owned())
    });
    start_not_applied(&config.kafka.start, state).into_iter().chain(overwrite).collect()
}

fn start_not_applied(start: &Start, state: &Checkpoint) -> Option<Finding> {
    let applies = "it applies only where the job has no position";
    match start {
        Start::Earliest => None,
        Start::Latest | Start::Timestamp(_) => {
            Some(Finding::Told(format!("kafka.start was for the first start; {applies}")))
        }
        Start::Offsets(given) => {
            let named = given.iter().flat_map(|(topic, offsets)| {
                offsets
                    .iter()
                    .map(move |(partition, at)| (TopicPartition::new(topic.as_str(), *partition), *at))
            });
            let mut others = named.filter_map(|(partition, at)| {
                let began = state.partitions.get(&partition)?.start;
                (began != at).then(|| format!("{partition} began at {began}, not at {at}"))
            });
            let first = others.next()?;
            Some(Finding::Wrong(format!("kafka.start does not apply: {first}; {applies}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_sinks::PartitionState;

    use super::*;
    use crate::config::Origin;

    fn kafka(start: &str) -> Kafka {
        let text = format!(
            "job: j\nkafka: {{bootstrap_servers: 'h:1', topics: [t], {start}}}\nsink: {{url: 'file:///l', table: t}}\n"
        );
        Config::parse(&text, &Origin("job.yaml".into())).unwrap().kafka
    }

    fn judged(start: &str) -> Vec<Finding> {
        let offsets = |at: i64| (0..2).map(|n| (TopicPartition::new("t", n), at)).collect();
        judge(&kafka(start), &offsets(5), &offsets(9), "2026-01-31T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_start_that_cannot_be_meant_is_refused_with_the_place_and_the_remedy() {
        for (start, words) in [
            ("start: {offsets: {t: {0: 100}}}", ["t/0", "91 offsets beyond the end"]),
            ("start: {offsets: {t: {2: 5}}}", ["partition 2 of t", "2 partitions"]),
            ("start: {offsets: {u: {0: 5}}}", ["names u", "not among the job's topics"]),
            ("start: {timestamp: 2026-02-01T00:00:00Z}", ["future", "latest"]),
            ("start: {timestamp: 1769817600000000}", ["future", "milliseconds since 1970"]),
            ("start: {timestamp: 9223372036854775807}", ["future", "beyond the year 9999"]),
        ] {
            let found = judged(start);
            let [Finding::Wrong(text)] = found.as_slice() else { panic!("{start}: {found:?}") };
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
        for start in ["start: latest", "start: {offsets: {t: {0: 5, 1: 9}}}", "start: {timestamp: 0}"] {
            assert_eq!(judged(start), [], "{start}");
        }
    }

    #[test]
    fn a_start_before_the_log_is_a_loss_that_is_refused_or_recorded() {
        let start = "start: {offsets: {t: {1: 2}}}";
        let found = judged(start);
        assert!(
            matches!(found.as_slice(), [Finding::Lost(text)] if text.contains("3 offsets") && text.contains("write 5")),
            "{found:?}"
        );
        let found = judged(&format!("{start}, on_data_loss: record"));
        assert!(matches!(found.as_slice(), [Finding::Told(text)] if text.contains("gap")), "{found:?}");
    }

    #[test]
    fn seconds_that_are_taken_for_milliseconds_are_told() {
        let found = judged("start: {timestamp: 1769817600}");
        assert!(
            matches!(found.as_slice(), [Finding::Told(text)] if text.contains("1769817600000")),
            "{found:?}"
        );
    }

    #[test]
    fn a_start_beside_a_position_is_told_where_it_says_otherwise() {
        let began = PartitionState { start: 5, next: 7, rows: 2 };
        let state =
            Checkpoint::first("j", Timestamp::UNIX_EPOCH, [(TopicPartition::new("t", 0), began)].into());
        let said = |start: &str| start_not_applied(&kafka(start).start, &state);
        assert_eq!(said("start: earliest"), None);
        assert_eq!(said("start: {offsets: {t: {0: 5, 1: 3}}}"), None);
        assert!(matches!(said("start: latest"), Some(Finding::Told(_))));
        let Some(Finding::Wrong(text)) = said("start: {offsets: {t: {0: 6}}}") else { panic!() };
        assert!(text.contains("t/0 began at 5, not at 6"), "{text}");
    }
}
