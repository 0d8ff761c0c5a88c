//! A store, and a table, that fail on purpose, by a seed: what a network, a busy
//! server and a paused process do to a writer, within minutes of simulated time. On
//! one thread with paused time, equal seeds give equal runs.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::model::commit::Commit;
use crate::model::error::{Error, Kind};
use crate::sink::{Upload, Uploaded};
use crate::store::{Created, Entry, Moved, Store};
use crate::table::{Applied, Change, Scope, Seen, Table, VisibleFile};

/// How often what goes wrong: probabilities of one call, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Answered with an error, and not done.
    pub refuse: f64,
    /// Done, and answered with an error.
    pub lose_answer: f64,
    /// Answered with an error, and done some time later. Of a move on a store that
    /// copies: the source is read now, and the target written later.
    pub late: f64,
    /// Done after a while.
    pub delay: f64,
    /// Of a listing: its two halves are read at different times.
    pub tear: f64,
    /// The longest delay.
    pub longest: Duration,
}

/// A store that fails.
pub struct Faulty {
    inner: Arc<dyn Store>,
    fates: Fates,
}

/// A table that fails: a change may be there though its answer is lost, and nobody is told which.
pub struct FaultyTable {
    inner: Arc<dyn Table>,
    fates: Fates,
}

/// What decides how each call ends.
#[derive(Clone)]
struct Fates {
    faults: Faults,
    dice: Arc<Dice>,
}

/// What all stores of one simulation throw.
#[derive(Debug)]
pub struct Dice {
    rng: Mutex<StdRng>,
    healed: AtomicBool,
}

impl Dice {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { rng: Mutex::new(StdRng::seed_from_u64(seed)), healed: AtomicBool::new(false) })
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
    }

    fn throw(&self, probability: f64) -> bool {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.random::<f64>() < probability && !self.healed.load(Ordering::Relaxed)
    }

    fn part(&self, whole: f64) -> f64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>() * whole
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    Refused,
    AnswerLost,
    Late,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Store>, faults: Faults, dice: Arc<Dice>) -> Self {
        Self { inner, fates: Fates { faults, dice } }
    }
}

impl FaultyTable {
    pub fn new(inner: Arc<dyn Table>, faults: Faults, dice: Arc<Dice>) -> Self {
        Self { inner, fates: Fates { faults, dice } }
    }
}

impl Fates {
    async fn fate(&self) -> Fate {
        if self.dice.throw(self.faults.delay) {
            self.delay().await;
        }
        let fates = [
            (self.faults.refuse, Fate::Refused),
            (self.faults.lose_answer, Fate::AnswerLost),
            (self.faults.late, Fate::Late),
        ];
        let thrown = fates.into_iter().find(|(probability, _)| self.dice.throw(*probability));
        thrown.map_or(Fate::Good, |(_, fate)| fate)
    }

    async fn delay(&self) {
        tokio::time::sleep(self.random_delay()).await;
    }

    fn random_delay(&self) -> Duration {
        Duration::from_secs_f64(self.dice.part(self.faults.longest.as_secs_f64()))
    }

    fn error(&self, what: &str, path: &str) -> Error {
        let status = if self.dice.throw(0.5) { "503" } else { "409" };
        Error::new(Kind::Retry, format!("{what} {path}: {status}, on purpose"))
    }

    /// Lets a call that changes something meet its fate.
    async fn change<T: Send + 'static>(
        &self,
        what: &str,
        path: &str,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match self.fate().await {
            Fate::Good => return call.await,
            Fate::Refused => {}
            Fate::AnswerLost => drop(call.await),
            Fate::Late => {
                let delay = self.random_delay();
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    drop(call.await);
                });
            }
        }
        Err(self.error(what, path))
    }

    /// Reads have only two fates.
    async fn read<T>(
        &self,
        what: &str,
        path: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if self.fate().await == Fate::Refused { Err(self.error(what, path)) } else { call.await }
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("inner", &self.inner)
            .field("faults", &self.fates.faults)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Fates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults.fmt(f)
    }
}

impl fmt::Debug for FaultyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyTable").field("inner", &self.inner).field("faults", &self.fates).finish()
    }
}

impl fmt::Display for FaultyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Table for FaultyTable {
    async fn probe(&self, commit: Option<&Commit>) -> Result<(), Error> {
        self.fates.read("probe", "tables", self.inner.probe(commit)).await
    }

    async fn prepare(&self, tables: &[String]) -> Result<Vec<VisibleFile>, Error> {
        self.fates.read("prepare", "tables", self.inner.prepare(tables)).await
    }

    async fn look(&self, table: &str) -> Result<Seen, Error> {
        self.fates.read("look at", table, self.inner.look(table)).await
    }

    async fn apply(&self, table: &str, seen: &Seen, change: &Change<'_>) -> Result<Applied, Error> {
        match self.fates.fate().await {
            Fate::Good => self.inner.apply(table, seen, change).await,
            Fate::Refused | Fate::Late => Err(self.fates.error("change", table)),
            Fate::AnswerLost => {
                drop(self.inner.apply(table, seen, change).await);
                Ok(Applied::Unknown)
            }
        }
    }

    async fn inventory(&self, scope: Scope<'_>) -> Result<Vec<VisibleFile>, Error> {
        self.fates.read("list", "tables", self.inner.inventory(scope)).await
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, Error> {
        self.fates.read("read", path, self.inner.read(path, range)).await
    }

    fn longest_late(&self) -> Duration {
        self.inner.longest_late()
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Store for Faulty {
    async fn create(&self, path: &str, bytes: Bytes) -> Result<Created, Error> {
        let (inner, to) = (Arc::clone(&self.inner), path.to_owned());
        self.fates.change("create", path, async move { inner.create(&to, bytes).await }).await
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        let (inner, to) = (Arc::clone(&self.inner), path.to_owned());
        self.fates.change("put", path, async move { inner.put(&to, bytes).await }).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        self.fates.read("get", path, self.inner.get(path)).await
    }

    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        self.fates.read("get", path, self.inner.get_range(path, range)).await
    }

    async fn head(&self, path: &str) -> Result<Option<u64>, Error> {
        self.fates.read("head", path, self.inner.head(path)).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let mut entries = self.fates.read("list", folder, self.inner.list(folder)).await?;
        if self.fates.dice.throw(self.fates.faults.tear) && !entries.is_empty() {
            // Two pages, the second read later: keys up to the first page's last are as they were.
            let last = self.fates.dice.part(entries.len() as f64) as usize;
            entries.truncate(last + 1);
            self.fates.delay().await;
            let later = self.inner.list(folder).await?;
            let last = entries[last].path.clone();
            entries.extend(later.into_iter().filter(|entry| entry.path > last));
        }
        Ok(entries)
    }

    async fn list_with_hidden(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.fates.read("list", folder, self.inner.list_with_hidden(folder)).await
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        self.fates.read("list folders", folder, self.inner.list_folders(folder)).await
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        let (inner, at) = (Arc::clone(&self.inner), path.to_owned());
        self.fates.change("delete", path, async move { inner.delete(&at).await }).await
    }

    async fn move_to_final(&self, from: &str, to: &str, bytes: u64) -> Result<Moved, Error> {
        if self.is_copying() && self.fates.dice.throw(self.fates.faults.late) {
            let source = self.inner.get(from).await?;
            let (inner, target, delay) = (Arc::clone(&self.inner), to.to_owned(), self.fates.random_delay());
            if let Some(bytes) = source {
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    inner.put(&target, bytes).await
                });
            }
            return Err(self.fates.error("copy", to));
        }
        match self.fates.fate().await {
            Fate::Refused | Fate::Late => Err(self.fates.error("move", to)),
            Fate::AnswerLost => {
                drop(self.inner.move_to_final(from, to, bytes).await);
                Err(self.fates.error("move", to))
            }
            Fate::Good => self.inner.move_to_final(from, to, bytes).await,
        }
    }

    async fn upload(&self, path: &str) -> Result<Box<dyn Upload>, Error> {
        let inner = self.fates.read("upload", path, self.inner.upload(path)).await?;
        Ok(Box::new(FaultyUpload { path: path.to_owned(), inner, fates: self.fates.clone() }))
    }

    async fn remove_folder(&self, folder: &str) {
        self.inner.remove_folder(folder).await;
    }

    fn is_copying(&self) -> bool {
        self.inner.is_copying()
    }
}

#[derive(Debug)]
struct FaultyUpload {
    path: String,
    inner: Box<dyn Upload>,
    fates: Fates,
}

#[async_trait]
impl Upload for FaultyUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.fates.read("write", &self.path, self.inner.write(bytes)).await
    }

    fn held(&self) -> usize {
        self.inner.held()
    }

    async fn finish(self: Box<Self>) -> Result<Uploaded, Error> {
        let Self { path, inner, fates } = *self;
        fates.change("finish", &path, inner.finish()).await
    }
}
