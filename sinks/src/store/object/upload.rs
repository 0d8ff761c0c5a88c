//! An object that is being written: one put when it is small, else parts of which several are under way. It
//! appears when all parts have been put together, so a reader never sees a part.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::Object;
use crate::model::error::{Error, Kind};
use crate::sink::{Upload, Uploaded};
use crate::store::hex;

/// Size of all parts but the last, which some stores want alike. The least that S3
/// takes: each open upload holds as much.
pub(super) const PART_BYTES: usize = 5 << 20;

pub(super) struct ObjectUpload {
    store: Object,
    path: String,
    key: Path,
    filling: Vec<Bytes>,
    filling_bytes: usize,
    bytes: u64,
    sha256: Sha256,
    /// Begun with the first full part.
    multipart: Option<Box<dyn MultipartUpload>>,
    running: JoinSet<object_store::Result<()>>,
}

impl ObjectUpload {
    pub(super) fn new(store: Object, path: String, key: Path) -> Self {
        Self {
            store,
            path,
            key,
            filling: Vec::new(),
            filling_bytes: 0,
            bytes: 0,
            sha256: Sha256::new(),
            multipart: None,
            running: JoinSet::new(),
        }
    }

    fn error(&self, source: object_store::Error) -> Error {
        self.store.error("upload", &self.path, source)
    }

    /// Of what belongs to a multipart upload that was begun. What is missing then is
    /// the upload, not the bucket: it was completed by a request whose answer was lost,
    /// or the bucket's rule has aborted it. A new attempt writes it anew.
    fn error_of_begun(&self, source: object_store::Error) -> Error {
        let is_gone = matches!(source, object_store::Error::NotFound { .. });
        let error = self.error(source);
        if is_gone { Error { kind: Kind::Retry, ..error } } else { error }
    }

    fn take_payload(&mut self) -> PutPayload {
        self.filling_bytes = 0;
        std::mem::take(&mut self.filling).into_iter().collect()
    }

    /// Sends what has been gathered as the next part, once there is room for it in flight.
    async fn send_part(&mut self) -> Result<(), Error> {
        while let Some(done) = self.running.try_join_next() {
            self.joined(done)?;
        }
        let permit = self.store.parts.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore of a store is never closed");
        if self.multipart.is_none() {
            let begun = self.store.inner.put_multipart(&self.key).await;
            self.multipart = Some(begun.map_err(|source| self.error(source))?);
        }
        let payload = self.take_payload();
        if let Some(multipart) = &mut self.multipart {
            let part = multipart.put_part(payload);
            self.running.spawn(async move {
                let _permit = permit;
                part.await
            });
        }
        Ok(())
    }

    fn joined(&self, done: Result<object_store::Result<()>, tokio::task::JoinError>) -> Result<(), Error> {
        match done {
            Ok(result) => result.map_err(|source| self.error_of_begun(source)),
            Err(source) => {
                let context = format!("an upload of {}/{} broke off", self.store.url, self.path);
                Err(Error::new(Kind::Retry, context).with_source(source))
            }
        }
    }

    async fn finish_parts(&mut self) -> Result<(), Error> {
        if !self.filling.is_empty() {
            self.send_part().await?;
        }
        while let Some(done) = self.running.join_next().await {
            self.joined(done)?;
        }
        if let Some(multipart) = &mut self.multipart {
            let completed = multipart.complete().await;
            completed.map_err(|source| self.error_of_begun(source))?;
            // From here on there is nothing to abort.
            self.multipart = None;
        }
        Ok(())
    }
}

#[async_trait]
impl Upload for ObjectUpload {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        self.sha256.update(&bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PART_BYTES - self.filling_bytes));
            self.filling_bytes += piece.len();
            self.filling.push(piece);
            if self.filling_bytes == PART_BYTES {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    fn held(&self) -> usize {
        self.filling_bytes
    }

    async fn finish(mut self: Box<Self>) -> Result<Uploaded, Error> {
        if self.multipart.is_some() {
            self.finish_parts().await?;
        } else {
            let payload = self.take_payload();
            let put = self.store.inner.put(&self.key, payload).await;
            put.map_err(|source| self.error(source))?;
        }
        Ok(Uploaded { bytes: self.bytes, sha256: hex(self.sha256.clone()) })
    }
}

impl Drop for ObjectUpload {
    /// Gives the parts back, as far as that is possible; the bucket's own rule removes what a crash leaves.
    fn drop(&mut self) {
        let Some(mut multipart) = self.multipart.take() else { return };
        let mut running = std::mem::take(&mut self.running);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                running.shutdown().await;
                if let Err(error) = multipart.abort().await {
                    tracing::debug!(%error, "could not abort an upload");
                }
            });
        }
    }
}

impl fmt::Debug for ObjectUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectUpload({}/{})", self.store.url, self.path)
    }
}
