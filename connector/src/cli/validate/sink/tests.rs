use tidegate_sinks::memory::Memory;
use tidegate_sinks::{Genesis, PartitionState, TopicPartition};

use super::*;
use crate::cli::validate::Verdict;
use crate::config::Origin;

fn config(more: &str) -> Config {
    let text = format!(
        "job: j\nkafka:\n  bootstrap_servers: b:1\n  topics: [t]\n{more}\nformat: {{type: raw}}\nsink:\n  type: files\n  \
         url: file:///nowhere\n  table: t\n"
    );
    Config::parse(&text, &Origin("job.yaml".into())).unwrap()
}

fn logs(start: i64, end: i64, committed: Option<i64>) -> Logs {
    let partition = TopicPartition::new("t", 0);
    Logs {
        cluster_id: Some("c".into()),
        topic_ids: [("t".into(), Some("another".to_owned()))].into(),
        starts: [(partition.clone(), start)].into(),
        ends: [(partition.clone(), end)].into(),
        committed: committed.map(|offset| (partition, offset)).into_iter().collect(),
    }
}

fn state(next: i64) -> Checkpoint {
    let partitions = [(TopicPartition::new("t", 0), PartitionState { start: 0, next, rows: 0 })].into();
    Checkpoint {
        n: 3,
        cluster_id: Some("c".into()),
        ..Checkpoint::first("j", jiff::Timestamp::UNIX_EPOCH, partitions)
    }
}

/// With what the sink held before the logs were looked at; by then it is as it is now.
async fn verdict_of(
    sink: &Memory,
    config: &Config,
    state: Option<Checkpoint>,
    logs: &Logs,
) -> (Verdict, String) {
    let checks = of_chain(config, sink, Ok(state.map(Arc::new)), Some(logs)).await;
    assert_eq!(checks.len(), 1, "{checks:?}");
    (checks[0].result, checks[0].detail.clone())
}

async fn verdict(config: &Config, state: Option<Checkpoint>, logs: &Logs) -> (Verdict, String) {
    verdict_of(&Memory::new("j"), config, state, logs).await
}

#[tokio::test]
async fn a_position_within_the_log_is_fine() {
    for next in [10, 15, 20] {
        assert_eq!(verdict(&config(""), Some(state(next)), &logs(10, 20, Some(5))).await.0, Verdict::Ok);
    }
}

#[tokio::test]
async fn a_position_outside_the_log_is_named_with_its_offsets() {
    let (verdict_above, detail) = verdict(&config(""), Some(state(21)), &logs(10, 20, None)).await;
    assert_eq!(verdict_above, Verdict::Failed);
    assert!(detail.contains("t/0") && detail.contains("21") && detail.contains("20"), "{detail}");
    let (verdict_below, detail) = verdict(&config(""), Some(state(9)), &logs(10, 20, None)).await;
    assert_eq!(verdict_below, Verdict::Failed);
    assert!(detail.contains("on_data_loss"), "{detail}");
    let accepting = config("  on_data_loss: record");
    assert_eq!(verdict(&accepting, Some(state(9)), &logs(10, 20, None)).await.0, Verdict::Warning);
    assert_eq!(
        verdict(&accepting, Some(state(21)), &logs(10, 20, None)).await.0,
        Verdict::Failed,
        "above always stops"
    );
}

#[tokio::test]
async fn a_recreated_topic_is_refused_until_it_is_given_up() {
    let mut state = state(5);
    state.pinned = serde_json::json!({"topics": {"t": {"id": "the first"}}});
    let (verdict_before, detail) = verdict(&config(""), Some(state.clone()), &logs(0, 20, None)).await;
    assert_eq!(verdict_before, Verdict::Failed);
    for word in ["recreated", "the first", "another", "--forget-topic t"] {
        assert!(detail.contains(word), "{word}: {detail}");
    }
    state.pinned["topics"]["t"]["given_up"] = "2026-11-28T10:00:00Z".into();
    // Its position is above the new log's end.
    let (verdict, detail) = verdict(&config(""), Some(state), &logs(0, 2, None)).await;
    assert_eq!(verdict, Verdict::Warning);
    assert!(detail.contains("given up at 2026-11-28T10:00:00Z"), "{detail}");
}

#[tokio::test]
async fn another_cluster_is_refused() {
    let mut other = logs(0, 20, None);
    other.cluster_id = Some("d".into());
    let (verdict, detail) = verdict(&config(""), Some(state(5)), &other).await;
    assert_eq!(verdict, Verdict::Failed);
    assert!(detail.contains("cluster c") && detail.contains('d'), "{detail}");
}

#[tokio::test]
async fn a_group_that_has_read_without_a_checkpoint_is_a_lost_chain() {
    assert_eq!(verdict(&config(""), None, &logs(0, 20, None)).await.0, Verdict::Ok);
    let (verdict, detail) = verdict(&config(""), None, &logs(0, 20, Some(7))).await;
    assert_eq!(verdict, Verdict::Failed);
    assert!(detail.contains("--new-incarnation"), "{detail}");

    // Unless a replica has begun it in between.
    let sink = Memory::new("j");
    sink.begin_chain(Genesis::default()).await.unwrap();
    let (verdict, detail) = verdict_of(&sink, &config(""), None, &logs(0, 20, Some(7))).await;
    assert_eq!((verdict, &*detail), (Verdict::Ok, "checkpoint 1, 0 partitions"));
}
