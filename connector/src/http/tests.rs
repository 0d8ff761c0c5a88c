use std::collections::BTreeMap;

use tidegate_sinks::TopicPartition;

use super::*;
use crate::status::{LastCommit, PartitionStatus};

fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
}

#[test]
fn only_names_of_this_machine_are_local() {
    for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"] {
        assert!(is_local(&headers(&[(header::HOST, host)])), "{host}");
    }
    for host in ["evil.example", "evil.example:8080", "10.0.0.1", "localhost.evil.example", "", "[::2]:80"] {
        assert!(!is_local(&headers(&[(header::HOST, host)])), "{host}");
    }
    assert!(!is_local(&HeaderMap::new()), "no host");
    let with_origin = |origin| is_local(&headers(&[(header::HOST, "localhost"), (header::ORIGIN, origin)]));
    assert!(with_origin("http://localhost:3000"));
    assert!(!with_origin("https://evil.example"));
    assert!(!with_origin("null"));
}

#[test]
fn ready_from_start_to_stop_unless_commits_stall_behind() {
    let status = Status::default();
    let now = Timestamp::now();
    let minute = Duration::from_secs(60);
    assert_eq!(readiness(&status, now, minute), Err("starting".into()));
    status.set_started();
    assert_eq!(readiness(&status, now, minute), Ok(()), "waits idle without a partition");

    let created = now - Duration::from_secs(61);
    status.set_last_commit(LastCommit { checkpoint: 1, created });
    let partition =
        |end| PartitionStatus { next: Some(5), last_stable_offset: Some(end), high_watermark: None };
    status.set_partitions(BTreeMap::from([(TopicPartition::new("t", 0), partition(5))]));
    assert_eq!(readiness(&status, now, minute), Ok(()), "an old commit without lag is a quiet topic");
    status.set_partitions(BTreeMap::from([(TopicPartition::new("t", 0), partition(6))]));
    assert!(readiness(&status, now, minute).is_err());
    assert_eq!(readiness(&status, now, Duration::ZERO), Ok(()), "no limit");

    status.set_stopping();
    assert_eq!(readiness(&status, now, Duration::ZERO), Err("stopping".into()));
}
