//! Small objects beside a job's chain of checkpoints, by which its replicas and people tell each other what
//! they wish and how they are. No guarantee of a sink rests on them.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::error::Error;
use crate::store::{Created, Store};

/// The folders that hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// What replicas are asked, numbered; the highest wins.
    Control,
    /// What each replica says of itself.
    Replicas,
    /// How savepoints on request stand.
    SavepointRequests,
}

impl Folder {
    fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Replicas => "replicas",
            Self::SavepointRequests => "savepoint-requests",
        }
    }
}

/// See the module. Clones are the same place.
#[derive(Clone, Debug)]
pub struct SharedObjects {
    state: Arc<dyn Store>,
}

impl SharedObjects {
    /// Those of the job whose state lies in `state`.
    pub fn new(state: Arc<dyn Store>) -> Self {
        Self { state }
    }

    /// Where an object lies, for messages.
    pub fn location(&self, folder: Folder, name: &str) -> String {
        format!("{}/{}", self.state, path(folder, name))
    }

    /// Writes an object unless there is one of that name.
    pub async fn create(&self, folder: Folder, name: &str, bytes: Bytes) -> Result<Created, Error> {
        self.state.create(&path(folder, name), bytes).await
    }

    /// Writes an object, in place of any that is there.
    pub async fn put(&self, folder: Folder, name: &str, bytes: Bytes) -> Result<(), Error> {
        self.state.put(&path(folder, name), bytes).await
    }

    pub async fn get(&self, folder: Folder, name: &str) -> Result<Option<Bytes>, Error> {
        self.state.get(&path(folder, name)).await
    }

    /// The names in a folder, sorted.
    pub async fn names(&self, folder: Folder) -> Result<Vec<String>, Error> {
        let entries = self.state.list(folder.name()).await?;
        let name = |path: &str| Some(path.strip_prefix(folder.name())?.strip_prefix('/')?.to_owned());
        Ok(entries.iter().filter_map(|entry| name(&entry.path)).collect())
    }

    /// Removes an object; fine when there is none.
    pub async fn remove(&self, folder: Folder, name: &str) -> Result<(), Error> {
        self.state.delete(&path(folder, name)).await
    }
}

fn path(folder: Folder, name: &str) -> String {
    format!("{}/{name}", folder.name())
}
