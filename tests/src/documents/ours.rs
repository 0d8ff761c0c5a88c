//! The product's own decoder, as the tests hold it against others.

use tidegate::config::{Column, Format, FormatKind, Tombstones, Unknown};
use tidegate::flow::decode::{self, Decode};
use tidegate::flow::event::Record;
use tidegate_sinks::TopicPartition;

pub(crate) fn decoder(columns: &[(&str, &str)]) -> Box<dyn Decode> {
    let columns: Vec<_> = columns.iter().map(|(name, type_name)| Column::new(*name, *type_name)).collect();
    let format = Format {
        kind: FormatKind::Json,
        tombstones: Tombstones::Skip,
        columns: None,
        metadata: Vec::new(),
        unknown: Unknown::Warn,
    };
    decode::decoder(&format, &columns).expect("the columns are right")
}

/// Whether the document becomes a row.
pub(crate) fn append(decoder: &mut dyn Decode, document: &[u8]) -> bool {
    let partition = TopicPartition::new("t", 0);
    decoder.append(&Record::of(&partition, 0, Some(document))).is_ok()
}
