//! `error_limit`: how many records may fail to decode.

use std::time::Duration;

use serde_json::Value as Json;
use tidegate_sinks::{RatioLimit, RejectLimit};

use super::file::error::Wrong;
use super::file::section::{Section, key};
use super::file::values::{self, Parsed};

/// A shorter window would be a commit or two.
const WINDOW_MIN: Duration = Duration::from_secs(1);

/// Whichever is reached first stops the job.
#[derive(Clone, Debug)]
pub struct ErrorLimit {
    /// `None`: any number.
    pub records: Option<u64>,
    /// Rejects as a part of all records committed; `None`: any.
    pub ratio: Option<f64>,
    /// Of the ratio; `None`: since the job began.
    pub window: Option<Duration>,
}

impl ErrorLimit {
    /// As a commit is judged by it.
    pub fn limit(&self) -> RejectLimit {
        let ratio = self.ratio.map(|most| RatioLimit { most, window: self.window });
        RejectLimit { records: self.records, ratio }
    }
}

pub(super) fn read(limit: &mut Section<'_>) -> ErrorLimit {
    let has_ratio = limit.has("ratio");
    let records = limit.read(
        key(
            "records",
            "Rejects that the job accepts before it stops, with nothing lost. 0: the first one stops it. Without \
             a value, but with a ratio: any number.",
        )
        .live(),
        |value| {
            let records = value.and_then(|value| value.parse(values::integer(0..=u64::MAX)));
            // Who gives neither wants none to pass unseen.
            records.or((!has_ratio).then_some(0))
        },
        |records| records.map(Json::from),
    );
    let ratio = limit.optional(
        key("ratio", "Rejects as a part of all records, from 0 to 1; judged from 100 records on.").live(),
        ratio,
    );
    let window = limit.optional(
        key("window", "The time that `ratio` looks back.").default_text("the whole job").live(),
        values::duration(WINDOW_MIN),
    );
    if window.is_some() && !has_ratio {
        limit.wrong("window", Wrong::new("has no ratio", "set error_limit.ratio too, or remove the window"));
    }
    ErrorLimit { records, ratio, window }
}

fn ratio(value: &str) -> Parsed<f64> {
    match value.trim().parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(Wrong::new("is not a ratio", "write a number from 0 to 1: 0.01 is one record of a hundred")),
    }
}
