//! From a job file to the parts that commands use.

use std::sync::Arc;

use anyhow::Result;
use tidegate_sinks::{Chain, SinkSettings, Tables};

use super::{JobArg, LogArgs};
use crate::config::{Config, Table};
use crate::logs;

/// A loaded job with its sink open. Nothing has been asked of the store yet.
pub(super) struct Job {
    pub(super) config: Arc<Config>,
    pub(super) sink: Arc<Chain>,
}

impl Job {
    /// For commands that work on a job: they log warnings only, unless asked for more.
    pub(super) fn open(job: &JobArg, log: &LogArgs) -> Result<Self> {
        Self::opened(job, log, open_sink)
    }

    /// The same for commands that never write.
    pub(super) fn open_to_look(job: &JobArg, log: &LogArgs) -> Result<Self> {
        Self::opened(job, log, |config, _| {
            tidegate_sinks::open(SinkSettings { reads_only: true, ..settings(config, false) })
        })
    }

    fn opened(
        job: &JobArg,
        log: &LogArgs,
        open: impl FnOnce(&Config, bool) -> Result<Chain, tidegate_sinks::Error>,
    ) -> Result<Self> {
        let config = Config::load(&job.path)?;
        init_logs(log, "warn", &config, None)?;
        let sink = open(&config, false)?;
        Ok(Self { config: Arc::new(config), sink: Arc::new(sink) })
    }
}

/// The command line decides, then the caller's level.
pub(super) fn init_logs(
    log: &LogArgs,
    level: &str,
    config: &Config,
    bar: Option<indicatif::ProgressBar>,
) -> Result<()> {
    let level = log.log_level.as_deref().unwrap_or(level);
    logs::init(level, log.log_format.map_or(config.log.format, Into::into), bar)
}

/// Opens the job's sink. Asks nothing of the store, and creates nothing.
pub fn open_sink(config: &Config, new_incarnation: bool) -> Result<Chain, tidegate_sinks::Error> {
    tidegate_sinks::open(settings(config, new_incarnation))
}

fn settings(config: &Config, new_incarnation: bool) -> SinkSettings {
    SinkSettings {
        state_url: Some(config.checkpoint.state.clone()),
        options: config.sink.store.clone(),
        retries: config.timeouts.retries(),
        tables: match &config.sink.table {
            Table::Named(name) => Tables::Named(vec![name.clone()]),
            Table::ByTopic { prefix, suffix } => {
                Tables::ByTopic { prefix: prefix.clone(), suffix: suffix.clone() }
            }
        },
        retained: config.checkpoint.retained,
        retained_for: config.checkpoint.retained_for,
        copy_grace: config.checkpoint.copy_grace,
        checkpoint_timeout: config.checkpoint.timeout,
        accept_existing_files: new_incarnation,
        writer: format!("{}-{}", config.job, std::process::id()),
        ..SinkSettings::new(config.job.clone(), config.sink.url.clone())
    }
}
