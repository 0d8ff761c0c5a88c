//! Checks that need nothing but the job file.

use std::time::Duration;

use super::Check;
use crate::cli::schema::files_schema;
use crate::columns;
use crate::config::{Config, client_properties, timeouts};
use crate::kafka;
use crate::show::http;

/// Commits a second on one chain above which writers mostly wait for one another.
const CHAIN_MAX_COMMITS_PER_SECOND: u32 = 3;

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let mut checks = vec![Check::ok("job file", format!("job {}", config.job))];
    checks.extend(columns(config));
    let cautions = columns::cautions(config.format.columns.as_deref().unwrap_or_default());
    checks.extend(cautions.into_iter().map(|caution| Check::warning("columns", caution)));
    let findings = timeouts::check(config, &client_properties(config), None, timeouts::kill_delay());
    if findings.is_empty() {
        checks.push(Check::ok("timeouts", "fit one another and the client's properties"));
    }
    if let Err(error) = kafka::check_client(&client_properties(config)) {
        checks.push(Check::failed("client", error));
    }
    // An error among them would have been one of the job file's.
    checks.extend(findings.into_iter().map(|finding| Check::warning("timeouts", finding)));
    if config.checkpoint.interval < Duration::from_secs(1) / CHAIN_MAX_COMMITS_PER_SECOND {
        let interval = humantime::format_duration(config.checkpoint.interval);
        checks.push(Check::warning(
            "checkpoints",
            format!(
                "checkpoint.interval ({interval}) makes more than {CHAIN_MAX_COMMITS_PER_SECOND} commits a second on \
                 one chain, and replicas add to it; raise it"
            ),
        ));
    }
    if config.savepoints.retained > 0 && config.savepoints.every.is_zero() {
        checks.push(Check::warning(
            "savepoints",
            "savepoints.retained is of periodic ones, and savepoints.every makes none; set it, or remove retained",
        ));
    }
    checks.extend(http(config));
    checks
}

fn http(config: &Config) -> Vec<Check> {
    let mut checks: Vec<_> =
        http::cautions(&config.http).into_iter().map(|caution| Check::warning("http", caution)).collect();
    if let Some(tls) = &config.http.tls {
        checks.push(match http::load_tls(tls) {
            Ok(_) => Check::ok("http", "the certificate and its key fit"),
            Err(error) => Check::failed("http", error),
        });
    }
    checks
}

/// Whether the address can be had now, as a run would need it.
pub(super) async fn listening(config: &Config) -> Check {
    match http::bind(config.http.listen).await {
        Ok(_) => Check::ok("http.listen", format!("{} is free", config.http.listen)),
        Err(error) => Check::failed_with("http.listen", error),
    }
}

fn columns(config: &Config) -> Vec<Check> {
    let Some(known) = config.format.known_columns() else {
        let detail = "left out: inferred for each table from a sample of its topics, and pinned";
        return vec![Check::ok("columns", detail)];
    };
    match files_schema(config, &known) {
        Ok(schema) => {
            let twins = columns::twins(&schema);
            let mut checks = vec![Check::ok("columns", format!("{} columns", schema.fields().len()))];
            checks.extend(twins.into_iter().map(|twins| Check::warning("columns", twins)));
            checks
        }
        Err(error) => vec![Check::failed_with("columns", error)],
    }
}
