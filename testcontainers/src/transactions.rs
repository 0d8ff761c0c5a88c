//! A test producer whose committed records can be recomputed, and a reader to compare with.
//!
//! What is written follows from the seed alone, so a test that compares a reader's records with
//! [`Transactions::committed`] trusts neither the producer's nor any consumer's bookkeeping.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};
use tokio::task;

const TIMEOUT: Duration = Duration::from_secs(60);
/// What a client says of brokers that it cannot reach; it goes on trying.
const AWAY: [RDKafkaErrorCode; 2] =
    [RDKafkaErrorCode::AllBrokersDown, RDKafkaErrorCode::BrokerTransportFailure];

/// Records in transactions, to be written to one topic. Start from `Transactions::default()`.
#[derive(Debug, Clone)]
pub struct Transactions {
    pub seed: u64,
    /// Records in all, those of aborted transactions included.
    pub records: u64,
    /// Partitions of the topic. Partition p gets a share in proportion to 1 / (p + 1).
    pub partitions: i32,
    /// Share of the records that go to partition 0 in any case, 0 to 1.
    pub first: f64,
    /// A transaction has 1 to this many records.
    pub max_transaction: u64,
    /// Share of transactions that are aborted, 0 to 1.
    pub aborted: f64,
    /// Whether every partition ends in records of an aborted transaction, written on top of `records`.
    pub ends_aborted: bool,
    /// Writes the payload of record `n`; the same for the same `n`.
    pub payload: fn(n: u64, into: &mut Vec<u8>),
}

impl Default for Transactions {
    fn default() -> Self {
        Self {
            seed: 1,
            records: 10_000,
            partitions: 3,
            first: 0.0,
            max_transaction: 500,
            aborted: 0.1,
            ends_aborted: true,
            payload: json_payload,
        }
    }
}

/// What a producer wrote, in records and transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Produced {
    pub committed: u64,
    pub aborted: u64,
    pub transactions: u64,
}

/// A broker that has just come up, or moves its coordinators, says so; that may be asked again.
fn init(producer: &BaseProducer) -> Result<(), KafkaError> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match producer.init_transactions(TIMEOUT) {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(100));
            }
            done => return done,
        }
    }
}

/// One transaction: the partition of each record from number `first` on.
struct Transaction {
    first: u64,
    partitions: Vec<i32>,
    aborted: bool,
}

impl Transactions {
    /// Writes them all, in order, and waits for the outcome of each transaction.
    pub async fn produce(&self, bootstrap_servers: &str, topic: &str) -> Result<Produced> {
        let (plan, servers, topic) = (self.clone(), bootstrap_servers.to_owned(), topic.to_owned());
        task::spawn_blocking(move || plan.produce_blocking(&servers, &topic)).await?
    }

    /// Partition and payload of every record that is not aborted, in the order of writing.
    pub fn committed(&self) -> impl Iterator<Item = (i32, Vec<u8>)> {
        let payload = self.payload;
        self.transactions().filter(|transaction| !transaction.aborted).flat_map(move |transaction| {
            (transaction.first..).zip(transaction.partitions).map(move |(n, partition)| {
                let mut bytes = Vec::new();
                payload(n, &mut bytes);
                (partition, bytes)
            })
        })
    }

    fn transactions(&self) -> impl Iterator<Item = Transaction> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut next = 0;
        let (records, partitions, first_share, max, aborted) =
            (self.records, self.partitions, self.first, self.max_transaction, self.aborted);
        let end = self.ends_aborted.then(|| Transaction {
            first: records,
            partitions: (0..partitions).collect(),
            aborted: true,
        });
        std::iter::from_fn(move || {
            (next < records).then(|| {
                let first = next;
                let length = random.random_range(1..=max).min(records - first);
                next += length;
                let aborted = random.random_bool(aborted);
                let mut partition = || match first_share > 0.0 && random.random_bool(first_share) {
                    true => 0,
                    false => skewed(&mut random, partitions),
                };
                let partitions = (0..length).map(|_| partition()).collect();
                Transaction { first, partitions, aborted }
            })
        })
        .chain(end)
    }

    fn produce_blocking(&self, servers: &str, topic: &str) -> Result<Produced> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("transactional.id", format!("{topic}-{}", self.seed))
            .set("linger.ms", "1")
            .set("queue.buffering.max.messages", "1000000")
            .set("log_level", "3")
            .create()?;
        init(&producer).context("init_transactions")?;
        let mut produced = Produced::default();
        for transaction in self.transactions() {
            producer.begin_transaction()?;
            self.send(&producer, topic, &transaction)?;
            // An abort drops what still waits here, but aborted records are to lie in the log.
            deliver(&producer)?;
            let records = transaction.partitions.len() as u64;
            produced.transactions += 1;
            if transaction.aborted {
                producer.abort_transaction(TIMEOUT)?;
                produced.aborted += records;
            } else {
                producer.commit_transaction(TIMEOUT)?;
                produced.committed += records;
            }
        }
        Ok(produced)
    }

    fn send(&self, producer: &BaseProducer, topic: &str, transaction: &Transaction) -> Result<()> {
        let mut payload = Vec::new();
        for (n, &partition) in (transaction.first..).zip(&transaction.partitions) {
            payload.clear();
            (self.payload)(n, &mut payload);
            let key = n.to_be_bytes();
            let mut record = BaseRecord::to(topic).partition(partition).key(&key[..]).payload(&payload[..]);
            while let Err((error, unsent)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                producer.poll(Duration::from_millis(10));
                record = unsent;
            }
        }
        Ok(())
    }
}

/// Waits until the broker has everything. (The client's own `flush` sleeps in steps
/// of 100 ms, too long for each transaction.)
fn deliver(producer: &BaseProducer) -> Result<()> {
    let give_up = Instant::now() + TIMEOUT;
    while producer.in_flight_count() > 0 {
        if Instant::now() > give_up {
            bail!("{} records not delivered within {TIMEOUT:?}", producer.in_flight_count());
        }
        producer.poll(Duration::from_millis(1));
    }
    Ok(())
}

/// Partition p with weight 1 / (p + 1).
fn skewed(random: &mut StdRng, partitions: i32) -> i32 {
    let weight = |partition: i32| 1.0 / f64::from(partition + 1);
    let mut left = random.random_range(0.0..(0..partitions).map(weight).sum());
    for partition in 0..partitions {
        left -= weight(partition);
        if left < 0.0 {
            return partition;
        }
    }
    partitions - 1
}

/// An order as JSON: `{"id":7,"ts":"2026-01-01T00:00:07Z","country":"DE","amount":"0.07"}`.
pub fn json_payload(n: u64, into: &mut Vec<u8>) {
    use std::io::Write as _;
    let country = ["DE", "FR", "US", "JP", "BR"][(n % 5) as usize];
    let (day, second) = (n / 86_400 % 28 + 1, n % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    write!(
        into,
        r#"{{"id":{n},"ts":"2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z","country":"{country}","amount":"{}.{:02}"}}"#,
        n / 100,
        n % 100
    )
    .expect("a Vec takes everything");
}

/// Partition, offset and payload of every record of the topic that a `read_committed` consumer sees up to its
/// end, in the order of offsets within each partition. A record without a payload counts as an empty one.
pub async fn read_committed_dump(bootstrap_servers: &str, topic: &str) -> Result<Vec<(i32, i64, Vec<u8>)>> {
    let (servers, topic) = (bootstrap_servers.to_owned(), topic.to_owned());
    task::spawn_blocking(move || dump(&servers, &topic)).await?
}

fn dump(servers: &str, topic: &str) -> Result<Vec<(i32, i64, Vec<u8>)>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", format!("dump-{topic}"))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("log_level", "3")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    let mut unfinished = assignment.count();
    consumer.assign(&assignment)?;
    let (mut records, mut idle) = (Vec::new(), Duration::ZERO);
    let step = Duration::from_millis(200);
    while unfinished > 0 {
        match consumer.poll(step) {
            Some(Ok(record)) => {
                idle = Duration::ZERO;
                records.push((
                    record.partition(),
                    record.offset(),
                    record.payload().unwrap_or_default().to_vec(),
                ));
            }
            // Under read_committed this is the end of what is decided, past aborted records.
            Some(Err(KafkaError::PartitionEOF(_))) => unfinished -= 1,
            // One broker of several may be dead, and the client tries it first.
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(|code| AWAY.contains(&code)) => {
                thread::sleep(step);
                idle += step;
            }
            Some(Err(error)) => return Err(error.into()),
            None => idle += step,
        }
        if idle > TIMEOUT {
            bail!("nothing from {topic} for {TIMEOUT:?}, and {unfinished} partitions not at their end");
        }
    }
    Ok(records)
}
