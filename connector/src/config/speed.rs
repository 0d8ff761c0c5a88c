//! `speed`: how fast the job may read, and on how many threads it works.

use super::file::section::{Section, key};
use super::file::values;
use crate::limits::CHANNELS_MAX_COUNT;
use crate::memory::Shares;

#[derive(Clone, Debug)]
pub struct Speed {
    /// 0: no limit.
    pub bytes_per_second: u64,
    /// Threads that decode and encode; at least 1.
    pub channels: usize,
}

pub(super) fn read(speed: &mut Section<'_>, memory_limit: u64) -> Speed {
    let per_core =
        std::thread::available_parallelism().map_or(1, usize::from).min(Shares::of(memory_limit).channels());
    let channels = |value: &str| match values::integer(0..=CHANNELS_MAX_COUNT)(value)? {
        0 => Ok(per_core),
        channels => Ok(channels as usize),
    };
    Speed {
        bytes_per_second: speed.get(
            key(
                "bytes_per_second",
                "Bytes of keys, values and headers that all replicas together may read in a second.",
            )
            .default_text("`0`: no limit")
            .live(),
            values::size(0..=u64::MAX),
            0,
        ),
        channels: speed.get(
            key("channels", "Threads that decode and encode.")
                .default_text("`0`: one per core, as far as `memory.limit` has 64 MiB for each"),
            channels,
            per_core,
        ),
    }
}
