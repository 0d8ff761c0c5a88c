//! Scalars of the job file: sizes, durations, numbers, words, names; how each is parsed and shown. A failure
//! never repeats the value, which may be a secret; the caller shows it when it may be shown.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use serde_json::Value as Json;

use super::error::Wrong;
use super::section::nearest;
use crate::limits::DURATION_MAX;
use crate::names::{self, BadName};

pub(crate) type Parsed<T> = Result<T, Wrong>;

/// How a value is shown: as the job file may have it.
pub(crate) trait Shown {
    fn shown(&self) -> Json;
}

impl Shown for String {
    fn shown(&self) -> Json {
        Json::from(self.as_str())
    }
}

impl Shown for u64 {
    fn shown(&self) -> Json {
        Json::from(*self)
    }
}

impl Shown for usize {
    fn shown(&self) -> Json {
        Json::from(*self)
    }
}

impl Shown for f64 {
    fn shown(&self) -> Json {
        Json::from(*self)
    }
}

impl Shown for Duration {
    fn shown(&self) -> Json {
        Json::from(if self.is_zero() {
            "0".to_owned()
        } else {
            humantime::format_duration(*self).to_string()
        })
    }
}

impl Shown for SocketAddr {
    fn shown(&self) -> Json {
        Json::from(self.to_string())
    }
}

/// Any text that is not empty.
pub(crate) fn text(value: &str) -> Parsed<String> {
    if value.trim().is_empty() {
        return Err(Wrong::new("is empty", "give it a value"));
    }
    Ok(value.to_owned())
}

/// A whole number within `range`.
pub(crate) fn integer(range: RangeInclusive<u64>) -> impl Fn(&str) -> Parsed<u64> {
    move |value| {
        let number: u64 = value.trim().parse().map_err(|_| {
            Wrong::new(
                "is not a whole number",
                format!("write a number from {} to {}", range.start(), range.end()),
            )
        })?;
        if range.contains(&number) {
            return Ok(number);
        }
        Err(Wrong::new("is out of bounds", format!("choose from {} to {}", range.start(), range.end())))
    }
}

/// Bytes: an integer, or a number with a unit (`MB` = 10^6, `MiB` = 2^20), within `range`.
pub(crate) fn size(range: RangeInclusive<u64>) -> impl Fn(&str) -> Parsed<u64> {
    move |value| {
        let ByteSize(bytes) = value.trim().parse().map_err(|_| {
            Wrong::new("is not a size", "write bytes, or a number with a unit: 10MB (10^6), 128MiB (2^20)")
        })?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        let [low, high] =
            [range.start(), range.end()].map(|bytes| ByteSize(*bytes).display().iec().to_string());
        Err(Wrong::new("is out of bounds", format!("choose from {low} to {high}")))
    }
}

/// A duration with its unit, from `least` up.
pub(crate) fn duration(least: Duration) -> impl Fn(&str) -> Parsed<Duration> {
    move |value| {
        let value = value.trim();
        let bare = !value.is_empty() && value.chars().all(|c| c.is_ascii_digit() || c == '.');
        if bare && value != "0" {
            return Err(Wrong::new("has no unit", "add one: 500ms, 60s, 10m, 24h"));
        }
        let duration = humantime::parse_duration(value).map_err(|_| {
            Wrong::new("is not a duration", "write a number with a unit: 500ms, 60s, 10m, 24h")
        })?;
        if (least..=DURATION_MAX).contains(&duration) {
            return Ok(duration);
        }
        let (least, days) = (humantime::format_duration(least), DURATION_MAX.as_secs() / 86_400);
        Err(Wrong::new("is out of bounds", format!("choose from {least} to {days} days")))
    }
}

/// A duration of at least a millisecond, or a bare 0, which means never.
pub(crate) fn duration_or_never(value: &str) -> Parsed<Duration> {
    if value.trim() == "0" { Ok(Duration::ZERO) } else { duration(Duration::from_millis(1))(value) }
}

/// One of a few words.
pub(crate) fn word<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&str) -> Parsed<T> {
    move |value| {
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == value) {
            return Ok(*choice);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let remedy = match nearest(value, &names) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("write one of: {}", names.join(", ")),
        };
        Err(Wrong::new("is not known here", remedy))
    }
}

/// The word of a choice.
pub(crate) fn shown_word<T: Copy + PartialEq>(choices: &[(&str, T)], choice: T) -> Option<Json> {
    choices.iter().find(|(_, other)| *other == choice).map(|(word, _)| Json::from(*word))
}

fn checked(name: &str, answer: Result<(), BadName>) -> Parsed<String> {
    match answer {
        Ok(()) => Ok(name.to_owned()),
        Err(BadName { problem, remedy }) => Err(Wrong::new(problem, remedy)),
    }
}

/// The name of a folder that readers see and no store mistakes for anything else.
pub(crate) fn folder_name(max_chars: usize) -> impl Fn(&str) -> Parsed<String> {
    move |name| checked(name, names::folder(name, max_chars))
}

/// A name that Kafka takes for a topic.
pub(crate) fn topic_name(name: &str) -> Parsed<String> {
    checked(name, names::topic(name))
}
