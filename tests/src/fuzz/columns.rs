//! The grammar of column types: no text makes it panic, and what it takes is
//! printed such that it means the same again.

use tidegate::columns::{schema, type_name};
use tidegate::config::Column;

pub(crate) fn read(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let column = |type_name: &str| [Column::new("c", type_name)];
    let Ok(read) = schema(&column(text), &[]) else { return };
    let printed = type_name(read.field(0)).expect("what was read is printed");
    let again = schema(&column(&printed), &[]);
    assert_eq!(Ok(read), again, "printed as {printed}");
}
