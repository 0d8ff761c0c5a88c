//! The decoder against two other readers of JSON, on as many documents as there is time for.
//!
//! `TIDEGATE_SOAK`: ten minutes, from another seed each time.

mod generate;
pub(crate) mod ours;
pub(crate) mod peers;

use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::de::IgnoredAny;

use generate::{COLUMNS, Writer, break_it};
use ours::append;
use peers::{Cell, Tree, arrow_json, arrow_json_misreads, cell, row};

/// Documents that are read into one batch.
const BATCH: usize = 1_000;
/// Batches that the tests read, on so many threads.
const BATCHES: u64 = 200;
const THREADS: u64 = 4;
const SOAK: Duration = Duration::from_secs(600);

/// What has been seen; a generator that forgets a kind shows here.
#[derive(Debug, Default)]
struct Seen {
    rows: usize,
    rejected: usize,
    broken: usize,
    /// Of the broken ones, those that are JSON.
    mended: usize,
}

#[test]
fn documents_are_read_as_serde_json_and_arrow_json_read_them() {
    let soak = std::env::var_os("TIDEGATE_SOAK").is_some();
    let first: u64 = if soak { rand::random::<u32>().into() } else { 0 };
    let start = Instant::now();
    let threads = (0..THREADS).map(|thread| {
        std::thread::spawn(move || {
            let mut seen = Seen::default();
            let mut batch = thread;
            while if soak { start.elapsed() < SOAK } else { batch < BATCHES } {
                compare(first << 32 | batch, &mut seen);
                batch += THREADS;
            }
            seen
        })
    });
    let threads: Vec<_> = threads.collect();
    let mut all = Seen::default();
    for thread in threads {
        let seen = thread.join().expect("no difference");
        all.rows += seen.rows;
        all.rejected += seen.rejected;
        all.broken += seen.broken;
        all.mended += seen.mended;
    }
    println!("{all:?}");
    let hundredth = (all.rows + all.rejected) / 100;
    assert!(soak || hundredth > BATCH * BATCHES as usize * 99 / 10_000, "{all:?}");
    assert!(all.rows > 40 * hundredth && all.rejected > hundredth, "{all:?}");
    assert!(all.broken > 20 * hundredth && all.mended > hundredth, "{all:?}");
}

/// Reads a batch of documents by all readers.
fn compare(seed: u64, seen: &mut Seen) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut decoder = ours::decoder(&COLUMNS);
    // No document has its column, so that all is passed over.
    let mut passing = ours::decoder(&[("no such key", "int")]);
    // And one that keeps each document as it is written.
    let (mut keeping, mut kept) = (ours::decoder(&[("v", "json")]), Vec::new());
    let schema = decoder.schema().clone();
    let (mut accepted, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..BATCH {
        let mut writer = Writer { random: &mut random, out: String::new() };
        writer.document();
        let mut bytes = writer.out.into_bytes();
        let is_broken = random.random_range(0..10) < 3;
        if is_broken {
            break_it(&mut bytes, &mut random);
            if random.random_range(0..50) == 0 {
                bytes = (0..random.random_range(0..60)).map(|_| random.random()).collect();
            }
        }
        let tree = Tree::read(&bytes);
        let context = || format!("seed {seed}: {}", String::from_utf8_lossy(&bytes));
        let members = match &tree {
            Ok(Tree::Object(members)) => Some(members),
            _ => None,
        };
        // What is passed over is JSON by the letter of serde_json's own way to pass over it.
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let is_object = text.trim_start_matches([' ', '\n', '\t', '\r']).starts_with('{');
        let is_passed = is_object && serde_json::from_str::<IgnoredAny>(text).is_ok();
        assert_eq!(append(&mut passing, &bytes), is_passed, "passing over, {}", context());
        assert_eq!(members.is_some(), is_passed, "{}", context());
        if tree.is_ok() {
            assert!(append(&mut keeping, &[b"{\"v\":", &bytes[..], b"}"].concat()), "keeping, {}", context());
            kept.push(String::from_utf8_lossy(&bytes).trim_matches([' ', '\n', '\t', '\r']).to_owned());
        }
        let is_row = append(&mut decoder, &bytes);
        let row = members.and_then(|members| row(schema.fields(), members));
        seen.broken += usize::from(is_broken);
        seen.mended += usize::from(is_broken && members.is_some());
        assert_eq!(is_row, row.is_some(), "{tree:?}, {}", context());
        if let Some(row) = row {
            let is_arrows = !is_broken && !tree.as_ref().is_ok_and(Tree::has_no_text);
            expected.push((row, is_arrows));
            accepted.push(bytes);
            seen.rows += 1;
        } else {
            seen.rejected += 1;
        }
    }
    let keeping = keeping.finish();
    let written = keeping.column(0).as_string::<i32>().iter().map(Option::unwrap_or_default);
    assert!(written.eq(kept.iter().map(|text| if text == "null" { "" } else { text })), "seed {seed}");
    let batch = decoder.finish();
    assert_eq!(batch.num_rows(), accepted.len());
    for (index, (expected, _)) in expected.iter().enumerate() {
        let context = || format!("seed {seed}: {}", String::from_utf8_lossy(&accepted[index]));
        assert_eq!(cells(&batch, index), *expected, "serde_json, {}", context());
    }
    // In a broken one may stand an integer with an exponent and more digits than the
    // double has by which arrow-json reads it.
    let rows = (0..accepted.len()).filter(|row| expected[*row].1 && !arrow_json_misreads(&accepted[*row]));
    let rows: Vec<_> = rows.collect();
    let documents: Vec<_> = rows.iter().map(|row| &accepted[*row][..]).collect();
    compare_to_arrow(&schema, &batch, (&rows, &documents), seed);
}

/// `rows` are those of the batch that the documents are.
fn compare_to_arrow(
    schema: &SchemaRef,
    batch: &RecordBatch,
    (rows, documents): (&[usize], &[&[u8]]),
    seed: u64,
) {
    let theirs = arrow_json(schema, documents).unwrap_or_else(|error| {
        let refused = documents.iter().find(|document| arrow_json(schema, &[document]).is_err());
        panic!(
            "seed {seed}, arrow-json refuses {error}: {:?}",
            refused.map(|one| String::from_utf8_lossy(one))
        )
    });
    assert_eq!(theirs.num_rows(), documents.len(), "seed {seed}");
    for (index, (row, document)) in rows.iter().zip(documents).enumerate() {
        let (ours, theirs) = (cells(batch, *row), cells(&theirs, index));
        let document = String::from_utf8_lossy(document);
        assert!(ours == theirs, "seed {seed}: {document}\n{ours:?}\narrow-json {theirs:?}");
    }
}

fn cells(batch: &RecordBatch, row: usize) -> Vec<Cell> {
    batch.columns().iter().map(|column| cell(column, row)).collect()
}
