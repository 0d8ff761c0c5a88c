//! How a failure is told: by an exit code, and once, in the form of the log.

use std::error::Error as StdError;

use jiff::Timestamp;
use serde_json::json;
use tidegate_sinks::{Error, Kind};

use crate::config::ConfigErrors;
use crate::flow::run::RunError;
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

/// An error and its causes, each said once: libraries repeat a cause in the text of what it has caused.
pub fn words(error: &(dyn StdError + 'static)) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        let text = text.trim().trim_end_matches(':');
        let is_told = text.is_empty() || is_among(&told, text);
        match told.last_mut() {
            _ if is_told => {}
            Some(last) if text.starts_with(last.as_str()) => text.clone_into(last),
            _ => told.push(text.to_owned()),
        }
        next = cause.source();
    }
    told.join(": ")
}

/// Whether `text` stands among what was told, as words of its own.
fn is_among(told: &[String], text: &str) -> bool {
    let joins = |edge: Option<char>| edge.is_some_and(char::is_alphanumeric);
    told.iter().any(|said| {
        said.match_indices(text).any(|(at, _)| {
            !joins(said[..at].chars().next_back()) && !joins(said[at + text.len()..].chars().next())
        })
    })
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
    use anyhow::{Context, anyhow};

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
    fn an_error_says_itself_once() {
        let store = anyhow!("connection refused").context("Generic S3 error: connection refused");
        let store = store.context("could not list s3://lake/raw");
        assert_eq!(
            words(store.as_ref()),
            "could not list s3://lake/raw: Generic S3 error: connection refused"
        );
        let same: anyhow::Result<()> =
            Err(anyhow!("job.yaml: is not there")).context("job.yaml: is not there");
        assert_eq!(words(same.unwrap_err().as_ref()), "job.yaml: is not there");
        let longer = anyhow!("reading x: no such file").context("reading x");
        assert_eq!(words(longer.as_ref()), "reading x: no such file");
        // Only whole words count: what is said in passing is not the cause.
        let short = anyhow!("time").context("timeouts.stop is too short");
        assert_eq!(words(short.as_ref()), "timeouts.stop is too short: time");
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
