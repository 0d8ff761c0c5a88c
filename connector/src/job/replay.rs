//! Replaying rejects: those that wait are decoded once more, by the job file of
//! today, and what has become a row is committed.
//!
//! First all are only looked at: what would pass, and why the rest fails. Commits of which nothing passes are
//! left as they are, so a replay that mends nothing changes nothing. The others are taken whole, some at a
//! time, each time in one commit that has the new rows and what failed again; see [`tidegate_sinks::replay`]
//! for why nothing can be taken twice. Only what waited at the beginning is taken, so a replay ends.

mod look;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tidegate_sinks::replay::outstanding;
use tidegate_sinks::{
    Begin, Chain, Checkpoint, Commit, CommitId, Delta, Error, Kind, Outcome, Replay, Sink, Span,
    TopicPartition,
};
use tokio::runtime::Handle;

pub use look::{Counts, Look, Reason};

use crate::config::Config;
use crate::error::RunError;
use crate::flow::rejects::{self, ReadError};
use crate::flow::run;
use crate::flow::stage::{self, Attempt, StageSettings, Staged, Stager};
use crate::flow::tables::{KnownOnly, TableColumns, pins};

/// Rejects of one commit, more or less: sources are taken whole.
const RECORDS: u64 = 1_000_000;
/// Sources of one commit, so that its manifest stays small.
const SOURCES: usize = 1_000;
/// Publishing again after a passing error. What is left then is published by whoever comes next.
const PUBLISHES: u32 = 3;

/// What waits to be replayed, as of a checkpoint.
#[derive(Debug)]
pub struct Waiting {
    pub commits: Vec<Commit>,
    /// Rejects of commits that are not visible yet.
    pub unpublished: u64,
    /// Rejects of commits that are forgotten: nobody knows any more where they are.
    pub forgotten: u64,
}

/// What was committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    pub commits: Vec<CommitId>,
    #[serde(flatten)]
    pub counts: Counts,
}

/// A job whose rejects are replayed.
#[derive(Clone, Debug)]
pub struct Replayer {
    config: Arc<Config>,
    sink: Arc<Chain>,
    columns: TableColumns,
    settings: StageSettings,
}

impl From<ReadError> for RunError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            error => Self::Failed(error.to_string(), Some(Box::new(error))),
        }
    }
}

impl Replayer {
    /// `state` is the job's newest.
    ///
    /// Errors: pinned columns that do not read; tables that the job file has otherwise than their files.
    pub fn new(config: Arc<Config>, sink: Arc<Chain>, state: &Checkpoint) -> Result<Self, RunError> {
        run::tables(&config, state, pins::topics_of(&config, state))?.accepted()?;
        let columns = TableColumns::read(&config, Some(state))?;
        let settings = run::stage_settings(&config, state, 1)?;
        Ok(Self { config, sink, columns, settings })
    }

    /// Makes visible what an earlier process has left, so that its rejects can be read.
    /// Returns the newest state.
    pub async fn recover(&self, state: Arc<Checkpoint>) -> Result<Arc<Checkpoint>, RunError> {
        run::start::recover(&*self.sink, state).await
    }

    /// What waits in `state`.
    pub async fn waiting(&self, state: &Checkpoint) -> Result<Waiting, RunError> {
        let in_force = self.sink.commits(state).await?;
        let commits: Vec<_> = outstanding(state, &in_force).into_iter().cloned().collect();
        let unpublished = in_force.iter().filter(|commit| state.unpublished.contains(&commit.id));
        let unpublished = unpublished.map(|commit| commit.rejects).sum();
        let found = commits.iter().map(|commit| commit.rejects).sum::<u64>() + unpublished;
        Ok(Waiting { commits, unpublished, forgotten: state.outstanding_rejects().saturating_sub(found) })
    }

    /// Decodes the rejects of `commits`, and keeps nothing.
    pub async fn look(&self, commits: Vec<Commit>) -> Result<Look, RunError> {
        let this = self.clone();
        in_background(move |runtime| {
            look::look(&this.sink(), runtime, &commits, &this.decoders(), &this.settings)
        })
        .await
    }

    /// Replays the rejects of `sources`, as far as nobody else has.
    ///
    /// Errors: what was committed before stands, and the same call again goes on.
    pub async fn replay(&self, sources: &[Commit]) -> Result<Replayed, RunError> {
        let mut replayed = Replayed::default();
        for chunk in chunks(sources) {
            let mut wanted: BTreeSet<_> = chunk.iter().map(|commit| commit.id.clone()).collect();
            while !wanted.is_empty() {
                let Some(state) = self.sink.load().await? else {
                    return Err(RunError::failed("the chain of checkpoints has become empty"));
                };
                let mut waiting = self.waiting(&state).await?.commits;
                waiting.retain(|commit| wanted.contains(&commit.id));
                if waiting.is_empty() {
                    break;
                }
                if let Some((id, counts)) = self.commit(state, waiting).await? {
                    replayed.commits.push(id);
                    replayed.counts.add(&counts);
                    wanted.clear();
                }
            }
        }
        Ok(replayed)
    }

    /// One commit; `None` when somebody else has moved the lane meanwhile, or might have.
    async fn commit(
        &self,
        state: Arc<Checkpoint>,
        sources: Vec<Commit>,
    ) -> Result<Option<(CommitId, Counts)>, RunError> {
        let (lane, id) = (TopicPartition::rejects(), CommitId::new());
        let known = state.partitions.get(&lane).map(|at| at.next);
        let records: u64 = sources.iter().map(|commit| commit.rejects).sum();
        let from = known.unwrap_or(0);
        let span =
            i64::try_from(records).ok().and_then(|records| Span::new(from, from.checked_add(records)?));
        let span = span.ok_or_else(|| RunError::failed(format!("{records} rejects are no span")))?;
        let begin = Begin {
            new_partitions: known.is_none().then(|| lane.clone()).into_iter().collect(),
            ..Begin::new(id.clone(), state.incarnation, BTreeMap::from([(lane.clone(), from)]))
        };
        self.sink.begin(&begin).await?;
        let delta = Delta(BTreeMap::from([(lane, span)]));
        let ids = sources.iter().map(|commit| commit.id.clone()).collect();
        let staged = match self.stage(&begin, sources, delta.clone()).await {
            Ok(staged) => staged,
            Err(error) => {
                // Never sent; what is left of it would lie there until the next replay.
                if let Err(error) = self.sink.discard(&id).await {
                    tracing::warn!(%error, commit = %id, "removing what was staged");
                }
                return Err(error);
            }
        };
        let rows: u64 = staged.rows.values().sum();
        let counts = Counts { records, rows, skipped: staged.skipped, failing: staged.rejects };
        // Its rejects go to no topic: the commit that rejected them first has sent them.
        let commit = Commit {
            delta,
            rows: staged.rows,
            rejects: staged.rejects,
            replay: Some(Replay { sources: ids, skipped: counts.skipped }),
            files: staged.files,
            ..Commit::of(begin, &state.job, Timestamp::now())
        };
        match self.sink.commit(state, Arc::new(commit), None).await? {
            Outcome::Committed(state) => {
                self.publish(state, &id).await?;
                Ok(Some((id, counts)))
            }
            Outcome::Fenced(_) => {
                tracing::warn!(commit = %id, "somebody else replays, or has rolled back; looking again at what waits");
                self.sink.discard(&id).await?;
                Ok(None)
            }
            // Whether it is in force shows in what waits now.
            Outcome::Unknown(_) => Ok(None),
            Outcome::TooManyRejects { exceeded, .. } => Err(RunError::failed(exceeded.to_string())),
        }
    }

    async fn stage(&self, begin: &Begin, sources: Vec<Commit>, delta: Delta) -> Result<Staged, RunError> {
        let attempt = Arc::new(Attempt {
            id: begin.id.clone(),
            incarnation: begin.incarnation,
            job: self.config.job.as_str().into(),
            counted_as: Some(TopicPartition::rejects()),
            next_file: Arc::default(),
        });
        let this = self.clone();
        let stage = move |runtime: &Handle| {
            let mut stager = this.stager()?;
            for source in &sources {
                let mut read = 0;
                rejects::batches(runtime, &this.sink(), source, |batch, path| {
                    for fetch in records::fetches(batch, path)? {
                        read += fetch.len() as u64;
                        runtime.block_on(stager.accept(&attempt, &fetch)).map_err(staging_error)?;
                    }
                    Ok::<_, RunError>(())
                })?;
                if read != source.rejects {
                    let (id, expected) = (&source.id, source.rejects);
                    let what = format!("commit {id} has {expected} rejects, its files {read}");
                    return Err(RunError::failed(what + "; `tidegate audit JOB --deep` tells which differ"));
                }
            }
            runtime.block_on(stager.seal(&delta)).map_err(staging_error)
        };
        in_background(stage).await
    }

    /// What is committed stands, so an error that may pass is none here.
    async fn publish(&self, state: Arc<Checkpoint>, id: &CommitId) -> Result<(), RunError> {
        let mut state = state;
        for _ in 0..PUBLISHES {
            let published = async {
                let is_visible = self.sink.publish(&state, std::slice::from_ref(id)).await?;
                Ok::<_, Error>((is_visible, self.sink.settle(state.clone()).await?))
            };
            match published.await {
                Ok((true, newest)) if newest.retracted.is_empty() => return Ok(()),
                // Somebody has rolled back: what is retracted must be erased first.
                Ok((_, newest)) => state = newest,
                Err(error) if error.kind == Kind::Retry => tracing::warn!(%error, "publishing; trying again"),
                Err(error) => return Err(error.into()),
            }
        }
        tracing::warn!(commit = %id, "committed, and not known to be visible; the next run, replica or replay makes it so");
        Ok(())
    }

    fn stager(&self) -> Result<Stager, RunError> {
        let decoders = Arc::new(self.decoders());
        Stager::with_decoders(self.settings.clone(), self.sink(), decoders).map_err(staging_error)
    }

    fn decoders(&self) -> KnownOnly {
        KnownOnly { format: self.config.format.clone(), columns: self.columns.clone() }
    }

    fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
    }
}

fn staging_error(error: stage::Error) -> RunError {
    run::staging_error(error).into()
}

/// Reading files back blocks its thread.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce(&Handle) -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || work(&runtime)).await;
    done.map_err(|error| RunError::failed(format!("replaying: {error}")))?
}

/// Parts that are each a commit, in order.
fn chunks(sources: &[Commit]) -> Vec<&[Commit]> {
    let mut chunks = Vec::new();
    let (mut start, mut records) = (0, 0);
    for (at, source) in sources.iter().enumerate() {
        if at > start && (records + source.rejects > RECORDS || at - start >= SOURCES) {
            chunks.push(&sources[start..at]);
            (start, records) = (at, 0);
        }
        records += source.rejects;
    }
    chunks.extend((start < sources.len()).then(|| &sources[start..]));
    chunks
}

#[cfg(test)]
mod tests;
