//! The engine and the files sink as they are, on a cluster, a store and a clock that are simulated.
//!
//! A seed decides everything: which answers are lost, which requests land late, who is
//! killed, paused and thrown out of the group, and when. Whatever happens, a reader who
//! sees every state of the store sees each record of the log at most once, never one
//! that is not committed, and at the end all of them. The same seed is the same run.

mod chance;
mod consumer;
mod gate;
mod group;
mod kafka;
mod operator;
mod people;
mod place;
mod replica;
mod rows;
mod scenario;
mod witness;
mod world;
pub mod wrong;

use std::time::Duration;

use tidegate::error::RunError;
use tidegate::flow::run::{Beginning, Summary};
use tidegate::replica::control::Change;
use tidegate_sinks::Sink;
use tokio::task::JoinError;

use operator::Restoring;
use place::Place;
use replica::Replica;
use tidegate::config::Mode;
pub use witness::Events;
use wrong::Wrong;

/// Longest that everything may take to come to rest once nothing fails any more.
const REST: Duration = Duration::from_secs(300);

/// Runs one seed, with a mistake put in if one is given. On failure, what was violated.
pub fn run(seed: u64, wrong: Option<Wrong>) -> Result<Events, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async { Simulation::new(seed, wrong).run().await })
}

struct Simulation {
    place: Place,
    replicas: Vec<Replica>,
    started: usize,
    restoring: Option<Restoring>,
}

impl Simulation {
    fn new(seed: u64, wrong: Option<Wrong>) -> Self {
        Self { place: Place::new(seed, wrong), replicas: Vec::new(), started: 0, restoring: None }
    }

    async fn run(mut self) -> Result<Events, String> {
        if self.place.scenario.config.sink.mode == Mode::Overwrite {
            for n in 0..self.place.chance.number(0..4) {
                self.place.world().put(format!("orders/part-{n}.parquet"), "foreign".into());
            }
        }
        tokio::spawn(grow(self.place.clone()));
        let coordinator = tokio::spawn(coordinate(self.place.clone(), false));
        let people = [
            tokio::spawn(people::collect(self.place.clone())),
            tokio::spawn(people::use_finals(self.place.clone())),
        ];
        let asker = self.place.scenario.is_asked.then(|| tokio::spawn(people::ask(self.place.clone())));
        let end = tokio::time::Instant::now() + self.place.scenario.duration;
        while tokio::time::Instant::now() < end {
            self.one_step().await?;
        }
        coordinator.abort();
        if let Some(asker) = asker {
            asker.abort();
        }
        self.settle().await?;
        for one in people {
            one.abort();
        }
        self.place.world().witness.judge_end();
        self.check()?;
        self.publish_late().await?;
        self.lose_chain().await?;
        let mut events = self.place.world().witness.events;
        events.lost = self.place.group.lost();
        Ok(events)
    }

    /// Half a second in which something may happen to a replica.
    async fn one_step(&mut self) -> Result<(), String> {
        let (scenario, chance) = (self.place.scenario.clone(), self.place.chance.clone());
        while self.replicas.iter().filter(|replica| !replica.is_paused).count() < scenario.replicas as usize {
            self.start(false);
        }
        if chance.happens(scenario.kill) {
            let victim = chance.number(0..self.replicas.len() as u64) as usize;
            self.replicas.swap_remove(victim).kill();
            self.place.world().witness.events.killed += 1;
        } else if chance.happens(scenario.pause) && self.replicas.len() < 6 {
            let victim = chance.number(0..self.replicas.len() as u64) as usize;
            self.replicas[victim].pause();
            self.place.world().witness.events.paused += 1;
        } else if chance.happens(0.02)
            && let Some(replica) = chance.pick(&self.replicas)
        {
            replica.stop();
        }
        for replica in self.replicas.iter_mut().filter(|replica| replica.is_paused) {
            if chance.happens(0.08) {
                replica.resume();
            }
        }
        self.operate();
        if chance.happens(0.03) {
            self.place.kafka.add_partition(false);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.reap().await?;
        self.check()
    }

    fn start(&mut self, until_end: bool) {
        self.replicas.push(Replica::start(&self.place, self.started, until_end, Beginning::default()));
        self.started += 1;
    }

    /// Replicas that have ended are started again by the next step, as a supervisor would.
    async fn reap(&mut self) -> Result<(), String> {
        let (ended, running) = std::mem::take(&mut self.replicas)
            .into_iter()
            .partition(|replica: &Replica| replica.running.is_finished());
        self.replicas = running;
        for replica in ended {
            // One that failed has not told the group.
            self.place.group.leave(replica.id);
            let ended = replica.running.await;
            if !self.is_refused(replica.id, &ended) {
                self.judge(ended)?;
            }
        }
        Ok(())
    }

    /// A run may fail because the store failed it, and for no other reason.
    fn judge(&self, ended: Result<Result<Summary, RunError>, JoinError>) -> Result<(), String> {
        match ended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let message = format!("{error}");
                let passing = ["on purpose", "within", "staging failed before"];
                let passing = passing.iter().any(|words| message.contains(words));
                self.place.world().witness.events.failed_runs += 1;
                if passing { Ok(()) } else { Err(format!("a run ended with: {message}")) }
            }
            Err(error) => Err(format!("a replica panicked: {error}")),
        }
    }

    fn check(&self) -> Result<(), String> {
        match self.place.world().witness.violation() {
            Some(violation) => Err(violation.to_owned()),
            None => Ok(()),
        }
    }

    /// Nothing fails any more: those who were paused wake up, all stop, and one last run reads to the end.
    async fn settle(&mut self) -> Result<(), String> {
        self.place.dice.heal();
        tokio::spawn(coordinate(self.place.clone(), true));
        for replica in &mut self.replicas {
            replica.resume();
        }
        if self.place.scenario.is_asked {
            self.place.ask(&Change::Resume);
        }
        tokio::time::sleep(self.place.scenario.faults.longest * 2).await;
        self.place.kafka.decide_all();
        self.check()?;
        self.finish_restoring().await?;
        for replica in &self.replicas {
            replica.stop();
        }
        self.all_end("replicas that were asked to stop").await?;
        // The first reads what is left, the second finds nothing to do but what the first has left lying.
        for _ in 0..2 {
            self.start(true);
            self.all_end("a bounded run").await?;
        }
        self.check()
    }

    /// Somebody has slept since a commit came into force, which is visible, dropped, and used by now; and
    /// nobody has collected what is left of it.
    async fn publish_late(&mut self) -> Result<(), String> {
        let before = self.place.world().witness.kept.len();
        for _ in 0..8 {
            self.place.kafka.grow();
        }
        self.place.kafka.decide_all();
        self.start(true);
        self.all_end("a bounded run").await?;
        tokio::time::sleep(scenario::COPY_GRACE * 2).await;
        let states: Vec<_> = {
            let mut world = self.place.world();
            for path in world.witness.finals() {
                world.witness.taken(&path);
                world.remove(&path);
            }
            let since = world.witness.kept.iter().skip(before);
            since.filter(|state| !state.unpublished.is_empty()).cloned().collect()
        };
        let sink = self.place.open(&gate::Gate::default(), "late publisher");
        for state in states {
            sink.publish(&state, &state.unpublished).await.map_err(|error| error.to_string())?;
        }
        self.check()
    }

    /// Somebody deletes all checkpoints. To begin anew would double everything, so the
    /// next run must refuse to.
    async fn lose_chain(&mut self) -> Result<(), String> {
        if !self.place.world().witness.has_delivered() {
            return Ok(());
        }
        self.place.world().lose_checkpoints();
        let ended = Replica::start(&self.place, self.started, true, Beginning::default()).running.await;
        self.check()?;
        match ended {
            Ok(Err(RunError::Refused(..))) => Ok(()),
            other => Err(format!("the chain was lost, and a run ended with {other:?}")),
        }
    }

    async fn all_end(&mut self, what: &str) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + REST;
        while !self.replicas.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.reap().await?;
            self.check()?;
            if tokio::time::Instant::now() > deadline {
                return Err(format!("{what} did not end within {REST:?}"));
            }
        }
        Ok(())
    }
}

async fn grow(place: Place) {
    let end = tokio::time::Instant::now() + place.scenario.duration;
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(place.chance.millis(50..600)).await;
        place.kafka.grow();
    }
}

async fn coordinate(place: Place, is_calm: bool) {
    loop {
        place.group.coordinate(is_calm);
        tokio::time::sleep(place.chance.millis(100..400)).await;
    }
}
