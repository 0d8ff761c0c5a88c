//! What is tried again and again until it succeeds.

use std::fmt::Display;
use std::time::Duration;

use tidegate_sinks::Error;
use tokio::time::Instant;

/// From then on it is told: a first failure may pass.
const TOLD_AFTER: Duration = Duration::from_secs(20);
/// The pause before the next try doubles so often at most: from one second to 16.
const DOUBLINGS: u32 = 4;

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Tries {
    failures: u32,
    since: Option<Instant>,
    newest: String,
}

impl Tries {
    pub(super) fn failed(&mut self, error: &impl Display) {
        self.failures = self.failures.saturating_add(1);
        self.since.get_or_insert_with(Instant::now);
        self.newest = error.to_string();
    }

    /// By an error of a sink, whose cause is told as well: it mostly says what to do.
    pub(super) fn failed_in_sink(&mut self, error: &Error) {
        match &error.source {
            Some(source) => self.failed(&format_args!("{error}: {source}")),
            None => self.failed(error),
        }
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(super) fn are_failing(&self) -> bool {
        self.failures > 0
    }

    /// Before the next try.
    pub(super) fn pause(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => Duration::from_secs(1 << (failures - 1).min(DOUBLINGS)),
        }
    }

    /// The newest error, when nothing has succeeded for long enough to be told.
    pub(super) fn repeated(&self) -> Option<&str> {
        let long = if self.failures > 1 { TOLD_AFTER } else { TOLD_AFTER * 2 };
        self.newest().filter(|_| self.since.is_some_and(|since| since.elapsed() >= long))
    }

    pub(super) fn newest(&self) -> Option<&str> {
        self.are_failing().then_some(self.newest.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_of_a_sink_is_told_with_its_cause() {
        let error = Error::new(tidegate_sinks::Kind::Retry, "moving a file");
        let mut tries = Tries::default();
        tries.failed_in_sink(&error.with_source(std::io::Error::other("no room")));
        assert_eq!(tries.newest(), Some("moving a file: no room"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_again_for_a_while_is_told_until_it_succeeds() {
        let mut tries = Tries::default();
        assert_eq!((tries.repeated(), tries.pause()), (None, Duration::ZERO));
        tries.failed(&"no room");
        tokio::time::sleep(TOLD_AFTER).await;
        assert_eq!(tries.repeated(), None, "once may be chance, and the next try is under way");
        tries.failed(&"still no room");
        assert_eq!((tries.repeated(), tries.pause()), (Some("still no room"), Duration::from_secs(2)));
        tries.succeeded();
        tries.failed(&"no room");
        tries.failed(&"no room");
        assert_eq!(tries.repeated(), None, "it has just begun");
        for _ in 0..9 {
            tries.failed(&"no room");
        }
        assert_eq!(tries.pause(), Duration::from_secs(16));
    }
}
