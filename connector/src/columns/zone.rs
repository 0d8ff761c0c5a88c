//! Time zones, by the names that readers of the files know: those of the tz database,
//! letter by letter, and offsets. A name that only looks like one makes files that
//! cannot be read back (pyarrow), or are read as if it stood for UTC (DuckDB).

use std::sync::LazyLock;

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// The database is compiled in, so that a job means the same on every machine.
static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The widest offset that every reader takes; Java's bound is the narrowest.
const MAX_OFFSET_MINUTES: i32 = 18 * 60;

/// `UTC`, a name of the tz database, or an offset such as `+02:00`.
///
/// Errors: what is wrong with the name, and the nearest one.
pub(crate) fn find(name: &str) -> Result<TimeZone, String> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if name.starts_with(['+', '-']) {
        return offset(name)
            .map(TimeZone::fixed)
            .ok_or_else(|| format!("`{name}` is no offset as in `+02:00`, from -18:00 to +18:00"));
    }
    // The database itself does not mind case, which readers do.
    let known = DATABASE.available().any(|known| known.as_str() == name && known.as_str() != "Factory");
    match DATABASE.get(name) {
        Ok(zone) if known => Ok(zone),
        _ => Err(unknown(name)),
    }
}

fn offset(text: &str) -> Option<Offset> {
    let &[sign @ (b'+' | b'-'), a, b, b':', c, d] = text.as_bytes() else { return None };
    let digits = [a, b, c, d].map(|digit| i32::from(digit.wrapping_sub(b'0')));
    if digits.iter().any(|digit| !(0..10).contains(digit)) || digits[2] > 5 {
        return None;
    }
    let minutes = (digits[0] * 10 + digits[1]) * 60 + digits[2] * 10 + digits[3];
    let minutes = if sign == b'-' { -minutes } else { minutes };
    let seconds = (minutes.abs() <= MAX_OFFSET_MINUTES).then_some(minutes * 60)?;
    Offset::from_seconds(seconds).ok()
}

fn unknown(name: &str) -> String {
    let lower = name.to_lowercase();
    if ["z", "zulu", "utc", "etc/utc", "universal"].contains(&lower.as_str()) {
        return format!("`{name}` is no time zone; did you mean `UTC`?");
    }
    // Also by the city alone.
    let distance = |known: &str| {
        let known = known.to_lowercase();
        let city = known.rsplit('/').next().unwrap_or_default();
        strsim::damerau_levenshtein(&known, &lower).min(strsim::damerau_levenshtein(city, &lower) + 1)
    };
    let names = DATABASE.available().map(|known| known.as_str().to_owned());
    match names.map(|known| (distance(&known), known)).min() {
        Some((edits, near)) if edits <= name.len().div_ceil(3) => {
            format!("`{name}` is no time zone of the tz database; did you mean `{near}`?")
        }
        _ => format!(
            "`{name}` is no time zone; write `UTC`, a name of the tz database such as `Europe/Berlin`, or an offset \
             such as `+02:00`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_what_readers_know_by_that_very_name() {
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Calcutta", "US/Pacific"]
        {
            assert!(find(name).is_ok(), "{name}");
        }
        for name in ["+00:00", "-00:00", "+02:00", "-09:30", "+14:00", "+18:00"] {
            assert!(find(name).is_ok(), "{name}");
        }
        for (name, near) in [
            ("Europe/Berln", "`Europe/Berlin`"),
            ("europe/berlin", "`Europe/Berlin`"),
            ("Berlin", "`Europe/Berlin`"),
            ("America/New York", "`America/New_York`"),
            ("utc", "`UTC`"),
            ("Z", "`UTC`"),
            ("Nowhere/At_All", "`+02:00`"),
            ("+2:00", "`+02:00`"),
            ("+0200", "`+02:00`"),
            ("+99:99", "-18:00"),
            ("+18:01", "-18:00"),
            ("+12:60", "-18:00"),
            ("+", "-18:00"),
            ("", "`UTC`"),
        ] {
            let error = find(name).unwrap_err();
            assert!(error.contains(near), "{name}: {error}");
        }
    }
}
