//! How a run ends.

use std::error::Error as StdError;

use tidegate_sinks::{Error, Kind};

use crate::flow::event::SourceError;
use crate::flow::rejects::topic::SendError;
use crate::kafka::cluster::ClusterError;

/// What a run did before it stopped clean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub commits: u64,
    pub rows: u64,
    pub rejects: u64,
    pub files: u64,
    /// It stopped because a control object asked it to.
    pub stopped_by_control: bool,
}

impl Summary {
    /// Of a run after this one, in the same process.
    pub(super) fn add(&mut self, next: Self) {
        self.commits += next.commits;
        self.rows += next.rows;
        self.rejects += next.rejects;
        self.files += next.files;
        self.stopped_by_control = next.stopped_by_control;
    }
}

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
    /// What is stored is damaged, cut short, or contradicts itself. A refusal as well, but one that no option lifts.
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

impl From<SendError> for RunError {
    fn from(error: SendError) -> Self {
        if error.permanent { Self::Config(error.message, None) } else { Self::Failed(error.message, None) }
    }
}

impl From<ClusterError> for RunError {
    fn from(error: ClusterError) -> Self {
        if error.permanent { Self::Config(error.message, None) } else { Self::Failed(error.message, None) }
    }
}

impl From<SourceError> for RunError {
    fn from(error: SourceError) -> Self {
        Error::new(error.kind, error.message).into()
    }
}
