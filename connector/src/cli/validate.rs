//! `tidegate validate`: every check that a run makes before its first record, all failures at once. What it
//! writes to try the sink out is removed again.

mod inferred;
mod kafka;
mod local;
mod sink;

use anyhow::Result;
use serde::Serialize;

use super::output::{OutputArg, table};
use super::{JobArg, LogArgs};
use crate::config::{Config, ConfigErrors};
use crate::error;
use crate::logs;

#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    job: JobArg,
    /// Only what needs no network
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

/// A row of the table.
#[derive(Clone, Debug, Serialize)]
struct Check {
    check: String,
    result: Verdict,
    detail: String,
}

impl Check {
    fn new(check: &str, result: Verdict, detail: impl ToString) -> Self {
        Self { check: check.to_owned(), result, detail: detail.to_string() }
    }

    fn ok(check: &str, detail: impl ToString) -> Self {
        Self::new(check, Verdict::Ok, detail)
    }

    fn warning(check: &str, detail: impl ToString) -> Self {
        Self::new(check, Verdict::Warning, detail)
    }

    fn failed(check: &str, detail: impl ToString) -> Self {
        Self::new(check, Verdict::Failed, detail)
    }

    /// The error with its causes.
    fn failed_with(check: &str, error: impl Into<anyhow::Error>) -> Self {
        let error: anyhow::Error = error.into();
        Self::failed(check, error::words(error.as_ref()))
    }
}

#[derive(Debug, Serialize)]
struct Shown {
    valid: bool,
    checks: Vec<Check>,
}

pub(super) async fn execute(args: ValidateArgs, log: &LogArgs) -> Result<u8> {
    let checks = match Config::load(&args.job.path) {
        Ok(config) => {
            let level = log.log_level.as_deref().unwrap_or("error");
            logs::init(level, log.log_format.map_or(config.log.format, Into::into), None)?;
            all(&config, args.offline).await
        }
        Err(errors) => of_job_file(&errors),
    };
    let valid = checks.iter().all(|check| check.result != Verdict::Failed);
    let shown = Shown { valid, checks };
    args.output.print(&shown, || text(&shown))?;
    Ok(if valid { 0 } else { 2 })
}

fn of_job_file(errors: &ConfigErrors) -> Vec<Check> {
    errors.errors.iter().map(|error| Check::failed("job file", error)).collect()
}

async fn all(config: &Config, offline: bool) -> Vec<Check> {
    let mut checks = local::checks(config);
    if offline {
        return checks;
    }
    checks.push(local::listening(config).await);
    // The sink first: while replicas run, a position read after the logs' ends may lie beyond them.
    let of_sink = sink::look(config).await;
    let of_kafka = match of_sink.chain.as_ref().map(|(_, loaded)| loaded) {
        Some(Ok(Some(state))) => kafka::look(&kafka::without_given_up(config, state)).await,
        _ => kafka::look(config).await,
    };
    checks.extend(of_kafka.checks);
    checks.extend(of_sink.checks);
    if let (Some((_, Ok(state))), Some(logs)) = (&of_sink.chain, &of_kafka.logs) {
        checks.extend(inferred::look(config, state.as_deref(), logs).await);
    }
    if let Some((sink, loaded)) = of_sink.chain {
        checks.extend(sink::of_chain(config, &sink, loaded, of_kafka.logs.as_ref()).await);
    }
    checks
}

fn text(shown: &Shown) -> String {
    let rows = shown.checks.iter().map(|check| {
        let result = match check.result {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED",
        };
        [check.check.clone(), result.to_owned(), check.detail.clone()]
    });
    let failed = shown.checks.iter().filter(|check| check.result == Verdict::Failed).count();
    let verdict = match failed {
        0 => "a run would start".to_owned(),
        1 => "1 check failed: a run would not start".to_owned(),
        failed => format!("{failed} checks failed: a run would not start"),
    };
    format!("{}\n\n{verdict}", table(["check", "result", "detail"], rows))
}
