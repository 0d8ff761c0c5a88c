//! A record's headers as a column: a list, since Kafka keeps their order and lets a name come twice.

use arrow::array::{BinaryBuilder, ListArray, ListBuilder, StringBuilder, StructBuilder};
use arrow::datatypes::{DataType, Field, Fields};

use crate::event::Record;

fn fields() -> Fields {
    vec![Field::new("name", DataType::Utf8, false), Field::new("value", DataType::Binary, true)].into()
}

fn item() -> Field {
    Field::new_struct("item", fields(), false)
}

/// The column's field: `list<struct<name: string, value: binary>>`, empty where a record has none.
pub(crate) fn field(name: &str) -> Field {
    Field::new_list(name, item(), false)
}

#[derive(Debug)]
pub(crate) struct Headers {
    builder: ListBuilder<StructBuilder>,
    bytes: usize,
}

impl Headers {
    pub(crate) fn new() -> Self {
        let builder = ListBuilder::new(StructBuilder::from_fields(fields(), 0)).with_field(item());
        Self { builder, bytes: 0 }
    }

    pub(crate) fn append(&mut self, record: &Record<'_>) {
        for (name, value) in record.headers() {
            let header = self.builder.values();
            header.field_builder::<StringBuilder>(0).expect("the first field is text").append_value(name);
            header.field_builder::<BinaryBuilder>(1).expect("the second is bytes").append_option(value);
            header.append(true);
            self.bytes += name.len() + value.map_or(0, <[u8]>::len) + 2 * size_of::<i32>();
        }
        self.builder.append(true);
        self.bytes += size_of::<i32>();
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the rows out.
    pub(crate) fn finish(&mut self) -> ListArray {
        self.bytes = 0;
        self.builder.finish()
    }
}
