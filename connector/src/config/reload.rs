//! What of a job file may change while the job runs. All or nothing: where one key of many needs a restart,
//! none is applied, so that what runs is always one file as somebody wrote it.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use super::file::raw::{Kind, Node};

/// Keys of a changed job file that a running job cannot change; never empty. Without their values, which may
/// be secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot change while the job runs; restart it, or take that back (what can: {})", .keys.join(", "), .live.join(", "))]
pub struct Refused {
    pub keys: Vec<String>,
    /// Those that a running job can change.
    pub live: Vec<String>,
}

/// Every value of a job file after substitution, by its path: `format.columns[2].type`. It may hold secrets,
/// so it is never shown.
#[derive(Clone, Default)]
pub(super) struct Values(BTreeMap<String, String>);

impl Values {
    pub(super) fn of(root: &Node) -> Self {
        let mut values = BTreeMap::new();
        collect(root, String::new(), &mut values);
        Self(values)
    }
}

fn collect(node: &Node, path: String, values: &mut BTreeMap<String, String>) {
    match &node.kind {
        Kind::Null => {}
        Kind::Scalar(scalar) => drop(values.insert(path, scalar.value.clone())),
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{path}[{index}]"), values);
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&entry.node, format!("{path}{dot}{}", entry.key), values);
            }
        }
    }
}

/// The keys by which `new` differs from `old`, all of which may change while the job runs.
///
/// Errors: the keys that may not.
pub fn reload(old: &Config, new: &Config) -> Result<Vec<String>, Refused> {
    let (keys, old, new) = (&new.notes.keys, &old.values.0, &new.values.0);
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = paths.into_iter().filter(|path| old.get(*path) != new.get(*path)).cloned();
    let live: Vec<&str> = keys.iter().filter(|(_, key)| key.is_live).map(|(path, _)| path.as_str()).collect();
    let (may, may_not): (Vec<_>, Vec<_>) = changed.partition(|path| live.contains(&path.as_str()));
    if may_not.is_empty() {
        Ok(may)
    } else {
        Err(Refused { keys: may_not, live: live.into_iter().map(str::to_owned).collect() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::Origin;

    const JOB: &str = "job: j\nkafka: {bootstrap_servers: \"k:9092\", topics: [a, b], properties: {sasl.password: \"${P}\"}}\n\
                       format: {columns: [{name: id, type: int64}]}\nsink: {url: \"file:///w\", table: t}\n";

    fn config(more: &str, password: &str) -> Config {
        let origin = Origin(PathBuf::from("job.yaml"));
        Config::parse_with(&format!("{JOB}{more}"), &origin, &|_| Some(password.to_owned())).unwrap()
    }

    #[test]
    fn what_may_change_is_named_and_what_may_not_too() {
        let old = config("speed: {bytes_per_second: 1MB}\n", "p");
        let keys = |more: &str| reload(&old, &config(more, "p"));
        assert_eq!(keys("speed: {bytes_per_second: 1MB}\n").unwrap(), [] as [&str; 0]);
        assert_eq!(keys("").unwrap(), ["speed.bytes_per_second"]);
        let many = "checkpoint: {interval: 1s, max_records: 5, max_bytes: 1MB}\nerror_limit: {records: 3}\n\
                    log: {level: debug}\n";
        let all =
            ["checkpoint.interval", "checkpoint.max_bytes", "checkpoint.max_records", "error_limit.records"];
        assert_eq!(keys(many).unwrap(), [&all[..], &["log.level", "speed.bytes_per_second"]].concat());
        let refused = keys("log: {level: debug, format: json}\ncheckpoint: {timeout: 20m}\n").unwrap_err();
        assert_eq!(refused.keys, ["checkpoint.timeout", "log.format"]);
        assert!(refused.to_string().starts_with("checkpoint.timeout, log.format cannot change"), "{refused}");
    }

    #[test]
    fn a_secret_is_compared_and_not_told() {
        let (old, new) = (config("", "before"), config("", "after"));
        let refused = reload(&old, &new).unwrap_err();
        assert_eq!(refused.keys, ["kafka.properties.sasl.password"]);
        assert!(!format!("{refused} {refused:?} {new:?}").contains("after"));
    }

    #[test]
    fn items_of_lists_are_told_by_their_place() {
        let origin = Origin(PathBuf::from("job.yaml"));
        let text = JOB.replace("[a, b]", "[a, c, d]").replace("int64", "int32");
        let new = Config::parse_with(&text, &origin, &|_| Some("p".to_owned())).unwrap();
        let refused = reload(&config("", "p"), &new).unwrap_err();
        assert_eq!(refused.keys, ["format.columns[0].type", "kafka.topics[1]", "kafka.topics[2]"]);
    }
}
