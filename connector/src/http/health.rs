//! What a platform asks: whether the process lives, whether it is ready, and its metrics. Open to everybody.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;

use super::Shown;
use crate::status::Status;

pub(super) fn routes() -> Router<Shown> {
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus))
}

async fn ready(State(shown): State<Shown>) -> Response {
    match readiness(&shown.status, Timestamp::now(), shown.config.http.ready_max_commit_age) {
        Ok(()) => "ok".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

/// Why the replica is not ready, as of `now`. A `max_age` of zero sets no limit.
fn readiness(status: &Status, now: Timestamp, max_age: Duration) -> Result<(), String> {
    if !status.started() {
        return Err("starting".into());
    }
    if status.stopping() {
        return Err("stopping".into());
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
    let text = shown.metrics.render(&shown.status);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidegate_sinks::TopicPartition;

    use super::*;
    use crate::status::{LastCommit, PartitionStatus};

    #[test]
    fn ready_from_start_to_stop_unless_commits_stall_behind() {
        let status = Status::default();
        let now = Timestamp::now();
        let minute = Duration::from_secs(60);
        assert_eq!(readiness(&status, now, minute), Err("starting".into()));
        status.set_started();
        assert_eq!(readiness(&status, now, minute), Ok(()), "waits idle without a partition");

        let created = now - Duration::from_secs(3_600);
        status.set_last_commit(LastCommit { checkpoint: 1, created });
        let end_is = |end, now| {
            let partition =
                PartitionStatus { next: Some(5), last_stable_offset: Some(end), high_watermark: None };
            status.set_partitions(BTreeMap::from([(TopicPartition::new("t", 0), partition)]));
            status.note_lag(now);
        };
        end_is(5, now);
        assert_eq!(readiness(&status, now, minute), Ok(()), "an old commit without lag is a quiet topic");
        end_is(6, now);
        assert_eq!(readiness(&status, now + minute, minute), Ok(()), "the age counts from when lag began");
        let later = now + Duration::from_secs(61);
        end_is(7, later);
        assert!(readiness(&status, later, minute).is_err());
        assert_eq!(readiness(&status, later, Duration::ZERO), Ok(()), "no limit");
        status.set_last_commit(LastCommit { checkpoint: 2, created: later });
        assert_eq!(readiness(&status, later + minute, minute), Ok(()), "behind, but with commits");
        end_is(5, later + minute);
        end_is(6, later + minute * 2);
        assert_eq!(readiness(&status, later + minute * 3, minute), Ok(()), "a new lag");
        status.set_paused(true);
        end_is(6, later + minute * 9);
        status.set_paused(false);
        end_is(6, later + minute * 10);
        assert_eq!(readiness(&status, later + minute * 10, minute), Ok(()), "a pause is no stall");
        assert!(readiness(&status, later + minute * 11, minute).is_err());

        status.set_stopping();
        assert_eq!(readiness(&status, now, Duration::ZERO), Err("stopping".into()));
    }
}
