//! The standard workload: shop events as JSON, 14 members, about 421 bytes, in transactions of which some are aborted.
//!
//! Every record follows from its number alone. Aborted records have numbers from 2^40 on, so that a single one of
//! them in an output shows in its totals.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use anyhow::{Result, bail};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

pub(crate) const TOPIC: &str = "events";
pub(crate) const PARTITIONS: i32 = 4;
const TRANSACTION_RECORDS: u64 = 5_000;
const ABORTED_PERCENT: u64 = 5;
const FIRST_ABORTED: u64 = 1 << 40;
const SEED: u64 = 43;
const TIMEOUT: Duration = Duration::from_secs(60);

/// The columns, as a job file has them.
pub(crate) const COLUMNS: [(&str, &str); 14] = [
    ("event_id", "string"),
    ("user_id", "int64"),
    ("ts", "timestamp(ms, UTC)"),
    ("event_type", "string"),
    ("country", "string"),
    ("price", "double"),
    ("quantity", "int32"),
    ("is_mobile", "bool"),
    ("url", "string"),
    ("referrer", "string"),
    ("session_id", "string"),
    ("properties", "struct<campaign: string, ab_bucket: int32, score: double>"),
    ("tags", "list<string>"),
    ("amount", "decimal(18,2)"),
];

const EVENT_TYPES: [&str; 20] = [
    "page_view",
    "click",
    "add_to_cart",
    "purchase",
    "search",
    "login",
    "logout",
    "signup",
    "scroll",
    "video_play",
    "video_stop",
    "share",
    "like",
    "comment",
    "refund",
    "checkout",
    "impression",
    "download",
    "error",
    "heartbeat",
];
const COUNTRIES: [&str; 30] = [
    "US", "DE", "FR", "GB", "IN", "BR", "JP", "CN", "ES", "IT", "NL", "SE", "PL", "CA", "MX", "AU", "KR",
    "TR", "ID", "NG", "ZA", "EG", "AR", "CL", "CO", "PT", "GR", "CZ", "RO", "CH",
];
const WORDS: [&str; 16] = [
    "shoes", "garden", "phone", "laptop", "kitchen", "books", "music", "travel", "winter", "outlet", "sale",
    "kids", "sports", "office", "beauty", "camera",
];
const TAGS: [&str; 12] =
    ["new", "promo", "vip", "beta", "returning", "mobile", "organic", "paid", "email", "push", "b2b", "eu"];

/// What an exact copy adds up to. The ids are added up by their hashes, so a record in place of another shows too.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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

/// A record being written.
#[derive(Default)]
struct Event {
    key: String,
    json: String,
}

impl Event {
    /// Becomes record `number`, and adds it to the totals.
    fn write(&mut self, number: u64, totals: &mut Totals) {
        let mut random = Random(mix(SEED ^ mix(number)));
        self.key.clear();
        self.json.clear();
        self.write_head(number, &mut random, totals);
        self.write_rest(&mut random, totals);
        totals.rows += 1;
    }

    fn write_head(&mut self, number: u64, random: &mut Random, totals: &mut Totals) {
        let high = mix(SEED.wrapping_mul(3).wrapping_add(number));
        let low = mix(high ^ 0xABCD_EF01) ^ number;
        let user = random.below(2_000_000) + 1;
        // Steps of 1 ms from the start of 2026, up to 5 s out of order.
        let milliseconds = number % FIRST_ABORTED + 5_000 - random.below(5_000);
        let (day, second) = (milliseconds / 86_400_000, milliseconds / 1_000 % 86_400);
        let (price, quantity) = (random.below(50_000) as f64 / 100.0 + 0.25, random.below(9) + 1);
        let json = &mut self.json;
        let id = format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xFFFF,
            high & 0xFFF,
            low >> 52,
            low & 0xFFFF_FFFF_FFFF
        );
        let _ = write!(self.key, "u{user}");
        let _ = write!(
            json,
            r#"{{"event_id":"{id}","user_id":{user},"ts":"2026-01-{:02}T{:02}:{:02}:{:02}.{:03}Z""#,
            day + 1,
            second / 3_600,
            second / 60 % 60,
            second % 60,
            milliseconds % 1_000
        );
        let (event_type, country) = (random.skewed(&EVENT_TYPES), random.skewed(&COUNTRIES));
        let is_mobile = random.below(2) == 1;
        let _ = write!(
            json,
            r#","event_type":"{event_type}","country":"{country}","price":{price:?},"quantity":{quantity},"is_mobile":{is_mobile}"#
        );
        totals.add_event_id(&id);
        totals.user_ids += user;
        totals.milliseconds += milliseconds;
        totals.quantity += quantity;
    }

    fn write_rest(&mut self, random: &mut Random, totals: &mut Totals) {
        let json = &mut self.json;
        let (section, shelf, item) = (random.of(&WORDS), random.of(&WORDS), random.below(2_000_000));
        let _ = write!(
            json,
            r#","url":"https://shop.example.com/{section}/{shelf}/item-{item:07}?ref={}","referrer":"#,
            random.of(&WORDS)
        );
        if random.below(10) < 3 {
            json.push_str("null");
            totals.null_referrers += 1;
        } else {
            let _ = write!(json, r#""https://www.{}.example/""#, random.of(&WORDS));
        }
        let (session, campaign, variant) = (random.below(1 << 32), random.of(&WORDS), random.below(40));
        let (bucket, score) = (random.below(64), random.below(1_000_000) as f64 / 1e6);
        let _ = write!(
            json,
            r#","session_id":"s{session:08x}","properties":{{"campaign":"{campaign}_{variant}","ab_bucket":{bucket},"score":{score:?}}},"tags":["#
        );
        let tags = random.below(4);
        for index in 0..tags {
            let _ = write!(json, "{}\"{}\"", if index > 0 { "," } else { "" }, random.of(&TAGS));
        }
        let cents = random.below(10_000_000);
        let _ = write!(json, r#"],"amount":"{}.{:02}"}}"#, cents / 100, cents % 100);
        totals.ab_buckets += bucket;
        totals.tags += tags;
        totals.cents += cents;
    }
}

/// Writes `records` committed records, and the aborted ones between them. Returns the totals of the committed ones
/// and their bytes of JSON.
pub(crate) fn write(servers: &str, records: u64) -> Result<(Totals, u64)> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", "bench")
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("batch.size", "131072")
        .create()?;
    producer.init_transactions(TIMEOUT)?;
    let (mut event, mut totals, mut bytes) = (Event::default(), Totals::default(), 0);
    let (mut written, mut aborted) = (0, FIRST_ABORTED);
    let mut transaction = 0_u64;
    while written < records {
        let count = TRANSACTION_RECORDS.min(records - written);
        let abort = mix(SEED ^ (transaction << 1)) % 100 < ABORTED_PERCENT;
        transaction += 1;
        producer.begin_transaction()?;
        if abort {
            for number in aborted..aborted + count {
                event.write(number, &mut Totals::default());
                send(&producer, number, &event)?;
            }
            aborted += count;
            // What is aborted is to lie in the log.
            producer.flush(TIMEOUT)?;
            producer.abort_transaction(TIMEOUT)?;
        } else {
            for number in written..written + count {
                event.write(number, &mut totals);
                bytes += event.json.len() as u64;
                send(&producer, number, &event)?;
            }
            written += count;
            producer.commit_transaction(TIMEOUT)?;
        }
    }
    Ok((totals, bytes))
}

fn send(producer: &BaseProducer, number: u64, event: &Event) -> Result<()> {
    let partition = (mix(number ^ 77) >> 16) as i32 & (PARTITIONS - 1);
    let mut record = BaseRecord::to(TOPIC).key(&event.key).payload(&event.json).partition(partition);
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
