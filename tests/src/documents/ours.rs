//! The product's own decoder, as the tests hold it against others.

use tidegate::config::{Column, Format};
use tidegate::flow::decode::{self, Rows};
use tidegate::flow::event::Record;
use tidegate_sinks::TopicPartition;

pub(crate) fn decoder(columns: &[(&str, &str)]) -> Rows {
    let columns: Vec<_> = columns.iter().map(|(name, type_name)| Column::new(*name, *type_name)).collect();
    decode::decoder(&Format::default(), &columns).expect("the columns are right")
}

/// Whether the document becomes a row.
pub(crate) fn append(decoder: &mut Rows, document: &[u8]) -> bool {
    let partition = TopicPartition::new("t", 0);
    decoder.append(&Record::of(&partition, 0, Some(document))).is_ok()
}
