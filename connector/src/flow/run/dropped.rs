//! What was read and not committed, when it is dropped: the staged files of attempts
//! that were never sent go as soon as nothing writes to them any more. Nobody else
//! may remove them before the position has passed them, which it may never do: where
//! there is no room left, each attempt would take what the one before has left of it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tidegate_sinks::{CommitId, Sink};

use crate::tasks;

/// How long reading again waits for it. What takes longer goes on beside.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Dropped {
    /// Never sent, so never in force.
    attempts: Vec<CommitId>,
    /// Ends when nothing is written to any of them.
    quiet: BoxFuture<'static, ()>,
}

impl Dropped {
    pub(super) fn new(attempts: Vec<CommitId>, quiet: BoxFuture<'static, ()>) -> Self {
        Self { attempts, quiet }
    }

    /// With one that was sent, and is known never to come into force.
    pub(super) fn with(mut self, fenced: Option<CommitId>) -> Self {
        self.attempts.extend(fenced);
        self
    }

    /// Removes what is staged of them, or goes on to do so in the background when that takes long.
    pub(super) async fn discard(self, sink: Arc<dyn Sink>) {
        let Self { attempts, quiet } = self;
        if attempts.is_empty() {
            return;
        }
        let discarding = tasks::spawn("discard", async move {
            quiet.await;
            for id in attempts {
                if let Err(error) = sink.discard(&id).await {
                    tracing::warn!(
                        commit = %id,
                        %error,
                        source = error.source.as_deref().map(tracing::field::display),
                        "what was staged and not sent stays until a collection removes it"
                    );
                }
            }
        });
        if tokio::time::timeout(PATIENCE, discarding).await.is_err() {
            tracing::debug!("what was staged and not sent is still being removed");
        }
    }
}
