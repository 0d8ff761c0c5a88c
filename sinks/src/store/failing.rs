//! A store that passes each failpoint before and after every verb; a plain one
//! where failpoints are not compiled in.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Created, Entry, Labels, Moved, Store};
use crate::failpoints;
use crate::model::error::{Error, Kind};
use crate::sink::{Upload, Uploaded};

/// See the module.
#[derive(Debug)]
pub struct Failing {
    inner: Arc<dyn Store>,
}

impl Failing {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner }
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

fn fire(path: &str, verb: &'static str, step: &'static str) -> Result<(), Error> {
    let failed = |source: io::Error| {
        Error::new(Kind::Retry, format!("{verb} {path} met a failpoint")).with_source(source)
    };
    failpoints::fire(path, verb, step).map_err(failed)
}

/// Runs one verb between its two failpoints.
async fn between<T>(
    path: &str,
    verb: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    fire(path, verb, "before")?;
    let answer = call.await?;
    fire(path, verb, "after")?;
    Ok(answer)
}

#[async_trait]
impl Store for Failing {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created, Error> {
        between(path, "create", self.inner.create(path, bytes)).await
    }

    async fn create_labelled(&self, path: &str, bytes: Bytes) -> Result<(Created, Labels), Error> {
        between(path, "create", self.inner.create_labelled(path, bytes)).await
    }

    async fn create_briefly(&self, path: &str, bytes: Bytes) -> Result<(Created, Labels), Error> {
        between(path, "create", self.inner.create_briefly(path, bytes)).await
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        between(path, "put", self.inner.put(path, bytes)).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        between(path, "get", self.inner.get(path)).await
    }

    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        between(path, "get", self.inner.get_range(path, range)).await
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, Error> {
        between(path, "head", self.inner.head(path)).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        between(folder, "list", self.inner.list(folder)).await
    }

    async fn list_after(&self, folder: &str, after: &str) -> Result<Vec<Entry>, Error> {
        between(folder, "list", self.inner.list_after(folder, after)).await
    }

    async fn list_tagged(&self, folder: &str, after: &str) -> Result<Vec<(Entry, Option<String>)>, Error> {
        between(folder, "list", self.inner.list_tagged(folder, after)).await
    }

    async fn list_with_hidden(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        between(folder, "list", self.inner.list_with_hidden(folder)).await
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        between(folder, "list_folders", self.inner.list_folders(folder)).await
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        between(path, "delete", self.inner.delete(path)).await
    }

    async fn move_to_final(&self, from: &str, to: &str, bytes: u64) -> Result<Moved, Error> {
        between(to, "move", self.inner.move_to_final(from, to, bytes)).await
    }

    async fn prove_moves(&self, from: &str, folders: Vec<String>) -> Result<(), Error> {
        self.inner.prove_moves(from, folders).await
    }

    async fn upload(&self, path: &str) -> Result<Box<dyn Upload>, Error> {
        let inner = between(path, "upload", self.inner.upload(path)).await?;
        Ok(Box::new(FailingUpload { path: path.to_owned(), inner }))
    }

    async fn remove_folder(&self, folder: &str) {
        self.inner.remove_folder(folder).await;
    }

    async fn remove_hidden(&self, folder: &str, age: Duration) {
        self.inner.remove_hidden(folder, age).await;
    }

    fn is_copying(&self) -> bool {
        self.inner.is_copying()
    }
}

#[derive(Debug)]
struct FailingUpload {
    path: String,
    inner: Box<dyn Upload>,
}

#[async_trait]
impl Upload for FailingUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        between(&self.path, "write", self.inner.write(bytes)).await
    }

    fn held(&self) -> usize {
        self.inner.held()
    }

    async fn finish(self: Box<Self>) -> Result<Uploaded, Error> {
        between(&self.path, "finish", self.inner.finish()).await
    }
}
