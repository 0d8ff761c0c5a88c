//! A process that runs the job: the real engine on simulated parts.

use std::sync::Arc;

use tidegate::error::RunError;
use tidegate::flow::run::{Beginning, Job, Summary, run_job};
use tidegate::replica::status::Status;
use tidegate_sinks::Checkpoint;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::consumer::Consumer;
use super::gate::Gate;
use super::place::Place;

#[derive(Debug)]
pub(super) struct Replica {
    pub(super) id: usize,
    gate: Gate,
    stop: watch::Sender<bool>,
    pub(super) running: JoinHandle<Result<Summary, RunError>>,
    pub(super) is_paused: bool,
}

impl Replica {
    pub(super) fn start(place: &Place, id: usize, until_end: bool, beginning: Beginning) -> Self {
        let gate = Gate::default();
        let (stop, stopped) = watch::channel(false);
        let sink = Arc::new(place.open(&gate, &format!("replica-{id}")));
        let source = {
            let (place, gate) = (place.clone(), gate.clone());
            move |_: &Checkpoint| Ok(Consumer::start(id, place.kafka, place.group, gate, place.chance))
        };
        let ids = place.clone();
        let job = Job {
            config: watch::channel(Arc::new(place.scenario.config.clone())).1,
            sink,
            cluster: Arc::new(place.kafka.clone()),
            outbox: None,
            source: Box::new(source),
            status: Arc::new(Status::default()),
            stop: stopped,
            asking: place.asking.subscribe(),
            until_end,
            beginning,
            clock: place.clock(),
            new_id: Box::new(move || ids.new_id()),
            spawn: Box::new(|_, worker| {
                tokio::spawn(worker);
                Ok(())
            }),
        };
        let process = gate.clone();
        let running = tokio::spawn(async move { process.run(run_job(job)).await });
        Self { id, gate, stop, running, is_paused: false }
    }

    /// What is under way takes its effect; nothing else happens any more.
    pub(super) fn kill(self) {
        self.gate.close();
        self.running.abort();
    }

    pub(super) fn pause(&mut self) {
        self.gate.close();
        self.is_paused = true;
    }

    pub(super) fn resume(&mut self) {
        self.gate.open();
        self.is_paused = false;
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }
}
