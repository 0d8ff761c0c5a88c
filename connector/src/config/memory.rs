//! `memory`: how much the job may hold.

use super::file::section::{Section, key};
use super::file::values;
use crate::limits::{MEMORY_MAX_BYTES, MEMORY_MIN_BYTES};

const DEFAULT: u64 = 256 << 20;

pub(super) fn read(memory: &mut Section<'_>) -> u64 {
    memory.get(
        key(
            "limit",
            "What the client's queue, decoded batches and open files may hold together. When it is reached, row \
             groups close early and reading waits.",
        )
        .default_text("`256MiB`"),
        values::size(MEMORY_MIN_BYTES..=MEMORY_MAX_BYTES),
        DEFAULT,
    )
}

/// What [`read`] will find, for keys whose defaults depend on it.
pub(super) fn peek(root: &Section<'_>) -> u64 {
    root.peek("memory.limit", |value| value.parse(values::size(MEMORY_MIN_BYTES..=MEMORY_MAX_BYTES)))
        .unwrap_or(DEFAULT)
}
