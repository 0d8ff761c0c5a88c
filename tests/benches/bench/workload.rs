//! What the benches read: records in transactions, some of them aborted, each
//! following from its number alone.
//!
//! Aborted records have numbers from 2^40 on, so that a single one of them in an output shows in its totals.

mod event;
mod plain;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use anyhow::{Result, bail};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde::{Deserialize, Serialize};

const TRANSACTION_BYTES: u64 = 5_000 * 421;
const FIRST_ABORTED: u64 = 1 << 40;
const SEED: u64 = 43;
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a topic holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) topic: String,
    pub(crate) kind: Kind,
    /// Committed ones.
    pub(crate) records: u64,
    pub(crate) partitions: i32,
    pub(crate) aborted_percent: u64,
    /// Share of the records that go to partition 0 in any case.
    pub(crate) skew_percent: u64,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The standard: 14 columns, 421 bytes.
    Event,
    /// 200 columns.
    Wide,
    /// 1 MiB in one column.
    Large,
    /// 60 bytes.
    Small,
}

impl Shape {
    /// The standard workload: 4 partitions, transactions of 5,000 records, 5 % aborted.
    pub(crate) fn events(records: u64) -> Self {
        let topic = format!("events-{records}");
        Self { topic, kind: Kind::Event, records, partitions: 4, aborted_percent: 5, skew_percent: 0 }
    }

    /// The same under another name, to be changed.
    pub(crate) fn named(name: &str, records: u64) -> Self {
        Self { topic: format!("{name}-{records}"), ..Self::events(records) }
    }
}

impl Kind {
    /// Names and types of the columns.
    pub(crate) fn columns(self) -> Vec<(String, &'static str)> {
        match self {
            Self::Event => event::COLUMNS.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
            Self::Wide => plain::wide_columns(),
            Self::Large => vec![("id".into(), "int64"), ("body".into(), "string")],
            Self::Small => {
                vec![("id".into(), "int64"), ("name".into(), "string"), ("value".into(), "double")]
            }
        }
    }

    /// Transactions are of about the same size, and of one record at least.
    fn transaction_records(self) -> u64 {
        let bytes = match self {
            Self::Event => 421,
            Self::Wide => 4_000,
            Self::Large => 1 << 20,
            Self::Small => 60,
        };
        (TRANSACTION_BYTES / bytes).max(1)
    }
}

/// What an exact copy adds up to. The ids are added up by their hashes, so a record
/// in place of another shows too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) event_id_hashes: u64,
    pub(crate) user_ids: u64,
    pub(crate) milliseconds: u64,
    pub(crate) quantity: u64,
    pub(crate) ab_buckets: u64,
    pub(crate) tags: u64,
    pub(crate) cents: u64,
    pub(crate) null_referrers: u64,
}

impl Totals {
    pub(crate) fn add_event_id(&mut self, id: &str) {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        self.event_id_hashes = self.event_id_hashes.wrapping_add(hasher.finish());
    }
}

fn mix(state: u64) -> u64 {
    // splitmix64
    let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        let next = mix(self.0);
        self.0 = self.0.wrapping_add(0xD134_2543_DE82_EF95);
        ((next >> 32) * bound) >> 32
    }

    fn of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len() as u64) as usize]
    }

    /// The first ones more often than the last.
    fn skewed(&mut self, words: &[&'static str]) -> &'static str {
        let count = words.len() as u64;
        words[(self.below(count) * self.below(count) / count) as usize]
    }
}

/// Hands out keys and payloads of the standard workload's records, by their numbers.
pub(crate) fn for_each_event(numbers: std::ops::Range<u64>, mut take: impl FnMut(u64, &str, &str)) {
    let (mut event, mut totals) = (event::Event::default(), Totals::default());
    for number in numbers {
        event.write(number, &mut totals);
        take(number, &event.key, &event.json);
    }
}

/// Writes a topic. Returns the totals of the committed records and their bytes.
pub(crate) fn write(servers: &str, shape: &Shape) -> Result<(Totals, u64)> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", format!("bench-{}", shape.topic))
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("batch.size", "131072")
        .set("message.max.bytes", "4000000")
        .create()?;
    producer.init_transactions(TIMEOUT)?;
    let (mut record, mut totals, mut bytes) = (Record::new(shape.kind), Totals::default(), 0);
    let (mut written, mut aborted) = (0, FIRST_ABORTED);
    let mut transaction = 0_u64;
    while written < shape.records {
        let count = shape.kind.transaction_records().min(shape.records - written);
        let abort = mix(SEED ^ (transaction << 1)) % 100 < shape.aborted_percent;
        transaction += 1;
        producer.begin_transaction()?;
        if abort {
            for number in aborted..aborted + count {
                record.write(number, &mut Totals::default());
                send(&producer, shape, number, &record.event)?;
            }
            aborted += count;
            // What is aborted is to lie in the log.
            producer.flush(TIMEOUT)?;
            producer.abort_transaction(TIMEOUT)?;
        } else {
            for number in written..written + count {
                record.write(number, &mut totals);
                bytes += record.event.json.len() as u64;
                send(&producer, shape, number, &record.event)?;
            }
            written += count;
            producer.commit_transaction(TIMEOUT)?;
        }
    }
    Ok((totals, bytes))
}

/// A record of some kind.
struct Record {
    kind: Kind,
    event: event::Event,
}

impl Record {
    fn new(kind: Kind) -> Self {
        Self { kind, event: event::Event::default() }
    }

    /// Becomes record `number`, and adds it to the totals.
    fn write(&mut self, number: u64, totals: &mut Totals) {
        match self.kind {
            Kind::Event => self.event.write(number, totals),
            kind => {
                self.event.key.clear();
                self.event.json.clear();
                plain::write(kind, number, &mut self.event.json);
                totals.rows += 1;
                totals.user_ids += number;
            }
        }
    }
}

fn send(producer: &BaseProducer, shape: &Shape, number: u64, event: &event::Event) -> Result<()> {
    let place = mix(number ^ 77);
    let partition =
        if place % 100 < shape.skew_percent { 0 } else { (place >> 16) % shape.partitions as u64 };
    let mut record =
        BaseRecord::to(&shape.topic).key(&event.key).payload(&event.json).partition(partition as i32);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(20));
            }
            Err((error, _)) => bail!("writing a record: {error}"),
        }
    }
}

/// Small records outside of transactions, `rate` a second (0: at once), numbered
/// from `from`, to the partitions in turn.
pub(crate) fn trickle(
    servers: &str,
    topic: &str,
    partitions: i32,
    numbers: std::ops::Range<u64>,
    rate: u64,
) -> Result<()> {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", servers).set("linger.ms", "20").create()?;
    let (start, first) = (std::time::Instant::now(), numbers.start);
    let mut json = String::new();
    for number in numbers {
        let due = if rate == 0 { 0.0 } else { (number - first) as f64 / rate as f64 };
        while start.elapsed().as_secs_f64() < due {
            producer.poll(Duration::from_millis(1));
        }
        json.clear();
        plain::write(Kind::Small, number, &mut json);
        let partition = (number % partitions as u64) as i32;
        let mut record = BaseRecord::<(), String>::to(topic).payload(&json).partition(partition);
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                bail!("writing a record: {error}");
            }
            producer.poll(Duration::from_millis(20));
            record = back;
        }
    }
    Ok(producer.flush(TIMEOUT)?)
}
