//! Takes over a job file that has changed while the job runs: on SIGHUP, and whenever its content is another
//! than at the last look. It is looked at by content, not by file, so an editor's new file and the swapped
//! link of a Kubernetes ConfigMap are seen alike.
//!
//! All or nothing: a file that does not check, or that changes a key which needs a
//! restart, leaves everything as it is.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::config::{Config, ConfigErrors, Origin, reload};
use crate::error;
use crate::logs;
use crate::replica::status::{Reload, Status};

/// A file that changes is looked at again after this: a writer may be in the middle of it.
const STANDS_STILL: Duration = Duration::from_millis(500);

/// Watches one job file.
#[derive(Debug)]
pub struct Reloader {
    pub origin: Origin,
    /// The text that was judged last; `None` where the file did not read.
    pub seen: Option<String>,
    pub in_force: watch::Sender<Arc<Config>>,
    pub status: Arc<Status>,
    /// Whether the job file decides the log level.
    pub sets_log_level: bool,
}

impl Reloader {
    /// Watches until the process ends.
    pub async fn watch(mut self, mut hangups: mpsc::Receiver<()>) {
        loop {
            let poll = self.in_force.borrow().control.poll;
            let text = tokio::select! {
                Some(()) = hangups.recv() => {
                    tracing::info!(file = %self.origin, "reading the job file again, as SIGHUP asks");
                    self.read().await
                }
                () = tokio::time::sleep(poll) => match self.changed().await {
                    Some(text) => text,
                    None => continue,
                }
            };
            self.seen = text.as_ref().ok().cloned();
            self.take_over(text.and_then(|text| Config::parse(&text, &self.origin)));
        }
    }

    /// What the file has now, if that is not what was seen before, and stands still.
    async fn changed(&self) -> Option<Result<String, ConfigErrors>> {
        let first = self.read().await;
        if first.as_ref().ok() == self.seen.as_ref() {
            return None;
        }
        tokio::time::sleep(STANDS_STILL).await;
        let second = self.read().await;
        (first == second).then_some(second)
    }

    async fn read(&self) -> Result<String, ConfigErrors> {
        let origin = self.origin.clone();
        tokio::task::spawn_blocking(move || Config::read(&origin))
            .await
            .expect("reading a file does not panic")
    }

    fn take_over(&self, read: Result<Config, ConfigErrors>) {
        let old = self.in_force.borrow().clone();
        let judged = read.map_err(|errors| errors.to_string()).and_then(|new| {
            let keys = reload(&old, &new).map_err(|refused| refused.to_string())?;
            if self.sets_log_level && keys.iter().any(|key| key == "log.level") {
                logs::set_level(&new.log.level).map_err(|error| error::words(error.as_ref()))?;
            }
            Ok((keys, Arc::new(new)))
        });
        let time = Timestamp::now();
        match judged {
            Ok((keys, new)) => {
                tracing::info!(file = %self.origin, changed = keys.join(", "), "the job file is in force as it is now");
                self.status.set_reload(Reload { time, keys, failure: None }, Some(new.clone()));
                self.in_force.send_replace(new);
            }
            Err(failure) => {
                tracing::error!(file = %self.origin, failure, "nothing of the job file as it is now is taken over");
                self.status.set_reload(Reload { time, keys: Vec::new(), failure: Some(failure) }, None);
            }
        }
    }
}

#[cfg(test)]
mod tests;
