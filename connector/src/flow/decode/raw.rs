//! Payloads as they are, in the one column `value`: binary, or text when the job says `string`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef};

use super::metadata::MetadataColumns;
use super::{Appended, Decode, Fits, Reject, Row, Value};
use crate::columns::{self, ColumnError};
use crate::config::{Column, Format, Reading, Tombstones};
use crate::flow::event::Record;

const VALUE: &str = "value";

#[derive(Debug)]
pub(super) struct Raw {
    schema: SchemaRef,
    /// Whether the column is a string, so that payloads must be UTF-8.
    text: bool,
    tombstones: Tombstones,
    values: BinaryBuilder,
    rows: usize,
    metadata: MetadataColumns,
}

impl Raw {
    /// With no columns given: `value: binary`.
    pub(super) fn new(format: &Format, columns: &[Column]) -> Result<Self, ColumnError> {
        let default = [Column::new(VALUE, "binary")];
        let columns = if columns.is_empty() { &default } else { columns };
        let schema = columns::schema(columns, &format.metadata)?;
        let text = match (schema.field(0).data_type(), columns) {
            (DataType::Utf8, [column]) if is_value(column) && !columns::is_json(schema.field(0)) => true,
            (DataType::Binary, [column]) if is_value(column) => false,
            _ => {
                let problem =
                    "a raw job has the one column `value`, of type binary or string and without a path";
                return Err(ColumnError::new(&columns[0].name, problem));
            }
        };
        let metadata = MetadataColumns::new(&format.metadata);
        let values = BinaryBuilder::new();
        Ok(Self { schema, text, tombstones: format.tombstones, values, rows: 0, metadata })
    }
}

fn is_value(column: &Column) -> bool {
    column.name == VALUE && column.path.is_none() && column.reading == Reading::default()
}

struct RawRow<'a> {
    raw: &'a Raw,
    record: &'a Record<'a>,
}

impl Row for RawRow<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        match (column.checked_sub(1), self.record.payload) {
            (Some(metadata), _) => self.raw.metadata.value(metadata, self.record),
            (None, None) => Value::Null,
            (None, Some(payload)) if self.raw.text => Value::Text(payload),
            (None, Some(_)) => Value::Other,
        }
    }
}

impl Decode for Raw {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn append_if(&mut self, record: &Record<'_>, fits: Option<Fits<'_>>) -> Result<Appended, Reject> {
        if record.payload.is_none() && self.tombstones == Tombstones::Skip {
            return Ok(Appended::Skipped);
        }
        if self.text && record.payload.is_some_and(|payload| std::str::from_utf8(payload).is_err()) {
            let error = "the payload is not UTF-8".to_owned();
            return Err(Reject { error, column: Some(VALUE.to_owned()) });
        }
        if let Some(fits) = fits {
            fits(&RawRow { raw: self, record })?;
        }
        self.metadata.append(record)?;
        self.values.append_option(record.payload);
        self.rows += 1;
        Ok(Appended::Row)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        let values = self.values.values_slice().len() + size_of_val(self.values.offsets_slice());
        values + self.metadata.bytes()
    }

    fn finish(&mut self) -> RecordBatch {
        self.rows = 0;
        let values = self.values.finish();
        let values: ArrayRef = if self.text {
            Arc::new(StringArray::try_from_binary(values).expect("every payload was checked"))
        } else {
            Arc::new(values)
        };
        let columns = std::iter::once(values).chain(self.metadata.finish()).collect();
        RecordBatch::try_new(self.schema.clone(), columns).expect("one builder a field, one value a row")
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};

    use super::*;
    use crate::config::{FormatKind, Metadata};
    use crate::flow::decode::decoder;
    use crate::flow::event::Fetch;
    use tidegate_sinks::TopicPartition;

    fn format(tombstones: Tombstones, metadata: Vec<Metadata>) -> Format {
        Format {
            kind: FormatKind::Raw,
            tombstones,
            columns: None,
            metadata,
            unknown: crate::config::Unknown::Warn,
        }
    }

    fn column(name: &str, type_name: &str) -> Column {
        Column::new(name, type_name)
    }

    fn fetch() -> Fetch {
        let mut fetch = Fetch::new(TopicPartition::new("t", 3), 0, 0);
        fetch.push(5, Some(99), Some(b"k"), Some(b"a\xff"), [("a", Some(&b"1"[..])), ("a", None)]);
        fetch.push(7, None, None, None, []);
        fetch.push(8, Some(-1), None, Some(b""), []);
        fetch
    }

    #[test]
    fn payloads_and_where_they_came_from() {
        use Metadata::{Headers, Key, Offset, Partition, Timestamp, Topic};
        let all = vec![Key, Topic, Partition, Offset, Timestamp, Headers];
        let mut decoder = decoder(&format(Tombstones::Nulls, all), &[]).unwrap();
        for round in 0..2 {
            for record in fetch().records() {
                assert_eq!(decoder.append(&record), Ok(Appended::Row));
            }
            assert_eq!((decoder.rows(), decoder.bytes() > 20), (3, true));
            let batch = decoder.finish();
            assert_eq!((decoder.rows(), batch.num_rows()), (0, 3), "round {round}");
            assert_eq!(batch.schema(), *decoder.schema());
            let values = batch.column(0).as_binary::<i32>();
            assert_eq!(values.iter().collect::<Vec<_>>(), [Some(&b"a\xff"[..]), None, Some(b"")]);
            assert_eq!(
                batch.column(1).as_binary::<i32>().iter().collect::<Vec<_>>(),
                [Some(&b"k"[..]), None, None]
            );
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
    fn text_must_be_utf8_and_a_reject_leaves_nothing() {
        let text = [column("value", "string")];
        let mut decoder = decoder(&format(Tombstones::Skip, vec![Metadata::Offset]), &text).unwrap();
        let results: Vec<_> = fetch().records().map(|record| decoder.append(&record).ok()).collect();
        assert_eq!(results, [None, Some(Appended::Skipped), Some(Appended::Row)]);
        let batch = decoder.finish();
        assert_eq!((batch.num_rows(), batch.column(0).null_count()), (1, 0));
        assert_eq!(batch.column(1).as_primitive::<Int64Type>().values(), &[8]);
    }

    #[test]
    fn a_header_whose_name_is_not_text_is_a_reject_of_rows_that_have_headers() {
        let mut fetch = Fetch::new(TopicPartition::new("t", 0), 0, 0);
        fetch.push_bytes(0, None, None, Some(b"v"), [(&b"good"[..], None), (b"\xffa", Some(&b"1"[..]))]);
        fetch.push(1, None, None, Some(b"w"), [("good", None)]);
        let metadata = vec![Metadata::Offset, Metadata::Headers];
        let mut with = decoder(&format(Tombstones::Skip, metadata), &[]).unwrap();
        let results: Vec<_> = fetch.records().map(|record| with.append(&record)).collect();
        let reject = results[0].clone().unwrap_err();
        assert_eq!(reject.column.as_deref(), Some("_headers"));
        assert!(reject.error.contains("not UTF-8"), "{reject}");
        assert_eq!(results[1], Ok(Appended::Row));
        assert_eq!(with.finish().num_rows(), 1);
        let mut without = decoder(&format(Tombstones::Skip, vec![Metadata::Offset]), &[]).unwrap();
        assert!(fetch.records().all(|record| without.append(&record) == Ok(Appended::Row)));
    }

    #[test]
    fn a_record_whose_time_no_reader_holds_is_a_reject_of_rows_that_have_it() {
        let mut fetch = Fetch::new(TopicPartition::new("t", 0), 0, 0);
        // Nanoseconds, where Kafka has milliseconds.
        fetch.push(0, Some(1_700_000_000_000_000_000), None, Some(b"v"), []);
        fetch.push(1, Some(1_700_000_000_000), None, Some(b"w"), []);
        let metadata = vec![Metadata::Timestamp, Metadata::Headers];
        let mut with = decoder(&format(Tombstones::Skip, metadata), &[]).unwrap();
        let results: Vec<_> = fetch.records().map(|record| with.append(&record)).collect();
        assert_eq!(results[0].clone().unwrap_err().column.as_deref(), Some("_timestamp"));
        assert_eq!((&results[1], with.finish().num_rows()), (&Ok(Appended::Row), 1));
        let mut without = decoder(&format(Tombstones::Skip, vec![]), &[]).unwrap();
        assert!(fetch.records().all(|record| without.append(&record) == Ok(Appended::Row)));
    }

    #[test]
    fn other_columns_are_refused() {
        let format = format(Tombstones::Skip, vec![]);
        for columns in [
            vec![column("payload", "binary")],
            vec![column("value", "int")],
            vec![column("value", "json")],
            vec![column("value", "binary"), column("key", "binary")],
            vec![Column { path: Some("a".to_owned()), ..column("value", "binary") }],
        ] {
            assert!(decoder(&format, &columns).is_err(), "{columns:?}");
        }
    }
}
