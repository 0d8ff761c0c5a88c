//! A server that refuses to create a file because somebody else is creating it, who then fails.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_sinks::store::{Created, Entry, Moved, Store};
use tidegate_sinks::{Error, Upload};

use super::super::folder::Folder;
use super::super::uri;
use super::scene::Scene;

/// The first creations of a file are refused, and nothing is there.
#[derive(Debug)]
struct Contended {
    inner: Arc<dyn Store>,
    refusals: AtomicU32,
}

async fn create(refusals: u32) -> Result<(), crate::error::RunError> {
    let scene = Scene::with_commits(1).await;
    let folder = Folder::open(&uri(&scene.to(), "one"), &Default::default(), Default::default())?;
    let store: Arc<dyn Store> =
        Arc::new(Contended { inner: folder.store, refusals: AtomicU32::new(refusals) });
    let folder = Folder::within(&store, &scene.to(), "one");
    folder.create(&scene.sink, &scene.config, "one").await?;
    folder.read().await.map(drop)
}

#[tokio::test]
async fn a_file_that_is_said_to_be_there_and_is_not_is_created_once_more() {
    create(1).await.unwrap();
    let error = create(2).await.unwrap_err();
    assert!(error.exit_code() == 1 && error.to_string().contains("is gone"), "{error}");
}

impl fmt::Display for Contended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Store for Contended {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created, Error> {
        let left = |left: u32| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
            return Ok(Created::Exists);
        }
        self.inner.create(path, bytes).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        self.inner.get(path).await
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, Error> {
        self.inner.head(path).await
    }

    async fn put(&self, _: &str, _: Bytes) -> Result<(), Error> {
        unreachable!("a savepoint overwrites nothing")
    }

    async fn list(&self, _: &str) -> Result<Vec<Entry>, Error> {
        unreachable!("its files are known by name")
    }

    async fn list_folders(&self, _: &str) -> Result<Vec<String>, Error> {
        unreachable!("its files are known by name")
    }

    async fn delete(&self, _: &str) -> Result<(), Error> {
        unreachable!("nothing is removed")
    }

    async fn move_to_final(&self, _: &str, _: &str, _: u64) -> Result<Moved, Error> {
        unreachable!("nothing is moved")
    }

    async fn upload(&self, _: &str) -> Result<Box<dyn Upload>, Error> {
        unreachable!("its files are small")
    }

    async fn remove_folder(&self, _: &str) {
        unreachable!("nothing is removed")
    }

    fn is_copying(&self) -> bool {
        false
    }
}
