//! The consumer thread: records from Kafka into a channel, each under the generation of its assignment.
//!
//! The guarantee: a partition is read from where `run` says and from nowhere else;
//! after a rewind no fetch of before carries the new generation; the thread never
//! waits for the sink, so the group sees it alive while uploads are slow.

mod batch;
mod compare;
mod group;
mod leave;
mod queue;
mod throttle;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tidegate_sinks::{Error, Kind, LeaderEpoch, Position, TopicPartition};
use tokio::sync::{mpsc, oneshot};

pub use group::{Ends, Seen, SharedSeen};

use crate::config::Topics;
use crate::flow::event::{Assignment, Budget, Command, Event, Fetch, Lender};
use crate::kafka::{self, QueryErrorKind, Refusal};
use crate::metrics;
use crate::tasks;
use batch::Batch;
use compare::add_at;
use group::{Group, GroupConsumer, Rebalance};
use leave::leave;
use queue::Queue;
use throttle::Throttle;

/// Records taken from the client at once. Larger batches cost no less and hold more memory.
const BATCH_RECORDS: usize = 4_096;
/// How long a quiet client is waited for; also the longest a command waits.
const QUIET: Duration = Duration::from_millis(20);
/// Between looks while decoding is behind or the rate limit holds.
const BACK_PRESSURE: Duration = Duration::from_millis(5);

/// How long the client may take to be sent to another offset; it asks nobody for that.
const SEEK: Duration = Duration::from_secs(1);

/// How the source is set up.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// The client's properties, complete.
    pub properties: BTreeMap<String, String>,
    pub topics: Topics,
    /// 0: no limit.
    pub bytes_per_second: u64,
    /// Most bytes that may have left the client without being decoded.
    pub budget_bytes: usize,
}

impl SourceSettings {
    /// Without some of the topics, whatever the job file says.
    ///
    /// Errors: `Config` where none of a list is left.
    pub fn without(mut self, left_out: &BTreeSet<Arc<str>>) -> Result<Self, Error> {
        self.topics = self.topics.without(left_out);
        match &self.topics {
            Topics::List(topics) if topics.is_empty() && !left_out.is_empty() => Err(Error::new(
                Kind::Config,
                "the job has given up every topic of kafka.topics, so there is nothing left to read; another job, with \
                          a sink folder of its own, can read them anew",
            )),
            Topics::List(_) => Ok(self),
            Topics::Regex(_) => {
                let ignored = self.properties.entry("topic.blacklist".to_owned()).or_default();
                for topic in left_out {
                    let comma = if ignored.is_empty() { "" } else { "," };
                    ignored.push_str(&format!("{comma}^{}$", topic.replace('.', "[.]")));
                }
                Ok(self)
            }
        }
    }
}

/// The two ends of a running source.
#[derive(Debug)]
pub struct Source {
    pub events: mpsc::UnboundedReceiver<Event>,
    pub commands: Sender<Command>,
    pub seen: SharedSeen,
    /// What has been handed out and not yet decoded.
    pub budget: Budget,
    /// Closes when the thread has left the group and ends; nothing is ever sent.
    pub ended: oneshot::Receiver<()>,
}

impl Source {
    /// Joins the group and starts the thread. It ends after [`Command::Close`], or when nobody listens.
    pub fn start(settings: SourceSettings) -> Result<Self, Error> {
        let (events, receiver) = mpsc::unbounded_channel();
        let (sender, commands) = channel();
        let seen = SharedSeen::default();
        let (end, ended) = oneshot::channel();
        let consumer = Group::join(&settings.properties, seen.clone()).map_err(|error| {
            Error::new(Kind::Retry, format!("the Kafka client refused its settings: {error}"))
        })?;
        let names: Vec<String> = match &settings.topics {
            Topics::List(topics) => topics.clone(),
            Topics::Regex(pattern) => vec![format!("^({pattern})$")],
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| {
            Error::new(Kind::Retry, format!("subscribing to {}: {error}", names.join(", ")))
        })?;
        let reader = Reader::new(consumer, &settings, events, commands, seen.clone());
        let budget = reader.budget.clone();
        let read = move || {
            reader.run();
            drop(end);
        };
        tasks::thread("source".to_owned(), read)
            .map_err(|error| Error::new(Kind::Retry, format!("starting the consumer thread: {error}")))?;
        Ok(Self { events: receiver, commands: sender, seen, budget, ended })
    }
}

/// A partition being read.
struct Held {
    generation: u64,
    start: i64,
    /// Nothing has come yet, so its route to the queue may have been taken away by the start of the fetch.
    silent: bool,
    /// Of the last record below `start`.
    epoch: Option<LeaderEpoch>,
    /// The brokers are still to be asked whether they have what was read. Records that
    /// come meanwhile are dropped: they come again.
    unasked: bool,
    /// The leader whose records they were asked for last.
    asked_for: Option<i32>,
}

struct Reader {
    // Before the consumer, so that they are dropped first: after a panic, that may
    // take a while, and `run` is to know.
    events: mpsc::UnboundedSender<Event>,
    queue: Queue,
    /// Shared with the messages that it has lent.
    consumer: Arc<GroupConsumer>,
    throttle: Throttle,
    /// Average size of a record, to size batches under a rate limit.
    record_bytes: usize,
    budget: Budget,
    budget_bytes: usize,
    commands: Receiver<Command>,
    seen: SharedSeen,
    /// The last second that was counted in which all that the client had was taken.
    drained: Option<Instant>,
    held: BTreeMap<TopicPartition, Held>,
    /// Read, but held back by the rate limit.
    waiting: VecDeque<Fetch>,
    /// Partitions, under which generation, whose offset is not in their log. Told after
    /// `waiting`, so that `run` knows the offset.
    outside: Vec<(TopicPartition, u64)>,
    /// Bytes that the first of `waiting` still has to pay.
    owed: usize,
    /// The group's wish that `run` has been told; its next one waits for the answer.
    asked: Option<Rebalance>,
    /// Nothing is read or handed out, and the group is served: the partitions stay.
    paused: bool,
    /// Since when nothing is read because the budget is used up.
    waits_since: Option<Instant>,
}

/// Why the thread ends.
enum End {
    Closed,
    Failed(Error),
}

impl Reader {
    fn new(
        consumer: GroupConsumer,
        settings: &SourceSettings,
        events: mpsc::UnboundedSender<Event>,
        commands: Receiver<Command>,
        seen: SharedSeen,
    ) -> Self {
        Self {
            events,
            queue: Queue::new(consumer.client().native_ptr()),
            consumer: Arc::new(consumer),
            throttle: Throttle::new(settings.bytes_per_second),
            record_bytes: 256,
            budget: Budget::default(),
            budget_bytes: settings.budget_bytes,
            commands,
            seen,
            drained: None,
            held: BTreeMap::new(),
            waiting: VecDeque::new(),
            outside: Vec::new(),
            owed: 0,
            asked: None,
            paused: false,
            waits_since: None,
        }
    }

    fn run(mut self) {
        let end = loop {
            if let Err(end) = self.step() {
                break end;
            }
        };
        if let End::Failed(error) = end {
            // Nobody to tell: then `run` has ended, and said why.
            let _ = self.events.send(Event::Failed(error));
        }
        let Self { queue, consumer, waiting, asked, .. } = self;
        drop((queue, waiting));
        leave(consumer, asked);
    }

    fn step(&mut self) -> Result<(), End> {
        self.obey()?;
        self.serve_group(Duration::ZERO)?;
        if self.paused {
            self.end_wait();
            return self.serve_group(QUIET);
        }
        if !self.waiting.is_empty() || !self.outside.is_empty() {
            if let Some(wait) = self.hand_out()? {
                self.serve_group(wait.min(BACK_PRESSURE))?;
            }
            return Ok(());
        }
        if self.budget.used_bytes() > self.budget_bytes {
            self.waits_since.get_or_insert_with(Instant::now);
            return self.serve_group(BACK_PRESSURE);
        }
        self.end_wait();
        if self.held.is_empty() {
            return self.serve_group(QUIET);
        }
        for (partition, _) in self.held.iter().filter(|(_, held)| held.silent) {
            self.queue.route(&partition.topic, partition.partition);
        }
        self.ask_whether_all_is_there();
        self.read()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that the client had has been taken: once a second is enough.
    fn note_drained(&mut self) {
        if self.drained.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            self.drained = Some(Instant::now());
            self.seen().drained += 1;
        }
    }

    fn end_wait(&mut self) {
        if let Some(since) = self.waits_since.take() {
            metrics::SOURCE_WAIT.histogram().record(since.elapsed().as_secs_f64());
        }
    }

    /// Carries out what `run` has asked for.
    fn obey(&mut self) -> Result<(), End> {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Assign(assignments)) => {
                    self.asked = None;
                    self.assign(assignments)?;
                }
                Ok(Command::Release(partitions)) => {
                    self.asked = None;
                    self.unassign(&partitions)?;
                }
                Ok(Command::Rewind(assignments)) => {
                    let partitions: Vec<_> = assignments.iter().map(|a| a.partition.clone()).collect();
                    self.unassign(&partitions)?;
                    self.assign(assignments)?;
                }
                Ok(Command::Limit(bytes_per_second)) => self.throttle = Throttle::new(bytes_per_second),
                Ok(Command::Pause(paused)) => {
                    self.paused = paused;
                    if paused {
                        self.tell(Event::Paused)?;
                    }
                }
                Ok(Command::CommitOffsets(position)) => self.commit(&position),
                Ok(Command::Close) | Err(TryRecvError::Disconnected) => return Err(End::Closed),
                Err(TryRecvError::Empty) => return Ok(()),
            }
        }
    }

    /// Lets the client report, and passes rebalances on, one at a time.
    fn serve_group(&mut self, wait: Duration) -> Result<(), End> {
        match self.consumer.poll(wait) {
            None => {}
            // Fetched before its partition was routed to the queue; its route is set before it is assigned.
            Some(Ok(message)) => {
                let error = format!("{}: a record came past its queue", rdkafka::Message::topic(&message));
                return Err(End::Failed(Error::new(Kind::Retry, error)));
            }
            Some(Err(error)) => match denied(&error) {
                Some(denied) => self.tell(Event::Denied(denied))?,
                None => judge(&error, &self.consumer.context().take_reason())?,
            },
        }
        if self.asked.is_some() {
            return Ok(());
        }
        self.asked = self.consumer.context().next_rebalance();
        match self.asked.clone() {
            None => Ok(()),
            Some(Rebalance::Assign(partitions)) => self.tell(Event::Assigned(partitions)),
            Some(Rebalance::Revoke(partitions)) => self.tell(Event::Revoked(partitions)),
        }
    }

    fn assign(&mut self, assignments: Vec<Assignment>) -> Result<(), End> {
        let mut list = TopicPartitionList::new();
        for Assignment { partition, offset, generation, epoch } in assignments {
            self.queue.route(&partition.topic, partition.partition);
            add_at(&mut list, &partition, offset, epoch);
            let unasked = epoch.is_some();
            let held = Held { generation, start: offset, silent: true, epoch, unasked, asked_for: None };
            self.seen().taken_over(partition.clone());
            self.held.insert(partition, held);
        }
        self.consumer.incremental_assign(&list).map_err(|error| failed("taking partitions over", &error))?;
        self.ask_whether_all_is_there();
        Ok(())
    }

    /// The group may take away what was never taken over: partitions of a topic that is left out.
    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), End> {
        let held: Vec<_> =
            partitions.iter().filter(|partition| self.held.remove(*partition).is_some()).cloned().collect();
        for partition in &held {
            self.seen().given_up(partition);
        }
        self.outside.retain(|(partition, _)| !partitions.contains(partition));
        if self.waiting.iter().any(|fetch| partitions.contains(&fetch.partition)) {
            self.waiting.retain(|fetch| !partitions.contains(&fetch.partition));
            self.owed = self.waiting.front().map_or(0, Fetch::bytes);
        }
        self.consumer
            .incremental_unassign(&kafka::partition_list(&held))
            .map_err(|error| failed("giving partitions up", &error))
    }

    /// Tells the group how far the sink is. It decides nothing, so a failure is not one of the job.
    fn commit(&self, position: &Position) {
        let mut list = TopicPartitionList::new();
        for (partition, &next) in position.0.iter().filter(|(partition, _)| self.held.contains_key(partition))
        {
            add_at(&mut list, partition, next, None);
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "telling the group its offsets, for lag tools");
        }
    }

    fn read(&mut self) -> Result<(), End> {
        let most = self.throttle.batch(self.record_bytes, BATCH_RECORDS);
        let lender: Lender = self.consumer.clone();
        let mut taken = 0;
        let messages = self.queue.read(most, QUIET).inspect(|_| taken += 1);
        let mut batch = Batch::of(messages, &self.held, &lender);
        for fetch in &batch.fetches {
            if self.held.get(&fetch.partition).is_some_and(|held| held.silent) {
                self.seen().answered(&fetch.partition);
            }
        }
        batch
            .fetches
            .retain(|fetch| self.held.get_mut(&fetch.partition).is_some_and(|held| held.take(fetch)));
        if taken < most {
            self.note_drained();
        }
        let (bytes, records) = batch.fetches.iter().fold((0, 0), |(b, r), f| (b + f.bytes(), r + f.len()));
        if let Some(size) = bytes.checked_div(records) {
            self.record_bytes = (self.record_bytes * 7 + size) / 8;
        }
        self.waiting.extend(batch.fetches);
        self.owed = self.waiting.front().map_or(0, Fetch::bytes);
        self.outside.extend(batch.outside);
        if let Some(failure) = batch.failure {
            return Err(End::Failed(failure));
        }
        if let Some(denied) = batch.denied {
            self.tell(Event::Denied(denied))?;
        }
        self.hand_out().map(|_| ())
    }

    /// Passes on what the rate limit lets through. Returns how long the next has to wait.
    fn hand_out(&mut self) -> Result<Option<Duration>, End> {
        while !self.waiting.is_empty() {
            if let Some(wait) = self.throttle.pay(&mut self.owed) {
                metrics::THROTTLED_MILLISECONDS
                    .counter()
                    .increment(wait.min(BACK_PRESSURE).as_millis() as u64);
                return Ok(Some(wait));
            }
            if let Some(fetch) = self.waiting.pop_front() {
                let permit = self.budget.take(fetch.memory());
                self.tell(Event::Fetched(fetch, permit))?;
            }
            self.owed = self.waiting.front().map_or(0, Fetch::bytes);
        }
        for (partition, generation) in std::mem::take(&mut self.outside) {
            self.tell(Event::OutsideLog { partition, generation })?;
        }
        Ok(None)
    }

    fn tell(&self, event: Event) -> Result<(), End> {
        self.events.send(event).map_err(|_| End::Closed)
    }
}

/// What the client says once of a topic that the user may not read, and then only where that has changed.
fn denied(error: &KafkaError) -> Option<Error> {
    let code =
        error.rdkafka_error_code().filter(|code| *code == RDKafkaErrorCode::TopicAuthorizationFailed)?;
    let message = format!("reading from Kafka: {error}{}", kafka::remedy(code));
    Some(Error::new(Kind::Config, message))
}

fn failed(doing: &str, error: &KafkaError) -> End {
    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
    let message = format!("{doing}: {error}{}", kafka::remedy(code));
    let lasts = matches!(kafka::kind_of(code), QueryErrorKind::Unauthorized | QueryErrorKind::Config);
    let kind = if lasts { Kind::Config } else { Kind::Retry };
    End::Failed(Error::new(kind, message))
}

/// Errors that the client mends by itself are logged. Any other could mean a record
/// skipped, so it ends the source.
fn judge(error: &KafkaError, reason: &str) -> Result<(), End> {
    use RDKafkaErrorCode::{Authentication, SSL, SaslAuthenticationFailed};
    let passes = match error.rdkafka_error_code() {
        // Also what the client says of a token that it could not renew yet, and of
        // connections that broke at the wrong moment.
        Some(Authentication | SaslAuthenticationFailed | SSL) => {
            if let Some(refusal) = Refusal::of(reason) {
                let message = format!("reading from Kafka: {error} ({reason}){}", refusal.remedy());
                return Err(End::Failed(Error::new(Kind::Config, message)));
            }
            true
        }
        code => code.is_some_and(kafka::passes),
    };
    if passes && !matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        tracing::warn!(%error, reason, "Kafka");
        Ok(())
    } else {
        Err(failed("reading from Kafka", error))
    }
}

#[cfg(test)]
mod tests;
