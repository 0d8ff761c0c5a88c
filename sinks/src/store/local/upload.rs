//! A local file that is being written: hidden until it is whole and synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::steps::{Hidden, in_folder, parent, sync_folder};
use crate::error::{Error, Kind};
use crate::failpoints::fire;
use crate::sink::{Upload, Uploaded};
use crate::store::hex;

/// Writes of fewer bytes are put together, so that each trip to a blocking thread is worth it.
const WRITE_BYTES: usize = 1 << 20;

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
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    /// The last write, perhaps still running; none after an error.
    last: Option<JoinHandle<io::Result<Open>>>,
    open: Option<Open>,
}

impl LocalUpload {
    pub(super) fn open(root: &Path, path: &str) -> io::Result<Self> {
        let target = root.join(path);
        let open = in_folder(&target, |_| {
            let hidden = Hidden::beside(&target);
            let file = OpenOptions::new().write(true).create_new(true).open(&hidden.0)?;
            Ok(Open { file, hidden, bytes: 0, sha256: Sha256::new() })
        })?;
        Ok(Self {
            path: path.to_owned(),
            target,
            waiting: Vec::new(),
            waiting_bytes: 0,
            last: None,
            open: Some(open),
        })
    }

    /// Waits for the write before, so at most one runs and one is being filled.
    async fn ready(&mut self) -> Result<Open, Error> {
        if let Some(last) = self.last.take() {
            let done = last.await.map_err(io::Error::other).and_then(|result| result);
            self.open = Some(done.map_err(|source| super::error(&self.target, "write", source))?);
        }
        self.open.take().ok_or_else(|| {
            Error::new(Kind::Retry, format!("the upload of {} failed before", self.target.display()))
        })
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let mut open = self.ready().await?;
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.last = Some(tokio::task::spawn_blocking(move || {
            for bytes in waiting {
                open.file.write_all(&bytes)?;
                open.sha256.update(&bytes);
                open.bytes += bytes.len() as u64;
            }
            Ok(open)
        }));
        Ok(())
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
        if self.waiting_bytes >= WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> Result<Uploaded, Error> {
        self.flush().await?;
        let open = self.ready().await?;
        let (path, target) = (self.path.clone(), self.target.clone());
        let done = tokio::task::spawn_blocking(move || finish(&path, &target, open)).await;
        let done = done.map_err(io::Error::other).and_then(|result| result);
        done.map_err(|source| super::error(&self.target, "finish", source))
    }
}

/// Sync, rename, sync of the folder: the staged name appears only with all its bytes on disk, and a commit that
/// names it is never written before it is durable.
fn finish(path: &str, target: &Path, open: Open) -> io::Result<Uploaded> {
    open.file.sync_all()?;
    fire(path, "finish", "synced")?;
    fs::rename(&open.hidden.0, target)?;
    fire(path, "finish", "renamed")?;
    sync_folder(parent(target)?)?;
    Ok(Uploaded { bytes: open.bytes, sha256: hex(open.sha256) })
}
