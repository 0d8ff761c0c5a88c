//! What of a commit belongs to which table, and the rejects, which are files whatever the tables are. The one
//! place that asks a [`Table`](crate::table::Table) to change.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join;
use futures::{StreamExt, TryStreamExt, stream};

use super::Chain;
use crate::model::checkpoint::Retracted;
use crate::model::commit::{Commit, CommitId, FileKind, FinalName, StagedFile};
use crate::model::error::{Error, Kind};
use crate::moves::{Move, Taken};
use crate::store::check_room;
use crate::table::{Applied, Change, Part, Scope, Staged, VisibleFile};

/// Tables that are changed at the same time.
const AT_ONCE: usize = 8;
/// How often it is tried again, whether a commit's files can become visible. Nothing is in force yet, so an error
/// that stays, as of a full disk, is better told than waited for.
const TRIES: u32 = 5;

/// The files of a commit.
struct Parts<'a> {
    /// By the table.
    data: BTreeMap<&'a str, Vec<Staged<'a>>>,
    rejects: Vec<Staged<'a>>,
}

impl Chain {
    /// Errors: `Corrupt`, for a file that is to be outside of the tables.
    fn parts<'a>(&self, commit: &'a Commit) -> Result<Parts<'a>, Error> {
        let mut parts = Parts { data: BTreeMap::new(), rejects: Vec::new() };
        for file in &commit.files {
            self.paths.final_path(file)?;
            let staged = Staged { file, path: self.paths.staged(&commit.id, &file.staged)? };
            match file.table() {
                Some(table) => parts.data.entry(table).or_default().push(staged),
                None => parts.rejects.push(staged),
            }
        }
        Ok(parts)
    }

    /// Proves, before it is in force, that a commit's files can become visible;
    /// repeated a few times while an error may pass.
    ///
    /// Errors: as those of [`Table::probe`](crate::table::Table::probe).
    pub(super) async fn prove_tables(&self, commit: &Commit) -> Result<(), Error> {
        let mut failures = 0;
        loop {
            match self.try_tables(commit).await {
                Err(error) if error.kind == Kind::Retry && failures < TRIES => {
                    tracing::warn!(%error, "trying out where a commit goes");
                    self.pause(failures).await;
                    failures += 1;
                }
                answer => return answer,
            }
        }
    }

    async fn try_tables(&self, commit: &Commit) -> Result<(), Error> {
        let mut rejects = Vec::new();
        for file in &commit.files {
            let path = self.paths.final_path(file)?;
            check_room(&self.settings.url, &self.paths.staged(&commit.id, &file.staged)?)?;
            if file.kind == FileKind::Rejects {
                check_room(&self.settings.url, &path)?;
                rejects.push(path);
            }
        }
        self.rejects.prove(rejects.iter().map(String::as_str)).await?;
        self.table.probe(Some(commit)).await
    }

    /// Makes the files of a commit visible; `fresh`, where nobody is known to have
    /// tried before. The path of one that is neither staged nor visible.
    pub(super) async fn show(&self, commit: &Commit, fresh: bool, to: u64) -> Result<Option<String>, Error> {
        let Parts { data, rejects } = self.parts(commit)?;
        let publish = |(table, files)| {
            let part = Part { commit: &commit.id, files, is_fresh: fresh };
            self.change(table, Change { publish: vec![part], to, ..Change::default() })
        };
        let changes: Vec<_> = data.into_iter().map(publish).collect();
        let tables = stream::iter(changes).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>();
        let mut moves = Vec::with_capacity(rejects.len());
        for Staged { file, path } in rejects {
            let to = self.paths.final_path(file)?;
            moves.push(Move { from: path, to, bytes: file.bytes, is_fresh: fresh });
        }
        let (tables, rejects) = try_join(tables, self.rejects.publish(moves)).await?;
        Ok(tables.into_iter().chain([rejects]).flatten().next())
    }

    /// Takes out of the tables and the rejects what the chain has retracted. `commits`
    /// are the bodies of those that have any left.
    pub(super) async fn hide(
        &self,
        commits: &[Commit],
        retracted: &[Retracted],
        to: u64,
    ) -> Result<(), Error> {
        let mut changes: BTreeMap<&str, Change<'_>> = BTreeMap::new();
        let mut taken = Vec::new();
        for commit in commits {
            let Parts { data, rejects } = self.parts(commit)?;
            for (table, files) in data {
                let part = Part { commit: &commit.id, files, is_fresh: false };
                changes.entry(table).or_default().retract.push(part);
            }
            if !rejects.is_empty() {
                let finals = rejects.iter().map(|staged| self.paths.final_path(staged.file));
                taken.push(Taken {
                    finals: finals.collect::<Result<_, _>>()?,
                    staged: rejects.into_iter().map(|staged| staged.path).collect(),
                });
            }
        }
        for item in retracted {
            if let Retracted::File(path) = item {
                let table = path.split('/').next().unwrap_or_default();
                changes.entry(table).or_default().clear.push(path.clone());
            }
        }
        let changes: Vec<_> =
            changes.into_iter().map(|(table, change)| self.change(table, Change { to, ..change })).collect();
        // All at once: each of them waits until no copy can be running, and those pauses must not add up.
        let at_once = changes.len().max(1);
        let tables = stream::iter(changes).buffer_unordered(at_once).try_collect::<Vec<_>>();
        try_join(tables, self.rejects.take_back(taken, Vec::new())).await.map(drop)
    }

    /// The table is looked at after the state was loaded that the change comes from.
    async fn change(&self, table: &str, change: Change<'_>) -> Result<Option<String>, Error> {
        let seen = self.table.look(table).await?;
        match self.table.apply(table, &seen, &change).await? {
            Applied::Done => Ok(None),
            Applied::Missing(path) => Ok(Some(path)),
            Applied::Unknown => {
                let context =
                    format!("whether table {table} in {self} shows checkpoint {} is not known", change.to);
                Err(Error::new(Kind::Retry, context))
            }
        }
    }

    /// Files that are called as those of this job are: in its tables of today and among its rejects.
    pub(super) async fn named_as_ours(&self) -> Result<Vec<(String, FinalName)>, Error> {
        let mut files = self.table.inventory(Scope::Job).await?;
        files.extend(self.data.list(&self.paths.rejects()).await?.into_iter().map(VisibleFile::from));
        Ok(files.into_iter().filter_map(|file| Some((file.path, file.name?))).collect())
    }

    /// Everything that lies in this job's tables and among its rejects, also what a dot in front hides,
    /// sorted by path within each. Its tables are those of today's job file, and those in which files of
    /// `commits` lie: a table may have been called otherwise when they were made.
    pub async fn visible_files<'a>(
        &self,
        commits: impl IntoIterator<Item = &'a Commit>,
    ) -> Result<Vec<VisibleFile>, Error> {
        let files = commits.into_iter().flat_map(|commit| &commit.files);
        let tables: BTreeSet<_> = files.filter_map(|file| file.table().map(str::to_owned)).collect();
        let mut files = self.table.inventory(Scope::Everything(&tables)).await?;
        let rejects = self.data.list_with_hidden(&self.paths.rejects()).await?;
        files.extend(rejects.into_iter().map(VisibleFile::from));
        Ok(files)
    }

    /// The files of `commits` that are neither staged nor visible, relative to the sink's URL. What may be
    /// staged is looked for there first, so that a publisher in between hides nothing.
    pub(super) async fn missing(
        &self,
        commits: &[&Commit],
        unpublished: &[CommitId],
    ) -> Result<Vec<String>, Error> {
        let mut staged = Vec::new();
        for commit in commits.iter().filter(|commit| unpublished.contains(&commit.id)) {
            let paths = commit.files.iter().map(|file| self.paths.staged(&commit.id, &file.staged));
            staged.extend(paths.collect::<Result<Vec<_>, _>>()?);
        }
        let staged: BTreeSet<_> =
            self.rejects.visible(staged).await?.into_iter().map(|(path, _)| path).collect();
        let mut gone = Vec::new();
        for (commit, file) in commits.iter().flat_map(|c| c.files.iter().map(move |file| (c, file))) {
            if !staged.contains(&self.paths.staged(&commit.id, &file.staged)?) {
                gone.push((file, self.paths.final_path(file)?));
            }
        }
        let data: Vec<&StagedFile> =
            gone.iter().filter(|(file, _)| file.kind == FileKind::Data).map(|(file, _)| *file).collect();
        let of_rejects =
            |(file, path): &(&StagedFile, String)| (file.kind == FileKind::Rejects).then(|| path.clone());
        let rejects = self.rejects.visible(gone.iter().filter_map(of_rejects).collect()).await?;
        let mut visible: BTreeSet<_> = rejects.into_iter().map(|(path, _)| path).collect();
        visible.extend(self.table.inventory(Scope::Files(&data)).await?.into_iter().map(|file| file.path));
        Ok(gone.into_iter().map(|(_, path)| path).filter(|path| !visible.contains(path)).collect())
    }
}
