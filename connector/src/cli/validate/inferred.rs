//! What columns a run would infer, and from which partitions.

use tidegate_sinks::{Checkpoint, TopicPartition};

use super::Check;
use super::kafka::Logs;
use crate::config::{Config, Topics, client_properties};
use crate::flow::tables::{self, Found, TableColumns};
use crate::kafka::cluster::Connected;

const CHECK: &str = "columns";

/// Of the tables that have none in `state`, where the job file lists none.
pub(super) async fn look(config: &Config, state: Option<&Checkpoint>, logs: &Logs) -> Vec<Check> {
    let columns = match TableColumns::read(config, state) {
        Ok(columns) => columns,
        Err(error) => return vec![Check::failed_with(CHECK, error)],
    };
    if !columns.are_inferred() {
        return Vec::new();
    }
    let partitions: Vec<TopicPartition> = logs.starts.keys().cloned().collect();
    let unknown = columns.unknown(&partitions);
    let (topics, group) = (config.kafka.topics.clone(), config.kafka.group_id.clone());
    let look = async {
        let cluster = Connected::connect(client_properties(config), topics, group).await?;
        tables::look(&cluster, config, &unknown).await
    };
    match look.await {
        Ok(found) => found.iter().flat_map(|found| of_table(found, &config.kafka.topics)).collect(),
        Err(error) => vec![Check::failed_with(CHECK, error)],
    }
}

fn of_table(found: &Found, topics: &Topics) -> Vec<Check> {
    let table = &found.table;
    let inferred = match &found.inferred {
        Ok(inferred) => inferred,
        Err(why) if found.is_empty() => {
            let detail = format!(
                "table {table}: {why}: its columns are inferred and pinned when its first records come"
            );
            return vec![Check::warning(CHECK, detail)];
        }
        Err(why) if found.is_unfit && matches!(topics, Topics::List(_)) => {
            return vec![Check::failed(CHECK, format!("table {table}: {why}"))];
        }
        Err(why) => {
            let detail = format!(
                "table {table}: {why}: its records are rejects until there is one; list format.columns"
            );
            return vec![Check::warning(CHECK, detail)];
        }
    };
    let detail =
        format!("table {table}: {} inferred from records of {}", inferred.columns.len(), found.partitions());
    let notes = inferred.notes.iter().map(|note| Check::warning(CHECK, format!("table {table}: {note}")));
    std::iter::once(Check::ok(CHECK, detail)).chain(notes).collect()
}
