//! Scalars of the job file: sizes, durations, numbers, words, names. A failure never repeats the value, which may be
//! a secret; the caller shows it when it may be shown.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

use super::error::Wrong;
use super::section::{Parsed, nearest};
use crate::limits::{DURATION_MAX, TABLE_NAME_MAX_CHARS, TOPIC_NAME_MAX_CHARS};

/// Any text that is not empty.
pub(super) fn text(value: &str) -> Parsed<String> {
    if value.trim().is_empty() {
        return Err(Wrong::new("is empty", "give it a value"));
    }
    Ok(value.to_owned())
}

/// A whole number within `range`.
pub(super) fn integer(range: RangeInclusive<u64>) -> impl Fn(&str) -> Parsed<u64> {
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
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&str) -> Parsed<u64> {
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
pub(super) fn duration(least: Duration) -> impl Fn(&str) -> Parsed<Duration> {
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
pub(super) fn duration_or_never(value: &str) -> Parsed<Duration> {
    if value.trim() == "0" { Ok(Duration::ZERO) } else { duration(Duration::from_millis(1))(value) }
}

/// One of a few words.
pub(super) fn word<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&str) -> Parsed<T> {
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

/// Letters, digits, `.`, `_` and `-`: what every store, Kafka and the metrics agree on.
pub(super) fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// The name of a folder that readers see and no store mistakes for anything else.
pub(super) fn folder_name(max_chars: usize) -> impl Fn(&str) -> Parsed<String> {
    move |name| {
        let remedy = "use letters, digits, '-', '_' and '.', beginning with a letter or digit";
        if name.is_empty() {
            return Err(Wrong::new("is empty", remedy));
        }
        if !is_plain(name) {
            return Err(Wrong::new("holds characters that a folder's name may not", remedy));
        }
        if name.starts_with(['_', '.']) {
            return Err(Wrong::new("begins with '_' or '.', which hides a folder from readers", remedy));
        }
        if name.len() > max_chars {
            return Err(Wrong::new("is too long", format!("use at most {max_chars} characters")));
        }
        Ok(name.to_owned())
    }
}

/// A table's name.
pub(crate) fn table_name(name: &str) -> Result<String, String> {
    folder_name(TABLE_NAME_MAX_CHARS)(name).map_err(|wrong| wrong.problem)
}

/// A name that Kafka takes for a topic.
pub(super) fn topic_name(name: &str) -> Parsed<String> {
    if name.is_empty() || !is_plain(name) || name == "." || name == ".." {
        return Err(Wrong::new(
            "is not a topic's name",
            "use letters, digits, '.', '_' and '-'; a pattern belongs under kafka.topics_regex",
        ));
    }
    if name.len() > TOPIC_NAME_MAX_CHARS {
        return Err(Wrong::new(
            "is too long",
            format!("Kafka takes at most {TOPIC_NAME_MAX_CHARS} characters"),
        ));
    }
    Ok(name.to_owned())
}
