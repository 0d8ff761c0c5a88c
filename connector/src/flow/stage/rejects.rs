//! Records that did not decode, as rows: whatever is needed to find, mend and replay them.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::columns::headers;
use crate::flow::decode::Reject;
use crate::flow::decode::headers::Headers;
use crate::flow::event::Record;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        Field::new("key", DataType::Binary, true),
        Field::new("payload", DataType::Binary, true),
        headers::field("headers"),
        Field::new("column", DataType::Utf8, true),
        Field::new("error", DataType::Utf8, false),
    ]))
});

#[derive(Debug)]
pub(super) struct Rejects {
    topic: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    timestamp: TimestampMillisecondBuilder,
    key: BinaryBuilder,
    payload: BinaryBuilder,
    headers: Headers,
    column: StringBuilder,
    error: StringBuilder,
}

impl Rejects {
    pub(super) fn new() -> Self {
        Self {
            topic: StringBuilder::new(),
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            timestamp: TimestampMillisecondBuilder::new().with_timezone("UTC"),
            key: BinaryBuilder::new(),
            payload: BinaryBuilder::new(),
            headers: Headers::new(),
            column: StringBuilder::new(),
            error: StringBuilder::new(),
        }
    }

    pub(super) fn append(&mut self, record: &Record<'_>, reject: &Reject) {
        self.topic.append_value(&record.partition.topic);
        self.partition.append_value(record.partition.partition);
        self.offset.append_value(record.offset);
        self.timestamp.append_option(record.timestamp);
        self.key.append_option(record.key);
        self.payload.append_option(record.payload);
        self.headers.append_escaped(record);
        self.column.append_option(reject.column.as_deref());
        self.error.append_value(describe(reject));
    }

    /// Takes the rows out.
    pub(super) fn finish(&mut self) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.topic.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.timestamp.finish()),
            Arc::new(self.key.finish()),
            Arc::new(self.payload.finish()),
            Arc::new(self.headers.finish()),
            Arc::new(self.column.finish()),
            Arc::new(self.error.finish()),
        ];
        RecordBatch::try_new(SCHEMA.clone(), columns)
            .expect("each builder got one value a row, of the field's type")
    }
}

/// The error as people read it, with the column first where one is to blame and the
/// place in the record does not name it.
pub(crate) fn describe(reject: &Reject) -> String {
    let names = |column: &str| {
        let rest = reject.error.strip_prefix(column);
        rest.is_some_and(|rest| rest.starts_with([':', '.', '[']))
    };
    match &reject.column {
        Some(column) if !names(column) => format!("{column}: {}", reject.error),
        _ => reject.error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_named_once() {
        let told = |column: Option<&str>, error: &str| {
            describe(&Reject { column: column.map(str::to_owned), error: error.to_owned() })
        };
        assert_eq!(told(Some("ts"), "ts: no time"), "ts: no time");
        assert_eq!(told(Some("tags"), "tags[0].x: no time"), "tags[0].x: no time");
        assert_eq!(told(Some("amount"), "net: no number"), "amount: net: no number");
        assert_eq!(told(Some("t"), "ts: no time"), "t: ts: no time");
        assert_eq!(told(None, "not JSON"), "not JSON");
    }
}
