//! Checks that ask the sink, and compare its position with what Kafka holds.

use std::sync::Arc;

use tidegate_sinks::{Checkpoint, Error, Sink};

use super::Check;
use super::kafka::Logs;
use crate::cli::open_sink;
use crate::config::{Config, Mode, OnDataLoss};

/// What the sink answered.
pub(super) struct Looked {
    pub(super) checks: Vec<Check>,
    /// The newest checkpoint; `None` when the sink did not answer, which is a failed check already.
    pub(super) state: Option<Result<Option<Arc<Checkpoint>>, Error>>,
}

pub(super) async fn look(config: &Config) -> Looked {
    let sink = match open_sink(config, false) {
        Ok(sink) => sink,
        Err(error) => return Looked { checks: vec![Check::failed_with("sink", error)], state: None },
    };
    match sink.probe().await {
        Ok(()) => {
            let detail = format!("{sink}: written, read, listed, removed; create-if-absent holds");
            Looked { checks: vec![Check::ok("sink", detail)], state: Some(sink.load().await) }
        }
        Err(error) => Looked { checks: vec![Check::failed_with("sink", error)], state: None },
    }
}

/// Whether a run would go on from what the sink holds.
pub(super) fn of_chain(
    config: &Config,
    state: Option<Result<Option<Arc<Checkpoint>>, Error>>,
    logs: Option<&Logs>,
) -> Vec<Check> {
    match state {
        None => Vec::new(),
        Some(Err(error)) => vec![Check::failed_with("position", error)],
        Some(Ok(None)) => vec![first_start(config, logs)],
        Some(Ok(Some(state))) => {
            let mut checks = logs.map(|logs| compare(config, &state, logs)).unwrap_or_default();
            if checks.is_empty() {
                let (n, partitions) = (state.n, state.kafka_partitions().count());
                checks.push(Check::ok("position", format!("checkpoint {n}, {partitions} partitions")));
            }
            checks
        }
    }
}

fn first_start(config: &Config, logs: Option<&Logs>) -> Check {
    let committed = logs.and_then(|logs| logs.committed.iter().find(|(_, offset)| **offset > 0));
    match committed.filter(|_| config.sink.mode == Mode::Append) {
        None => Check::ok("position", "none yet: the first run begins the chain of checkpoints"),
        Some((partition, offset)) => Check::failed(
            "position",
            format!(
                "the sink has no checkpoint of job {}, but group {} has read {partition} up to {offset}: a lost or \
                 renamed job; run refuses (exit 3) without --new-incarnation",
                config.job, config.kafka.group_id
            ),
        ),
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
