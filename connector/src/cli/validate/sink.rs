//! Checks that ask the sink, and compare its position with what Kafka holds.

use std::sync::Arc;

use tidegate_sinks::{Chain, Checkpoint, Error, Sink};

use super::Check;
use super::kafka::Logs;
use crate::cli::open_sink;
use crate::config::{Config, OnDataLoss};
use crate::flow::run::start::check_group;
use crate::flow::run::starts::{self, Finding};
use crate::flow::run::{self, folders};
use crate::flow::tables::pins;

const KEEPS_VERSIONS: &str = "the bucket keeps every version of an object: each staged file is kept beside the final one, and \
                              what is removed stays as an old version, on the bill for ever; have a lifecycle rule expire \
                              noncurrent versions, and only those (the manual's page on stores)";

/// What the sink answered.
pub(super) struct Looked {
    pub(super) checks: Vec<Check>,
    /// The newest checkpoint, with the sink it is of; `None` when the sink did not
    /// answer, which is a failed check already.
    pub(super) chain: Option<(Chain, Loaded)>,
}

pub(super) type Loaded = Result<Option<Arc<Checkpoint>>, Error>;

pub(super) async fn look(config: &Config) -> Looked {
    let sink = match open_sink(config, false) {
        Ok(sink) => sink,
        Err(error) => return Looked { checks: vec![Check::failed_with("sink", error)], chain: None },
    };
    match sink.probe().await {
        Ok(proof) => {
            let detail = format!(
                "{sink}: written, read, listed, moved, removed; create-if-absent holds, also in a race"
            );
            let mut checks = vec![Check::ok("sink", detail)];
            // Google's store numbers each object, whether it keeps the old ones or not.
            if proof.keeps_versions && !config.checkpoint.state.starts_with("gs://") {
                checks.push(Check::warning("sink", KEEPS_VERSIONS));
            }
            let loaded = sink.load().await;
            Looked { checks, chain: Some((sink, loaded)) }
        }
        Err(error) => Looked { checks: vec![Check::failed_with("sink", error)], chain: None },
    }
}

/// Whether a run would go on from what the sink held before the logs were looked at.
pub(super) async fn of_chain(
    config: &Config,
    sink: &dyn Sink,
    loaded: Loaded,
    logs: Option<&Logs>,
) -> Vec<Check> {
    match loaded {
        Err(error) => vec![Check::failed_with("position", error)],
        Ok(None) => {
            let mut checks = vec![first_start(config, sink, logs).await];
            checks.extend(logs.map(|logs| start(config, logs)).unwrap_or_default());
            checks
        }
        Ok(Some(state)) => {
            let mut checks = logs.map(|logs| compare(config, &state, logs)).unwrap_or_default();
            if let Err(error) = folders::partition_columns(config, &state) {
                checks.push(Check::failed_with("folders", error));
            }
            if checks.is_empty() {
                checks.push(standing(&state));
            }
            checks.extend(tables(config, &state));
            checks.extend(starts::not_applied(config, &state).into_iter().map(|finding| match finding {
                Finding::Told(text) => Check::ok("start", text),
                other => Check::warning("start", other),
            }));
            checks
        }
    }
}

fn standing(state: &Checkpoint) -> Check {
    let partitions = state.kafka_partitions().count();
    Check::ok("position", format!("checkpoint {}, {partitions} partitions", state.n))
}

/// Whether the tables stay readable.
fn tables(config: &Config, state: &Checkpoint) -> Vec<Check> {
    match run::tables(config, state, pins::topics_of(config, state)) {
        Ok(compared) => {
            let refused = compared.refused.into_iter().map(|change| Check::failed("tables", change));
            refused.chain(compared.told.into_iter().map(|change| Check::ok("tables", change))).collect()
        }
        Err(error) => vec![Check::failed_with("tables", error)],
    }
}

/// Whether `kafka.start` can be meant.
fn start(config: &Config, logs: &Logs) -> Vec<Check> {
    let found = starts::judge(&config.kafka, &logs.starts, &logs.ends, jiff::Timestamp::now());
    let check = |finding| match finding {
        Finding::Told(text) => Check::warning("start", text),
        other => Check::failed("start", other),
    };
    found.into_iter().map(check).collect()
}

async fn first_start(config: &Config, sink: &dyn Sink, logs: Option<&Logs>) -> Check {
    let begun = match logs {
        Some(logs) => check_group(config, sink, &logs.committed).await,
        None => Ok(None),
    };
    match begun {
        Ok(None) => Check::ok("position", "none yet: the first run begins the chain of checkpoints"),
        Ok(Some(state)) => standing(&state),
        Err(error) => Check::failed_with("position", error),
    }
}

/// What is wrong with a position in the logs at hand; nothing, when a run would go on.
fn compare(config: &Config, state: &Checkpoint, logs: &Logs) -> Vec<Check> {
    let mut checks = Vec::new();
    if let (Some(expected), Some(found)) = (&state.cluster_id, &logs.cluster_id)
        && expected != found
    {
        checks.push(Check::failed(
            "position",
            format!("its offsets belong to cluster {expected}, but bootstrap_servers leads to {found}; run refuses"),
        ));
    }
    let other =
        logs.topic_ids.iter().filter_map(|(topic, id)| Some((topic, state.topic_id(topic)?, id.as_ref()?)));
    for (topic, pinned, id) in other.filter(|(topic, pinned, id)| *pinned != *id && !state.is_given_up(topic))
    {
        checks.push(Check::failed(
            "position",
            format!(
                "topic {topic} was recreated: its id was {pinned}, and is {id}; run refuses, or gives it up by \
                 --forget-topic {topic}"
            ),
        ));
    }
    for (topic, since) in state.given_up() {
        checks.push(Check::warning(
            "position",
            format!("topic {topic} was given up at {since}, and is not read"),
        ));
    }
    for (partition, known) in state.kafka_partitions() {
        let next = known.next;
        let (Some(&start), Some(&end)) = (logs.starts.get(partition), logs.ends.get(partition)) else {
            let detail =
                format!("{partition} is committed up to {next}, but not a partition of the job's topics now");
            checks.push(Check::warning("position", detail));
            continue;
        };
        if next > end {
            let detail = format!(
                "{partition}: the position is {next}, the log ends at {end}: the topic was recreated or cut off; run \
                 refuses"
            );
            checks.push(Check::failed("position", detail));
        } else if next < start {
            let lost =
                format!("{partition}: the position is {next}, the log starts at {start}: records are lost");
            checks.push(match config.kafka.on_data_loss {
                OnDataLoss::Fail => Check::failed("position", format!("{lost}; kafka.on_data_loss is fail")),
                OnDataLoss::Record => {
                    Check::warning("position", format!("{lost}, and will be recorded as a gap"))
                }
            });
        }
    }
    checks
}

#[cfg(test)]
mod tests;
