//! What a platform asks: whether the process lives, whether it is ready, and its metrics. Open to everybody.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;

use super::Shown;
use crate::replica::status::Status;
use crate::replica::status::overview::verdict;
use crate::replica::status::verdict::Verdict;

pub(super) fn routes() -> Router<Shown> {
    Router::new().route("/livez", get(live)).route("/readyz", get(ready)).route("/metrics", get(prometheus))
}

async fn live(State(shown): State<Shown>) -> Response {
    match shown.status.is_lost() {
        false => "ok".into_response(),
        true => (StatusCode::SERVICE_UNAVAILABLE, "a task of the process is lost; it ends").into_response(),
    }
}

async fn ready(State(shown): State<Shown>) -> Response {
    let (config, now) = (shown.status.in_force(&shown.config), Timestamp::now());
    let verdict = verdict(&config, &shown.status, now);
    match readiness(&shown.status, &verdict, now, config.http.ready_max_commit_age) {
        Ok(()) => "ok".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

/// Why the replica is not ready, as of `now`: a line for each reason. A `max_age` of zero sets no limit.
fn readiness(status: &Status, verdict: &Verdict, now: Timestamp, max_age: Duration) -> Result<(), String> {
    let state = match (status.started(), status.stopping()) {
        (_, true) => Some("stopping".to_owned()),
        (false, _) => Some("starting".to_owned()),
        (true, false) => None,
    };
    let unready = verdict.unready().map(|finding| format!("{}: {}", finding.code, finding.text));
    let reasons: Vec<_> = state.into_iter().chain(unready).collect();
    if !reasons.is_empty() {
        return Err(reasons.join("\n"));
    }
    let Some(since) = status.behind_since().filter(|_| !max_age.is_zero()) else { return Ok(()) };
    // A quiet topic's last commit is old by right: the age counts from when there was something to commit.
    let since = status.last_commit().map_or(since, |commit| commit.created.max(since));
    let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    if age <= max_age {
        return Ok(());
    }
    Err(format!("behind, and without a commit for {} s (at most {} s)", age.as_secs(), max_age.as_secs()))
}

async fn prometheus(State(shown): State<Shown>) -> Response {
    let verdict = verdict(&shown.status.in_force(&shown.config), &shown.status, Timestamp::now());
    let text = shown.metrics.render(&shown.status, &verdict);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidegate_sinks::TopicPartition;

    use super::*;
    use crate::replica::status::conditions::Cause;
    use crate::replica::status::verdict::{Finding, Level};
    use crate::replica::status::{LastCommit, PartitionStatus};

    fn well() -> Verdict {
        Verdict { level: Level::Ok, problems: Vec::new() }
    }

    /// Whatever the page calls bad, the platform is told as well, each with its reason.
    #[test]
    fn what_is_bad_makes_a_replica_unready_and_a_warning_does_not() {
        let status = Status::default();
        status.set_started();
        let found = |level, code, text: &str| Finding {
            level,
            code,
            subject: String::new(),
            text: text.to_owned(),
            remedy: String::new(),
        };
        let ready = |problems| {
            let verdict = Verdict { level: Level::Bad, problems };
            readiness(&status, &verdict, Timestamp::now(), Duration::ZERO)
        };
        let missing = found(Level::Bad, Cause::TopicMissing.code(), "Topic orders does not exist.");
        let slow = found(Level::Warn, "falling_behind", "Falling behind.");
        assert_eq!(ready(vec![slow.clone()]), Ok(()));
        assert_eq!(
            ready(vec![missing, found(Level::Bad, "no_checkpoint", "No checkpoint."), slow]),
            Err("topic_missing: Topic orders does not exist.\nno_checkpoint: No checkpoint.".into())
        );
        assert_eq!(ready(Vec::new()), Ok(()));
    }

    #[test]
    fn ready_from_start_to_stop_unless_commits_stall_behind() {
        let status = Status::default();
        let now = Timestamp::now();
        let minute = Duration::from_secs(60);
        assert_eq!(readiness(&status, &well(), now, minute), Err("starting".into()));
        status.set_started();
        assert_eq!(readiness(&status, &well(), now, minute), Ok(()), "waits idle without a partition");

        let created = now - Duration::from_secs(3_600);
        status.set_last_commit(LastCommit { checkpoint: 1, created });
        let end_is = |end, now| {
            let partition =
                PartitionStatus { next: Some(5), last_stable_offset: Some(end), high_watermark: None };
            status.set_partitions(BTreeMap::from([(TopicPartition::new("t", 0), partition)]));
            status.note_lag(now);
        };
        end_is(5, now);
        assert_eq!(
            readiness(&status, &well(), now, minute),
            Ok(()),
            "an old commit without lag is a quiet topic"
        );
        end_is(6, now);
        assert_eq!(
            readiness(&status, &well(), now + minute, minute),
            Ok(()),
            "the age counts from when lag began"
        );
        let later = now + Duration::from_secs(61);
        end_is(7, later);
        assert!(readiness(&status, &well(), later, minute).is_err());
        assert_eq!(readiness(&status, &well(), later, Duration::ZERO), Ok(()), "no limit");
        status.set_last_commit(LastCommit { checkpoint: 2, created: later });
        assert_eq!(readiness(&status, &well(), later + minute, minute), Ok(()), "behind, but with commits");
        end_is(5, later + minute);
        end_is(6, later + minute * 2);
        assert_eq!(readiness(&status, &well(), later + minute * 3, minute), Ok(()), "a new lag");
        status.set_paused(true);
        end_is(6, later + minute * 9);
        status.set_paused(false);
        end_is(6, later + minute * 10);
        assert_eq!(readiness(&status, &well(), later + minute * 10, minute), Ok(()), "a pause is no stall");
        assert!(readiness(&status, &well(), later + minute * 11, minute).is_err());

        status.set_stopping();
        assert_eq!(readiness(&status, &well(), now, Duration::ZERO), Err("stopping".into()));
    }
}
