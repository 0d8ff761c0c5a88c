//! What a job file may say, and what is said about one that is wrong.

mod examples;
mod keys;
mod refused;
mod tables;
mod timeouts;
mod units;

use super::{Config, ConfigErrors, Origin};

/// The least that is a job, to which tests add.
const MINIMAL: &str = "
job: orders
kafka: {bootstrap_servers: 'localhost:9092', topics: [orders]}
sink: {url: 'file:///warehouse'}
";

/// Parses with an environment of one variable, `TEST`.
fn parse_with(text: &str, variable: &str) -> Result<Config, ConfigErrors> {
    let environment = |name: &str| (name == "TEST").then(|| variable.to_owned());
    Config::parse_with(text, &Origin("job.yaml".into()), &environment)
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    parse_with(text, "")
}

/// The minimal job with `addition` laid over it, key by key.
fn with(addition: &str) -> String {
    let mut job = value(MINIMAL);
    lay_over(&mut job, value(addition));
    job.to_string()
}

fn value(yaml: &str) -> serde_json::Value {
    serde_saphyr::from_str(yaml).expect("the tests' own YAML is valid")
}

fn lay_over(below: &mut serde_json::Value, above: serde_json::Value) {
    match (below, above) {
        (serde_json::Value::Object(below), serde_json::Value::Object(above)) => {
            for (key, value) in above {
                lay_over(below.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}
