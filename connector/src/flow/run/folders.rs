//! Which kind of folders the job's tables have: as the first start has pinned it in the chain, for all tables
//! that there are and that are to come. Half a table of each kind would be read wrong by everybody. Pure.

use serde_json::{Value, json};
use tidegate_sinks::Checkpoint;

use super::RunError;
use crate::config::{Config, PartitionColumns};

const PARTITION_COLUMNS: &str = "partition_columns";

/// `pinned` of a new chain, with what the job file decides added to what is there.
pub(super) fn genesis(config: &Config, pinned: Value) -> Value {
    let mut pinned = if pinned.is_object() { pinned } else { json!({}) };
    pinned[PARTITION_COLUMNS] = json!(config.sink.partition_columns.unwrap_or_default().word());
    pinned
}

/// `pinned` of a new chain at the positions of a savepoint: the kind of folders
/// goes on, unless the job file says another.
pub(super) fn restored(config: &Config, pinned: Value) -> Value {
    if config.sink.partition_columns.is_some() { genesis(config, pinned) } else { pinned }
}

/// Where the values of columns stand that folders are named by: as the chain has begun.
///
/// Errors: `Config`, when the job file says otherwise.
pub(crate) fn partition_columns(config: &Config, state: &Checkpoint) -> Result<PartitionColumns, RunError> {
    let pinned = match state.pinned.get(PARTITION_COLUMNS) {
        // Chains of before it was pinned.
        None => PartitionColumns::Both,
        Some(word) => {
            let known =
                PartitionColumns::ALL.into_iter().find(|columns| word.as_str() == Some(columns.word()));
            known.ok_or_else(|| {
                let what = format!("checkpoint {} pins {PARTITION_COLUMNS}: {word}", state.n);
                RunError::Config(format!("{what}, which this version does not know: upgrade it"), None)
            })?
        }
    };
    match config.sink.partition_columns {
        Some(asked) if asked != pinned => Err(RunError::Config(
            format!(
                "sink.partition_columns is {}, but the job has begun with {}, and a table of both kinds of folders is read \
                 wrong; set it to {} or leave it out, or begin a new table: another job name and sink.table",
                asked.word(),
                pinned.word(),
                pinned.word()
            ),
            None,
        )),
        _ => Ok(pinned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn config(sink: &str) -> Config {
        let text = format!(
            "job: j\nkafka: {{bootstrap_servers: 'b:1', topics: [t]}}\nsink: {{url: 'file:///w'{sink}}}\n"
        );
        Config::parse(&text, &Origin("job.yaml".into())).unwrap()
    }

    fn state(pinned: Value) -> Checkpoint {
        Checkpoint { pinned, ..Checkpoint::first("j", jiff::Timestamp::UNIX_EPOCH, Default::default()) }
    }

    #[test]
    fn a_chain_goes_on_with_the_folders_that_it_has_begun_with() {
        let silent = config("");
        let begun = |config: &Config| state(genesis(config, json!({"columns": []})));
        assert_eq!(partition_columns(&silent, &begun(&silent)).unwrap(), PartitionColumns::File);
        assert_eq!(begun(&silent).pinned["columns"], json!([]));
        for word in ["file", "folder", "both"] {
            let said = config(&format!(", partition_columns: {word}"));
            assert_eq!(partition_columns(&said, &begun(&said)).unwrap().word(), word);
            // Left out later, the chain says it.
            assert_eq!(partition_columns(&silent, &begun(&said)).unwrap().word(), word);
        }
        // Before there was anything to pin, there was one way.
        assert_eq!(partition_columns(&silent, &state(Value::Null)).unwrap(), PartitionColumns::Both);
        assert_eq!(
            partition_columns(&silent, &state(json!({"columns": []}))).unwrap(),
            PartitionColumns::Both
        );
    }

    #[test]
    fn another_way_under_a_running_table_is_refused_with_both_ways_on() {
        let folder = config(", partition_columns: folder");
        for pinned in [Value::Null, genesis(&config(""), Value::Null)] {
            let refused = partition_columns(&folder, &state(pinned)).unwrap_err();
            assert_eq!(refused.exit_code(), 2);
            let text = refused.to_string();
            assert!(text.contains("leave it out") && text.contains("another job name"), "{text}");
        }
        let unknown = state(json!({"partition_columns": "spiral"}));
        assert!(partition_columns(&config(""), &unknown).unwrap_err().to_string().contains("upgrade"));
    }
}
