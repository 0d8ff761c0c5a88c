//! Savepoints on request. Every live replica checkpoints, or stops; then one of them copies the newest state.
//! Each replica waits on its own, and who first sees that all are done claims the copy, once and for all: so
//! no replica is needed for another's savepoint, and never do two write the same folder.
//!
//! `savepoint-requests/<id>.json` says how it stands, so that any replica can
//! answer; `<id>.claim` who copies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate_sinks::store::{self, Created, Retries};
use tidegate_sinks::{Error, Folder, Kind, versioned};
use tokio::sync::watch;
use tokio::time::Instant;

use super::hearing::{Hearing, acknowledged, has_stopped};
use super::{Board, Change, Control, FORMAT, Replica, SavepointRequest, place};
use crate::config::Config;
use crate::error::RunError;
use crate::tasks;

#[cfg(test)]
mod tests;

/// Without a word for so many polls, and this long at least, whoever copies has died.
const SILENT_POLLS: u32 = 10;
const SILENT_AT_LEAST: Duration = Duration::from_secs(60);
/// Requests that are remembered.
const REMEMBERED: usize = 100;

/// Copies the newest state to a savepoint, of this id, in this folder. Returns its address.
pub type Maker = Arc<dyn Fn(String, String) -> BoxFuture<'static, Result<String, RunError>> + Send + Sync>;

/// How a savepoint on request stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SavepointState {
    InProgress,
    Completed { uri: String },
    Failed { reason: String },
}

/// The body of `savepoint-requests/<id>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    format: u32,
    id: String,
    to: String,
    stop: bool,
    created: Timestamp,
    /// When whoever copies said its last.
    updated: Timestamp,
    #[serde(flatten)]
    state: SavepointState,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// `None`: a new one. Asked a second time with the same id, nothing is made again.
    pub id: Option<String>,
    /// URL of a folder. `None`: where the job's savepoints lie.
    pub to: Option<String>,
    /// The replicas stop, and the savepoint is made when they have.
    pub stop: bool,
}

/// Asks the replicas for a savepoint. Returns its id and the address that it will have.
///
/// Errors: `Config`, when the id or the folder cannot be; `Refused`, while another savepoint is being made.
pub async fn start(board: &Board, config: &Config, wish: Wish) -> Result<(String, String), RunError> {
    let id = wish.id.unwrap_or_else(place::new_id);
    place::check_id(&id)?;
    let to = wish.to.unwrap_or_else(|| place::default_to(config));
    store::open(&to, &place::store_options(config, &to), Retries::default())?;
    let uri = place::uri(&to, &id);
    let busy = |id: &str| {
        let message = format!("savepoint {id} is being made; ask again when it is done");
        Error::new(Kind::Refused, message)
    };
    let before = board.newest().await?.and_then(|control| control.savepoint).map(|request| request.id);
    if let Some(before) = &before
        && *before != id
        && state(board, config, before).await? == Some(SavepointState::InProgress)
    {
        return Err(busy(before).into());
    }
    let now = Timestamp::now();
    let record = Record {
        format: FORMAT,
        id: id.clone(),
        to: to.clone(),
        stop: wish.stop,
        created: now,
        updated: now,
        state: SavepointState::InProgress,
    };
    let body = versioned::write(&record)?;
    if board.objects.create(Folder::SavepointRequests, &record_name(&id), body).await? == Created::Exists {
        return Ok((id, uri));
    }
    let change = Change::Savepoint { id: id.clone(), to, stop: wish.stop };
    let may = |control: Option<&Control>| {
        let slot = control.and_then(|control| control.savepoint.as_ref()).map(|request| &request.id);
        if slot == before.as_ref() { Ok(()) } else { Err(busy(slot.map_or("", String::as_str))) }
    };
    if let Err(error) = board.request_if(&change, now, may).await {
        let name = record_name(&id);
        board.objects.remove(Folder::SavepointRequests, &name).await?;
        return Err(error.into());
    }
    forget_old(board).await;
    Ok((id, uri))
}

/// How a savepoint stands that was asked for, if it was.
pub async fn state(board: &Board, config: &Config, id: &str) -> Result<Option<SavepointState>, Error> {
    if place::check_id(id).is_err() {
        return Ok(None);
    }
    let Some(record) = board.record(id).await? else { return Ok(None) };
    let record = board.fail_if_abandoned(record, config.checkpoint.timeout).await?;
    Ok(Some(record.state))
}

/// Of many requests the oldest are forgotten; a courtesy.
async fn forget_old(board: &Board) {
    let Ok(mut names) = board.objects.names(Folder::SavepointRequests).await else { return };
    // Ids that are not given are ordered by time.
    names.retain(|name| name.starts_with("savepoint-"));
    for name in names.iter().take(names.len().saturating_sub(2 * REMEMBERED)) {
        if let Err(error) = board.objects.remove(Folder::SavepointRequests, name).await {
            tracing::debug!(%error, "an old savepoint request stays");
        }
    }
}

fn record_name(id: &str) -> String {
    format!("{id}.json")
}

fn claim_name(id: &str) -> String {
    format!("{id}.claim")
}

impl Board {
    async fn record(&self, id: &str) -> Result<Option<Record>, Error> {
        self.read_json(Folder::SavepointRequests, &record_name(id)).await
    }

    async fn put_record(&self, record: &Record) -> Result<(), Error> {
        self.objects.put(Folder::SavepointRequests, &record_name(&record.id), versioned::write(record)?).await
    }

    async fn is_claimed(&self, id: &str) -> Result<bool, Error> {
        Ok(self.objects.get(Folder::SavepointRequests, &claim_name(id)).await?.is_some())
    }

    /// Whoever copied has died, or nobody can copy: then it has failed, and is not in progress for ever.
    async fn fail_if_abandoned(&self, record: Record, patience: Duration) -> Result<Record, Error> {
        if record.state != SavepointState::InProgress {
            return Ok(record);
        }
        let silent = (self.poll() * SILENT_POLLS).max(SILENT_AT_LEAST);
        let age = Timestamp::now().duration_since(record.updated).unsigned_abs();
        let reason = if age <= silent {
            return Ok(record);
        } else if self.is_claimed(&record.id).await? {
            "the replica that copied it has died; ask for another"
        } else if self.replicas().await?.is_empty() {
            "no replica is running; ask for another when one is"
        } else if age > silent + patience {
            "no replica took it up; ask for another"
        } else {
            return Ok(record);
        };
        let failed = Record { state: SavepointState::Failed { reason: reason.to_owned() }, ..record };
        self.put_record(&failed).await?;
        Ok(failed)
    }
}

/// A replica's work on the savepoint that is asked for.
pub(crate) struct Worker {
    board: Board,
    /// The replica's.
    id: String,
    patience: Duration,
    make: Maker,
    waiting: Option<Waiting>,
    /// The savepoint that has come to its end, whoever made it.
    settled: watch::Sender<Option<String>>,
}

struct Waiting {
    id: String,
    since: Instant,
    hearing: Hearing,
    /// This replica copies it.
    copying: bool,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Worker {
    pub(crate) fn new(board: Board, id: String, patience: Duration, make: Maker) -> Self {
        Self { board, id, patience, make, waiting: None, settled: watch::Sender::default() }
    }

    pub(crate) fn settled(&self) -> watch::Receiver<Option<String>> {
        self.settled.subscribe()
    }

    /// Whether this savepoint has come to its end, as far as this replica knows.
    pub(crate) fn has_settled(&self, id: &str) -> bool {
        self.settled.borrow().as_deref() == Some(id)
    }

    /// Does what can be done now. `is_look`: a poll has passed since the last time.
    pub(crate) async fn step(&mut self, control: &Control, is_look: bool) -> Result<(), Error> {
        let Some(request) = &control.savepoint else { return Ok(()) };
        if self.settled.borrow().as_ref() == Some(&request.id) {
            return Ok(());
        }
        let waiting = match self.waiting.take().filter(|waiting| waiting.id == request.id) {
            Some(waiting) => waiting,
            None => Waiting {
                id: request.id.clone(),
                since: Instant::now(),
                hearing: Hearing::default(),
                copying: false,
            },
        };
        let waiting = self.waiting.insert(waiting);
        if waiting.copying || !is_look {
            return Ok(());
        }
        let record = match self.board.record(&request.id).await? {
            Some(record) => self.board.fail_if_abandoned(record, self.patience).await?,
            // Forgotten, so long past.
            None => return self.settle(&request.id),
        };
        if record.state != SavepointState::InProgress {
            return self.settle(&request.id);
        }
        if self.board.is_claimed(&request.id).await? {
            return Ok(());
        }
        let live = waiting.hearing.live(self.board.all_replicas().await?);
        match judge(control, request, &live, waiting.since.elapsed() > self.patience) {
            Judged::Wait => Ok(()),
            Judged::Fail(reason) => {
                tracing::warn!(savepoint = request.id, reason, "the savepoint has failed");
                let state = SavepointState::Failed { reason };
                self.board.put_record(&Record { state, ..record }).await?;
                self.settle(&request.id)
            }
            Judged::Copy => self.claim(record).await,
        }
    }

    fn settle(&mut self, id: &str) -> Result<(), Error> {
        self.settled.send_replace(Some(id.to_owned()));
        self.waiting = None;
        Ok(())
    }

    /// Copies, unless another one has claimed to.
    async fn claim(&mut self, record: Record) -> Result<(), Error> {
        let (name, body) = (claim_name(&record.id), self.id.clone().into_bytes());
        let objects = &self.board.objects;
        let created = objects.create(Folder::SavepointRequests, &name, body.clone().into()).await?;
        // What is there may be one's own, from a request whose answer was lost.
        let own = created == Created::Created
            || objects.get(Folder::SavepointRequests, &name).await?.is_some_and(|found| found == body);
        if !own {
            return Ok(());
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.copying = true;
        }
        tracing::info!(savepoint = record.id, to = record.to, "copying the newest state to a savepoint");
        let copy = copy(self.board.clone(), record, self.make.clone(), self.settled.clone());
        tasks::spawn("savepoint", copy);
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Wait,
    Copy,
    Fail(String),
}

/// What is to be done now about a savepoint, with these replicas alive. `late`:
/// they were waited for long enough.
fn judge(control: &Control, request: &SavepointRequest, live: &[Replica], late: bool) -> Judged {
    if request.stop && !control.stopped {
        return Judged::Fail("the job was resumed before all replicas had stopped".to_owned());
    }
    let done = |replica: &&Replica| {
        if request.stop { has_stopped(replica) } else { acknowledged(replica, request.n) }
    };
    match live.iter().find(|replica| !done(replica)) {
        None => Judged::Copy,
        Some(_) if !late => Judged::Wait,
        Some(replica) if request.stop => {
            Judged::Fail(format!("replica {} has not stopped in time", replica.id))
        }
        // Any state is a consistent cut, so nobody waits for ever for more to be in it.
        Some(_) => Judged::Copy,
    }
}

/// Says that it works, every poll, until the copy is made; then how it ended.
async fn copy(board: Board, mut record: Record, make: Maker, settled: watch::Sender<Option<String>>) {
    let mut making = make(record.to.clone(), record.id.clone());
    let made = loop {
        tokio::select! {
            made = &mut making => break made,
            () = tokio::time::sleep(board.poll()) => {
                record.updated = Timestamp::now();
                if let Err(error) = board.put_record(&record).await {
                    tracing::warn!(%error, savepoint = record.id, "cannot say that the savepoint is being made");
                }
            }
        }
    };
    record.updated = Timestamp::now();
    record.state = match made {
        Ok(uri) => {
            tracing::info!(savepoint = record.id, uri, "savepoint");
            SavepointState::Completed { uri }
        }
        Err(error) => {
            tracing::error!(%error, savepoint = record.id, "the savepoint has failed");
            SavepointState::Failed { reason: error.to_string() }
        }
    };
    while let Err(error) = board.put_record(&record).await {
        tracing::warn!(%error, savepoint = record.id, "cannot say how the savepoint ended; trying again");
        tokio::time::sleep(board.poll()).await;
    }
    settled.send_replace(Some(record.id));
}
