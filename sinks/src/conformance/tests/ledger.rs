//! A table as a database is one: one lock for a transaction, and a ledger of the commits that it has seen. It
//! shows that the chain asks nothing of a table but its six methods.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::chain::Chain;
use crate::conformance::{Options, Place};
use crate::faulty::{Dice, Faults, Faulty, FaultyTable};
use crate::model::commit::{Commit, CommitId};
use crate::model::error::Error;
use crate::settings::SinkSettings;
use crate::sink::Sink;
use crate::store::{Entry, Store};
use crate::table::{Applied, Change, Scope, Seen, Table, VisibleFile};

/// Clones are connections to the same database.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    staging: Arc<dyn Store>,
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    /// Rows by the file that they came in.
    rows: BTreeMap<String, Bytes>,
    shown: BTreeSet<(CommitId, String)>,
    taken_back: BTreeSet<CommitId>,
    n: u64,
    version: u64,
}

impl World {
    fn seen(&self) -> Seen {
        let version = self.version.to_string();
        Seen::Counter { chain: String::new(), n: self.n, stamp: self.n, version }
    }

    fn files(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<VisibleFile> {
        let wanted = self.rows.iter().filter(|(path, _)| is_wanted(path));
        let entry = |(path, bytes): (&String, &Bytes)| Entry { path: path.clone(), size: bytes.len() as u64 };
        wanted.map(entry).map(VisibleFile::from).collect()
    }
}

impl Ledger {
    pub(super) fn new(staging: Arc<dyn Store>) -> Self {
        Self { staging, world: Arc::default() }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ledger")
    }
}

#[async_trait]
impl Table for Ledger {
    async fn probe(&self, _commit: Option<&Commit>) -> Result<(), Error> {
        Ok(())
    }

    async fn prepare(&self, tables: &[String]) -> Result<Vec<VisibleFile>, Error> {
        Ok(self
            .world()
            .files(|path| path.split('/').next().is_some_and(|t| tables.iter().any(|table| table == t))))
    }

    async fn look(&self, _table: &str) -> Result<Seen, Error> {
        Ok(self.world().seen())
    }

    async fn apply(&self, table: &str, seen: &Seen, change: &Change<'_>) -> Result<Applied, Error> {
        let mut rows = Vec::new();
        for part in &change.publish {
            for staged in &part.files {
                rows.push((part.commit, staged.file, self.staging.get(&staged.path).await?));
            }
        }
        let mut world = self.world();
        if world.seen() != *seen {
            return Ok(Applied::Unknown);
        }
        let mut new = Vec::new();
        for (commit, file, bytes) in rows {
            let is_shown = world.shown.contains(&(commit.clone(), table.to_owned()));
            match bytes {
                _ if is_shown || world.taken_back.contains(commit) => {}
                Some(bytes) => new.push((file.path.clone(), bytes)),
                None => return Ok(Applied::Missing(file.path.clone())),
            }
        }
        for part in &change.retract {
            world.taken_back.insert(part.commit.clone());
            part.files.iter().for_each(|staged| drop(world.rows.remove(&staged.file.path)));
        }
        change.clear.iter().for_each(|path| drop(world.rows.remove(path)));
        world.rows.extend(new);
        let shown = change.publish.iter().map(|part| (part.commit.clone(), table.to_owned()));
        world.shown.extend(shown);
        world.n = world.n.max(change.to);
        world.version += 1;
        Ok(Applied::Done)
    }

    async fn inventory(&self, scope: Scope<'_>) -> Result<Vec<VisibleFile>, Error> {
        let world = self.world();
        Ok(match scope {
            Scope::Job | Scope::Everything(_) => world.files(|_| true),
            Scope::Files(files) => world.files(|path| files.iter().any(|file| file.path == path)),
        })
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, Error> {
        let part = |bytes: &Bytes| match &range {
            Some(range) => bytes.slice(range.start as usize..range.end as usize),
            None => bytes.clone(),
        };
        Ok(self.world().rows.get(path).map(part))
    }
}

/// A database for the rows, and a bucket for the chain and what is staged.
pub(super) struct LedgerPlace {
    ledger: Ledger,
    stores: [Arc<dyn Store>; 2],
    faults: Option<(Arc<Dice>, Faults)>,
}

impl LedgerPlace {
    pub(super) fn new(data: Arc<dyn Store>, state: Arc<dyn Store>, faults: Option<(Faults, u64)>) -> Self {
        let faults = faults.map(|(faults, seed)| (Dice::new(seed), faults));
        let faulty = |store: Arc<dyn Store>| -> Arc<dyn Store> {
            match &faults {
                Some((dice, faults)) => Arc::new(Faulty::new(store, *faults, Arc::clone(dice))),
                None => store,
            }
        };
        Self { ledger: Ledger::new(Arc::clone(&data)), stores: [faulty(data), faulty(state)], faults }
    }
}

#[async_trait]
impl Place for LedgerPlace {
    fn sink(&self, options: Options) -> Arc<dyn Sink> {
        let mut settings = SinkSettings::new("job", "memory://");
        settings.retained = options.retained;
        settings.retained_for = std::time::Duration::ZERO;
        settings.backoff = std::time::Duration::from_millis(500);
        settings.accept_existing_files = options.accept_existing_files;
        settings.seed = 1;
        let ledger = Arc::new(self.ledger.clone());
        let table: Arc<dyn Table> = match &self.faults {
            Some((dice, faults)) => Arc::new(FaultyTable::new(ledger, *faults, Arc::clone(dice))),
            None => ledger,
        };
        let [data, state] = self.stores.clone();
        Arc::new(Chain::new(settings, data, state, table).expect("the job's name is a folder's").proved())
    }

    async fn visible(&self) -> BTreeMap<String, Bytes> {
        self.ledger.world().rows.clone()
    }

    async fn plant(&self, path: &str, bytes: Bytes) {
        self.ledger.world().rows.insert(path.to_owned(), bytes);
    }

    async fn take(&self, path: &str) {
        self.ledger.world().rows.remove(path);
    }

    async fn calm(&self) {
        if let Some((dice, faults)) = &self.faults {
            dice.heal();
            tokio::time::sleep(faults.longest * 3).await;
        }
    }
}
