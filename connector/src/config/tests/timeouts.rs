//! Timeouts against each other, the client's properties and the broker.

use std::time::Duration;

use super::super::client_properties;
use super::super::timeouts::{BrokerLimits, Finding, Severity, check};
use super::{MINIMAL, parse, with};

const KILL_DELAY: Duration = Duration::from_secs(30);
const BROKER: BrokerLimits = BrokerLimits {
    transaction_max_timeout: Duration::from_secs(900),
    group_min_session_timeout: Duration::from_secs(6),
    group_max_session_timeout: Duration::from_secs(1_800),
};

fn findings(property: Option<(&str, &str)>, broker: BrokerLimits, kill_delay: Duration) -> Vec<Finding> {
    let config = parse(MINIMAL).unwrap();
    let mut client = client_properties(&config);
    client.extend(property.map(|(key, value)| (key.to_owned(), value.to_owned())));
    check(&config, &client, Some(&broker), kill_delay)
}

#[test]
fn the_defaults_fit_each_other_and_a_broker_with_its_own() {
    assert_eq!(findings(None, BROKER, KILL_DELAY), []);
}

#[test]
fn each_misfit_names_both_numbers_and_the_fix() {
    let short = BrokerLimits { transaction_max_timeout: Duration::from_secs(30), ..BROKER };
    let strict = BrokerLimits { group_min_session_timeout: Duration::from_secs(20), ..BROKER };
    let lax = BrokerLimits { group_max_session_timeout: Duration::from_secs(8), ..BROKER };
    let cases = [
        (
            Some(("max.poll.interval.ms", "12000")),
            BROKER,
            ["timeouts.revoke (15s)", "max.poll.interval.ms (12s)"],
        ),
        (Some(("heartbeat.interval.ms", "10000")), BROKER, ["heartbeat.interval.ms (10s)", "(10s)"]),
        (Some(("session.timeout.ms", "400000")), BROKER, ["session.timeout.ms (6m 40s)", "(5m)"]),
        (Some(("socket.timeout.ms", "60000")), BROKER, ["socket.timeout.ms + 100ms (1m 100ms)", "(1m)"]),
        (None, short, ["kafka.transaction_timeout (1m)", "transaction.max.timeout.ms (30s)"]),
        (None, strict, ["group.min.session.timeout.ms (20s)", "session.timeout.ms (10s)"]),
        (None, lax, ["group.max.session.timeout.ms (8s)", "session.timeout.ms (10s)"]),
    ];
    for (property, broker, parts) in cases {
        let found = findings(property, broker, KILL_DELAY);
        assert_eq!(found.len(), 1, "{property:?}: {found:?}");
        assert_eq!(found[0].severity, Severity::Error);
        for part in parts {
            assert!(found[0].problem.contains(part), "{part:?} is not in {}", found[0].problem);
        }
        assert!(found[0].remedy.contains("raise") || found[0].remedy.contains("lower"));
    }
}

#[test]
fn a_kill_delay_that_is_too_short_is_a_warning() {
    let found = findings(None, BROKER, Duration::from_secs(20));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].severity, Severity::Warning);
    assert!(found[0].problem.contains("(25s)") && found[0].problem.contains("(20s)"));
}

#[test]
fn the_chain_of_store_timeouts_is_checked_when_the_job_is_read() {
    let errors = parse(&with("{timeouts: {store_request: 5m}, checkpoint: {timeout: 4m}}")).unwrap_err();
    let text = errors.to_string();
    assert!(text.contains("timeouts.store_request (5m) is not below timeouts.store_retry (5m)"), "{text}");
    assert!(text.contains("timeouts.store_retry (5m) is not below checkpoint.timeout (4m)"), "{text}");
}

#[test]
fn the_client_gets_the_users_properties_and_never_loses_tidegates_own() {
    let config = parse(&with("{kafka: {properties: {session.timeout.ms: 20000, client.id: me}}}")).unwrap();
    let client = client_properties(&config);
    for (key, value) in [
        ("session.timeout.ms", "20000"),
        ("client.id", "me"),
        ("group.id", "tidegate-orders"),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("queued.max.messages.kbytes", "16384"),
        ("queued.min.messages", "32768"),
    ] {
        assert_eq!(client[key], value, "{key}");
    }
    assert!(!client.contains_key("topic.blacklist"));
    let known = client.into_iter().collect::<rdkafka::ClientConfig>();
    known.create_native_config().unwrap();
}

#[test]
fn a_pattern_never_reads_internal_topics() {
    let config = parse(&with("{kafka: {topics: null, topics_regex: '.*'}}")).unwrap();
    assert_eq!(client_properties(&config)["topic.blacklist"], "^__");
}
