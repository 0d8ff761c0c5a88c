//! Why a run, or a command, ended otherwise than it should; and how that is told once.

use std::error::Error as StdError;

use tidegate_sinks::{Error, Kind};

/// Why a run ended otherwise. Everything up to the last checkpoint stands; a restart goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{0}")]
    Failed(String, #[source] Option<Box<dyn StdError + Send + Sync>>),
    /// The job file or the environment must be changed first.
    #[error("{0}")]
    Config(String, #[source] Option<Box<dyn StdError + Send + Sync>>),
    /// Going on could lose or double records.
    #[error("{0}")]
    Refused(String, #[source] Option<Box<dyn StdError + Send + Sync>>),
    /// What is stored is damaged, cut short, or contradicts itself. A refusal as well,
    /// but one that no option lifts.
    #[error("{0}")]
    Corrupt(String, #[source] Option<Box<dyn StdError + Send + Sync>>),
}

impl RunError {
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into(), None)
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into(), None)
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(..) => 1,
            Self::Config(..) => 2,
            Self::Refused(..) | Self::Corrupt(..) => 3,
        }
    }
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        let Error { kind, context, source } = error;
        match kind {
            Kind::Retry => Self::Failed(context, source),
            Kind::Config => Self::Config(context, source),
            Kind::Refused => Self::Refused(context, source),
            Kind::Corrupt => Self::Corrupt(context, source),
        }
    }
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

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

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
}
