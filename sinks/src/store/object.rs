//! A store in a bucket: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage, or memory.
//!
//! The guarantee rests on the server: a put is atomic, and one with the condition
//! "only if absent" succeeds at most once. A server that does not keep to the
//! condition is found out by a race, before the first record (`files::proof`).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{
    Created, Entry, Labels, Moved, Retries, Store, bare_tag, check_folder, check_listed, check_path,
};
use crate::model::error::{Error, Kind};
use crate::sink::Upload;

mod refusal;
mod upload;

/// Parts of all uploads together that may be under way, each of [`upload::PART_BYTES`]: 20 MiB.
const PARTS_IN_FLIGHT: usize = 4;

/// See the module.
#[derive(Clone)]
pub struct Object {
    inner: Arc<dyn ObjectStore>,
    copies: Copies,
    /// What people are shown; holds no secret.
    url: Arc<str>,
    /// Key prefix of the root, without a slash at either end.
    root: Arc<str>,
    parts: Arc<Semaphore>,
}

/// How an object is copied by the server, which may take its time over a large one. A copy that is asked for
/// again while it runs is made twice, and changes a file that readers may have seen already.
#[derive(Clone)]
struct Copies {
    /// Asks for each copy once, and is patient.
    client: Arc<dyn ObjectStore>,
    /// How long an answer is waited for before a look whether the copy is there.
    look_every: Duration,
    /// How long a copy that fails is asked for again.
    retry_timeout: Duration,
}

/// Between two copies of one object, at first and at most.
const COPY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));

impl Object {
    /// A store whose root is the key prefix `root` of `inner`; `url` is how messages name it.
    pub fn new(inner: Arc<dyn ObjectStore>, url: &str, root: &str) -> Self {
        let copies = Copies {
            client: Arc::clone(&inner),
            look_every: Duration::from_secs(60),
            retry_timeout: Duration::ZERO,
        };
        Self {
            inner,
            copies,
            url: url.trim_end_matches('/').into(),
            root: root.trim_matches('/').into(),
            parts: Arc::new(Semaphore::new(PARTS_IN_FLIGHT)),
        }
    }

    /// The same with a client of its own for copies, which repeats no request by itself.
    pub(super) fn with_copier(mut self, client: Arc<dyn ObjectStore>, retries: Retries) -> Self {
        let Retries { request_timeout, retry_timeout } = retries;
        self.copies = Copies { client, look_every: request_timeout, retry_timeout };
        self
    }

    /// Has an object copied, and waits until all of it is there. Whether there was anything to copy.
    async fn copy(&self, from: &str, to: &str, bytes: u64) -> Result<bool, Error> {
        let give_up = Instant::now() + self.copies.retry_timeout;
        let (mut pause, longest) = COPY_PAUSES;
        loop {
            let error = match self.copy_once(from, to, bytes).await {
                Ok(copied) => return Ok(copied),
                Err(error) => error,
            };
            // It may have been made all the same, or come to its end in the meantime.
            if self.is_there(to, bytes).await {
                return Ok(true);
            }
            if error.kind != Kind::Retry || Instant::now() + pause >= give_up {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
            if self.is_there(to, bytes).await {
                return Ok(true);
            }
        }
    }

    async fn copy_once(&self, from: &str, to: &str, bytes: u64) -> Result<bool, Error> {
        let (source, target) = (self.key(from)?, self.key(to)?);
        let mut copying = std::pin::pin!(self.copies.client.copy(&source, &target));
        let copied = loop {
            tokio::select! {
                copied = &mut copying => break copied,
                // The answer may be lost, with the connection that it was to come by.
                () = tokio::time::sleep(self.copies.look_every), if self.appears_whole() => {
                    if self.is_there(to, bytes).await {
                        return Ok(true);
                    }
                }
            }
        };
        let copied = found(copied).map_err(|source| self.error("copy", from, source))?;
        Ok(copied.is_some())
    }

    async fn is_there(&self, path: &str, bytes: u64) -> bool {
        matches!(self.head(path).await, Ok(Some(found)) if found == bytes)
    }

    /// Azure shows the target of a copy that it has only begun.
    fn appears_whole(&self) -> bool {
        !self.url.starts_with("a")
    }

    /// The object's key. Taken as it stands: hive folders carry their own percent
    /// signs, which must not be escaped a second time.
    fn key(&self, path: &str) -> Result<Path, Error> {
        if !path.is_empty() {
            check_listed(path)?;
        }
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

    /// Those of a listing whose paths are `sound`.
    async fn entries(
        &self,
        folder: &str,
        listing: BoxStream<'_, object_store::Result<ObjectMeta>>,
        sound: fn(&str) -> Result<(), Error>,
    ) -> Result<Vec<Entry>, Error> {
        check_folder(folder)?;
        let listed = listing.try_filter_map(async |meta| Ok(self.entry(&meta, sound)));
        let mut entries: Vec<_> =
            listed.try_collect().await.map_err(|source| self.error("list", folder, source))?;
        entries.sort_unstable();
        Ok(entries)
    }

    fn entry(&self, meta: &ObjectMeta, sound: fn(&str) -> Result<(), Error>) -> Option<Entry> {
        let path = self.below_root(&meta.location)?;
        sound(path).ok()?;
        Some(Entry { path: path.to_owned(), size: meta.size })
    }

    fn error(&self, what: &str, path: &str, source: object_store::Error) -> Error {
        error(&self.url, what, path, source)
    }
}

/// An error of the store, with what is to be done about it. Its causes are told once, in one line; nothing of
/// the answer is in it that [`super::answers`] has left out.
fn error(url: &str, what: &str, path: &str, source: object_store::Error) -> Error {
    use object_store::Error as Store;
    let told = refusal::told(&source);
    let (kind, remedy) = if let Some(remedy) = refusal::certificate_remedy(&source) {
        (Kind::Config, remedy.to_owned())
    } else if refusal::is_refusal(&source) {
        (Kind::Config, refusal::rights_remedy(url, what))
    } else if refusal::is_no_bucket(&told) {
        (Kind::Config, ": there is no such bucket or container; make it, or correct the URL".to_owned())
    } else {
        let kind = match source {
            // Where absence is a normal answer it has been told apart before: what is missing
            // here is the bucket.
            Store::NotFound { .. }
            | Store::InvalidPath { .. }
            | Store::NotSupported { .. }
            | Store::NotImplemented { .. }
            | Store::UnknownConfigurationKey { .. } => Kind::Config,
            _ => Kind::Retry,
        };
        (kind, String::new())
    };
    Error::new(kind, format!("could not {what} {url}/{path}{remedy}")).with_source(told)
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
        Ok(self.create_labelled(path, bytes).await?.0)
    }

    async fn create_labelled(&self, path: &str, bytes: Bytes) -> Result<(Created, Labels), Error> {
        check_path(path)?;
        let options = PutOptions::from(PutMode::Create);
        match self.inner.put_opts(&self.key(path)?, bytes.into(), options).await {
            Ok(put) => {
                let tag = put.e_tag.as_deref().map(bare_tag);
                // So S3 calls the one version of a bucket that keeps no others any more.
                let version = put.version.filter(|version| version != "null");
                Ok((Created::Created, Labels { tag, version }))
            }
            // Azure and GCS may answer with the failed condition instead.
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok((Created::Exists, Labels::default()))
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
        check_listed(path)?;
        let part = found(self.inner.get_range(&self.key(path)?, range).await);
        part.map_err(|source| self.error("read", path, source))
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, Error> {
        check_path(path)?;
        let head = found(self.inner.head(&self.key(path)?).await);
        Ok(head.map_err(|source| self.error("look at", path, source))?.map(|meta| meta.size))
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.entries(folder, self.inner.list(Some(&self.key(folder)?)), check_path).await
    }

    async fn list_with_hidden(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.entries(folder, self.inner.list(Some(&self.key(folder)?)), check_listed).await
    }

    async fn list_after(&self, folder: &str, after: &str) -> Result<Vec<Entry>, Error> {
        let listing = self.inner.list_with_offset(Some(&self.key(folder)?), &self.key(after)?);
        self.entries(folder, listing, check_path).await
    }

    async fn list_tagged(&self, folder: &str, after: &str) -> Result<Vec<(Entry, Option<String>)>, Error> {
        let listing = self.inner.list_with_offset(Some(&self.key(folder)?), &self.key(after)?);
        let tagged = listing.try_filter_map(async |meta| {
            Ok(self.entry(&meta, check_path).map(|entry| (entry, meta.e_tag.as_deref().map(bare_tag))))
        });
        let mut entries: Vec<_> =
            tagged.try_collect().await.map_err(|source| self.error("list", folder, source))?;
        entries.sort_unstable();
        Ok(entries)
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        check_folder(folder)?;
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

    /// The copy before the delete: the bytes have a name at every moment. Between them a look, as the answer
    /// to a copy proves nothing: Azure may only have begun it, and it may fail later.
    async fn move_to_final(&self, from: &str, to: &str, bytes: u64) -> Result<Moved, Error> {
        check_path(from)?;
        check_path(to)?;
        if !self.copy(from, to, bytes).await? {
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
