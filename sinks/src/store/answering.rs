//! Whether the stores of this process answer. Requests are repeated where they are made, for as long as
//! `timeouts.store_retry`, and nobody above hears of it meanwhile.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of all object stores of the process together.
static ALL: Mutex<Answering> = Mutex::new(Answering { asked: 0, unanswered_since: None, newest: None });

#[derive(Debug)]
struct Answering {
    /// Requests under way.
    asked: u64,
    /// Since when something has been asked and nothing was answered.
    unanswered_since: Option<Instant>,
    /// What came instead of an answer, last.
    newest: Option<String>,
}

impl Answering {
    fn ask(&mut self, now: Instant) {
        self.asked += 1;
        self.unanswered_since.get_or_insert(now);
    }

    fn answered(&mut self, now: Instant) {
        self.asked = self.asked.saturating_sub(1);
        self.unanswered_since = (self.asked > 0).then_some(now);
        self.newest = None;
    }

    fn failed(&mut self, what: Option<String>) {
        self.asked = self.asked.saturating_sub(1);
        if what.is_none() && self.asked == 0 && self.newest.is_none() {
            // Given up by whoever asked, before it had failed.
            self.unanswered_since = None;
        }
        self.newest = what.or(self.newest.take());
    }
}

fn all() -> MutexGuard<'static, Answering> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long no store has answered anything though it was asked, and what came
/// instead: a status, or a kind of error. An answer that refuses is one.
pub fn unanswered() -> Option<(Duration, Option<String>)> {
    let all = all();
    Some((all.unanswered_since?.elapsed(), all.newest.clone()))
}

/// A request under way. Dropped, it was given up.
#[derive(Debug)]
pub(super) struct Asked(Option<()>);

impl Asked {
    pub(super) fn now() -> Self {
        all().ask(Instant::now());
        Self(Some(()))
    }

    pub(super) fn answered(mut self) {
        self.0 = None;
        all().answered(Instant::now());
    }

    pub(super) fn failed(mut self, what: String) {
        self.0 = None;
        all().failed(Some(what));
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.0.take().is_some() {
            all().failed(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_silent_from_the_first_request_that_nothing_answers_until_one_is() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut store = Answering { asked: 0, unanswered_since: None, newest: None };
        store.ask(at(0));
        store.answered(at(1));
        assert_eq!(store.unanswered_since, None, "nothing is asked");
        store.ask(at(2));
        store.ask(at(3));
        store.failed(Some("status 503".into()));
        assert_eq!((store.unanswered_since, store.newest.as_deref()), (Some(at(2)), Some("status 503")));
        store.failed(None);
        assert_eq!(store.unanswered_since, Some(at(2)), "given up, and still not answered");
        store.ask(at(9));
        store.ask(at(10));
        store.answered(at(11));
        assert_eq!(
            (store.unanswered_since, store.newest.as_deref()),
            (Some(at(11)), None),
            "one is under way"
        );
        store.failed(None);
        assert_eq!(store.unanswered_since, None, "given up before anything failed");
    }
}
