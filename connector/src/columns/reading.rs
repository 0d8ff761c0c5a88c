//! How a column's values are read besides as its type says: whether its `zone`,
//! `format` and `lenient` fit the types in it, and texts by a format.

use arrow::datatypes::{DataType, Field};
use jiff::civil::{DateTime, date};
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::Reading;
use super::zone;

/// A moment all of whose parts differ from what a format that leaves them out would put there.
const SAMPLE: DateTime = date(2026, 11, 30).at(23, 58, 57, 123_456_789);

/// Refuses a key that would do nothing, or could not be read by, with the key's name and the reason.
pub(crate) fn check(field: &Field, reading: &Reading) -> Result<(), (&'static str, String)> {
    let leaves = super::leaves(field);
    let any = |is: fn(&Field) -> bool| leaves.iter().any(|leaf| is(leaf));
    if let Some(zone) = &reading.zone {
        if !any(is_zoned) {
            let problem =
                "belongs to a timestamp with a time zone, as in timestamp(ms, UTC), and the type has none";
            return Err(("zone", problem.to_owned()));
        }
        zone::find(zone).map_err(|problem| ("zone", problem))?;
    }
    if let Some(format) = &reading.format {
        let mut temporal = leaves.iter().filter(|leaf| is_temporal(leaf)).peekable();
        if temporal.peek().is_none() {
            return Err(("format", "belongs to dates and times, and the type has none".to_owned()));
        }
        for leaf in temporal {
            check_format(leaf, format, reading).map_err(|problem| ("format", problem))?;
        }
    }
    if reading.lenient && !any(is_lenient) {
        return Err(("lenient", "belongs to numbers, bools and strings, and the type has none".to_owned()));
    }
    Ok(())
}

fn is_zoned(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Timestamp(_, Some(_)))
}

fn is_temporal(field: &Field) -> bool {
    field.data_type().is_temporal()
}

fn is_lenient(field: &Field) -> bool {
    match field.data_type() {
        DataType::Binary | DataType::Decimal128(..) => false,
        DataType::Utf8 => !super::is_json(field),
        _ => true,
    }
}

/// Where the clock stood of times without an offset: the column's zone, or that of
/// its type. Not the type's UTC, which is written without a thought of the texts:
/// then an offset is needed, as it was not said that there is none.
pub(crate) fn local_zone(field: &Field, reading: &Reading) -> Option<TimeZone> {
    let of_type = match field.data_type() {
        DataType::Timestamp(_, Some(zone)) => zone,
        _ => return None,
    };
    let name = reading.zone.as_deref().or_else(|| (&**of_type != "UTC").then_some(&**of_type))?;
    zone::find(name).ok()
}

/// Whether texts of the format say all that the type needs, and nothing that it would lose.
fn check_format(field: &Field, format: &str, reading: &Reading) -> Result<(), String> {
    let zone = zone::find("Asia/Kathmandu")?;
    let sample = zone.to_zoned(SAMPLE).map_err(|error| error.to_string())?;
    let read = strtime::format(format, &sample).and_then(|text| BrokenDownTime::parse(format, &text));
    let read = read.map_err(|error| format!("is no format of strptime: {error}"))?;
    let says_date = read.to_date().is_ok_and(|date| date == SAMPLE.date());
    let says_time = read.to_time().is_ok_and(|time| time.hour() == SAMPLE.hour());
    let says_nothing_of_time = read.hour().is_none() && read.to_time().is_ok();
    let says_offset = read.offset().is_some() || read.iana_time_zone().is_some();
    let is_number = read.timestamp().is_some();
    match field.data_type() {
        DataType::Date32 if !says_date => Err("does not say a whole date".to_owned()),
        DataType::Date32 => Ok(()),
        DataType::Time32(_) | DataType::Time64(_) if !says_time => {
            Err("does not say a whole time of the day".to_owned())
        }
        DataType::Time32(_) | DataType::Time64(_) => Ok(()),
        _ if is_number && is_zoned(field) => Ok(()),
        _ if !says_date || !(says_time || says_nothing_of_time) => {
            Err("does not say a whole date, and a time of the day or none".to_owned())
        }
        _ if is_zoned(field) && !says_offset && local_zone(field, reading).is_none() => {
            Err("says no offset (%z): add `zone`, where the clock stood, as in zone: Europe/Berlin"
                .to_owned())
        }
        _ if !is_zoned(field) && (says_offset || is_number) => {
            Err("says an offset, which a timestamp without a time zone would lose".to_owned())
        }
        _ => Ok(()),
    }
}

/// The seconds by which the zone's clock is ahead of UTC when it shows `local`. The clock shows some times
/// twice: then it is the first. `None` for times that it skips.
pub(crate) fn offset_at(zone: &TimeZone, local: DateTime) -> Option<i64> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            Some(offset.seconds().into())
        }
        AmbiguousOffset::Gap { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::columns::schema;
    use crate::config::{Column, Config, ConfigErrors, Origin, Reading};

    fn problem(type_name: &str, zone: &str, format: &str, lenient: bool) -> Option<String> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let reading = Reading { zone: text(zone), format: text(format), lenient };
        schema(&[Column { reading, ..Column::new("c", type_name) }], &[]).err().map(|error| error.problem)
    }

    #[test]
    fn a_key_that_fits_no_type_in_the_column_is_refused() {
        for (type_name, zone, format, lenient, expected) in [
            ("string", "UTC", "", false, "zone: belongs to a timestamp"),
            ("timestamp(ms)", "UTC", "", false, "zone: belongs to a timestamp"),
            ("timestamp(ms, UTC)", "Europe/Berln", "", false, "zone: `Europe/Berln`"),
            ("list<int>", "", "%Y", false, "format: belongs to dates"),
            ("date", "", "%Y-%m-%Q%%%", false, "format: is no format"),
            ("date", "", "%d.%m.", false, "format: does not say a whole date"),
            ("date", "", "%H:%M", false, "format: does not say a whole date"),
            ("time(ms)", "", "%d.%m.%Y", false, "format: does not say a whole time"),
            ("time(ms)", "", "%I:%M", false, "format: does not say a whole time"),
            ("timestamp(ms)", "", "%d.%m.%Y %I:%M", false, "format: does not say"),
            ("timestamp(ms)", "", "%H:%M", false, "format: does not say"),
            ("timestamp(ms)", "", "%d.%m.%Y %H:%M %z", false, "format: says an offset"),
            ("timestamp(ms)", "", "%s", false, "format: "),
            ("timestamp(ms, UTC)", "", "%d.%m.%Y %H:%M", false, "format: says no offset"),
            ("struct<a: timestamp(ms, UTC), b: date>", "UTC", "%H", false, "format: does not say"),
            ("binary", "", "", true, "lenient: belongs to numbers"),
            ("list<json>", "", "", true, "lenient: belongs to numbers"),
        ] {
            let problem = problem(type_name, zone, format, lenient).unwrap_or_default();
            assert!(problem.starts_with(expected), "{type_name} {zone} {format}: {problem}");
        }
        for (type_name, zone, format, lenient) in [
            ("timestamp(ms, UTC)", "Europe/Berlin", "%d.%m.%Y %H:%M", false),
            ("timestamp(ms, UTC)", "", "%d.%m.%Y %H:%M:%S%.f %z", false),
            ("timestamp(ms, UTC)", "", "%s", false),
            ("timestamp(ms, Europe/Berlin)", "", "%d.%m.%Y", false),
            ("timestamp(us)", "", "%b %d %Y %I:%M:%S %p", false),
            ("list<struct<at: timestamp(s, UTC), n: int>>", "+02:00", "", true),
            ("map<string, date>", "", "%d/%m/%y", false),
            ("time(us)", "", "%I:%M %p", false),
            ("struct<a: json, b: bool>", "", "", true),
        ] {
            assert_eq!(problem(type_name, zone, format, lenient), None, "{type_name} {zone} {format}");
        }
    }

    #[test]
    fn the_keys_stay_with_a_column_that_is_pinned_and_columns_of_before_have_none() {
        for text in [
            r#"{"name":"at","type":"timestamp(ms, UTC)","zone":"Europe/Berlin","format":"%s","lenient":true}"#,
            r#"{"name":"a","type":"int64","path":"b.c"}"#,
        ] {
            let column: Column = serde_json::from_str(text).unwrap();
            assert_eq!(column.reading == Reading::default(), !text.contains("zone"));
            assert_eq!(serde_json::to_string(&column).unwrap(), text);
        }
    }

    fn parsed(column: &str) -> Result<Config, ConfigErrors> {
        let text = format!(
            "job: j\nkafka: {{bootstrap_servers: 'k:9092', topics: [t]}}\nsink: {{url: 'file:///w', table: t}}\n\
             format: {{columns: [{{name: c, {column}}}]}}\n"
        );
        Config::parse(&text, &Origin("job.yaml".into()))
    }

    #[test]
    fn a_job_file_may_have_them_and_is_refused_at_the_key_that_does_not_fit() {
        let column =
            "type: 'timestamp(ms, UTC)', zone: Europe/Berlin, format: '%d.%m.%Y %H:%M', lenient: true";
        let shown = parsed(column).unwrap().redacted();
        let shown = &shown["format"]["columns"][0];
        assert_eq!((&shown["zone"], &shown["lenient"]), (&"Europe/Berlin".into(), &true.into()));
        assert_eq!(shown["format"], "%d.%m.%Y %H:%M");
        for (column, key, problem) in [
            ("type: 'timestamp(ms, UTC)', zone: Europe/Berln", "zone", "did you mean `Europe/Berlin`?"),
            ("type: 'timestamp(ms, Europe/Berln)'", "type", "did you mean `Europe/Berlin`?"),
            ("type: string, format: '%Y'", "format", "belongs to dates and times"),
            ("type: binary, lenient: true", "lenient", "belongs to numbers"),
            ("type: string, lenient: yes", "lenient", "is not known here"),
        ] {
            let errors = parsed(column).unwrap_err().errors;
            let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
            assert_eq!(paths, [format!("format.columns[0].{key}")], "{column}");
            assert!(errors[0].problem.contains(problem), "{column}: {}", errors[0].problem);
        }
    }
}
