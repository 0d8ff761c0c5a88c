//! The threads that decode and encode. Each owns a stager; an attempt's fetches are
//! spread over them, and sealing it gathers their files.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tidegate_sinks::{Begin, Delta, Error, Sink};
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::time::Instant;

use crate::flow::event::{Fetch, Permit};
use crate::flow::stage::{Attempt, RejectAt, Staged, Stager};
use crate::tasks::{self, Lost};

/// A queue this long means that a worker is busy, so that the next one gets some;
/// below, fewer files are better.
const BUSY_BYTES: usize = 4 << 20;

/// An attempt as the workers share it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) attempt: Arc<Attempt>,
    begin: Begin,
    begun: OnceCell<()>,
    /// Dropped: whatever is still queued for it is skipped.
    dead: AtomicBool,
    pub(super) rejects: AtomicU64,
    /// Rejects at which the job is past its limit, so that it need not read on.
    most_rejects: Option<u64>,
    /// Workers that got some of it.
    workers: std::sync::Mutex<BTreeSet<usize>>,
}

impl Shared {
    pub(super) fn new(attempt: Attempt, begin: Begin, most_rejects: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            attempt: Arc::new(attempt),
            begin,
            begun: OnceCell::new(),
            dead: AtomicBool::new(false),
            rejects: AtomicU64::new(0),
            most_rejects,
            workers: std::sync::Mutex::default(),
        })
    }

    pub(super) fn abandon(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }
}

/// What a worker tells on its own account.
#[derive(Debug)]
pub(super) enum Report {
    /// Staging failed; the attempt cannot be sealed.
    Failed(Arc<Shared>, Error),
    /// The attempt has more rejects than the job accepts.
    TooManyRejects(Arc<Shared>),
    /// The attempt's open files hold all the memory that they may; the worker decodes
    /// no more of it before it is sealed.
    Crowded(Arc<Shared>),
    /// The worker is lost by a panic.
    Lost(Lost),
}

#[derive(Debug)]
enum Work {
    Fetched(Arc<Shared>, Fetch, Permit),
    Seal(Delta, oneshot::Sender<Result<Sealed, Error>>),
    /// Answered when nothing is written any more that was given before.
    Discard(oneshot::Sender<()>),
}

/// What a worker has staged of an attempt, or all of them.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    pub(super) staged: Staged,
    /// When all that was given before was encoded.
    pub(super) encoded: Option<Instant>,
}

#[derive(Debug)]
struct Channel {
    work: mpsc::UnboundedSender<Work>,
    queued_bytes: Arc<AtomicUsize>,
    /// Bytes of batches and open writers.
    memory: Arc<AtomicUsize>,
}

/// All workers.
#[derive(Debug)]
pub(super) struct Channels(Vec<Channel>);

/// How a worker's loop is run: on a thread of its own, or as a task of a simulation.
pub type Spawn =
    Box<dyn FnMut(usize, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) -> std::io::Result<()> + Send>;

/// Each worker on an operating system thread: its work is computing, with waits for uploads in between.
pub(super) fn on_threads() -> Spawn {
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |number, worker| {
        let runtime = runtime.clone();
        let name = format!("channel-{number}");
        tasks::thread(name, move || runtime.block_on(worker)).map(|_| ())
    })
}

impl Channels {
    pub(super) fn start(
        stagers: Vec<Stager>,
        sink: &Arc<dyn Sink>,
        reports: impl Fn(Report) + Clone + Send + Sync + 'static,
        spawn: &mut Spawn,
    ) -> std::io::Result<Self> {
        let mut channels = Vec::new();
        for (number, stager) in stagers.into_iter().enumerate() {
            let (work, queue) = mpsc::unbounded_channel();
            let queued_bytes = Arc::new(AtomicUsize::new(0));
            let memory = Arc::new(AtomicUsize::new(0));
            let worker = Worker {
                stager,
                sink: sink.clone(),
                queued_bytes: queued_bytes.clone(),
                memory: memory.clone(),
                failed: false,
                rejects: 0,
                crowded: false,
                waiting: Vec::new(),
            };
            let reports = reports.clone();
            let guarded = async move {
                let working = tasks::guard("encode", worker.run(queue, reports.clone()));
                if let Err(panicked) = working.await {
                    reports(Report::Lost(panicked.lost));
                }
            };
            spawn(number, Box::pin(guarded))?;
            channels.push(Channel { work, queued_bytes, memory });
        }
        Ok(Self(channels))
    }

    /// Gives a fetch to the first worker that is not busy, or else to the least busy one.
    pub(super) fn give(&self, attempt: &Arc<Shared>, fetch: Fetch, permit: Permit) {
        let queued = |channel: &Channel| channel.queued_bytes.load(Ordering::Relaxed);
        let free = self.0.iter().position(|channel| queued(channel) < BUSY_BYTES);
        let number = free.or_else(|| (0..self.0.len()).min_by_key(|&n| queued(&self.0[n]))).unwrap_or(0);
        let channel = &self.0[number];
        attempt.workers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(number);
        channel.queued_bytes.fetch_add(fetch.bytes(), Ordering::Relaxed);
        // A worker ends only with the process; its panic ends the run by its own report.
        let _ = channel.work.send(Work::Fetched(attempt.clone(), fetch, permit));
    }

    /// Finishes the attempt's files. Fetches given before are in them, none given after.
    pub(super) fn seal(
        &self,
        attempt: &Shared,
        delta: &Delta,
    ) -> impl Future<Output = Result<Sealed, Error>> + Send + 'static {
        let workers = attempt.workers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let ask = |number: usize| {
            let (reply, answer) = oneshot::channel();
            let _ = self.0[number].work.send(Work::Seal(delta.clone(), reply));
            answer
        };
        let answers: Vec<_> = workers.into_iter().map(ask).collect();
        async move {
            let mut all = Sealed::default();
            for answer in answers {
                let gone = |_| Error::new(tidegate_sinks::Kind::Corrupt, "a thread that encodes is gone");
                let Sealed { staged, encoded } = answer.await.map_err(gone)??;
                merge(&mut all.staged, staged);
                all.encoded = all.encoded.max(encoded);
            }
            Ok(all)
        }
    }

    /// Bytes of batches and open writers.
    pub(super) fn memory(&self) -> usize {
        self.0.iter().map(|channel| channel.memory.load(Ordering::Relaxed)).sum()
    }

    /// Drops whatever is open. What is returned ends when all of its uploads have ended.
    pub(super) fn discard(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let ask = |channel: &Channel| {
            let (reply, answer) = oneshot::channel();
            let _ = channel.work.send(Work::Discard(reply));
            answer
        };
        let answers: Vec<_> = self.0.iter().map(ask).collect();
        async move {
            for answer in answers {
                // A worker that has ended writes nothing either.
                let _ = answer.await;
            }
        }
    }
}

fn merge(all: &mut Staged, more: Staged) {
    all.files.extend(more.files);
    for (partition, rows) in more.rows {
        *all.rows.entry(partition).or_default() += rows;
    }
    all.rejects += more.rejects;
    for (table, unmatched) in more.unmatched {
        all.unmatched.entry(table).or_default().merge(unmatched);
    }
    all.first_reject = all.first_reject.take().or(more.first_reject);
}

/// What a staging error means to the run.
pub(crate) fn staging_error(error: crate::flow::stage::Error) -> Error {
    match error {
        crate::flow::stage::Error::Sink(error) => error,
        error => Error::new(error.kind(), error.to_string()).with_source(error),
    }
}

struct Worker {
    stager: Stager,
    sink: Arc<dyn Sink>,
    queued_bytes: Arc<AtomicUsize>,
    memory: Arc<AtomicUsize>,
    /// An attempt has failed: nothing more is taken until it is discarded.
    failed: bool,
    /// Rejects of the current attempt.
    rejects: u64,
    /// The current attempt's open files hold all the memory that they may.
    crowded: bool,
    /// What has come since. It keeps its permits, so reading waits as well.
    waiting: Vec<(Arc<Shared>, Fetch, Permit)>,
}

impl Worker {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Work>, report: impl Fn(Report)) {
        while let Some(work) = queue.recv().await {
            match work {
                Work::Fetched(attempt, fetch, permit) if self.crowded => {
                    self.waiting.push((attempt, fetch, permit));
                }
                Work::Fetched(attempt, fetch, permit) => {
                    self.fetched(attempt, &fetch, &report).await;
                    drop(permit);
                }
                Work::Seal(delta, reply) => {
                    for (attempt, fetch, permit) in std::mem::take(&mut self.waiting) {
                        self.fetched(attempt, &fetch, &report).await;
                        drop(permit);
                    }
                    let encoded = Some(Instant::now());
                    let sealed = if self.failed {
                        Err(Error::new(
                            tidegate_sinks::Kind::Retry,
                            "staging failed before the attempt was sealed",
                        ))
                    } else {
                        self.stager.seal(&delta).await.map_err(staging_error)
                    };
                    self.failed |= sealed.is_err();
                    self.begin_anew();
                    // Nobody listens any more when the attempt was dropped.
                    let _ = reply.send(sealed.map(|staged| Sealed { staged, encoded }));
                }
                Work::Discard(reply) => {
                    for (_, fetch, _) in std::mem::take(&mut self.waiting) {
                        self.queued_bytes.fetch_sub(fetch.bytes(), Ordering::Relaxed);
                    }
                    self.stager.discard().await;
                    self.failed = false;
                    self.begin_anew();
                    let _ = reply.send(());
                }
            }
        }
    }

    fn begin_anew(&mut self) {
        self.rejects = 0;
        self.crowded = false;
        self.memory.store(0, Ordering::Relaxed);
    }

    async fn fetched(&mut self, attempt: Arc<Shared>, fetch: &Fetch, report: &impl Fn(Report)) {
        self.queued_bytes.fetch_sub(fetch.bytes(), Ordering::Relaxed);
        if self.failed || attempt.dead.load(Ordering::Relaxed) {
            return;
        }
        match self.accept(&attempt, fetch).await {
            Ok(crowded) => {
                self.count_rejects(&attempt, report);
                if crowded && !std::mem::replace(&mut self.crowded, true) {
                    report(Report::Crowded(attempt));
                }
            }
            Err(error) => {
                self.failed = true;
                report(Report::Failed(attempt, error));
            }
        }
    }

    /// Whether the attempt's open files hold all the memory that they may.
    async fn accept(&mut self, attempt: &Shared, fetch: &Fetch) -> Result<bool, Error> {
        attempt.begun.get_or_try_init(|| self.sink.begin(&attempt.begin)).await?;
        let progress = self.stager.accept(&attempt.attempt, fetch).await.map_err(staging_error)?;
        self.memory.store(progress.memory, Ordering::Relaxed);
        let before = std::mem::replace(&mut self.rejects, progress.rejects);
        attempt.rejects.fetch_add(progress.rejects.saturating_sub(before), Ordering::Relaxed);
        Ok(progress.crowded)
    }

    fn count_rejects(&self, attempt: &Arc<Shared>, report: &impl Fn(Report)) {
        if attempt.most_rejects.is_some_and(|most| attempt.rejects.load(Ordering::Relaxed) > most) {
            report(Report::TooManyRejects(attempt.clone()));
        }
    }
}

/// For messages: where the first reject was, and why.
pub(super) struct FirstReject<'a>(pub(super) Option<&'a RejectAt>);

impl fmt::Display for FirstReject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(reject) => {
                write!(f, "the first at {} offset {}: {}", reject.partition, reject.offset, reject.error)
            }
            None => f.write_str("none in this attempt"),
        }
    }
}

#[cfg(test)]
mod tests;
