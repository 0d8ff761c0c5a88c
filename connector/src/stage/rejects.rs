//! Records that did not decode, as rows: whatever is needed to find, mend and replay them.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    StructBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::decode::Reject;
use crate::event::Record;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        Field::new("key", DataType::Binary, true),
        Field::new("payload", DataType::Binary, true),
        Field::new_list("headers", header(), false),
        Field::new("column", DataType::Utf8, true),
        Field::new("error", DataType::Utf8, false),
    ]))
});

fn header_fields() -> Fields {
    vec![Field::new("name", DataType::Utf8, false), Field::new("value", DataType::Binary, true)].into()
}

fn header() -> Field {
    Field::new_struct("item", header_fields(), false)
}

#[derive(Debug)]
pub(super) struct Rejects {
    topic: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    timestamp: TimestampMillisecondBuilder,
    key: BinaryBuilder,
    payload: BinaryBuilder,
    headers: ListBuilder<StructBuilder>,
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
            headers: ListBuilder::new(StructBuilder::from_fields(header_fields(), 0)).with_field(header()),
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
        for (name, value) in record.headers() {
            let header = self.headers.values();
            header.field_builder::<StringBuilder>(0).expect("the first field is text").append_value(name);
            header.field_builder::<BinaryBuilder>(1).expect("the second is bytes").append_option(value);
            header.append(true);
        }
        self.headers.append(true);
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

/// The error as people read it, with the column first where one is to blame.
pub(crate) fn describe(reject: &Reject) -> String {
    match &reject.column {
        Some(column) => format!("{column}: {}", reject.error),
        None => reject.error.clone(),
    }
}
