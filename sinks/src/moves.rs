//! Staged files become visible by moving, and are taken back by deleting, within one store: of tables in
//! folders, and of rejects, which are files whatever the tables are.
//!
//! The guarantee: both can be repeated, by anybody, at any time, however late; and what was taken back does
//! not come back, not even where a move is a copy that nobody waits for any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::failpoints::pass;
use crate::model::error::{Error, Kind};
use crate::store::{Moved, Store};

/// Files that are moved, or deleted, at the same time.
const AT_ONCE: usize = 8;
/// What is remembered of folders and commits; past it all is forgotten, and found out once more.
const REMEMBERED_MAX: usize = 10_000;

/// A staged file and where it is to be visible.
pub(crate) struct Move {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// Nobody is known to have moved it before.
    pub(crate) is_fresh: bool,
}

/// Files of a commit that was taken back: those of one table, or its rejects.
pub(crate) struct Taken {
    pub(crate) staged: Vec<String>,
    pub(crate) finals: Vec<String>,
}

/// See the module.
pub(crate) struct Moves {
    store: Arc<dyn Store>,
    /// The folder that staged files lie below.
    staging: String,
    /// The longest time for which a server may still be executing a copy.
    grace: Duration,
    slots: Semaphore,
    /// Folders into which staged files were proven to move.
    proven: Mutex<BTreeSet<String>>,
    /// By the first staged file of what was taken back, when all its staged files were found gone: no copy of
    /// these has begun since. Not by the commit, whose tables are taken back one by one.
    unstaged: Mutex<BTreeMap<String, Instant>>,
}

impl Moves {
    pub(crate) fn new(store: Arc<dyn Store>, staging: String, grace: Duration) -> Self {
        let slots = Semaphore::new(AT_ONCE);
        Self { store, staging, grace, slots, proven: Mutex::default(), unstaged: Mutex::default() }
    }

    /// How long a move that nobody waits for any more may still take effect.
    pub(crate) fn longest_late(&self) -> Duration {
        if self.store.is_copying() { self.grace } else { Duration::ZERO }
    }

    /// Proves that staged files can be moved to these paths: once for each folder that this process meets.
    ///
    /// Errors: as those of [`Store::prove_moves`].
    pub(crate) async fn prove(&self, finals: impl IntoIterator<Item = &str>) -> Result<(), Error> {
        let folders = finals.into_iter().filter_map(|path| Some(path.rsplit_once('/')?.0.to_owned()));
        let mut folders: BTreeSet<_> = folders.collect();
        folders.retain(|folder| !lock(&self.proven).contains(folder));
        if folders.is_empty() {
            return Ok(());
        }
        self.prove_folders(folders.iter().cloned().collect()).await?;
        let mut proven = lock(&self.proven);
        if proven.len() + folders.len() > REMEMBERED_MAX {
            proven.clear();
        }
        proven.extend(folders);
        Ok(())
    }

    /// Proves it of these folders, also where this process has proved it before.
    pub(crate) async fn prove_folders(&self, folders: Vec<String>) -> Result<(), Error> {
        self.store.prove_moves(&self.staging, folders).await
    }

    /// Moves each file to where it is visible. The path of one that is neither staged nor there.
    ///
    /// Errors: `Corrupt`, where a file of another size is in its place.
    pub(crate) async fn publish(&self, moves: Vec<Move>) -> Result<Option<String>, Error> {
        let moved = stream::iter(moves).map(|file| self.publish_file(file)).buffer_unordered(AT_ONCE);
        let lost: Vec<Option<String>> = moved.try_collect().await?;
        Ok(lost.into_iter().flatten().next())
    }

    async fn publish_file(&self, file: Move) -> Result<Option<String>, Error> {
        let Move { from, to, bytes: expected, is_fresh } = file;
        let _slot = self.slots.acquire().await;
        // Where a move is a copy, somebody may have made it already.
        if !is_fresh && self.store.is_copying() && self.store.head(&to).await? == Some(expected) {
            return self.store.delete(&from).await.map(|()| None);
        }
        if self.store.move_to_final(&from, &to, expected).await? == Moved::Moved {
            return Ok(None);
        }
        match self.store.head(&to).await? {
            Some(bytes) if bytes == expected => Ok(None),
            Some(bytes) => {
                let context = format!("{}/{to} has {bytes} bytes, its commit says {expected}", self.store);
                Err(Error::new(Kind::Corrupt, context))
            }
            None => Ok(Some(to)),
        }
    }

    /// Takes back: staged files first, or a publisher that is late would bring a final back; then, where
    /// files are copied, a pause as long as a copy may take; then the finals, and these files of others.
    pub(crate) async fn take_back(&self, taken: Vec<Taken>, others: Vec<String>) -> Result<(), Error> {
        pass("erase", "unstage", "before")?;
        let mut finals = others;
        let unstaged = stream::iter(taken).map(|taken| self.unstage(taken)).buffer_unordered(AT_ONCE);
        let unstaged: Vec<(Vec<String>, Option<Instant>)> = unstaged.try_collect().await?;
        pass("erase", "unstage", "after")?;
        let copies_end = unstaged.iter().filter_map(|(_, since)| *since).max();
        if let (true, Some(since)) = (self.store.is_copying(), copies_end) {
            tracing::info!(grace = ?self.grace, "waiting until no copy can be running");
            tokio::time::sleep_until(since + self.grace).await;
        }
        pass("erase", "finals", "before")?;
        finals.extend(unstaged.into_iter().flat_map(|(finals, _)| finals));
        self.delete(finals).await?;
        pass("erase", "finals", "after")
    }

    /// Removes the staged files. Returns the finals, and since when no copy of them has begun.
    async fn unstage(&self, taken: Taken) -> Result<(Vec<String>, Option<Instant>), Error> {
        let Taken { staged, finals } = taken;
        let Some(first) = staged.first().cloned() else { return Ok((finals, None)) };
        self.delete(staged).await?;
        let mut unstaged = lock(&self.unstaged);
        if unstaged.len() >= REMEMBERED_MAX {
            unstaged.clear();
        }
        let since = *unstaged.entry(first).or_insert_with(Instant::now);
        Ok((finals, Some(since)))
    }

    /// However many callers there are at once, no more than so many files are deleted at a time.
    pub(crate) async fn delete(&self, paths: Vec<String>) -> Result<(), Error> {
        let deleted = stream::iter(paths).map(async |path: String| {
            let _slot = self.slots.acquire().await;
            self.store.delete(&path).await
        });
        deleted.buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Those of the files at `paths` that are there, with their sizes.
    pub(crate) async fn visible(&self, paths: Vec<String>) -> Result<Vec<(String, u64)>, Error> {
        let looked = stream::iter(paths).map(async |path: String| {
            let bytes = self.store.head(&path).await?;
            Ok::<_, Error>(bytes.map(|bytes| (path, bytes)))
        });
        let looked: Vec<_> = looked.buffered(AT_ONCE).try_collect().await?;
        Ok(looked.into_iter().flatten().collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moves({})", self.store)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::store::Object;

    const GRACE: Duration = Duration::from_secs(600);

    fn part(table: &str) -> Taken {
        let staged = vec![format!("staging/commit/{table}.staged")];
        Taken { staged, finals: vec![format!("{table}/file.parquet")] }
    }

    /// A publisher may begin to copy a file for as long as that file is staged.
    #[tokio::test(start_paused = true)]
    async fn each_table_is_waited_for_since_its_own_staged_files_are_gone() {
        let store = Arc::new(Object::new(Arc::new(InMemory::new()), "memory://", "w"));
        let moves = Moves::new(store, "staging".to_owned(), GRACE);
        for table in ["a", "b"] {
            let began = Instant::now();
            moves.take_back(vec![part(table)], Vec::new()).await.unwrap();
            assert!(began.elapsed() >= GRACE, "{table}: {:?}", began.elapsed());
        }
        let began = Instant::now();
        moves.take_back(vec![part("a")], Vec::new()).await.unwrap();
        assert!(began.elapsed() < GRACE, "what was waited for already: {:?}", began.elapsed());
    }
}
