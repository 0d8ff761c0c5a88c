//! What a seed decides before anything happens.

use std::time::Duration;

use tidegate::config::{Config, Mode, Origin, Start};
use tidegate_sinks::faulty::Faults;

use super::chance::Chance;
use super::witness::JOB;

/// Longer than any request may be under way.
pub(super) const COPY_GRACE: Duration = Duration::from_secs(12);

#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) is_copying: bool,
    pub(super) replicas: u64,
    pub(super) partitions: u64,
    pub(super) faults: Faults,
    /// Checkpoints that are kept.
    pub(super) retained: u64,
    /// How long the faults last.
    pub(super) duration: Duration,
    /// The collector's longest pause.
    pub(super) collect_every: Duration,
    /// Probability, every half a second, that a replica is killed; and that one is paused.
    pub(super) kill: f64,
    pub(super) pause: f64,
    /// Probability, every half a second, that an operator begins to go back to a kept state.
    pub(super) rollback: f64,
    /// Whether users move finals away: what they have taken cannot be taken back.
    pub(super) has_users: bool,
    pub(super) config: Config,
    /// Somebody asks for pauses, checkpoints and the like.
    pub(super) is_asked: bool,
}

/// The columns give a reader what it needs to know each record again.
const JOB_FILE: &str = "
job: simulated
kafka: {bootstrap_servers: 'nowhere:9092', topics: [orders]}
format:
  type: json
  columns: [{name: id, type: int64}, {name: part, type: int32}, {name: text, type: string}]
  metadata: [partition, offset]
sink: {url: 's3://simulated', table: orders, file: {compression: none, row_group_rows: 1024}}
checkpoint: {interval: 1s}
memory: {limit: 256MiB}
";

impl Scenario {
    pub(super) fn new(chance: &Chance) -> Self {
        // Some seeds have calm stores, some have hardly any answers.
        let storm = if chance.happens(0.3) { 0.1 } else { chance.number(10..100) as f64 / 100.0 };
        let faults = Faults {
            refuse: 0.05 * storm,
            lose_answer: 0.06 * storm,
            late: 0.05 * storm,
            delay: 0.15 * storm,
            tear: 0.2 * storm,
            longest: chance.millis(200..6_000),
        };
        let mut scenario = Self {
            is_copying: chance.happens(0.7),
            replicas: chance.number(1..4),
            partitions: chance.number(1..5),
            faults,
            retained: chance.number(1..6),
            duration: Duration::from_secs(chance.number(20..50)),
            kill: chance.number(0..8) as f64 / 100.0,
            pause: chance.number(0..15) as f64 / 100.0,
            rollback: 0.0,
            has_users: true,
            collect_every: chance.millis(300..3_000),
            config: Self::config(chance),
            is_asked: chance.happens(0.3),
        };
        if chance.happens(0.3) {
            scenario.hurry(chance);
        }
        if chance.happens(0.5) {
            scenario.rollback = chance.number(2..15) as f64 / 100.0;
            scenario.has_users = chance.happens(0.3);
        }
        scenario
    }

    /// Many checkpoints, collected at once, and many late requests: slots are filled,
    /// overtaken, collected and filled again.
    fn hurry(&mut self, chance: &Chance) {
        self.replicas = 3;
        self.partitions = self.partitions.max(3);
        self.retained = 1;
        self.collect_every = chance.millis(50..300);
        self.config.checkpoint.interval = chance.millis(100..400);
        self.faults = Faults {
            refuse: 0.01,
            lose_answer: 0.03,
            late: 0.08,
            delay: 0.15,
            tear: 0.1,
            longest: chance.millis(300..2_500),
        };
        self.duration = Duration::from_secs(20);
        (self.kill, self.pause) = (0.01, 0.1);
    }

    fn config(chance: &Chance) -> Config {
        let origin = Origin("simulated.yaml".into());
        let mut config = Config::parse(JOB_FILE, &origin).expect("the job file of the simulation is right");
        config.job = JOB.to_owned();
        config.error_limit.records = None;
        config.checkpoint.interval = chance.millis(200..1_500);
        config.checkpoint.max_records = if chance.happens(0.3) { chance.number(20..200) } else { 0 };
        config.checkpoint.timeout = chance.millis(5_000..30_000);
        if config.checkpoint.timeout.as_millis().is_multiple_of(8) {
            // Its files are crowded as soon as there is one. By no throw, so that other seeds
            // stay what they are.
            config.memory_limit = 64 << 10;
        }
        config.speed.channels = chance.number(1..4) as usize;
        config.timeouts.revoke = chance.millis(500..5_000);
        config.kafka.start = if chance.happens(0.25) { Start::Latest } else { Start::Earliest };
        config.sink.mode = if chance.happens(0.2) { Mode::Overwrite } else { Mode::Append };
        if chance.happens(0.2) {
            // As many files as there are values.
            config.sink.partition_by = vec![tidegate::config::PartitionField {
                transform: tidegate::config::Transform::Bucket(3),
                column: "id".to_owned(),
            }];
        }
        config
    }
}
