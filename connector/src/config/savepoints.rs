//! `savepoints`: those that the job makes by itself, and where all lie.

use std::time::Duration;

use super::file::section::{Section, key};
use super::file::values::{self, Parsed};
use super::sink;
use crate::limits::{SAVEPOINT_INTERVAL_MIN, SAVEPOINTS_RETAINED_MAX_COUNT};

#[derive(Clone, Debug)]
pub struct Savepoints {
    /// Between two periodic savepoints. Zero: none.
    pub every: Duration,
    /// URL of the folder that savepoints lie in, without a trailing slash.
    pub to: String,
    /// Periodic savepoints that are kept. 0: all.
    pub retained: u64,
}

pub(super) fn read(savepoints: &mut Section<'_>, state: &str) -> Savepoints {
    Savepoints {
        every: savepoints.get(
            key("every", "Time between periodic savepoints.").default_text("`0`: never"),
            interval,
            Duration::ZERO,
        ),
        to: savepoints.get_unless_blank(
            key("to", "The folder for savepoints. It may lie in another store of the same kind.")
                .default_text("`<state>/savepoints`"),
            sink::url,
            format!("{state}/savepoints"),
        ),
        retained: savepoints.get(
            key("retained", "Periodic savepoints that are kept. Those that you made are never removed.")
                .default_text("`0`: all"),
            values::integer(0..=SAVEPOINTS_RETAINED_MAX_COUNT),
            0,
        ),
    }
}

/// A bare 0 means never.
fn interval(value: &str) -> Parsed<Duration> {
    if value.trim() == "0" { Ok(Duration::ZERO) } else { values::duration(SAVEPOINT_INTERVAL_MIN)(value) }
}
