//! The savepoints of a folder, by their manifests.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tidegate_sinks::store::{self, Retries};

use super::folder::{CHECKPOINT, Folder, HASH, MANIFEST};
use super::{Manifest, StoreOptions};
use crate::error::RunError;

/// Manifests that are read at the same time.
const AT_ONCE: usize = 16;

/// A savepoint in a folder of savepoints, complete or not.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// The name of its folder: its id, unless it was renamed.
    pub name: String,
    pub uri: String,
    /// `None` when there is no manifest to rely on.
    pub manifest: Option<Manifest>,
    /// Why it cannot be used, as far as its manifest tells.
    pub problem: Option<String>,
}

/// The savepoints in the folder `to`, in order of their names. Folders with nothing of a savepoint in them
/// are left out, and only manifests are looked at.
pub async fn list(to: &str, options: &StoreOptions, retries: Retries) -> Result<Vec<Listed>, RunError> {
    let to = to.trim_end_matches('/');
    let store = store::open(to, options, retries)?;
    let names = store.list_folders("").await?;
    let listed = names.into_iter().map(async |name| {
        let folder = Folder::within(&Arc::clone(&store), to, &name);
        folder.listed(name).await
    });
    let listed: Vec<_> = stream::iter(listed).buffered(AT_ONCE).try_collect().await?;
    Ok(listed.into_iter().flatten().collect())
}

impl Folder {
    async fn listed(self, name: String) -> Result<Option<Listed>, RunError> {
        let (manifest, problem) = match self.read_manifest().await {
            Ok(manifest) => (Some(manifest), None),
            Err(refused @ RunError::Refused(..)) => {
                let mut is_any = false;
                for file in [MANIFEST, HASH, CHECKPOINT] {
                    is_any = is_any || self.size(file).await?.is_some();
                }
                if !is_any {
                    return Ok(None);
                }
                (None, Some(refused.to_string()))
            }
            Err(error) => return Err(error),
        };
        Ok(Some(Listed { name, uri: self.uri, manifest, problem }))
    }
}
