//! `control`: how replicas hear what they are asked.

use std::time::Duration;

use super::file::section::{Section, key};
use super::file::values;
use crate::limits::CONTROL_POLL_MIN;

#[derive(Clone, Debug)]
pub struct Control {
    /// How often a replica looks for what it is asked.
    pub poll: Duration,
}

pub(super) fn read(control: &mut Section<'_>) -> Control {
    Control {
        poll: control.get(
            key("poll", "How often a replica looks for what `pause`, `stop` and their like have asked."),
            values::duration(CONTROL_POLL_MIN),
            Duration::from_secs(5),
        ),
    }
}
