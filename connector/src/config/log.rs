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

/// What may stand behind `tidegate::`. A module of an older version would be waited for in vain.
const MODULES: [&str; 17] = [
    "cli", "columns", "config", "error", "flow", "formats", "import", "job", "kafka", "limits", "logs",
    "memory", "metrics", "names", "replica", "show", "tasks",
];

/// A level, or levels by module: `info,tidegate::flow::stage=debug`.
fn level(value: &str) -> Parsed<String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let modules = value.split(',').filter_map(|part| part.trim().strip_prefix("tidegate::"));
    let mut modules = modules.map(|path| path.split([':', '=']).next().unwrap_or_default());
    if let Some(unknown) = modules.find(|module| !MODULES.contains(module)) {
        let remedy =
            "write one of this version, such as tidegate::flow::stage, tidegate::show::http, tidegate::job";
        return Err(Wrong::new(format!("names tidegate::{unknown}, and there is no such module"), remedy));
    }
    let known = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        levels.contains(&level.trim())
    };
    if value.split(',').all(known) && tracing_subscriber::EnvFilter::try_new(value).is_ok() {
        return Ok(value.to_owned());
    }
    Err(Wrong::new("is not a log level", format!("write one of {}, or module=level", levels.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_not_there_is_refused() {
        for known in ["info", "info,tidegate::flow::stage=debug", "warn,rdkafka=off,tidegate=debug"] {
            assert!(level(known).is_ok(), "{known}");
        }
        let wrong = level("info,tidegate::stage=debug").unwrap_err();
        assert!(wrong.problem.contains("tidegate::stage"), "{}", wrong.problem);
    }

    #[test]
    fn every_module_may_be_named() {
        let declared = include_str!("../lib.rs").lines().filter_map(|line| line.strip_prefix("pub mod "));
        for module in declared.map(|rest| rest.trim_end_matches(';')) {
            assert!(MODULES.contains(&module), "{module}");
        }
    }
}
