//! What the job's people ask while it runs, by control objects: a byte limit, a pause, a checkpoint, a stop.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_sinks::CommitId;
use tokio::sync::watch;

use super::engine::Engine;
use crate::flow::event::Command;
use crate::replica::control::Control;

/// The newest control object that this process has heard of, if there is one.
/// Whoever looks for it holds the other end.
pub type Asking = watch::Receiver<Option<Arc<Control>>>;

/// A job that nobody can ask anything.
pub fn nobody_asks() -> Asking {
    watch::channel(None).1
}

/// What this replica is asked, and how far it is with it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    newest: Option<Arc<Control>>,
    /// Number of the newest object that is carried out.
    carried_out: u64,
    /// Attempts that must be decided before the newest is carried out.
    waits_for: BTreeSet<CommitId>,
    /// The source has not said yet that it has paused.
    pausing: bool,
    /// The run ends because that was asked.
    pub(super) stopped: bool,
}

impl Asked {
    /// The newest object heard; 0: none.
    pub(super) fn n(&self) -> u64 {
        self.newest.as_ref().map_or(0, |control| control.n)
    }

    /// The job's byte limit, if one is asked for; 0: none.
    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        self.newest.as_ref()?.bytes_per_second
    }
}

impl Engine {
    /// Does what the newest control object asks. At the start, nothing is open, so
    /// there is nothing to checkpoint.
    pub(super) fn asked(&mut self, control: Option<Arc<Control>>) {
        let Some(control) = control.filter(|control| self.asked.newest.as_ref() != Some(control)) else {
            return;
        };
        let before = self.asked.newest.replace(control.clone());
        let before = before.as_deref();
        tracing::info!(
            control = control.n,
            bytes_per_second = control.bytes_per_second,
            paused = control.paused,
            stopped = control.stopped,
            "asked"
        );
        self.share_limit();
        if control.paused != before.is_some_and(|before| before.paused) {
            self.asked.pausing = control.paused;
            self.parts.status.set_paused(control.paused);
            self.command(Command::Pause(control.paused));
        }
        let savepoint = |control: &Control| control.savepoint.as_ref().map(|request| request.n);
        let checkpoint = before.is_none_or(|before| {
            before.checkpoint != control.checkpoint || savepoint(before) != savepoint(&control)
        });
        if control.stopped && !self.stopping {
            self.asked.stopped = true;
            self.stop(&format!("asked to by control object {}", control.n));
        } else if checkpoint {
            self.cut_for_asked();
        }
        self.carry_out();
    }

    /// The source reads nothing more; everything it read has come before this.
    pub(super) fn paused(&mut self) {
        if self.asked.pausing {
            self.asked.pausing = false;
            self.cut_for_asked();
            self.carry_out();
        }
    }

    fn cut_for_asked(&mut self) {
        if !self.stopping {
            self.cut();
        }
        self.asked.waits_for.extend(self.sealed.iter().map(|sealed| sealed.cut.id.clone()));
    }

    /// Says that the newest control object is carried out, as soon as it is.
    pub(super) fn carry_out(&mut self) {
        let sealed = &self.sealed;
        self.asked.waits_for.retain(|id| sealed.iter().any(|sealed| sealed.cut.id == *id));
        let done = self.asked.waits_for.is_empty() && !self.asked.pausing && !self.asked.stopped;
        if done && self.asked.carried_out != self.asked.n() {
            self.asked.carried_out = self.asked.n();
            self.parts.status.set_control(self.asked.n());
        }
    }
}
