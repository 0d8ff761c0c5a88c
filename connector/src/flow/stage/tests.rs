//! What is staged, read back: rows, order, folders, sizes, footers, bounds.

mod anything;
mod folders;
pub(crate) mod support;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::prelude::*;

use self::support::{NEXT, Uploads, attempt, block_on, delta, fetch, noisy_row, read, row, settings, stager};
use super::footer::Footer;
use super::*;
use crate::config::{Compression, Transform};

fn offsets(batches: &[RecordBatch]) -> Vec<(i32, i64)> {
    let rows = batches.iter().flat_map(|batch| {
        let partitions = batch.column_by_name("_partition").unwrap().as_primitive::<Int32Type>().values();
        let offsets = batch.column_by_name("_offset").unwrap().as_primitive::<Int64Type>().values();
        partitions.iter().copied().zip(offsets.iter().copied()).collect::<Vec<_>>()
    });
    rows.collect()
}

fn by(transform: Transform, column: &str) -> PartitionField {
    PartitionField { transform, column: column.into() }
}

#[test]
fn an_attempt_without_rows_has_no_files() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let mut stager = stager(&sink, settings());
        assert!(stager.seal(&Delta::default()).await.unwrap().files.is_empty());
        let attempt = attempt();
        let mut fetches = fetch("t", 0, 0, [None, None]);
        let progress = stager.accept(&attempt, &fetches).await.unwrap();
        fetches.next = 9;
        assert_eq!((progress.rows, progress.rejects, progress.files), (0, 0, 0));
        let staged = stager.seal(&delta([&fetches])).await.unwrap();
        assert!(staged.files.is_empty() && staged.rows.is_empty() && sink.files().is_empty());
    });
}

#[test]
fn rows_of_several_partitions_share_a_file_that_says_where_they_came_from() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let mut stager = stager(&sink, settings());
        let attempt = attempt();
        let fetches = [
            fetch("t", 1, 10, [row(1, "DE", 0), None, row(2, "FR", 0)]),
            fetch("t", 0, 5, [row(3, "DE", 0)]),
            fetch("t", 1, 20, [row(4, "DE", 0)]),
        ];
        for fetch in &fetches {
            stager.accept(&attempt, fetch).await.unwrap();
        }
        let staged = stager.seal(&delta(&fetches)).await.unwrap();
        let [file] = &staged.files[..] else { panic!("one file, not {:?}", staged.files) };
        assert_eq!(file.path, format!("orders/3-{}-000.parquet", attempt.id));
        assert_eq!((file.staged.as_str(), file.rows, file.kind), ("000.staged", 4, FileKind::Data));
        let (t0, t1) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        assert_eq!(file.partitions, BTreeMap::from([(t0, 1), (t1, 3)]));
        assert_eq!(staged.rows, file.partitions);
        let (metadata, batches) = read(&sink.files()["000.staged"]);
        assert_eq!(offsets(&batches), [(1, 10), (1, 12), (0, 5), (1, 20)]);
        let footer = Footer::parse(&metadata);
        assert_eq!((footer.job.as_deref(), footer.rows), (Some("job"), 4));
        assert_eq!(footer.commit.as_ref(), Some(&attempt.id));
        let spans: Vec<_> =
            footer.spans.iter().flatten().map(|s| (s.partition, s.from, s.to, s.rows)).collect();
        assert_eq!(spans, [(0, 5, 6, 1), (1, 10, 21, 3)]);
        assert!(metadata.file_metadata().created_by().unwrap().starts_with("tidegate version "));
    });
}

#[test]
fn each_row_of_a_record_is_counted_and_records_of_none_are_skipped() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let mut stager = stager(&sink, settings());
        let several =
            [row(1, "DE", 0), row(2, "FR", 0), row(3, "IT", 0)].map(Option::unwrap).join(&NEXT.to_string());
        let part = format!("4|DE|0{NEXT}bad");
        let records = [Some(several), Some(String::new()), None, Some(part), row(5, "DE", 0)];
        let fetches = [fetch("t", 0, 0, records)];
        let progress = stager.accept(&attempt(), &fetches[0]).await.unwrap();
        assert_eq!((progress.rows, progress.rejects), (4, 1));
        let staged = stager.seal(&delta(&fetches)).await.unwrap();
        assert_eq!((staged.rows[&fetches[0].partition], staged.rejects, staged.skipped), (4, 1, 2));
        let data = staged.files.iter().find(|file| file.kind == FileKind::Data).unwrap();
        let (_, batches) = read(&sink.files()[&data.staged]);
        assert_eq!(offsets(&batches), [(0, 0), (0, 0), (0, 0), (0, 4)]);
    });
}

#[test]
fn what_decoding_waits_for_is_awaited_before_the_fetch() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let mut stager = stager(&sink, settings());
        let fetches = [fetch("t", 0, 0, [row(1, "DE", 0), Some("?2|DE|0".into())])];
        let progress = stager.accept(&attempt(), &fetches[0]).await.unwrap();
        assert_eq!((progress.rows, progress.rejects), (2, 0));
    });
}

#[test]
fn a_record_that_is_never_ready_ends_the_attempt_and_is_no_reject() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let mut stager = stager(&sink, settings());
        let fetches = [fetch("t", 0, 0, [row(1, "DE", 0), Some("?!secret|DE|0".into())])];
        let error = stager.accept(&attempt(), &fetches[0]).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::Retry, "the record t/0 @ 1 cannot be decoded yet")
        );
        stager.discard().await;
        let again = [fetch("t", 0, 0, [row(1, "DE", 0)])];
        stager.accept(&attempt(), &again[0]).await.unwrap();
        assert_eq!(stager.seal(&delta(&again)).await.unwrap().rejects, 0);
    });
}

/// Who drops the attempt removes its folder then, and what came later would lie there for ever.
#[test]
fn no_file_appears_after_sealing_has_failed() {
    block_on(async {
        let sink = Arc::new(Uploads::failing());
        let settings = StageSettings { partition_by: vec![by(Transform::Identity, "country")], ..settings() };
        let mut stager = stager(&sink, settings);
        let fetches = [fetch("t", 0, 0, [row(1, "DE", 0), row(2, "FR", 0), row(3, "IT", 0)])];
        stager.accept(&attempt(), &fetches[0]).await.unwrap();
        assert!(stager.seal(&delta(&fetches)).await.is_err());
        let at_once = sink.files().len();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(sink.files().len(), at_once);
    });
}

#[test]
fn a_reject_is_a_row_beside_the_data_and_the_first_is_told() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let mut stager = stager(&sink, settings());
        let attempt = attempt();
        let bad = Some("bad".to_owned());
        let fetches =
            [fetch("t", 0, 0, [row(1, "DE", 0), bad.clone()]), fetch("t", 1, 7, [bad.clone(), bad.clone()])];
        for fetch in &fetches {
            stager.accept(&attempt, fetch).await.unwrap();
        }
        let staged = stager.seal(&delta(&fetches)).await.unwrap();
        let first = staged.first_reject.unwrap();
        assert_eq!(
            (first.partition.partition, first.offset, first.error.as_str()),
            (0, 1, "id: not a number")
        );
        assert_eq!((staged.rejects, staged.rows), (3, BTreeMap::from([(TopicPartition::new("t", 0), 1)])));
        let rejects: Vec<_> = staged.files.iter().filter(|file| file.kind == FileKind::Rejects).collect();
        assert_eq!((staged.files.len(), rejects.len(), rejects[0].rows), (2, 1, 3));
        assert!(!rejects[0].path.contains('/') && rejects[0].path.ends_with(".parquet"));
        let (_, batches) = read(&sink.files()[&rejects[0].staged]);
        let columns: Vec<_> = batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
        let expected =
            ["topic", "partition", "offset", "timestamp", "key", "payload", "headers", "column", "error"];
        assert_eq!(columns, expected);
        assert_eq!(batches[0]["payload"].as_binary::<i32>().value(0), b"bad");
        assert_eq!(batches[0]["offset"].as_primitive::<Int64Type>().values()[..], [1, 7, 8]);

        // Rejects alone make no data file, and the next attempt starts from nothing.
        let fetches = [fetch("t", 2, 0, [bad])];
        stager.accept(&self::attempt(), &fetches[0]).await.unwrap();
        let staged = stager.seal(&delta(&fetches)).await.unwrap();
        assert_eq!((staged.files.len(), staged.files[0].kind, staged.rejects), (1, FileKind::Rejects, 1));
        assert!(staged.rows.is_empty());
    });
}

#[test]
fn tables_follow_topics() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let table = Table::ByTopic { prefix: "raw_".into(), suffix: String::new() };
        let mut stager = stager(&sink, StageSettings { table, ..settings() });
        let attempt = attempt();
        let fetches = [fetch("a", 0, 0, [row(1, "DE", 0)]), fetch("b", 0, 0, [row(2, "DE", 0)])];
        for fetch in &fetches {
            stager.accept(&attempt, fetch).await.unwrap();
        }
        let staged = stager.seal(&delta(&fetches)).await.unwrap();
        let tables: BTreeSet<_> =
            staged.files.iter().map(|file| file.path.split('/').next().unwrap()).collect();
        assert_eq!(tables, BTreeSet::from(["raw_a", "raw_b"]));
    });
}

#[test]
fn folders_are_hives_and_keep_the_order() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let partition_by = vec![by(Transform::Day, "ts"), by(Transform::Identity, "country")];
        let mut stager = stager(&sink, StageSettings { partition_by, ..settings() });
        let attempt = attempt();
        const DAY: i64 = 86_400_000;
        let fetches = [
            fetch(
                "t",
                0,
                0,
                [row(0, "DE", -1), row(1, "a/b", 0), row(2, "DE", -DAY), row(3, "", 20_484 * DAY)],
            ),
            fetch("t", 1, 0, [row(4, "a/b", DAY - 1), row(5, "DE", -5)]),
        ];
        for fetch in &fetches {
            stager.accept(&attempt, fetch).await.unwrap();
        }
        let staged = stager.seal(&delta(&fetches)).await.unwrap();
        let found: BTreeMap<_, _> = staged
            .files
            .iter()
            .map(|file| {
                let folder =
                    file.path.strip_prefix("orders/").unwrap().rsplit_once('/').unwrap().0.to_owned();
                (folder, offsets(&read(&sink.files()[&file.staged]).1))
            })
            .collect();
        let expected = [
            ("day=1969-12-31/country_part=DE", vec![(0, 0), (0, 2), (1, 1)]),
            ("day=1970-01-01/country_part=a%2Fb", vec![(0, 1), (1, 0)]),
            ("day=2026-01-31/country_part=null", vec![(0, 3)]),
        ];
        assert_eq!(found, expected.map(|(folder, rows)| (folder.to_owned(), rows)).into());
    });
}

#[test]
fn files_are_rolled_near_their_target() {
    block_on(async {
        const TARGET: u64 = 1 << 20;
        let sink = Arc::new(Uploads::default());
        let mut settings = settings();
        settings.file.target_size = TARGET;
        let mut stager = stager(&sink, settings);
        let attempt = attempt();
        let mut fetches = Vec::new();
        for n in 0..200 {
            let rows = (0..1_000).map(|k| noisy_row(n * 1_000 + k, "DE"));
            let fetch = fetch("t", 0, n * 1_000, rows);
            stager.accept(&attempt, &fetch).await.unwrap();
            fetches.push(fetch);
        }
        let staged = stager.seal(&delta(&fetches)).await.unwrap();
        assert!(staged.files.len() > 3, "{} files", staged.files.len());
        let mut files = staged.files;
        files.sort_by(|a, b| a.staged.cmp(&b.staged));
        for file in &files[..files.len() - 1] {
            assert!(file.bytes.abs_diff(TARGET) < TARGET / 10, "{} bytes", file.bytes);
        }
        let all: Vec<_> = files
            .iter()
            .flat_map(|file| offsets(&read(&sink.files()[&file.staged]).1))
            .map(|(_, o)| o)
            .collect();
        assert!(all.into_iter().eq(0..200_000));
    });
}

#[test]
fn sixty_open_folders_stay_within_the_memory_limit() {
    block_on(async {
        const LIMIT: usize = 32 << 20;
        let sink = Arc::new(Uploads::default());
        let partition_by = vec![by(Transform::Identity, "country")];
        let mut stager = stager(&sink, StageSettings { partition_by, memory: LIMIT, ..settings() });
        let attempt = attempt();
        let mut fetches = Vec::new();
        let mut peak = 0;
        for n in 0..100 {
            let rows = (0..1_000).map(|k| noisy_row(n * 1_000 + k, &format!("{:02}", k % 60)));
            let fetch = fetch("t", 0, n * 1_000, rows);
            let progress = stager.accept(&attempt, &fetch).await.unwrap();
            assert!(progress.memory <= LIMIT, "{} bytes after {} rows", progress.memory, progress.rows);
            peak = peak.max(progress.memory);
            fetches.push(fetch);
        }
        assert!(peak > LIMIT / 2, "the bound was never near: {peak}");
        let staged = stager.seal(&delta(&fetches)).await.unwrap();
        assert_eq!(staged.files.len(), 60, "row groups end, not files");
        assert_eq!(staged.rows[&TopicPartition::new("t", 0)], 100_000);
    });
}

#[test]
fn what_uploads_hold_counts_until_only_sealing_gives_it_back() {
    block_on(async {
        const LIMIT: usize = 8 << 20;
        let sink = Arc::new(Uploads::holding());
        let partition_by = vec![by(Transform::Identity, "country")];
        let mut stager = stager(&sink, StageSettings { partition_by, memory: LIMIT, ..settings() });
        let attempt = attempt();
        let mut fetches = Vec::new();
        for n in 0.. {
            let rows = (0..1_000).map(|k| noisy_row(n * 1_000 + k, &format!("{:02}", k % 20)));
            let fetch = fetch("t", 0, n * 1_000, rows);
            let progress = stager.accept(&attempt, &fetch).await.unwrap();
            fetches.push(fetch);
            if progress.crowded {
                assert!(progress.memory < 2 * LIMIT, "{} bytes", progress.memory);
                break;
            }
            assert!(progress.memory <= LIMIT, "{} bytes after {} rows", progress.memory, progress.rows);
        }
        let staged = stager.seal(&delta(&fetches)).await.unwrap();
        let bytes: u64 = staged.files.iter().map(|file| file.bytes).sum();
        assert!(bytes > LIMIT as u64 / 2, "crowded with {bytes} bytes");
        let again = stager.accept(&self::attempt(), &fetches[0]).await.unwrap();
        assert!(!again.crowded && again.memory <= LIMIT);
    });
}

#[test]
fn past_the_bound_the_file_not_used_for_longest_ends() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let partition_by = vec![by(Transform::Identity, "id")];
        let mut stager = stager(&sink, StageSettings { partition_by, ..settings() });
        let attempt = attempt();
        let fetches =
            [fetch("t", 0, 0, (0..1_002).map(|id| row(id, "DE", 0))), fetch("t", 0, 1_002, [row(0, "", 0)])];
        stager.accept(&attempt, &fetches[0]).await.unwrap();
        stager.flush(&attempt).await.unwrap();
        stager.accept(&attempt, &fetches[1]).await.unwrap();
        let staged = stager.seal(&delta(&fetches)).await.unwrap();
        let zero = staged.files.iter().filter(|file| file.path.contains("/id_part=0/")).count();
        assert_eq!((staged.files.len(), zero), (1_003, 2));
        assert!(staged.files.iter().any(|file| file.path.ends_with("-1002.parquet")));
    });
}

#[test]
fn every_compression_reads_back() {
    block_on(async {
        use Compression::{Gzip, Lz4, None, Snappy, Zstd};
        for compression in [None, Snappy, Lz4, Gzip(6), Zstd(1)] {
            let sink = Arc::new(Uploads::default());
            let mut settings = settings();
            settings.file.compression = compression;
            let mut stager = stager(&sink, settings);
            let fetches = [fetch("t", 0, 0, (0..2_000).map(|n| row(n, "DE", n)))];
            stager.accept(&attempt(), &fetches[0]).await.unwrap();
            let staged = stager.seal(&delta(&fetches)).await.unwrap();
            assert_eq!(
                offsets(&read(&sink.files()[&staged.files[0].staged]).1).len(),
                2_000,
                "{compression:?}"
            );
        }
        let mut settings = settings();
        settings.file.compression = Zstd(99);
        let sink: Arc<dyn Sink> = Arc::new(Uploads::default());
        assert!(matches!(
            Stager::new(settings, sink, |_| Ok::<_, BoxError>(support::decoder())),
            Err(Error::Settings(_))
        ));
    });
}

#[test]
fn what_the_commit_does_not_cover_is_refused_and_nothing_is_left() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let mut stager = stager(&sink, settings());
        let fetches = [fetch("t", 0, 0, [row(1, "DE", 0)])];
        stager.accept(&attempt(), &fetches[0]).await.unwrap();
        let error = stager.seal(&Delta::default()).await.unwrap_err();
        assert!(matches!(error, Error::Uncovered(_)) && error.kind() == Kind::Corrupt);
        stager.accept(&attempt(), &fetches[0]).await.unwrap();
        stager.discard().await;
        assert!(stager.seal(&Delta::default()).await.unwrap().files.is_empty());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Partition, and rows: `None` a tombstone, 0 bad, else a country.
    #[test]
    fn each_row_is_in_exactly_one_file(
        runs in prop::collection::vec((0..4_i32, prop::collection::vec(prop::option::of(0..9_u8), 0..40)), 1..24),
        partitioned: bool,
        target in prop_oneof![Just(1_u64), Just(20_000), Just(1 << 30)],
        memory in prop_oneof![Just(1_usize), Just(20_000), Just(1 << 30)],
    ) {
        block_on(async {
            let sink = Arc::new(Uploads::default());
            let mut settings = settings();
            settings.file.target_size = target;
            settings.memory = memory;
            if partitioned {
                settings.partition_by = vec![by(Transform::Identity, "country"), by(Transform::Bucket(3), "id")];
            }
            let mut stager = stager(&sink, settings);
            let attempt = attempt();
            let mut next = [0_i64; 4];
            let (mut fetches, mut good, mut bad) = (Vec::new(), Vec::new(), Vec::new());
            for (partition, rows) in runs {
                let from = next[partition as usize];
                for (offset, row) in (from..).zip(&rows) {
                    match row {
                        None => {}
                        Some(0) => bad.push((partition, offset)),
                        Some(_) => good.push((partition, offset)),
                    }
                }
                next[partition as usize] += rows.len() as i64;
                let payloads = rows.into_iter().zip(from..).map(|(kind, id)| match kind? {
                    0 => Some("bad".to_owned()),
                    country => row(id, &country.to_string(), 0),
                });
                let fetch = fetch("t", partition, from, payloads);
                stager.accept(&attempt, &fetch).await.unwrap();
                fetches.push(fetch);
            }
            let staged = stager.seal(&delta(&fetches)).await.unwrap();
            let mut read_back = Vec::new();
            let mut counted: BTreeMap<TopicPartition, u64> = BTreeMap::new();
            for file in staged.files.iter().filter(|file| file.kind == FileKind::Data) {
                let rows = offsets(&read(&sink.files()[&file.staged]).1);
                for (partition, count) in &file.partitions {
                    let own = rows.iter().filter(|row| row.0 == partition.partition);
                    assert!(own.clone().is_sorted(), "in order");
                    assert_eq!(own.count() as u64, *count);
                    *counted.entry(partition.clone()).or_default() += count;
                }
                read_back.extend(rows);
            }
            read_back.sort_unstable();
            good.sort_unstable();
            assert_eq!(read_back, good);
            assert_eq!(counted, staged.rows);
            assert_eq!(staged.rejects, bad.len() as u64);
        });
    }
}
