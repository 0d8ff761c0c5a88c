//! The kinds of tables, a folder each.

pub(crate) mod files;
