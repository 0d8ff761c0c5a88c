//! The one loop: everything that happens comes here as an event, and nothing in here waits.
//!
//! Staging runs ahead of committing; committing never runs ahead of itself: an attempt is sent only after the
//! one before it is in force. When an outcome is anything else, all open work is dropped and reading starts
//! again from the newest state, as after a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidegate_sinks::{Checkpoint, Collected, CommitId, Error, Kind, Outcome, Sink, TopicPartition};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::asked::{Asked, Asking};
use super::channels::{self, Channels, Report, Shared};
use super::commits::next_collection;
use super::in_force::InForce;
use super::look::Looks;
use super::observed::Observed;
use super::reading::Reading;
use super::stalls::Stalls;
use super::tries::Tries;
use super::unmatched::Told;
use super::unsent::Sending;
use super::{Clock, RunError, Summary};
use crate::config::Config;
use crate::flow::coverage::{Coverage, Cut, Verdict};
use crate::flow::event::{Command, Event, Fetch, Permit};
use crate::flow::rejects::topic::{Outbox, SendError, Sent};
use crate::flow::source::Source;
use crate::flow::stage::{Attempt, Staged};
use crate::kafka::Look;
use crate::kafka::cluster::{Cluster, LogBounds};
use crate::metrics;
use crate::replica::status::Status;
use crate::tasks::{self, Lost};

/// Commits in a row that may run into `checkpoint.timeout`, or fail in passing, before the job gives up.
pub(super) const FAILURES_IN_A_ROW: u32 = 3;

/// How long the end of a failed run waits for what it has staged to be removed.
const LAST_DISCARD: Duration = Duration::from_secs(5);

/// How often metrics and status are brought up to date.
const SHOW: Duration = Duration::from_secs(1);

/// What tasks of the engine's own report to it.
#[derive(Debug)]
pub(super) enum Done {
    Worker(Report),
    /// A task of the engine's is lost by a panic, and whatever it was to do is not done.
    Lost(Lost),
    Staged(CommitId, Result<channels::Sealed, Error>),
    Committed(CommitId, Result<Outcome, Error>),
    Published(BTreeSet<CommitId>, Result<(), Error>),
    Settled(Result<Arc<Checkpoint>, Error>),
    Collected(Result<Collected, Error>),
    Sent(CommitId, Result<Sent, SendError>),
    Loaded(Purpose, Result<Loaded, RunError>),
    /// Whether the topics are the same, after all of an attempt was read.
    Identified(CommitId, Result<(), RunError>),
    Looked(Result<Look, Error>),
    /// Time to read a partition again whose offset was above the end of its log.
    LookAgain(TopicPartition, u64),
}

/// The newest state, and the logs' bounds for partitions it does not know or whose offset is outside.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) state: Arc<Checkpoint>,
    pub(super) bounds: BTreeMap<TopicPartition, LogBounds>,
}

/// Why the newest state was loaded.
#[derive(Debug)]
pub(super) enum Purpose {
    Assign(Vec<TopicPartition>),
    Rewind,
    /// The partition's offset was outside its log.
    Outside(TopicPartition, u64),
    /// To see what other replicas have committed.
    Look,
}

/// An attempt that takes no more records and waits for its turn.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) cut: Cut,
    pub(super) shared: Option<Arc<Shared>>,
    pub(super) staged: Option<Staged>,
    /// What it holds was read of the topics that the chain knows.
    pub(super) identified: bool,
    pub(super) sent: bool,
}

/// Partitions to give back once the attempts that cover them are decided.
#[derive(Debug)]
pub(super) struct Revoking {
    pub(super) waits_for: BTreeSet<CommitId>,
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) deadline: Instant,
}

pub(super) struct Parts {
    pub(super) config: Arc<Config>,
    /// The same, whenever the job file has changed.
    pub(super) reloads: watch::Receiver<Arc<Config>>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) outbox: Option<Arc<Outbox>>,
    pub(super) source: Source,
    pub(super) channels: Channels,
    pub(super) done: mpsc::UnboundedSender<Done>,
    pub(super) status: Arc<Status>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) asking: Asking,
    pub(super) state: Arc<Checkpoint>,
    /// Where a bounded run ends; empty for one without an end.
    pub(super) ends: Option<BTreeMap<TopicPartition, i64>>,
    pub(super) clock: Clock,
    pub(super) new_id: Box<dyn FnMut() -> CommitId + Send>,
}

pub(super) struct Engine {
    pub(super) parts: Parts,
    pub(super) coverage: Coverage,
    /// The open attempt's shared part.
    pub(super) open: Option<Arc<Shared>>,
    pub(super) sealed: VecDeque<Sealed>,
    pub(super) revoking: Option<Revoking>,
    /// Starts of partitions that no checkpoint knew when they were assigned.
    pub(super) starts: BTreeMap<TopicPartition, i64>,
    pub(super) in_force: InForce,
    pub(super) publishing: bool,
    pub(super) publish_tries: Tries,
    pub(super) settle_tries: Tries,
    /// When a job that stops no longer waits for publishing and dropping that fail.
    pub(super) give_up: Option<Instant>,
    /// The number of the checkpoint from which on leftovers are collected again.
    pub(super) collect_from: u64,
    pub(super) sending: Sending,
    pub(super) settling: bool,
    /// A load for [`Purpose::Rewind`] is under way: fetches are dropped until it is done.
    pub(super) rewinding: bool,
    /// A checkpoint is due as soon as the one before is decided.
    pub(super) due: bool,
    pub(super) stopping: bool,
    pub(super) failures: u32,
    /// The share of the rate limit that the source was told; 0: no limit.
    pub(super) limit: Option<u64>,
    pub(super) asked: Asked,
    /// Since when a partition's offset is above the end of its log.
    pub(super) above_end: BTreeMap<TopicPartition, Instant>,
    /// Since when a partition's offset is looked for that its log has.
    pub(super) not_found: BTreeMap<TopicPartition, (Instant, LogBounds)>,
    pub(super) looks: Looks,
    pub(super) reading: Reading,
    pub(super) summary: Summary,
    pub(super) observed: Observed,
    pub(super) stalls: Stalls,
    pub(super) told: Told,
}

impl Engine {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            sending: Sending::left_by(&parts.state),
            collect_from: next_collection(parts.state.n),
            in_force: InForce::of(&parts.state.unpublished),
            parts,
            coverage: Coverage::default(),
            open: None,
            sealed: VecDeque::new(),
            revoking: None,
            starts: BTreeMap::new(),
            publishing: false,
            publish_tries: Tries::default(),
            settle_tries: Tries::default(),
            give_up: None,
            settling: false,
            rewinding: false,
            due: false,
            stopping: false,
            failures: 0,
            limit: None,
            asked: Asked::default(),
            above_end: BTreeMap::new(),
            not_found: BTreeMap::new(),
            looks: Looks::default(),
            reading: Reading::default(),
            summary: Summary::default(),
            observed: Observed::default(),
            stalls: Stalls::default(),
            told: Told::default(),
        }
    }

    pub(super) async fn run(mut self, mut done: mpsc::UnboundedReceiver<Done>) -> Result<Summary, RunError> {
        let result = self.work(&mut done).await;
        if result.is_err() {
            let (dropped, sink) = (self.drop_all(), self.parts.sink.clone());
            // Nothing hangs on it but room: a store that is away must not hold up the end.
            let _ = tokio::time::timeout(LAST_DISCARD, dropped.discard(sink)).await;
        }
        result
    }

    async fn work(&mut self, done: &mut mpsc::UnboundedReceiver<Done>) -> Result<Summary, RunError> {
        self.measure_staged();
        let mut ticks = self.ticks(self.stagger());
        let mut shows = tokio::time::interval(SHOW);
        shows.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.parts.stop.clone();
        let mut asking = self.parts.asking.clone();
        let first = asking.borrow_and_update().clone();
        self.asked(first);
        let mut reloads = self.parts.reloads.clone();
        self.stop_at_end();
        while !self.is_finished() {
            let deadline = self.revoking.as_ref().map(|revoking| revoking.deadline);
            tokio::select! {
                biased;
                Ok(()) = stop.changed(), if !self.stopping => if *stop.borrow() { self.stop("asked to") },
                Ok(()) = asking.changed() => {
                    let newest = asking.borrow_and_update().clone();
                    self.asked(newest);
                }
                Ok(()) = reloads.changed() => {
                    let before = self.parts.config.checkpoint.interval;
                    self.reload(reloads.borrow_and_update().clone());
                    let interval = self.parts.config.checkpoint.interval;
                    if interval != before {
                        ticks = self.ticks(interval);
                    }
                }
                Some(done) = done.recv() => self.done(done)?,
                () = until(deadline) => self.revoke_late(),
                _ = ticks.tick() => self.tick(),
                _ = shows.tick() => {
                    self.show();
                    self.look();
                    self.send_unsent();
                    self.give_up()?;
                }
                event = self.parts.source.events.recv() => match event {
                    Some(event) => self.event(event)?,
                    None => return Err(RunError::failed("the consumer thread is gone")),
                },
            }
        }
        self.show_end();
        if self.asked.stopped {
            self.parts.status.set_control(self.asked.n());
        }
        self.tell_unsent();
        Ok(Summary { stopped_by_control: self.asked.stopped, ..self.summary })
    }

    /// Takes over a job file of which nothing has changed but what may.
    fn reload(&mut self, config: Arc<Config>) {
        self.parts.config = config;
        self.share_limit();
    }

    /// When checkpoints are due: the first after a while, then one each interval.
    fn ticks(&self, first: Duration) -> Interval {
        let interval = self.parts.config.checkpoint.interval.max(Duration::from_millis(1));
        let mut ticks = tokio::time::interval_at(Instant::now() + first, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    /// Replicas started together do not checkpoint together.
    pub(super) fn stagger(&self) -> Duration {
        let interval = self.parts.config.checkpoint.interval;
        interval.mul_f64(0.5 + 0.5 * f64::from(self.parts.state.n as u32 % 7) / 7.0)
    }

    pub(super) fn is_finished(&self) -> bool {
        let published = self.in_force.is_mine_visible() && !self.publishing && !self.settling;
        self.stopping
            && self.sealed.is_empty()
            && published
            && !self.parts.sink.has_finished()
            && !self.waits_for_rejects()
    }

    pub(super) fn event(&mut self, event: Event) -> Result<(), RunError> {
        match event {
            Event::Fetched(fetch, permit) => self.fetched(fetch, permit),
            Event::Assigned(partitions) => {
                let partitions = self.parts.status.leave_out(&self.parts.config.sink.table, partitions);
                tracing::info!(partitions = partitions.len(), "assigned");
                self.load(Purpose::Assign(partitions));
                Ok(())
            }
            Event::Revoked(partitions) => {
                self.revoke(partitions);
                Ok(())
            }
            Event::Paused => {
                self.paused();
                Ok(())
            }
            Event::OutsideLog { partition, generation } => {
                if self.coverage.is_held(&partition, generation) {
                    self.load(Purpose::Outside(partition, generation));
                }
                Ok(())
            }
            // It may come back, and other topics are read meanwhile. A bounded run would wait
            // for it for ever.
            Event::Denied(error) if self.parts.ends.is_none() => {
                tracing::warn!("{error}");
                Ok(())
            }
            Event::Denied(error) | Event::Failed(error) => Err(error.into()),
        }
    }

    // ---- reading ----

    pub(super) fn fetched(&mut self, fetch: Fetch, permit: Permit) -> Result<(), RunError> {
        if self.stopping || self.rewinding {
            return Ok(());
        }
        if self.coverage.is_held(&fetch.partition, fetch.generation) {
            // Also the end of its log: what was next has been found.
            self.above_end.remove(&fetch.partition);
            self.not_found.remove(&fetch.partition);
        }
        let (new_id, partition, next) = (&mut self.parts.new_id, fetch.partition.clone(), fetch.next);
        let verdict = self.coverage.accept(&fetch, new_id);
        let Verdict::Accepted(id) = verdict.map_err(|error| RunError::failed(error.to_string()))? else {
            return Ok(());
        };
        metrics::RECORDS_READ.counter().increment(fetch.len() as u64);
        metrics::BYTES_READ.counter().increment(fetch.bytes() as u64);
        self.parts.status.add_read(fetch.len() as u64, fetch.bytes() as u64);
        self.observed.read(&id, &fetch);
        if !fetch.is_empty() {
            let shared = self.open_attempt(id);
            self.parts.channels.give(&shared, fetch, permit);
        }
        let checkpoint = &self.parts.config.checkpoint;
        let (records, bytes) = self.coverage.open_size();
        let full = (checkpoint.max_records > 0 && records >= checkpoint.max_records)
            || (checkpoint.max_bytes > 0 && bytes >= checkpoint.max_bytes);
        let at_end =
            self.parts.ends.as_ref().is_some_and(|ends| ends.get(&partition).is_some_and(|end| next >= *end));
        if full || (at_end && self.all_read()) {
            self.checkpoint();
        }
        Ok(())
    }

    pub(super) fn open_attempt(&mut self, id: CommitId) -> Arc<Shared> {
        if let Some(shared) = &self.open {
            return shared.clone();
        }
        let state = &self.parts.state;
        let begin = self.coverage.begin(state.incarnation).expect("a fetch was just accepted");
        let left = self
            .parts
            .config
            .error_limit
            .records
            .map(|limit| limit.saturating_sub(state.outstanding_rejects()));
        let job = self.parts.config.job.as_str().into();
        let attempt =
            Attempt { id, incarnation: state.incarnation, job, counted_as: None, next_file: Arc::default() };
        let shared = Shared::new(attempt, begin, left);
        self.open.insert(shared).clone()
    }

    /// Whether every held partition has been read to the end of a bounded run.
    pub(super) fn all_read(&self) -> bool {
        let Some(ends) = &self.parts.ends else { return false };
        self.coverage.partitions().all(|(partition, next)| ends.get(partition).is_none_or(|end| next >= *end))
    }

    /// A bounded run ends when the sink's position has reached every end, whoever committed it.
    pub(super) fn stop_at_end(&mut self) {
        let Some(ends) = &self.parts.ends else { return };
        let partitions = &self.parts.state.partitions;
        let reached = |(partition, end): (&TopicPartition, &i64)| {
            *end == 0 || partitions.get(partition).is_some_and(|state| state.next >= *end)
        };
        if !self.stopping && ends.iter().all(reached) {
            self.stop("every partition is at its end");
        }
    }

    // ---- the rest ----

    pub(super) fn stop(&mut self, why: &str) {
        tracing::info!(why, "stopping with a last checkpoint");
        self.parts.status.set_stopping();
        self.cut();
        self.stopping = true;
        // A quarter is for the last checkpoint, which drops what was sent.
        let timeouts = &self.parts.config.timeouts;
        self.sending.stop_by(Instant::now() + timeouts.stop.mul_f64(0.75));
        self.give_up = Some(Instant::now() + timeouts.stop.max(timeouts.store_retry));
        self.settle();
    }

    pub(super) fn done(&mut self, done: Done) -> Result<(), RunError> {
        match done {
            // Its commit will be refused, so nothing more need be read.
            Done::Worker(Report::TooManyRejects(shared)) => self.checkpoint_early(&shared),
            Done::Worker(Report::Crowded(shared)) => {
                metrics::CHECKPOINTS_CROWDED.counter().increment(1);
                tracing::debug!(commit = %shared.attempt.id, "its files hold all the memory that they may");
                self.checkpoint_early(&shared);
            }
            Done::Lost(lost) | Done::Worker(Report::Lost(lost)) => {
                return Err(RunError::failed(lost.to_string()));
            }
            Done::Worker(Report::Failed(shared, error)) => {
                let open = self.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, &shared));
                let sealed =
                    self.sealed.iter().any(|s| s.shared.as_ref().is_some_and(|s| Arc::ptr_eq(s, &shared)));
                self.failed_in_passing(open || sealed, error)?;
            }
            Done::Staged(id, staged) => {
                let Some(sealed) = self.sealed.iter_mut().find(|sealed| sealed.cut.id == id) else {
                    return Ok(());
                };
                match staged {
                    Ok(channels::Sealed { staged, encoded }) => {
                        self.observed.staged(&id, encoded);
                        sealed.staged = Some(staged);
                        self.send_next();
                    }
                    Err(error) => self.failed_in_passing(true, error)?,
                }
            }
            Done::Committed(id, result) => self.committed(&id, result)?,
            Done::Published(ids, result) => self.published(&ids, result)?,
            Done::Sent(id, result) => self.sent(&id, result)?,
            Done::Settled(result) => {
                self.settling = false;
                match result {
                    Ok(state) => {
                        self.settle_tries.succeeded();
                        self.adopt(state);
                    }
                    Err(error) if error.kind == Kind::Retry => {
                        metrics::ERRORS.counter().increment(1);
                        tracing::warn!(%error, "dropping what is published failed; trying again");
                        self.settle_tries.failed_in_sink(&error);
                    }
                    Err(error) => return Err(error.into()),
                }
                if self.stopping || self.settle_tries.are_failing() {
                    self.settle();
                }
            }
            Done::Collected(result) => self.collected(result),
            Done::Loaded(purpose, loaded) => self.loaded(purpose, loaded?)?,
            Done::Identified(id, result) => {
                result?;
                self.identified(&id);
            }
            Done::Looked(look) => self.looked(look)?,
            Done::LookAgain(partition, generation) => self.look_again(&partition, generation),
        }
        Ok(())
    }

    pub(super) fn command(&self, command: Command) {
        // The thread may have ended already; then its last event says why.
        let _ = self.parts.source.commands.send(command);
    }

    pub(super) fn spawn(&self, task: &'static str, work: impl Future<Output = Done> + Send + 'static) {
        let done = self.parts.done.clone();
        // Nobody listens any more when the run has ended.
        let tell = move |outcome| drop(done.send(outcome));
        let instead = tell.clone();
        let work = async move { tell(work.await) };
        tasks::spawn_or(task, work, move |lost| instead(Done::Lost(lost)));
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
