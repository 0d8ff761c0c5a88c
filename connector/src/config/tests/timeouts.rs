//! Timeouts against each other, the client's properties and the broker.

use std::time::Duration;

use super::super::client_properties;
use super::super::timeouts::{Finding, Severity, check};
use super::{MINIMAL, parse, with};
use crate::kafka::BrokerLimits;

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
    let said = |addition: &str| parse(&with(addition)).unwrap_err().to_string();
    let text = said("{timeouts: {store_request: 5m}, checkpoint: {timeout: 4m}}");
    // What nobody wrote is not blamed.
    assert!(text.contains("timeouts.store_request (5m) is not below checkpoint.timeout (4m)"), "{text}");
    assert!(!text.contains("store_retry"), "{text}");
    let text = said("{timeouts: {store_request: 5m, store_retry: 5m}}");
    assert!(text.contains("timeouts.store_request (5m) is not below timeouts.store_retry (5m)"), "{text}");
    let text = said("{timeouts: {store_retry: 5m}, checkpoint: {timeout: 4m}}");
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

/// Every key and property that stands in a relation to another, alone, with the least and the most that
/// anybody means.
#[test]
fn whatever_is_set_alone_is_taken_and_the_defaults_give_way() {
    let keys = [
        ("timeouts.store_request", ["1ms", "30m"]),
        ("timeouts.store_retry", ["2ms", "12h"]),
        ("checkpoint.timeout", ["4ms", "1d"]),
        ("timeouts.revoke", ["1ms", "12h"]),
        ("timeouts.stop", ["1ms", "1d"]),
        ("timeouts.broker", ["1ms", "1d"]),
        ("kafka.transaction_timeout", ["1s", "1d"]),
        ("speed.channels", ["1", "1024"]),
        ("memory.limit", ["64MiB", "1TiB"]),
        ("checkpoint.interval", ["10ms", "1d"]),
        ("http.ready_max_commit_age", ["1ms", "1d"]),
    ];
    let properties = [
        ("session.timeout.ms", ["10", "3600000"]),
        ("heartbeat.interval.ms", ["1", "3599999"]),
        ("max.poll.interval.ms", ["10", "86400000"]),
        ("socket.timeout.ms", ["10", "300000"]),
        ("message.timeout.ms", ["1000", "2147483647"]),
        ("delivery.timeout.ms", ["1000", "2147483647"]),
        ("message.max.bytes", ["1000", "1000000000"]),
        ("fetch.max.bytes", ["1000", "2147483135"]),
        ("receive.message.max.bytes", ["1512", "2147483647"]),
        ("reconnect.backoff.ms", ["0", "3600000"]),
        ("reconnect.backoff.max.ms", ["0", "3600000"]),
        ("retry.backoff.ms", ["1", "300000"]),
        ("retry.backoff.max.ms", ["1", "300000"]),
        ("fetch.wait.max.ms", ["0", "300000"]),
        ("fetch.message.max.bytes", ["1", "1000000000"]),
        ("queued.min.messages", ["1", "10000000"]),
        ("metadata.max.age.ms", ["1", "86400000"]),
        ("topic.metadata.refresh.interval.ms", ["1000", "3600000"]),
    ];
    let keys = keys.iter().map(|(key, values)| ((*key).to_owned(), values));
    let properties = properties.iter().map(|(key, values)| (format!("kafka.properties {key}"), values));
    for (key, values) in keys.chain(properties) {
        for value in values {
            let path: Vec<&str> = match key.split_once(' ') {
                Some((_, property)) => vec!["kafka", "properties", property],
                None => key.split('.').collect(),
            };
            let yaml =
                path.iter().rev().fold(format!("'{value}'"), |inner, key| format!("{{{key}: {inner}}}"));
            let config = parse(&with(&yaml)).unwrap_or_else(|errors| panic!("{yaml}: {errors}"));
            let client = client_properties(&config);
            let found = check(&config, &client, None, Duration::MAX);
            assert_eq!(found, [], "{yaml}");
            let mut properties = rdkafka::ClientConfig::new();
            properties.extend(client.into_iter().filter(|(key, _)| key != "bootstrap.servers"));
            let consumer = properties.create::<rdkafka::consumer::BaseConsumer>();
            assert!(consumer.is_ok(), "{yaml}: {:?}", consumer.err());
        }
    }
}

#[test]
fn a_checkpoint_that_must_be_quick_needs_nothing_else_set() {
    let config = parse(&with("{checkpoint: {timeout: 60s}}")).unwrap();
    let timeouts = (config.timeouts.store_request, config.timeouts.store_retry, config.checkpoint.timeout);
    assert_eq!(timeouts, (Duration::from_secs(15), Duration::from_secs(30), Duration::from_secs(60)));
}

#[test]
fn a_number_of_the_client_is_taken_only_as_it_is_written() {
    for (property, value, remedy) in [
        ("session.timeout.ms", "6s", Some("write 6000 (milliseconds)")),
        ("max.poll.interval.ms", "300s", Some("write 300000 (milliseconds)")),
        ("fetch.max.bytes", "5MiB", Some("write 5242880 (bytes)")),
        ("queue.buffering.max.kbytes", "1MiB", Some("write 1024 (KiB)")),
        ("session.timeout.ms", "6 000", Some("plain number of milliseconds")),
        ("session.timeout.ms", "010000", Some("plain number of milliseconds")),
        ("session.timeout.ms", "0x2710", Some("plain number of milliseconds")),
        ("session.timeout.ms", "1e4", Some("plain number of milliseconds")),
        ("queued.min.messages", "1k", Some("write a plain number")),
        ("session.timeout.ms", "10000", None),
        ("client.id", "007", None),
        ("enable.ssl.certificate.verification", "false", None),
        ("topic.metadata.refresh.interval.ms", "-1", None),
    ] {
        let job = with(&format!("{{kafka: {{properties: {{{property}: '{value}'}}}}}}"));
        match (parse(&job), remedy) {
            (Ok(_), None) => {}
            (Err(errors), Some(remedy)) => {
                let text = errors.to_string();
                assert!(text.contains(property) && text.contains(remedy), "{text}");
            }
            (read, _) => panic!("{property}: {value}: {:?}", read.map(|_| ())),
        }
    }
}

#[test]
fn no_property_lets_uncommitted_records_in() {
    for property in ["api.version.request", "api.version.fallback.ms", "broker.version.fallback"] {
        for prefix in ["", "topic."] {
            let job = with(&format!("{{kafka: {{properties: {{{prefix}{property}: '0'}}}}}}"));
            let text = parse(&job).unwrap_err().to_string();
            assert!(text.contains(property) && text.contains("belongs to Tidegate"), "{text}");
        }
    }
}
