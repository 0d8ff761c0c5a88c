//! Timeouts that must fit one another. A job whose timeouts do not fit works until the day one of them is
//! needed: they are checked before the first record, and each finding names both numbers and the fix. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use humantime::format_duration;
use serde::Serialize;

use crate::config::Config;
use crate::config::kafka::{SOCKET, TRANSACTION_SLACK, message_timeout};
use crate::kafka::BrokerLimits;

/// Kubernetes' `terminationGracePeriodSeconds` where nobody sets it.
const KILL_DELAY_DEFAULT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The job must not start.
    Error,
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The key of the job file that the fix belongs to.
    pub key: String,
    /// Both numbers with their keys.
    pub problem: String,
    /// The fix.
    pub remedy: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

/// How long the platform waits between SIGTERM and SIGKILL: `TIDEGATE_KILL_DELAY`, or Kubernetes' 30 s.
pub fn kill_delay() -> Duration {
    let Ok(delay) = std::env::var("TIDEGATE_KILL_DELAY") else { return KILL_DELAY_DEFAULT };
    humantime::parse_duration(&delay).unwrap_or_else(|_| {
        tracing::warn!(delay, "TIDEGATE_KILL_DELAY is not a duration such as 30s; 30s is assumed");
        KILL_DELAY_DEFAULT
    })
}

/// Checks the job's timeouts against each other, against `client` (from [`crate::config::client_properties`])
/// and, where it is known, the broker.
pub fn check(
    config: &Config,
    client: &BTreeMap<String, String>,
    broker: Option<&BrokerLimits>,
    kill_delay: Duration,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (timeouts, kafka) = (&config.timeouts, &config.kafka);
    let property = |key: &'static str, default| {
        let milliseconds = client.get(key).and_then(|value| value.parse().ok()).unwrap_or(default);
        Named { key: format!("kafka.properties.{key}"), value: Duration::from_millis(milliseconds) }
    };
    let own = |key: &str, value| Named { key: key.to_owned(), value };

    let store_request = own("timeouts.store_request", timeouts.store_request);
    let store_retry = own("timeouts.store_retry", timeouts.store_retry);
    let checkpoint = own("checkpoint.timeout", config.checkpoint.timeout);
    // What stands between two that contradict each other may be a default, which nobody wrote.
    findings.extend(match below(&store_request, &checkpoint) {
        Some(outer) => vec![outer],
        None => [below(&store_request, &store_retry), below(&store_retry, &checkpoint)]
            .into_iter()
            .flatten()
            .collect(),
    });

    let poll = property("max.poll.interval.ms", 300_000);
    let session = property("session.timeout.ms", 45_000);
    findings.extend(below(&own("timeouts.revoke", timeouts.revoke), &poll));
    let heartbeat = property("heartbeat.interval.ms", 3_000);
    findings.extend(match below(&heartbeat, &poll) {
        Some(outer) => vec![outer],
        None => [below(&heartbeat, &session), at_most(&session, &poll)].into_iter().flatten().collect(),
    });

    let stop = own("timeouts.stop", timeouts.stop);
    let kill = own("the platform's kill delay", kill_delay);
    findings.extend(below(&stop, &kill).map(|finding| Finding {
        severity: Severity::Warning,
        remedy: format!(
            "lower timeouts.stop, or raise the delay (terminationGracePeriodSeconds) and set TIDEGATE_KILL_DELAY \
             to it: otherwise the last checkpoint is killed, and its records are read again ({})",
            finding.remedy
        ),
        ..finding
    }));

    let transaction = own("kafka.transaction_timeout", kafka.transaction_timeout);
    let mut socket = property("socket.timeout.ms", 60_000);
    // One that nobody set gives way where transactions are made.
    if kafka.properties.contains_key("socket.timeout.ms") || socket.value != SOCKET {
        socket.value += TRANSACTION_SLACK;
        socket.key += " + 100ms";
        findings.extend(at_most(&socket, &transaction));
    }
    if let Some(value) = message_timeout(&kafka.properties) {
        findings.extend(at_most(&own("kafka.properties.message.timeout.ms", value), &transaction));
    }
    if let Some(broker) = broker {
        let limit = |key: &str, value| Named { key: format!("the broker's {key}"), value };
        let most = limit("transaction.max.timeout.ms", broker.transaction_max_timeout);
        findings.extend(at_most(&transaction, &most));
        let least = limit("group.min.session.timeout.ms", broker.group_min_session_timeout);
        findings.extend(at_most(&least, &session));
        let most = limit("group.max.session.timeout.ms", broker.group_max_session_timeout);
        findings.extend(at_most(&session, &most));
    }
    findings
}

struct Named {
    key: String,
    value: Duration,
}

fn below(low: &Named, high: &Named) -> Option<Finding> {
    (low.value >= high.value).then(|| finding(low, high, "is not below"))
}

fn at_most(low: &Named, high: &Named) -> Option<Finding> {
    (low.value > high.value).then(|| finding(low, high, "is above"))
}

fn finding(low: &Named, high: &Named, relation: &str) -> Finding {
    let [low_value, high_value] = [low, high].map(|named| format_duration(named.value));
    // A side whose name holds a blank is not a plain key of the job file, so the fix goes to the other one
    // first.
    let fixed = if low.key.contains(' ') { &high.key } else { &low.key };
    Finding {
        severity: Severity::Error,
        key: fixed.clone(),
        problem: format!("{} ({low_value}) {relation} {} ({high_value})", low.key, high.key),
        remedy: format!("lower {} or raise {}", low.key.trim_end_matches(" + 100ms"), high.key),
    }
}
