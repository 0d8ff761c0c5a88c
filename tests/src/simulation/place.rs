//! What all processes of a simulation share, and how each of them opens the sink.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tidegate::replica::control::{Change, Control};
use tidegate_sinks::chain::rules::Rules;
use tidegate_sinks::faulty::{Dice, Faulty};
use tidegate_sinks::store::Store;
use tidegate_sinks::{Chain, Clock, CommitId, SinkSettings};
use tokio::sync::watch;
use tokio::time::Instant;

use super::chance::Chance;
use super::gate::{Gate, Gated};
use super::group::Group;
use super::kafka::Kafka;
use super::scenario::{COPY_GRACE, Scenario};
use super::witness::{JOB, Witness};
use super::world::{self, View, World};
use super::wrong::Wrong;

/// The wall clock when a simulation begins, in seconds since 1970.
const BEGINNING: i64 = 1_700_000_000;

#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) scenario: Arc<Scenario>,
    pub(super) world: Arc<Mutex<World>>,
    pub(super) kafka: Kafka,
    pub(super) group: Group,
    pub(super) chance: Chance,
    pub(super) wrong: Option<Wrong>,
    pub(super) dice: Arc<Dice>,
    began: Instant,
    /// What the replicas are asked, in those seeds in which somebody asks.
    pub(super) asking: Arc<watch::Sender<Option<Arc<Control>>>>,
}

impl Place {
    pub(super) fn new(seed: u64, wrong: Option<Wrong>) -> Self {
        let chance = Chance::new(seed);
        let scenario = Arc::new(Scenario::new(&chance));
        let kafka = Kafka::new(scenario.partitions, chance.clone());
        Self {
            world: World::new(Witness::new(kafka.clone())),
            group: Group::new(kafka.clone(), chance.clone()),
            kafka,
            scenario,
            dice: Dice::new(seed),
            chance,
            wrong,
            began: Instant::now(),
            asking: Arc::default(),
        }
    }

    /// Asks every replica for a change.
    pub(super) fn ask(&self, change: &Change) {
        let now = (self.clock())();
        self.asking.send_modify(|asked| {
            let before = asked.as_deref().cloned();
            let n = before.as_ref().map_or(0, |control| control.n) + 1;
            *asked = Some(Arc::new(Control::next(before, n, change, now)));
        });
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        world::lock(&self.world)
    }

    pub(super) fn clock(&self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        let began = self.began;
        Arc::new(move || {
            let beginning = Timestamp::from_second(BEGINNING).expect("a constant in range");
            beginning + began.elapsed()
        })
    }

    /// Unique, ordered by time, and the same for the same seed.
    pub(super) fn new_id(&self) -> CommitId {
        let millis = BEGINNING as u64 * 1_000 + self.began.elapsed().as_millis() as u64;
        CommitId(format!("{millis:012x}{:020x}", self.chance.number(0..u64::MAX)).into())
    }

    /// The sink as a new process opens it.
    pub(super) fn open(&self, gate: &Gate, writer: &str) -> Chain {
        let instead = match self.wrong {
            Some(Wrong::Store(instead)) => Some(instead),
            _ => None,
        };
        let store = |root: &str| -> Arc<dyn Store> {
            let view = View::new(self.world.clone(), root, self.scenario.is_copying, instead);
            let faulty = Faulty::new(Arc::new(view), self.scenario.faults, self.dice.clone());
            Arc::new(Gated::new(Arc::new(faulty), gate.clone(), self.chance.clone()))
        };
        let config = &self.scenario.config;
        let mut settings = SinkSettings::new(JOB, "world://");
        settings.retained = self.scenario.retained;
        settings.retained_for = Duration::ZERO;
        settings.copy_grace = COPY_GRACE;
        settings.checkpoint_timeout = config.checkpoint.timeout;
        settings.backoff = Duration::from_secs(1);
        settings.writer = writer.to_owned();
        settings.seed = self.chance.number(0..u64::MAX);
        let clock = self.clock();
        settings.clock = Clock::new(move || clock());
        let mut rules = Rules::SOUND;
        match self.wrong {
            Some(Wrong::Rules(spoil)) => spoil(&mut rules),
            Some(Wrong::Settings(spoil)) => spoil(&mut settings),
            _ => {}
        }
        let opened = tidegate_sinks::open_on(settings, store(""), store(&format!("_tidegate/{JOB}/")));
        opened.expect("the name of the job is a folder's").with_rules(rules)
    }
}
