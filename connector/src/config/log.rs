//! `log`: how much is logged, and in which form.

use super::file::error::Wrong;
use super::file::section::{Section, key};
use super::file::values::Parsed;

#[derive(Clone, Debug)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}

const FORMATS: [(&str, LogFormat); 3] =
    [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];

pub(super) fn read(log: &mut Section<'_>) -> Log {
    Log {
        level: log.get(
            key(
                "level",
                "`error`, `warn`, `info`, `debug`, `trace`, or by module: `info,tidegate::flow::stage=debug`.",
            )
            .live(),
            level,
            "info".to_owned(),
        ),
        format: log.word(
            key("format", "`text`, `json`, or `auto`: text on a terminal, JSON otherwise."),
            &FORMATS,
            LogFormat::Auto,
        ),
    }
}

/// A level, or levels by module: `info,tidegate::flow::stage=debug`.
fn level(value: &str) -> Parsed<String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let known = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        levels.contains(&level.trim())
    };
    if value.split(',').all(known) && tracing_subscriber::EnvFilter::try_new(value).is_ok() {
        return Ok(value.to_owned());
    }
    Err(Wrong::new("is not a log level", format!("write one of {}, or module=level", levels.join(", "))))
}
