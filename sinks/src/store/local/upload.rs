//! A local file that is being written: hidden until it is whole and synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::folders::{in_folder, parent, sync_folder};
use super::links::inside;
use super::steps::Hidden;
use crate::failpoints::fire;
use crate::model::error::{Error, Kind};
use crate::sink::{Upload, Uploaded};
use crate::store::hex;

/// The file and what is known of it so far; moves to a blocking thread and back with each write.
#[derive(Debug)]
struct Open {
    file: File,
    hidden: Hidden,
    bytes: u64,
    sha256: Sha256,
}

#[derive(Debug)]
pub(super) struct LocalUpload {
    path: String,
    target: PathBuf,
    /// The last write, perhaps still running; none after an error.
    last: Option<JoinHandle<io::Result<Open>>>,
    open: Option<Open>,
}

impl LocalUpload {
    pub(super) fn open(root: &Path, path: &str) -> io::Result<Self> {
        let target = inside(root, path)?;
        let open = in_folder(&target, |_| {
            let hidden = Hidden::beside(&target);
            let file = OpenOptions::new().write(true).create_new(true).open(&hidden.0)?;
            Ok(Open { file, hidden, bytes: 0, sha256: Sha256::new() })
        })?;
        Ok(Self { path: path.to_owned(), target, last: None, open: Some(open) })
    }

    /// Waits for the write before, so at most one runs.
    async fn ready(&mut self) -> Result<Open, Error> {
        if let Some(last) = self.last.take() {
            let done = last.await.map_err(io::Error::other).and_then(|result| result);
            self.open = Some(done.map_err(|source| super::error(&self.target, "write", source))?);
        }
        self.open.take().ok_or_else(|| {
            Error::new(Kind::Retry, format!("the upload of {} failed before", self.target.display()))
        })
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let mut open = self.ready().await?;
        self.last = Some(tokio::task::spawn_blocking(move || {
            open.file.write_all(&bytes)?;
            open.sha256.update(&bytes);
            open.bytes += bytes.len() as u64;
            Ok(open)
        }));
        Ok(())
    }

    fn held(&self) -> usize {
        0
    }

    async fn finish(mut self: Box<Self>) -> Result<Uploaded, Error> {
        let open = self.ready().await?;
        let (path, target) = (self.path.clone(), self.target.clone());
        let done = tokio::task::spawn_blocking(move || finish(&path, &target, open)).await;
        let done = done.map_err(io::Error::other).and_then(|result| result);
        done.map_err(|source| super::error(&self.target, "finish", source))
    }
}

/// Sync, rename, sync of the folder: the staged name appears only with all its bytes on disk, and a commit
/// that names it is never written before it is durable.
fn finish(path: &str, target: &Path, open: Open) -> io::Result<Uploaded> {
    open.file.sync_all()?;
    fire(path, "finish", "synced")?;
    fs::rename(&open.hidden.0, target)?;
    fire(path, "finish", "renamed")?;
    sync_folder(parent(target)?)?;
    Ok(Uploaded { bytes: open.bytes, sha256: hex(open.sha256) })
}
