//! What is the same for all formats: tombstones, Kafka's own columns, and that a
//! record leaves all its rows or nothing.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};
use tidegate_sinks::TopicPartition;

use super::*;
use crate::config::{Metadata, Tombstones};
use crate::flow::event::{Fetch, Record};
use crate::formats::{Payload, json, raw};

fn raw_with(tombstones: Tombstones, metadata: &[Metadata]) -> Rows {
    let format = Format { kind: &raw::FORMAT, tombstones, metadata: metadata.to_vec(), ..Format::default() };
    decoder(&format, &[]).unwrap()
}

fn fetch() -> Fetch {
    let mut fetch = Fetch::new(TopicPartition::new("t", 3), 0, 0);
    fetch.push(5, Some(99), Some(b"k"), Some(b"a\xff"), [("a", Some(&b"1"[..])), ("a", None)]);
    fetch.push(7, None, None, None, []);
    fetch.push(8, Some(-1), None, Some(b""), []);
    fetch
}

#[test]
fn rows_say_where_they_came_from() {
    use Metadata::{Headers, Key, Offset, Partition, Timestamp, Topic};
    let mut rows = raw_with(Tombstones::Nulls, &[Key, Topic, Partition, Offset, Timestamp, Headers]);
    for round in 0..2 {
        for record in fetch().records() {
            assert_eq!(rows.append(&record), Ok(Appended::Rows(1)));
        }
        assert_eq!((rows.rows(), rows.bytes() > 20), (3, true));
        let batch = rows.finish();
        assert_eq!((rows.rows(), batch.num_rows()), (0, 3), "round {round}");
        assert_eq!(batch.schema(), *rows.schema());
        let values = batch.column(0).as_binary::<i32>();
        assert_eq!(values.iter().collect::<Vec<_>>(), [Some(&b"a\xff"[..]), None, Some(b"")]);
        let keys = batch.column(1).as_binary::<i32>();
        assert_eq!(keys.iter().collect::<Vec<_>>(), [Some(&b"k"[..]), None, None]);
        assert_eq!(batch.column(2).as_string::<i32>().value(2), "t");
        assert_eq!(batch.column(3).as_primitive::<Int32Type>().values(), &[3, 3, 3]);
        assert_eq!(batch.column(4).as_primitive::<Int64Type>().values(), &[5, 7, 8]);
        let timestamps = batch.column(5).as_primitive::<TimestampMillisecondType>();
        assert_eq!(timestamps.iter().collect::<Vec<_>>(), [Some(99), None, Some(-1)]);
        let headers = batch.column(6).as_list::<i32>();
        assert_eq!((0..3).map(|row| headers.value_length(row)).collect::<Vec<_>>(), [2, 0, 0]);
        let first = headers.value(0);
        let (names, values) = (first.as_struct().column(0), first.as_struct().column(1));
        assert_eq!(names.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), Some("a")]);
        assert_eq!(values.as_binary::<i32>().iter().collect::<Vec<_>>(), [Some(&b"1"[..]), None]);
    }
}

#[test]
fn tombstones_are_skipped_and_a_reject_leaves_nothing() {
    let format = Format { kind: &raw::FORMAT, metadata: vec![Metadata::Offset], ..Format::default() };
    let mut rows = decoder(&format, &[Column::new("value", "string")]).unwrap();
    let results: Vec<_> = fetch().records().map(|record| rows.append(&record).ok()).collect();
    assert_eq!(results, [None, Some(Appended::Skipped), Some(Appended::Rows(1))]);
    let batch = rows.finish();
    assert_eq!((batch.num_rows(), batch.column(0).null_count()), (1, 0));
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().values(), &[8]);
}

#[test]
fn a_header_whose_name_is_not_text_is_a_reject_of_rows_that_have_headers() {
    let mut fetch = Fetch::new(TopicPartition::new("t", 0), 0, 0);
    fetch.push_bytes(0, None, None, Some(b"v"), [(&b"good"[..], None), (b"\xffa", Some(&b"1"[..]))]);
    fetch.push(1, None, None, Some(b"w"), [("good", None)]);
    let mut with = raw_with(Tombstones::Skip, &[Metadata::Offset, Metadata::Headers]);
    let results: Vec<_> = fetch.records().map(|record| with.append(&record)).collect();
    let reject = results[0].clone().unwrap_err();
    assert_eq!(reject.column.as_deref(), Some("_headers"));
    assert!(reject.error.contains("not UTF-8"), "{reject}");
    assert_eq!(results[1], Ok(Appended::Rows(1)));
    assert_eq!(with.finish().num_rows(), 1);
    let mut without = raw_with(Tombstones::Skip, &[Metadata::Offset]);
    assert!(fetch.records().all(|record| without.append(&record) == Ok(Appended::Rows(1))));
}

#[test]
fn a_record_whose_time_no_reader_holds_is_a_reject_of_rows_that_have_it() {
    let mut fetch = Fetch::new(TopicPartition::new("t", 0), 0, 0);
    // Nanoseconds, where Kafka has milliseconds.
    fetch.push(0, Some(1_700_000_000_000_000_000), None, Some(b"v"), []);
    fetch.push(1, Some(1_700_000_000_000), None, Some(b"w"), []);
    let mut with = raw_with(Tombstones::Skip, &[Metadata::Timestamp, Metadata::Headers]);
    let results: Vec<_> = fetch.records().map(|record| with.append(&record)).collect();
    assert_eq!(results[0].clone().unwrap_err().column.as_deref(), Some("_timestamp"));
    assert_eq!((&results[1], with.finish().num_rows()), (&Ok(Appended::Rows(1)), 1));
    let mut without = raw_with(Tombstones::Skip, &[]);
    assert!(fetch.records().all(|record| without.append(&record) == Ok(Appended::Rows(1))));
}

/// Each line of a payload is a row. It leaves behind what it has read before it
/// meets a `!`, or a `?`, which is not ready.
#[derive(Debug)]
struct Lines(Box<dyn Payload>);

impl Payload for Lines {
    fn append(&mut self, payload: Option<&[u8]>) -> Result<Appended, Reject> {
        let mut rows = 0;
        for line in payload.unwrap_or_default().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match line {
                b"?" => return Ok(Appended::NotReady),
                b"!" => return Err(Reject { error: "a bad line".into(), column: None }),
                line => self.0.append(Some(line)).map(|_| rows += 1)?,
            }
        }
        Ok(Appended::Rows(rows))
    }

    fn value(&self, row: usize, column: usize) -> Value<'_> {
        self.0.value(row, column)
    }

    fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows);
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn finish(&mut self) -> Vec<arrow::array::ArrayRef> {
        self.0.finish()
    }
}

fn lines() -> Rows {
    let columns = [Column::new("id", "int64")];
    let schema = columns::schema(&columns, &[Metadata::Offset]).unwrap();
    let json = (json::FORMAT.open)(&columns, crate::config::Unknown::Ignore).unwrap();
    Rows::new(schema, Box::new(Lines(json)), Tombstones::Skip, &[Metadata::Offset])
}

fn append(rows: &mut Rows, offset: i64, payload: &str, fits: Option<Fits<'_>>) -> Result<Appended, Reject> {
    rows.append_if(&Record::of(&TopicPartition::new("t", 0), offset, Some(payload.as_bytes())), fits)
}

#[test]
fn a_record_of_several_rows_leaves_all_of_them_or_nothing() {
    let mut rows = lines();
    let odd = |row: &Row<'_>| match (row.value(0), row.value(1)) {
        (Value::Number(id), Value::Number(6..)) if id % 2 == 0 => {
            Err(Reject { error: "even".into(), column: Some("id".into()) })
        }
        _ => Ok(()),
    };
    let results = [
        append(&mut rows, 1, "{\"id\": 1}\n{\"id\": 2}\n", None),
        append(&mut rows, 2, "", None),
        append(&mut rows, 3, "{\"id\": 3}\n!", None),
        append(&mut rows, 4, "{\"id\": 4}\n?", None),
        append(&mut rows, 5, "{\"id\": 5}\n{\"id\": 6}\n{\"id\": 7}", Some(&odd)),
        append(&mut rows, 6, "{\"id\": 7}\n{\"id\": 8}\n{\"id\": 9}", Some(&odd)),
        append(&mut rows, 7, "{\"id\": 9}\n{\"id\": 11}", Some(&odd)),
    ];
    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().ok().copied()).collect();
    assert_eq!(
        kinds,
        [
            Some(Appended::Rows(2)),
            Some(Appended::Rows(0)),
            None,
            Some(Appended::NotReady),
            Some(Appended::Rows(3)),
            None,
            Some(Appended::Rows(2)),
        ]
    );
    assert_eq!(rows.rows(), 7);
    let batch = rows.finish();
    let numbers = |column: usize| batch.column(column).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(numbers(0), [1, 2, 5, 6, 7, 9, 11]);
    assert_eq!(numbers(1), [1, 1, 5, 5, 5, 7, 7]);
}

#[test]
fn a_table_without_columns_has_no_rows() {
    let format =
        Format { tombstones: Tombstones::Nulls, metadata: vec![Metadata::Offset], ..Format::default() };
    let mut rows = undecided(&format, "its topics hold no record yet");
    for payload in [Some(&b"{}"[..]), None] {
        let reject = rows.append(&Record::of(&TopicPartition::new("t", 0), 1, payload)).unwrap_err();
        assert!(reject.error.ends_with("is left out: its topics hold no record yet"), "{reject}");
    }
    assert_eq!((rows.rows(), rows.finish().num_rows()), (0, 0));
}
