//! The decoder against two other readers of JSON, on as many documents as there is time for.
//!
//! `TIDEGATE_SOAK`: ten minutes, from another seed each time.

mod generate;
mod peers;

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tidegate::config::{Column, Format, FormatKind, Tombstones};
use tidegate::decode::{self, Decode};
use tidegate::event::Record;
use tidegate_sinks::TopicPartition;

use generate::{COLUMNS, Writer, break_it};
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
    let mut decoder = decoder(&COLUMNS);
    // No document has its column, so that all is passed over.
    let mut passing = self::decoder(&[("no such key", "int")]);
    let schema = decoder.schema().clone();
    let (mut accepted, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..BATCH {
        let mut writer = Writer { random: &mut random, out: String::new() };
        writer.document();
        let mut bytes = writer.out.into_bytes();
        let is_broken = random.random_range(0..10) < 3;
        if is_broken {
            break_it(&mut bytes, &mut random);
        }
        let tree = serde_json::from_slice::<Tree>(&bytes);
        if let Err(error) = &tree
            && error.to_string().contains("number out of range")
        {
            continue; // For serde_json only, wherever it stands.
        }
        let context = || format!("seed {seed}: {}", String::from_utf8_lossy(&bytes));
        let members = match &tree {
            Ok(Tree::Object(members)) => Some(members),
            _ => None,
        };
        assert_eq!(append(&mut *passing, &bytes), members.is_some(), "passing over, {}", context());
        let is_row = append(&mut *decoder, &bytes);
        let row = members.and_then(|members| row(schema.fields(), members));
        if is_broken {
            // A digit put into a number may be one that serde_json's double has no place for.
            assert!(members.is_some() || !is_row, "{tree:?}, {}", context());
            seen.broken += 1;
            seen.mended += usize::from(members.is_some());
        } else {
            assert_eq!(is_row, row.is_some(), "{tree:?}, {}", context());
        }
        if is_row {
            expected.push(row.filter(|_| !is_broken));
            accepted.push(bytes);
            seen.rows += 1;
        } else {
            seen.rejected += 1;
        }
    }
    let batch = decoder.finish();
    assert_eq!(batch.num_rows(), accepted.len());
    for (index, expected) in expected.iter().enumerate() {
        let context = || format!("seed {seed}: {}", String::from_utf8_lossy(&accepted[index]));
        if let Some(expected) = expected {
            assert_eq!(cells(&batch, index), *expected, "serde_json, {}", context());
        }
    }
    let rows: Vec<_> = (0..accepted.len()).filter(|row| !arrow_json_misreads(&accepted[*row])).collect();
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

fn decoder(columns: &[(&str, &str)]) -> Box<dyn Decode> {
    let column = |(name, type_name): &(&str, &str)| Column {
        name: (*name).to_owned(),
        type_name: (*type_name).to_owned(),
        path: None,
    };
    let columns: Vec<_> = columns.iter().map(column).collect();
    let format =
        Format { kind: FormatKind::Json, tombstones: Tombstones::Skip, columns: None, metadata: Vec::new() };
    decode::decoder(&format, &columns).expect("the columns are right")
}

/// Whether the document becomes a row.
fn append(decoder: &mut dyn Decode, document: &[u8]) -> bool {
    let partition = TopicPartition::new("t", 0);
    decoder.append(&Record::of(&partition, 0, Some(document))).is_ok()
}
