//! A process that stops. Behind a closed gate no call of the store is begun and no answer arrives, while what
//! is under way takes its effect all the same: to the world, that is a process that hangs, or has crashed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_sinks::store::{Created, Entry, Moved, Store};
use tidegate_sinks::{Error, Upload, Uploaded};
use tokio::sync::Notify;

use super::chance::Chance;

/// A call takes at most this long on its way there, and again on its way back.
const LATENCY_MAX_MILLIS: u64 = 40;

/// One process' switch; clones switch the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<Switch>);

/// Not a `watch`: that wakes those who wait in random order, so that a seed would not be the same run twice.
#[derive(Debug, Default)]
struct Switch {
    is_closed: AtomicBool,
    switched: Notify,
}

impl Gate {
    pub(super) fn close(&self) {
        self.0.is_closed.store(true, Ordering::Relaxed);
        self.0.switched.notify_waiters();
    }

    pub(super) fn open(&self) {
        self.0.is_closed.store(false, Ordering::Relaxed);
        self.0.switched.notify_waiters();
    }

    async fn wait(&self, is_closed: bool) {
        loop {
            let mut switched = std::pin::pin!(self.0.switched.notified());
            switched.as_mut().enable();
            if self.0.is_closed.load(Ordering::Relaxed) == is_closed {
                return;
            }
            switched.await;
        }
    }

    /// Waits until the gate is open: for ever, if the process is dead.
    pub(super) async fn pass(&self) {
        self.wait(false).await;
    }

    /// Runs a future that stands still while the gate is closed.
    pub(super) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            self.pass().await;
            tokio::select! {
                biased;
                () = self.wait(true) => {}
                done = &mut work => return done,
            }
        }
    }
}

/// A store as one process sees it.
pub(super) struct Gated {
    inner: Arc<dyn Store>,
    gate: Gate,
    chance: Chance,
}

impl Gated {
    pub(super) fn new(inner: Arc<dyn Store>, gate: Gate, chance: Chance) -> Self {
        Self { inner, gate, chance }
    }

    async fn travel(&self) {
        if self.chance.happens(0.3) {
            tokio::time::sleep(self.chance.millis(0..LATENCY_MAX_MILLIS)).await;
        }
        self.gate.pass().await;
    }

    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        self.travel().await;
        let answer = call.await;
        self.travel().await;
        answer
    }
}

impl fmt::Debug for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gated({self})")
    }
}

impl fmt::Display for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Store for Gated {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created, Error> {
        self.call(self.inner.create(path, bytes)).await
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        self.call(self.inner.put(path, bytes)).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        self.call(self.inner.get(path)).await
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, Error> {
        self.call(self.inner.head(path)).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.call(self.inner.list(folder)).await
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        self.call(self.inner.list_folders(folder)).await
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        self.call(self.inner.delete(path)).await
    }

    async fn move_to_final(&self, from: &str, to: &str, bytes: u64) -> Result<Moved, Error> {
        self.call(self.inner.move_to_final(from, to, bytes)).await
    }

    async fn upload(&self, path: &str) -> Result<Box<dyn Upload>, Error> {
        let inner = self.call(self.inner.upload(path)).await?;
        let store = Self::new(Arc::clone(&self.inner), self.gate.clone(), self.chance.clone());
        Ok(Box::new(GatedUpload { inner, store }))
    }

    async fn remove_folder(&self, folder: &str) {
        self.call(self.inner.remove_folder(folder)).await;
    }

    fn is_copying(&self) -> bool {
        self.inner.is_copying()
    }
}

#[derive(Debug)]
struct GatedUpload {
    inner: Box<dyn Upload>,
    store: Gated,
}

#[async_trait]
impl Upload for GatedUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.store.call(self.inner.write(bytes)).await
    }

    fn held(&self) -> usize {
        self.inner.held()
    }

    async fn finish(self: Box<Self>) -> Result<Uploaded, Error> {
        let Self { inner, store } = *self;
        store.call(inner.finish()).await
    }
}
