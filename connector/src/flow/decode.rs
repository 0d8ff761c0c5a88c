//! From records to record batches, column by column: a format's columns of the payload, and beside them
//! Kafka's own. A record becomes rows, a [`Reject`], or nothing.

pub(crate) mod headers;
mod metadata;
mod rows;
#[cfg(test)]
mod tests;
mod undecided;

use std::sync::Arc;

use arrow::datatypes::Schema;

pub use rows::{Fits, Row, Rows};

use crate::columns::{self, ColumnError};
use crate::config::{Column, Format};
use crate::formats::Columns;
pub use crate::formats::{Appended, Reject, Unmatched, Value};

/// The decoder of the job's format. `columns` are the job's, or those inferred;
/// none, where the format has its own.
pub fn decoder(format: &Format, columns: &[Column]) -> Result<Rows, ColumnError> {
    let fixed = match format.kind.columns {
        Columns::Fixed(fixed) if columns.is_empty() => fixed(),
        _ => Vec::new(),
    };
    let columns = if fixed.is_empty() { columns } else { &fixed };
    let schema = columns::schema(columns, &format.metadata)?;
    let payload = (format.kind.open)(columns, format.unknown)?;
    Ok(Rows::new(schema, payload, format.tombstones, &format.metadata))
}

/// Of a table that has no columns yet: it rejects what would be a row.
pub(crate) fn undecided(format: &Format, why: &str) -> Rows {
    let payload = Box::new(undecided::Undecided::new(why));
    Rows::new(Arc::new(Schema::empty()), payload, format.tombstones, &[])
}
