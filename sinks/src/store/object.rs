//! A store in a bucket: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage, or memory.
//!
//! The guarantee rests on the server: a put is atomic, and one with the condition "only if absent" succeeds at most
//! once. A server that ignores the condition is found out by `probe`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::Semaphore;

use super::{Created, Entry, Moved, Store, check_folder, check_path};
use crate::error::{Error, Kind};
use crate::sink::Upload;

mod refusal;
mod upload;

/// Parts of all uploads together that may be under way, each of [`upload::PART_BYTES`]: 20 MiB.
const PARTS_IN_FLIGHT: usize = 4;

/// See the module.
#[derive(Clone)]
pub struct Object {
    inner: Arc<dyn ObjectStore>,
    /// What people are shown; holds no secret.
    url: Arc<str>,
    /// Key prefix of the root, without a slash at either end.
    root: Arc<str>,
    parts: Arc<Semaphore>,
}

impl Object {
    /// A store whose root is the key prefix `root` of `inner`; `url` is how messages name it.
    pub fn new(inner: Arc<dyn ObjectStore>, url: &str, root: &str) -> Self {
        Self {
            inner,
            url: url.trim_end_matches('/').into(),
            root: root.trim_matches('/').into(),
            parts: Arc::new(Semaphore::new(PARTS_IN_FLIGHT)),
        }
    }

    /// The object's key. Taken as it stands: hive folders carry their own percent signs, which must not be escaped
    /// a second time.
    fn key(&self, path: &str) -> Result<Path, Error> {
        check_folder(path)?;
        let key = match (self.root.is_empty(), path.is_empty()) {
            (true, _) => path.to_owned(),
            (_, true) => self.root.to_string(),
            _ => format!("{}/{path}", self.root),
        };
        Path::parse(&key).map_err(|source| self.error("name", path, source.into()))
    }

    /// The path below the root of an object that was listed.
    fn below_root<'a>(&self, key: &'a Path) -> Option<&'a str> {
        let key = key.as_ref();
        if self.root.is_empty() { Some(key) } else { key.strip_prefix(&*self.root)?.strip_prefix('/') }
    }

    async fn entries(
        &self,
        folder: &str,
        listing: BoxStream<'_, object_store::Result<ObjectMeta>>,
    ) -> Result<Vec<Entry>, Error> {
        let listed: Vec<_> =
            listing.try_collect().await.map_err(|source| self.error("list", folder, source))?;
        let mut entries: Vec<Entry> = listed
            .iter()
            .filter_map(|meta| {
                Some(Entry { path: self.below_root(&meta.location)?.to_owned(), size: meta.size })
            })
            .filter(|entry| check_path(&entry.path).is_ok())
            .collect();
        entries.sort_unstable();
        Ok(entries)
    }

    fn error(&self, what: &str, path: &str, source: object_store::Error) -> Error {
        error(&self.url, what, path, source)
    }
}

/// An error of the store, with what is to be done about it.
fn error(url: &str, what: &str, path: &str, source: object_store::Error) -> Error {
    use object_store::Error as Store;
    let (kind, remedy) = if let Some(remedy) = refusal::certificate_remedy(&source) {
        (Kind::Config, remedy.to_owned())
    } else if refusal::is_refusal(&source) {
        (Kind::Config, refusal::rights_remedy(url, what))
    } else {
        let kind = match source {
            // Where absence is a normal answer it has been told apart before: what is missing here is the bucket.
            Store::NotFound { .. }
            | Store::InvalidPath { .. }
            | Store::NotSupported { .. }
            | Store::NotImplemented { .. }
            | Store::UnknownConfigurationKey { .. } => Kind::Config,
            _ => Kind::Retry,
        };
        (kind, String::new())
    };
    Error::new(kind, format!("could not {what} {url}/{path}{remedy}")).with_source(source)
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not `inner`: it knows the credentials.
        write!(f, "Object({self})")
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

fn found<T>(result: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl Store for Object {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created, Error> {
        check_path(path)?;
        let options = PutOptions::from(PutMode::Create);
        match self.inner.put_opts(&self.key(path)?, bytes.into(), options).await {
            Ok(_) => Ok(Created::Created),
            // Azure and GCS may answer with the failed condition instead.
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Created::Exists)
            }
            Err(source) => Err(self.error("create", path, source)),
        }
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        check_path(path)?;
        let put = self.inner.put(&self.key(path)?, bytes.into()).await;
        put.map(drop).map_err(|source| self.error("write", path, source))
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        check_path(path)?;
        let key = self.key(path)?;
        let read = async {
            match found(self.inner.get(&key).await)? {
                Some(object) => Ok(Some(object.bytes().await?)),
                None => Ok(None),
            }
        };
        read.await.map_err(|source| self.error("read", path, source))
    }

    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        check_path(path)?;
        let part = found(self.inner.get_range(&self.key(path)?, range).await);
        part.map_err(|source| self.error("read", path, source))
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, Error> {
        check_path(path)?;
        let head = found(self.inner.head(&self.key(path)?).await);
        Ok(head.map_err(|source| self.error("look at", path, source))?.map(|meta| meta.size))
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.entries(folder, self.inner.list(Some(&self.key(folder)?))).await
    }

    async fn list_after(&self, folder: &str, after: &str) -> Result<Vec<Entry>, Error> {
        self.entries(folder, self.inner.list_with_offset(Some(&self.key(folder)?), &self.key(after)?)).await
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let listed = self.inner.list_with_delimiter(Some(&self.key(folder)?)).await;
        let listed = listed.map_err(|source| self.error("list", folder, source))?;
        let mut names: Vec<String> = listed
            .common_prefixes
            .iter()
            .filter_map(|prefix| prefix.as_ref().rsplit('/').next().map(str::to_owned))
            .filter(|name| check_path(name).is_ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        check_path(path)?;
        let deleted = found(self.inner.delete(&self.key(path)?).await);
        deleted.map(drop).map_err(|source| self.error("delete", path, source))
    }

    /// The copy before the delete: the bytes have a name at every moment. Between them a look, as the answer to a copy
    /// proves nothing: Azure may only have begun it, and it may fail later.
    async fn move_to_final(&self, from: &str, to: &str, bytes: u64) -> Result<Moved, Error> {
        check_path(from)?;
        check_path(to)?;
        let copied = found(self.inner.copy(&self.key(from)?, &self.key(to)?).await);
        if copied.map_err(|source| self.error("copy", from, source))?.is_none() {
            return Ok(Moved::SourceMissing);
        }
        let found = self.head(to).await?;
        if found != Some(bytes) {
            let found = found.map_or("nothing".to_owned(), |found| format!("{found} bytes"));
            let context =
                format!("the copy of {self}/{from}, of {bytes} bytes, has left {found} at {to} so far");
            return Err(Error::new(Kind::Retry, context));
        }
        self.delete(from).await?;
        Ok(Moved::Moved)
    }

    async fn upload(&self, path: &str) -> Result<Box<dyn Upload>, Error> {
        check_path(path)?;
        let key = self.key(path)?;
        Ok(Box::new(upload::ObjectUpload::new(self.clone(), path.to_owned(), key)))
    }

    async fn remove_folder(&self, _folder: &str) {}

    fn is_copying(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
