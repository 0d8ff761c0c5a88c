//! Footers and contents, read back piece by piece as an audit does.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use tidegate_sinks::TopicPartition;

use super::support::{Uploads, attempt, block_on, delta, fetch, noisy_row, row, settings, stager};
use crate::stage::contents::{Contents, Counted};
use crate::stage::footer::{Footer, ReadError, metadata};

async fn read(file: &Bytes) -> Result<(Footer, Contents), ReadError> {
    let range = async |range: Range<u64>| Ok(file.slice(range.start as usize..range.end as usize));
    let metadata = metadata(file.len() as u64, &range).await?;
    let contents = Contents::read(file.len() as u64, &metadata, &range).await?;
    Ok((Footer::parse(&metadata), contents))
}

#[test]
fn what_a_file_holds_is_what_it_says() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let mut settings = settings();
        // Many row groups, so that the footer is larger than the first read.
        settings.file.row_group_rows = 20;
        let mut stager = stager(&sink, settings);
        let fetches = [
            fetch("t", 0, 5, (0..1_000).map(|id| row(id, "DE", 0))),
            fetch("t", 1, 70, [row(1, "DE", 0), None, row(2, "DE", 0)]),
        ];
        let attempt = attempt();
        for fetch in &fetches {
            stager.accept(&attempt, fetch).await.unwrap();
        }
        stager.seal(&delta(&fetches)).await.unwrap();
        let (mut footer, contents) = read(&sink.files()["000.staged"]).await.unwrap();
        assert_eq!((footer.rows, contents.rows), (1_002, 1_002));
        let counted = contents.partitions.clone().unwrap();
        assert_eq!(counted[&TopicPartition::new("t", 0)], Counted { rows: 1_000, first: 5, last: 1_004 });
        assert_eq!(counted[&TopicPartition::new("t", 1)], Counted { rows: 2, first: 70, last: 72 });
        assert_eq!(contents.contradiction(&footer), None);

        let spans = footer.spans.clone().unwrap();
        footer.spans.as_mut().unwrap()[0].to = 1_004;
        assert!(contents.contradiction(&footer).unwrap().contains("1000 rows of t/0 at offsets 5 to 1004"));
        footer.spans = Some(spans[..1].to_vec());
        assert!(contents.contradiction(&footer).unwrap().contains("its spans say 1000"));
        footer.rows = 7;
        assert!(contents.contradiction(&footer).unwrap().contains("says 7"));
    });
}

#[test]
fn only_what_is_needed_is_fetched() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let mut stager = stager(&sink, settings());
        let fetches = [fetch("t", 0, 0, (0..5_000).map(|id| noisy_row(id, "DE")))];
        stager.accept(&attempt(), &fetches[0]).await.unwrap();
        stager.seal(&delta(&fetches)).await.unwrap();
        let file = sink.files()["000.staged"].clone();
        let size = file.len() as u64;
        let fetched = Cell::new(0);
        let range = async |range: Range<u64>| {
            fetched.set(fetched.get() + range.end - range.start);
            Ok(file.slice(range.start as usize..range.end as usize))
        };
        let metadata = metadata(size, &range).await.unwrap();
        let before = fetched.get();
        assert_eq!(Contents::read(size, &metadata, &range).await.unwrap().rows, 5_000);
        assert!(fetched.get() - before < size / 4, "{} of {size} bytes", fetched.get() - before);
    });
}

#[test]
fn a_record_twice_is_found() {
    block_on(async {
        let sink = Arc::new(Uploads::default());
        let mut stager = stager(&sink, settings());
        let fetches = [fetch("t", 0, 0, [row(1, "DE", 0)])];
        let attempt = attempt();
        for _ in 0..2 {
            stager.accept(&attempt, &fetches[0]).await.unwrap();
        }
        stager.seal(&delta(&fetches)).await.unwrap();
        let error = read(&sink.files()["000.staged"]).await.unwrap_err();
        assert_eq!(error.to_string(), "offset 0 of t/0 comes after offset 0");
    });
}

#[test]
fn files_of_others_and_broken_files_read_as_such() {
    block_on(async {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let file: Bytes = writer.into_inner().unwrap().into();
        let (footer, contents) = read(&file).await.unwrap();
        assert_eq!(footer, Footer { rows: 100, ..Footer::default() });
        assert_eq!(contents, Contents { rows: 100, partitions: None });
        assert_eq!(contents.contradiction(&footer), None);

        for end in [0, 3, 11, file.len() / 2, file.len() - 1] {
            assert!(matches!(read(&file.slice(..end)).await, Err(ReadError::Parquet(_))), "{end} bytes");
        }
        let mut torn = file.to_vec();
        torn[4..60].fill(0xff);
        assert!(matches!(read(&torn.into()).await, Err(ReadError::Parquet(_))));
    });
}
