//! Rows a second that one core decodes of records like those of a web shop: 14 columns, about 420 bytes of JSON.
//! `cargo bench -p tidegate --bench decode`; the best of some rounds, because everything else only adds time.

use std::fmt::Write;
use std::time::{Duration, Instant};

use tidegate::config::{Column, Format, FormatKind, Tombstones};
use tidegate::decode;
use tidegate::event::Record;
use tidegate_sinks::TopicPartition;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: usize = 200_000;
const BATCH_ROWS: usize = 8192;
const ROUNDS: usize = 10;

const COLUMNS: [(&str, &str); 14] = [
    ("event_id", "string"),
    ("user_id", "int64"),
    ("ts", "timestamp(ms, UTC)"),
    ("event_type", "string"),
    ("country", "string"),
    ("price", "double"),
    ("quantity", "int"),
    ("is_mobile", "bool"),
    ("url", "string"),
    ("referrer", "string"),
    ("session_id", "string"),
    ("properties", "struct<campaign: string, ab_bucket: int, score: double>"),
    ("tags", "list<string>"),
    ("amount", "decimal(18,2)"),
];

fn main() {
    let payloads: Vec<String> = (0..RECORDS as u64).map(payload).collect();
    let bytes: usize = payloads.iter().map(String::len).sum();
    let best = (0..ROUNDS).map(|_| round(&payloads)).min().unwrap_or_default().as_secs_f64();
    let (rows, megabytes) = (RECORDS as f64 / best, bytes as f64 / best / 1e6);
    let per_million = best / RECORDS as f64 * 1e6;
    #[allow(clippy::print_stdout, reason = "the result")]
    {
        println!("{rows:.0} rows/s, {megabytes:.0} MB/s, {per_million:.3} s per million rows");
    }
}

fn round(payloads: &[String]) -> Duration {
    let columns = COLUMNS.map(|(name, type_name)| Column {
        name: name.into(),
        type_name: type_name.into(),
        path: None,
    });
    let format =
        Format { kind: FormatKind::Json, tombstones: Tombstones::Skip, columns: None, metadata: Vec::new() };
    let mut decoder = decode::decoder(&format, &columns).expect("the columns are right");
    let partition = TopicPartition::new("events", 0);
    let start = Instant::now();
    for (offset, payload) in payloads.iter().enumerate() {
        let record = Record::of(&partition, offset as i64, Some(payload.as_bytes()));
        decoder.append(&record).expect("the records are right");
        if decoder.rows() == BATCH_ROWS {
            drop(decoder.finish());
        }
    }
    drop(decoder.finish());
    start.elapsed()
}

/// The record of a number, different in every field.
fn payload(id: u64) -> String {
    let mut state = id;
    // splitmix64
    let mut random = |below: u64| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    };
    let word = |index: u64| {
        ["shoes", "garden", "phone", "laptop", "kitchen", "books", "music", "travel"][index as usize]
    };
    let mut text = String::new();
    let (a, b, c) = (random(1 << 48), random(1 << 48), random(1 << 32));
    let _ = write!(
        text,
        r#"{{"event_id":"{:08x}-{:04x}-4000-a000-{b:012x}","user_id":{},"ts":"2026-01-{:02}T{:02}:{:02}:07.{:03}Z""#,
        a >> 16,
        a & 0xFFFF,
        random(2_000_000),
        random(31) + 1,
        random(24),
        random(60),
        random(1000),
    );
    let _ = write!(
        text,
        r#","event_type":"{}","country":"DE","price":{}.{:02},"quantity":{},"is_mobile":{}"#,
        ["page_view", "add_to_cart", "purchase", "search"][random(4) as usize],
        random(500),
        random(100),
        random(9),
        random(2) == 1,
    );
    let _ = write!(
        text,
        r#","url":"https://shop.example.com/{}/{}/item-{:07}?ref={}","referrer":"#,
        word(random(8)),
        word(random(8)),
        random(2_000_000),
        word(random(8)),
    );
    let referrer = format!("\"https://www.{}.example/\"", word(random(8)));
    text.push_str(if random(10) < 3 { "null" } else { &referrer });
    let _ = write!(
        text,
        r#","session_id":"s{c:08x}","properties":{{"campaign":"{}_{}","ab_bucket":{},"score":0.{:06}}},"tags":["#,
        word(random(8)),
        random(40),
        random(64),
        random(1_000_000),
    );
    for index in 0..random(4) {
        let _ = write!(text, "{}\"{}\"", if index > 0 { "," } else { "" }, word(random(8)));
    }
    let _ = write!(text, r#"],"amount":"{}.{:02}"}}"#, random(100_000), random(100));
    text
}
