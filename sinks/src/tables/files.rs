//! Plain Parquet tables: a folder each, below one URL, into which staged files are moved.
//!
//! Readers list folders, so a file is visible as soon as it lies there, and each file's own place says
//! whether it is done: no table holds a counter.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::commit::{Commit, FileKind, StagedFile};
use crate::model::error::Error;
use crate::moves::{Move, Moves, Taken};
use crate::settings::Tables;
use crate::store::{Entry, Store, check_room};
use crate::table::{Applied, Change, Part, Scope, Seen, Table, VisibleFile};

mod folders;

/// See the module.
#[derive(Debug)]
pub(crate) struct Files {
    url: String,
    tables: Tables,
    store: Arc<dyn Store>,
    moves: Moves,
}

impl Files {
    /// `staging` is the folder of the store that staged files lie below; `grace` the
    /// longest time for which a server may still be executing a copy.
    pub(crate) fn new(
        url: String,
        tables: Tables,
        store: Arc<dyn Store>,
        staging: String,
        grace: Duration,
    ) -> Self {
        Self { url, tables, moves: Moves::new(Arc::clone(&store), staging, grace), store }
    }

    async fn folders(&self, tables: &Tables) -> Result<Vec<String>, Error> {
        match tables {
            Tables::Named(names) => Ok(names.clone()),
            Tables::ByTopic { prefix, suffix } => {
                let mut names = self.store.list_folders("").await?;
                names.retain(|name| folders::is_table(name, prefix, suffix));
                Ok(names)
            }
        }
    }

    /// All that lies in any table that may be the job's, and in `named` ones.
    async fn everything(&self, named: &BTreeSet<String>) -> Result<Vec<VisibleFile>, Error> {
        // A job whose tables were called otherwise until its last start still has its files there.
        let tables = match &self.tables {
            tables @ Tables::Named(_) => tables,
            Tables::ByTopic { .. } => &Tables::of_topics(),
        };
        let mut folders: BTreeSet<_> = self.folders(tables).await?.into_iter().collect();
        folders.extend(named.iter().cloned());
        let mut files = Vec::new();
        for folder in folders {
            files.extend(self.store.list_with_hidden(&folder).await?.into_iter().map(VisibleFile::from));
        }
        Ok(files)
    }
}

fn finals<'a>(part: &'a Part<'a>) -> impl Iterator<Item = String> {
    part.files.iter().map(|staged| staged.file.path.clone())
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl Table for Files {
    async fn probe(&self, commit: Option<&Commit>) -> Result<(), Error> {
        let Some(commit) = commit else {
            return match &self.tables {
                Tables::Named(names) => self.moves.prove_folders(names.clone()).await,
                Tables::ByTopic { .. } => Ok(()),
            };
        };
        let data = |file: &&StagedFile| file.kind == FileKind::Data;
        let paths: Vec<_> = commit.files.iter().filter(data).map(|file| file.path.as_str()).collect();
        paths.iter().try_for_each(|path| check_room(&self.url, path))?;
        self.moves.prove(paths).await
    }

    async fn prepare(&self, tables: &[String]) -> Result<Vec<VisibleFile>, Error> {
        let mut found = Vec::new();
        for table in tables {
            found.extend(self.store.list(table).await?.into_iter().map(VisibleFile::from));
        }
        Ok(found)
    }

    async fn look(&self, _table: &str) -> Result<Seen, Error> {
        Ok(Seen::ByFile)
    }

    async fn apply(&self, _table: &str, _seen: &Seen, change: &Change<'_>) -> Result<Applied, Error> {
        if !change.retract.is_empty() || !change.clear.is_empty() {
            let taken = change.retract.iter().map(|part| Taken {
                staged: part.files.iter().map(|staged| staged.path.clone()).collect(),
                finals: finals(part).collect(),
            });
            self.moves.take_back(taken.collect(), change.clear.clone()).await?;
        }
        let moves = change.publish.iter().flat_map(|part| {
            part.files.iter().map(|staged| Move {
                from: staged.path.clone(),
                to: staged.file.path.clone(),
                bytes: staged.file.bytes,
                is_fresh: part.is_fresh,
            })
        });
        let lost = self.moves.publish(moves.collect()).await?;
        Ok(lost.map_or(Applied::Done, Applied::Missing))
    }

    async fn inventory(&self, scope: Scope<'_>) -> Result<Vec<VisibleFile>, Error> {
        match scope {
            Scope::Job => {
                let folders = self.folders(&self.tables).await?;
                self.prepare(&folders).await
            }
            Scope::Everything(named) => self.everything(named).await,
            Scope::Files(files) => {
                let paths = files.iter().map(|file| file.path.clone()).collect();
                let found = self.moves.visible(paths).await?.into_iter();
                Ok(found.map(|(path, size)| VisibleFile::from(Entry { path, size })).collect())
            }
        }
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, Error> {
        match range {
            Some(range) => self.store.get_range(path, range).await,
            None => self.store.get(path).await,
        }
    }

    fn longest_late(&self) -> Duration {
        self.moves.longest_late()
    }
}
