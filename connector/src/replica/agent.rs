//! A replica's part in being asked: it looks for what is asked every `control.poll`, says how it is, and
//! works on savepoints. It runs beside the engine, and goes on while no engine runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tidegate_sinks::{CommitId, Error};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::control::savepoints::{Maker, Worker};
use super::control::{Board, Control, FORMAT, Replica, ReplicaState, host_name};
use crate::replica::status::Status;
use crate::tasks;

/// Looks between two cleanings of what dead replicas have left.
const CLEAN_EVERY: u32 = 10;
/// Looks between two reports that say nothing new.
const REPORT_EVERY: u32 = 10;
/// And the longest time between them, where looks are rare: whoever watches calls a
/// replica silent after a while.
const REPORT_WITHIN: Duration = Duration::from_secs(60);
/// Looks after a change was asked for in which each has its report: somebody may
/// wait for it, and takes whoever is silent for dead.
const ATTENTIVE: u32 = 30;
/// How long the end may take: a look that is under way, whose report must not land
/// after it was taken back, and taking it back. A store that is away must not hold
/// up a process that has to say why it ends, or is about to be killed.
const END: Duration = Duration::from_secs(4);
/// Characters of the host's name in a replica's id.
const HOST_MAX_CHARS: usize = 64;

/// How a replica takes part.
pub struct Settings {
    pub board: Board,
    pub status: Arc<Status>,
    /// Where others reach its HTTP.
    pub address: Option<String>,
    /// Longest wait for replicas to make the checkpoint of a savepoint: `checkpoint.timeout`.
    pub patience: Duration,
    /// Copies the newest state to a savepoint.
    pub make: Maker,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("board", &self.board).finish_non_exhaustive()
    }
}

/// The running agent. Dropped, it falls silent.
#[derive(Debug)]
pub struct Agent {
    board: Board,
    id: String,
    asking: watch::Receiver<Option<Arc<Control>>>,
    /// The savepoint that has come to its end, whoever made it.
    settled: watch::Receiver<Option<String>>,
    /// Dropped, it ends the task after the look that is under way.
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Agent {
    /// Looks for the first time, and begins. No engine may run before: it must know
    /// from its start what is asked.
    ///
    /// Errors: as those of [`Board::newest`].
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let Settings { board, status, address, patience, make } = settings;
        let id = replica_id();
        status.set_replica(&id);
        let newest = board.newest().await?.map(Arc::new);
        let (asking, receiver) = watch::channel(newest);
        let worker = Worker::new(board.clone(), id.clone(), patience, make);
        let settled = worker.settled();
        let mut task = Task {
            read: (status.records_read(), status.bytes_read(), Instant::now()),
            rates: (0.0, 0.0),
            board: board.clone(),
            status,
            id: id.clone(),
            address,
            asking,
            worker,
            said: None,
            said_at: Instant::now(),
            unsaid: 0,
            attentive: 0,
            failed: false,
        };
        task.say().await?;
        tracing::info!(replica = id, "looking for what is asked");
        let (end, ended) = oneshot::channel();
        Ok(Self { board, id, asking: receiver, settled, end, task: tasks::spawn("agent", task.run(ended)) })
    }

    /// The newest control object heard of.
    pub fn asking(&self) -> watch::Receiver<Option<Arc<Control>>> {
        self.asking.clone()
    }

    /// Waits until the savepoint that is asked for with a stop, if one is, has been made or given up.
    pub async fn savepoint_settled(&self) {
        let mut settled = self.settled.clone();
        loop {
            let waits = self.asking.borrow().as_ref().and_then(|control| {
                control.savepoint.as_ref().filter(|request| request.stop).map(|request| request.id.clone())
            });
            if waits.is_none() || *settled.borrow_and_update() == waits || settled.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends, and takes back what it said of itself.
    pub async fn end(self) {
        let Self { board, id, end, task, .. } = self;
        drop(end);
        let stop_task = task.abort_handle();
        let end = async {
            let _ = task.await;
            board.remove_replica(&id).await
        };
        let ended = tokio::time::timeout(END, end).await;
        stop_task.abort();
        if !matches!(ended, Ok(Ok(()))) {
            tracing::debug!("others will see that this replica is gone when its report is old");
        }
    }
}

struct Task {
    board: Board,
    status: Arc<Status>,
    id: String,
    address: Option<String>,
    asking: watch::Sender<Option<Arc<Control>>>,
    worker: Worker,
    /// Records and bytes read at a time, for rates.
    read: (u64, u64, Instant),
    /// Records and bytes per second.
    rates: (f64, f64),
    /// What it last said of itself. Until the job has started it says nothing: a start that fails, for want
    /// of the right Kafka or sink, leaves nothing behind.
    said: Option<Replica>,
    said_at: Instant,
    /// Looks since then.
    unsaid: u32,
    /// Looks for which it still says at each how it is.
    attentive: u32,
    /// The last look failed, and that was logged.
    failed: bool,
}

impl Task {
    async fn run(mut self, mut ended: oneshot::Receiver<()>) {
        let mut ticks = tokio::time::interval(self.board.poll());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut carried_out = self.status.control();
        let mut looks = 0;
        loop {
            let is_tick = tokio::select! {
                _ = &mut ended => return,
                _ = ticks.tick() => true,
                // Others wait for it.
                Ok(()) = carried_out.changed() => false,
            };
            if is_tick {
                self.measure();
                looks += 1;
                self.unsaid += 1;
                self.attentive = self.attentive.saturating_sub(1);
            }
            let result = self.look(is_tick, looks % CLEAN_EVERY == 0).await;
            if let Err(error) = &result {
                if self.failed {
                    tracing::debug!(%error, "looking for what is asked");
                } else {
                    tracing::error!(
                        %error,
                        source = error.source.as_deref().map(tracing::field::display),
                        "cannot see what is asked, or say how this replica is; going on with what was asked last"
                    );
                }
            }
            self.failed = result.is_err();
        }
    }

    async fn look(&mut self, is_tick: bool, clean: bool) -> Result<(), Error> {
        let known = self.asking.borrow().clone();
        let newest = self.board.newest_since(known.as_deref()).await;
        if let Ok(newest) = &newest {
            let is_waited_for = newest.as_ref().is_some_and(|control| {
                let settles =
                    control.savepoint.as_ref().is_some_and(|request| !self.worker.has_settled(&request.id));
                settles || *self.status.control().borrow() < control.n
            });
            if is_waited_for || known.as_deref() != newest.as_ref() {
                self.attentive = ATTENTIVE;
            }
            self.asking.send_if_modified(|asked| {
                let changed = asked.as_deref() != newest.as_ref();
                if changed {
                    *asked = newest.clone().map(Arc::new);
                }
                changed
            });
        }
        self.say().await?;
        if clean && is_tick {
            self.board.clean_replicas().await?;
        }
        if let Ok(Some(control)) = &newest {
            self.worker.step(control, is_tick).await?;
        }
        newest.map(|_| ())
    }

    async fn say(&mut self) -> Result<(), Error> {
        let own = self.replica();
        if self.said.is_none() && own.state == ReplicaState::Starting {
            return Ok(());
        }
        let is_due = self.attentive > 0
            || self.unsaid >= REPORT_EVERY
            || self.said_at.elapsed() + self.board.poll() > REPORT_WITHIN;
        if is_due || !self.said.as_ref().is_some_and(|said| says_the_same(said, &own)) {
            self.board.report(&own).await?;
            (self.said, self.said_at, self.unsaid) = (Some(own), Instant::now(), 0);
        }
        Ok(())
    }

    fn measure(&mut self) {
        let (records, bytes, at) = std::mem::replace(
            &mut self.read,
            (self.status.records_read(), self.status.bytes_read(), Instant::now()),
        );
        let seconds = at.elapsed().as_secs_f64();
        if seconds > 0.0 {
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            self.rates = (rate(self.read.0, records), rate(self.read.1, bytes));
        }
    }

    fn replica(&self) -> Replica {
        Replica {
            format: FORMAT,
            id: self.id.clone(),
            updated: Timestamp::now(),
            address: self.address.clone(),
            state: self.status.state(),
            control: *self.status.control().borrow(),
            partitions: self.status.partitions().into_keys().collect(),
            records_per_second: self.rates.0,
            bytes_per_second: self.rates.1,
            checkpoint: self.status.last_commit().map_or(0, |commit| commit.checkpoint),
            limit_bytes_per_second: self.status.limit().unwrap_or(0),
        }
    }
}

/// But for when, and how fast.
fn says_the_same(said: &Replica, own: &Replica) -> bool {
    let Replica { updated, records_per_second, bytes_per_second, .. } = said.clone();
    *said == Replica { updated, records_per_second, bytes_per_second, ..own.clone() }
}

/// The host's name, for people, and what no other process has.
fn replica_id() -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let host: String = host_name().chars().filter(plain).take(HOST_MAX_CHARS).collect();
    let host = host.trim_matches('-');
    let unique = CommitId::new().to_string();
    let unique = &unique[unique.len() - 12..];
    if host.is_empty() { format!("replica-{unique}") } else { format!("{host}-{unique}") }
}
