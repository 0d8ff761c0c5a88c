//! The log, on stderr: data goes to stdout, so that nothing but what a command prints is ever in a pipe.

use std::io::{IsTerminal, Write, stderr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::LogFormat;

/// Starts logging. `level` is a level or tracing's filter directives. librdkafka's
/// own lines come from `warn` up; rust-rdkafka's, which call the end of a partition
/// an error, not at all. A progress bar steps aside for each line.
pub fn init(level: &str, format: LogFormat, bar: Option<ProgressBar>) -> Result<()> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    expect(format);
    let text = !in_json();
    let lines = fmt::layer().with_writer(move || Lines(bar.clone()));
    let lines = if text {
        lines.with_ansi(stderr().is_terminal()).with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    // In front of all: where a layer has a filter of its own, lines are lost after
    // what the `log` crate asks for.
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("starting the log")?;
    LEVEL.get_or_init(|| handle);
    Ok(())
}

/// Says which form the log is to have, before it is started: a job file that does
/// not read is told in it, too.
pub fn expect(format: LogFormat) {
    let json = match format {
        LogFormat::Text => false,
        LogFormat::Json => true,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    IN_JSON.store(json, Ordering::Relaxed);
}

/// Whether lines of the log are JSON.
pub fn in_json() -> bool {
    IN_JSON.load(Ordering::Relaxed)
}

static IN_JSON: AtomicBool = AtomicBool::new(false);

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Changes the level of the log that was started.
pub fn set_level(level: &str) -> Result<()> {
    let handle = LEVEL.get().context("the log has not been started")?;
    handle.reload(filter(level)?).with_context(|| format!("changing the log level to {level}"))
}

fn filter(level: &str) -> Result<EnvFilter> {
    let directives = if level.contains(['=', ',']) {
        level.to_owned()
    } else {
        format!("{level},librdkafka=warn,rdkafka=off")
    };
    EnvFilter::try_new(&directives).with_context(|| format!("log level {level:?} is not known"))
}

/// Stderr, around a progress bar.
struct Lines(Option<ProgressBar>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match &self.0 {
            Some(bar) => bar.suspend(|| stderr().write(line)),
            None => stderr().write(line),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        stderr().flush()
    }
}
