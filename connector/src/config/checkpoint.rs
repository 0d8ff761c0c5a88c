//! `checkpoint`: how often records become visible, and what is kept of it.

use std::time::Duration;

use super::file::error::Wrong;
use super::file::section::{Section, key};
use super::file::values;
use super::{sink, timeouts};
use crate::limits::{CHECKPOINT_INTERVAL_MIN, CHECKPOINTS_RETAINED_MAX_COUNT};

#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub interval: Duration,
    /// 0: no trigger.
    pub max_records: u64,
    /// 0: no trigger.
    pub max_bytes: u64,
    pub timeout: Duration,
    pub retained: u64,
    pub retained_for: Duration,
    pub copy_grace: Duration,
    /// URL of the job's state, without a trailing slash; in the same store as the sink.
    pub state: String,
}

pub(super) fn read(
    checkpoint: &mut Section<'_>,
    timeouts: &timeouts::Defaults,
    job: &str,
    sink_url: &str,
) -> Checkpoint {
    checkpoint.not_built(&["fold_after"]);
    Checkpoint {
        interval: checkpoint.get(
            key(
                "interval",
                "Time between checkpoints. Readers see records at a checkpoint, so this is most of the latency; \
                 shorter means more and smaller files.",
            )
            .live(),
            values::duration(CHECKPOINT_INTERVAL_MIN),
            Duration::from_secs(60),
        ),
        max_records: checkpoint.get(
            key(
                "max_records",
                "A checkpoint after this many records of a replica as well. 0: no such trigger.",
            )
            .live(),
            values::integer(0..=u64::MAX),
            0,
        ),
        max_bytes: checkpoint.get(
            key("max_bytes", "A checkpoint after this many bytes read as well. 0: no such trigger.").live(),
            values::size(0..=u64::MAX),
            0,
        ),
        timeout: checkpoint.get(
            key("timeout", "How long a checkpoint may take before the job stops."),
            values::duration(timeouts::LEAST),
            timeouts.checkpoint,
        ),
        retained: checkpoint.get(
            key("retained", "Checkpoints kept at least, for `--from-checkpoint`. At most 900."),
            values::integer(1..=CHECKPOINTS_RETAINED_MAX_COUNT),
            64,
        ),
        retained_for: checkpoint.get(
            key("retained_for", "And kept for at least this long, up to 900."),
            values::duration(Duration::ZERO),
            Duration::from_secs(24 * 3_600),
        ),
        copy_grace: checkpoint.get(
            key(
                "copy_grace",
                "How long a copy inside the store may take at most. A rollback waits for it before it erases.",
            ),
            values::duration(Duration::ZERO),
            Duration::from_secs(600),
        ),
        state: state(checkpoint, job, sink_url),
    }
}

fn state(checkpoint: &mut Section<'_>, job: &str, sink_url: &str) -> String {
    let state = checkpoint.get_unless_blank(
        key("state", "Where the job's state lies: in the same bucket as the tables.")
            .default_text("`<url>/_tidegate/<job>`"),
        sink::url,
        format!("{sink_url}/_tidegate/{job}"),
    );
    // A file becomes visible by a copy or a link within one store, out of the state's folder.
    if !state.is_empty() && !sink_url.is_empty() && sink::store_of(&state) != sink::store_of(sink_url) {
        checkpoint.wrong(
            "state",
            Wrong::new(
                "lies in another store than sink.url",
                "choose a folder in the same bucket, or leave checkpoint.state out",
            ),
        );
    }
    state
}
