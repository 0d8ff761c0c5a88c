//! A store that passes on what a test does not change.

use super::*;

/// What a test changes; the rest goes to the store below.
#[async_trait]
pub(super) trait Instead: fmt::Debug + Send + Sync + 'static {
    async fn create(&self, inner: &dyn Store, path: &str, bytes: Bytes) -> Result<Created, Error> {
        inner.create(path, bytes).await
    }

    async fn get(&self, inner: &dyn Store, path: &str) -> Result<Option<Bytes>, Error> {
        inner.get(path).await
    }

    async fn list(&self, inner: &dyn Store, folder: &str) -> Result<Vec<Entry>, Error> {
        inner.list(folder).await
    }
}

/// Its listings show no ETags.
#[derive(Debug)]
pub(super) struct Passing<I> {
    pub(super) inner: Arc<dyn Store>,
    pub(super) instead: I,
}

impl<I> fmt::Display for Passing<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl<I: Instead> Store for Passing<I> {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created, Error> {
        self.instead.create(&*self.inner, path, bytes).await
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        self.inner.put(path, bytes).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        self.instead.get(&*self.inner, path).await
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, Error> {
        self.inner.head(path).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.instead.list(&*self.inner, folder).await
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        self.inner.list_folders(folder).await
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        self.inner.delete(path).await
    }

    async fn move_to_final(&self, from: &str, to: &str, bytes: u64) -> Result<Moved, Error> {
        self.inner.move_to_final(from, to, bytes).await
    }

    async fn upload(&self, path: &str) -> Result<Box<dyn Upload>, Error> {
        self.inner.upload(path).await
    }

    async fn remove_folder(&self, folder: &str) {
        self.inner.remove_folder(folder).await;
    }

    fn is_copying(&self) -> bool {
        self.inner.is_copying()
    }
}
