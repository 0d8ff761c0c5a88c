//! A record's headers as a field: a list, since Kafka keeps their order and lets a name come twice.

use arrow::datatypes::{DataType, Field, Fields};

pub(crate) fn members() -> Fields {
    vec![Field::new("name", DataType::Utf8, false), Field::new("value", DataType::Binary, true)].into()
}

pub(crate) fn item() -> Field {
    Field::new_struct("item", members(), false)
}

/// `list<struct<name: string, value: binary>>`, empty where a record has none.
pub(crate) fn field(name: &str) -> Field {
    Field::new_list(name, item(), false)
}
