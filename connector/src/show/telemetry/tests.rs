use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tidegate_sinks::TopicPartition;

use super::*;
use crate::limits::PARTITION_METRICS_MAX_COUNT;
use crate::replica::status::conditions::Cause;
use crate::replica::status::verdict::{Finding, Level};
use crate::replica::status::{LatencyCounts, PartitionStatus, Standing};

fn rendered(status: &Status, record: impl FnOnce()) -> String {
    let recorder = recorder().unwrap();
    let metrics = Metrics { recorded: recorder.handle(), job: "or\"ders".into() };
    metrics::with_local_recorder(&recorder, || {
        describe();
        record();
    });
    let conditions = status.conditions().into_iter().map(|held| Finding {
        level: Level::Bad,
        code: held.cause.code(),
        subject: held.subject,
        text: held.text,
        remedy: String::new(),
    });
    metrics.render(status, &Verdict { level: Level::Ok, problems: conditions.collect() })
}

fn assert_shows(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|shown| shown == *line), "{line} in\n{text}");
    }
}

#[test]
fn the_promised_names_are_shown() {
    let status = Status::default();
    let mut counts = LatencyCounts::default();
    counts.add(Duration::from_millis(600), 10);
    status.add_latency(&counts);
    let through = Some(Timestamp::from_millisecond(1_500).unwrap());
    status.set_standing(Standing { complete_through: through, open_transactions: Vec::new() });
    let text = rendered(&status, || {
        THROTTLED_MILLISECONDS.counter().increment(1_500);
        crate::metrics::LAG_RECORDS.gauge_of("to", "lso").set(7.0);
    });
    assert_shows(
        &text,
        &[
            "# TYPE tidegate_records_read_total counter",
            "tidegate_records_read_total 0",
            "tidegate_store_requests_total{operation=\"put_if_absent\"} 0",
            "tidegate_source_wait_seconds_count 0",
            "# TYPE tidegate_throttled_seconds_total counter",
            "tidegate_throttled_seconds_total 1.5",
            "tidegate_lag_records{to=\"lso\"} 7",
            "# TYPE tidegate_record_latency_seconds histogram",
            "tidegate_record_latency_seconds_bucket{le=\"0.5\"} 0",
            "tidegate_record_latency_seconds_bucket{le=\"0.75\"} 10",
            "tidegate_record_latency_seconds_bucket{le=\"+Inf\"} 10",
            "tidegate_record_latency_seconds_sum 6",
            "tidegate_record_latency_seconds_count 10",
            "tidegate_complete_through_timestamp_seconds 1.5",
            concat!(
                "tidegate_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\",tidegate_job=\"or\\\"ders\"} 1"
            ),
        ],
    );
    assert!(!text.contains("milliseconds"), "{text}");
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
}

#[test]
fn a_job_that_holds_is_stopped_until_it_starts_again() {
    let status = Status::default();
    let assert_stopped = |stopped: u8| {
        let text = rendered(&status, || {});
        assert_shows(&text, &["tidegate_paused 0", &format!("tidegate_stopped {stopped}")]);
    };
    assert_stopped(0);
    status.set_holding();
    assert_stopped(1);
    status.set_starting();
    assert_stopped(0);
}

#[test]
fn a_replica_that_is_not_ready_shows_each_reason_and_what_it_is_about() {
    let status = Status::default();
    assert_shows(&rendered(&status, || {}), &["tidegate_ready 0"]);
    status.set_started();
    let text = rendered(&status, || {});
    assert_shows(&text, &["tidegate_ready 1"]);
    assert!(!text.contains("tidegate_unready{"), "{text}");
    let missing = BTreeMap::from([("orders".to_owned(), "topic orders does not exist".to_owned())]);
    status.set_conditions(Cause::TopicMissing, missing, Timestamp::now());
    assert_shows(
        &rendered(&status, || {}),
        &["tidegate_ready 0", "tidegate_unready{reason=\"topic_missing\",subject=\"orders\"} 1"],
    );
}

#[test]
fn names_are_told_apart() {
    let names: Vec<_> = crate::metrics::names().collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}

#[test]
fn a_partition_is_shown_while_it_is_held_and_too_many_are_not() {
    let status = Status::default();
    let partition = PartitionStatus { next: Some(5), last_stable_offset: Some(7), high_watermark: Some(9) };
    let hold = |count: usize| {
        let partitions = (0..count).map(|number| (TopicPartition::new("t", number as i32), partition));
        status.set_partitions(partitions.collect::<BTreeMap<_, _>>());
        rendered(&status, || {})
    };
    assert_shows(
        &hold(2),
        &[
            "tidegate_partition_lag_records{topic=\"t\",partition=\"1\",to=\"lso\"} 2",
            "tidegate_partition_lag_records{topic=\"t\",partition=\"1\",to=\"hw\"} 4",
            "tidegate_partition_position{topic=\"t\",partition=\"1\"} 5",
        ],
    );
    assert!(!hold(1).contains("partition=\"1\""), "revoked");
    assert!(hold(PARTITION_METRICS_MAX_COUNT).contains("partition=\"999\""));
    assert!(!hold(PARTITION_METRICS_MAX_COUNT + 1).contains("partition="));
    let text = hold(0);
    assert!(!text.contains("tidegate_complete_through_timestamp_seconds"), "not known: {text}");
}

/// A chart or an alert on a metric that does not exist shows nothing, and nobody notices.
#[test]
fn dashboard_and_alerts_ask_only_for_metrics_that_exist() {
    let known: BTreeSet<_> = crate::metrics::names().collect();
    let mut asked = BTreeSet::new();
    for text in [
        include_str!("../../../../config/monitoring/dashboard.json"),
        include_str!("../../../../config/monitoring/alerts.yml"),
        include_str!("../../../../config/monitoring/alerts.test.yml"),
    ] {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics = words.filter(|word| word.starts_with("tidegate_") || word.starts_with("process_"));
        for word in metrics.filter(|word| *word != "tidegate_job") {
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
            let name = name.filter(|name| known.contains(name)).unwrap_or(word);
            assert!(known.contains(name), "{word} does not exist");
            asked.insert(name);
        }
    }
    let unused: Vec<_> = known.difference(&asked).collect();
    assert!(unused.is_empty(), "neither shown nor watched: {unused:?}");
}
