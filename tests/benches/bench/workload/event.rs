//! A shop's event as JSON: 14 members, about 421 bytes.

use std::fmt::Write;

use super::{FIRST_ABORTED, Random, SEED, Totals, mix};

/// The columns, as a job file has them.
pub(super) const COLUMNS: [(&str, &str); 14] = [
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

/// A record being written.
#[derive(Debug, Default)]
pub(super) struct Event {
    pub(super) key: String,
    pub(super) json: String,
}

impl Event {
    /// Becomes record `number`, and adds it to the totals.
    pub(super) fn write(&mut self, number: u64, totals: &mut Totals) {
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
