//! How a failure is told: by an exit code, and once, in the form of the log.

use jiff::Timestamp;
use serde_json::json;
use tidegate_sinks::{Error, Kind};

use crate::config::ConfigErrors;
use crate::error::{RunError, words};
use crate::kafka::QueryError;

/// 1: failed; 2: the job file or the environment must be changed; 3: refused for safety.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error
        .chain()
        .find_map(|cause| {
            if let Some(error) = cause.downcast_ref::<RunError>() {
                return Some(error.exit_code());
            }
            if let Some(error) = cause.downcast_ref::<Error>() {
                return Some(match error.kind {
                    Kind::Retry => 1,
                    Kind::Config => 2,
                    Kind::Refused | Kind::Corrupt => 3,
                });
            }
            if let Some(error) = cause.downcast_ref::<QueryError>() {
                return Some(if error.kind.may_pass() { 1 } else { 2 });
            }
            cause.is::<ConfigErrors>().then_some(2)
        })
        .unwrap_or(1)
}

/// The line that ends a command which has failed: JSON where the log's lines are.
pub fn line(error: &anyhow::Error, in_json: bool, now: Timestamp) -> String {
    let words = words(error.as_ref());
    if !in_json {
        return format!("tidegate: {words}");
    }
    json!({
        "timestamp": format!("{now:.6}"),
        "level": "ERROR",
        "message": words,
        "exit_code": exit_code(error),
        "target": "tidegate",
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_is_damaged_or_cut_short_is_refused_and_not_to_be_started_again() {
        let code = |kind| exit_code(&Error::new(kind, "x").into());
        assert_eq!([Kind::Retry, Kind::Config, Kind::Corrupt, Kind::Refused].map(code), [1, 2, 3, 3]);
        let run = |kind| exit_code(&RunError::from(Error::new(kind, "x")).into());
        assert_eq!([Kind::Retry, Kind::Config, Kind::Corrupt, Kind::Refused].map(run), [1, 2, 3, 3]);
        assert_eq!(exit_code(&anyhow!("anything")), 1);
    }

    #[test]
    fn the_last_line_has_the_form_of_the_log() {
        let error = anyhow::Error::from(Error::new(Kind::Corrupt, "the chain is \"cut\"\nshort"));
        assert_eq!(line(&error, false, Timestamp::UNIX_EPOCH), "tidegate: the chain is \"cut\"\nshort");
        let line = line(&error, true, Timestamp::UNIX_EPOCH);
        assert!(!line.contains('\n'), "{line}");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "the chain is \"cut\"\nshort");
        assert_eq!((&line["level"], &line["exit_code"]), (&"ERROR".into(), &3.into()));
        assert_eq!(line["timestamp"], "1970-01-01T00:00:00.000000Z");
    }
}
