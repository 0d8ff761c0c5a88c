//! Dates, times, numbers and bools as other writers have them, and what a column's own keys make of them.

use proptest::prelude::*;

use super::*;
use crate::config::Reading;

/// 2026-01-31T08:00:00Z in milliseconds.
const MOMENT: i64 = 1_769_846_400_000;

fn reading(zone: &str, format: &str, lenient: bool) -> Reading {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Reading { zone: text(zone), format: text(format), lenient }
}

/// The value of a column that is read so, as Arrow shows it, or why there is none.
fn read_by(type_name: &str, reading: Reading, value: &str) -> Result<String, String> {
    let mut decoder = json(&[Column { reading, ..column("v", type_name) }]);
    append(&mut decoder, format!(r#"{{"v": {value}}}"#)).map_err(|reject| reject.error)?;
    let batch = decoder.finish();
    let array = batch.column(0);
    let (array, zone) = match array.data_type() {
        // Arrow's own text knows no zones by name.
        DataType::Timestamp(unit, Some(_)) => {
            let data = array.to_data().into_builder().data_type(DataType::Timestamp(*unit, None));
            (arrow::array::make_array(data.build().unwrap()), "Z")
        }
        _ => (array.clone(), ""),
    };
    let options = arrow::util::display::FormatOptions::default();
    let shown = arrow::util::display::ArrayFormatter::try_new(&array, &options).unwrap();
    Ok(format!("{}{zone}", shown.value(0)))
}

fn millis(type_name: &str, reading: Reading, text: &str) -> Result<i64, String> {
    let mut decoder = json(&[Column { reading, ..column("v", type_name) }]);
    append(&mut decoder, format!(r#"{{"v": "{text}"}}"#)).map_err(|reject| reject.error)?;
    Ok(decoder.finish().column(0).as_primitive::<TimestampMillisecondType>().value(0))
}

#[test]
fn a_moment_is_read_as_java_net_python_and_jackson_write_it() {
    for text in [
        "2026-01-31T08:00:00Z",
        "2026-01-31T08:00Z",
        "2026-01-31T08Z",
        "2026-01-31t08:00z",
        "2026-01-31T09:00:00+0100",
        "2026-01-31T09:00:00+01",
        "2026-01-31T09:00+01:00",
        "2026-01-31T09:00:00+01:00:00",
        "2026-01-31T08:00:00.000+0000",
        "2026-01-31T08:00:00.0000000Z",
        "2026-01-31T08:00:00.000000000000Z",
        "2026-01-31T08:00:00,000Z",
        "2026-01-31 08:00:00+00:00",
        "2026-01-31 08:00:00 +0000",
        "2026-01-31 08:00:00 UTC",
        "2026-01-31 08:00Z",
        "2026-01-31T03:00:00\u{2212}05:00",
        "2026-01-31T08:00-00:00",
        "2026-01-31T09:00+01:00[Europe/Berlin]",
        "2026-01-31T08:00:00Z[UTC]",
        "2026-01-31T08:00:00Z[Europe/Berlin]",
        "2026-01-31T09:00[Europe/Berlin]",
        "20260131T080000Z",
        "20260131T0800Z",
        "20260131T08Z",
        "20260131T090000.000+0100",
        "2026-W05-6T08:00:00Z",
        "2026W056T080000Z",
        "2026-031T08:00:00Z",
    ] {
        assert_eq!(millis("timestamp(ms, UTC)", Reading::default(), text), Ok(MOMENT), "{text}");
        let local = text.trim_end_matches(['Z', 'z']);
        if local.len() < text.len() {
            assert_eq!(millis("timestamp(ms)", Reading::default(), local), Ok(MOMENT), "{local}");
        }
    }
    let midnight = millis("timestamp(ms, UTC)", Reading::default(), "2026-01-31T24:00:00Z");
    assert_eq!(midnight, Ok(MOMENT + 16 * 3_600_000));
    for (text, first) in
        [("2020-W53-5", "2021-01-01"), ("2020-366", "2020-12-31"), ("20200229", "2020-02-29")]
    {
        assert_eq!(read_by("date", Reading::default(), &format!("\"{text}\"")).as_deref(), Ok(first));
    }
    for (text, shown) in [("08:05", "08:05:00"), ("08:05:00,5", "08:05:00.500"), ("T0805", "08:05:00")] {
        assert_eq!(read_by("time(ms)", Reading::default(), &format!("\"{text}\"")).as_deref(), Ok(shown));
    }
}

#[test]
fn what_could_be_another_moment_or_none_is_a_reject() {
    for text in [
        "2026-01-31",
        "20260131",
        "2026-1-31T08:00Z",
        "26-01-31T08:00Z",
        "2026-01-31T8:00Z",
        "2026-01-31T08:0Z",
        "2026-01-31T08:00:0Z",
        "2026-01-31T08:0000Z",
        "2026-01-31T08.5Z",
        "2026-01-31T08:00.5Z",
        "2026-01-31T08:00:00.Z",
        "2026-01-31T08:00:00.0000000001Z",
        "2026-01-31T24:00:01Z",
        "2026-01-31T24:01Z",
        "2026-01-31T23:59:60Z",
        "2026-01-31T08:00+1",
        "2026-01-31T08:00+01:",
        "2026-01-31T08:00+24:00",
        "2026-01-31T08:00 CET",
        "2026-01-31T08:00UTC",
        "2026-01-31T08:00Z ",
        " 2026-01-31T08:00Z",
        "2026-01-31T08:00+01:00[Europe/Berln]",
        "2026-01-31T08:00+02:00[Europe/Berlin]",
        "2026-03-29T02:30[Europe/Berlin]",
        "2026-01-31T08:00Z[]",
        "2026-W54-1T08:00Z",
        "2026-W05-8T08:00Z",
        "2026-W05T08:00Z",
        "2026-366T08:00Z",
        "2026-000T08:00Z",
        "2026-02-30T08:00Z",
        "31.01.2026 08:00",
        "1769846400000",
        "é026-01-31T08:00Z",
        "2026-01-31Té8:00Z",
        "2026-é1-31T08:00Z",
    ] {
        let found = millis("timestamp(ms, UTC)", Reading::default(), text).unwrap_err();
        assert!(found.contains("no time as in"), "{text}: {found}");
    }
    for text in ["0805", "08", "8:05", "08:05Z", "24:00", "08:5", "T", ""] {
        assert!(read_by("time(ms)", Reading::default(), &format!("\"{text}\"")).is_err(), "{text}");
    }
    for text in ["2026", "202601", "2026031", "2026-W05", "2020-W54-1", "2026-01-31T00:00:00", ""] {
        assert!(read_by("date", Reading::default(), &format!("\"{text}\"")).is_err(), "{text}");
    }
}

#[test]
fn a_time_without_an_offset_is_of_the_columns_zone() {
    let berlin = || reading("Europe/Berlin", "", false);
    for (type_name, by) in
        [("timestamp(ms, UTC)", berlin()), ("timestamp(ms, Europe/Berlin)", Reading::default())]
    {
        let read = |text: &str| millis(type_name, by.clone(), text);
        assert_eq!(read("2026-01-31T09:00:00"), Ok(MOMENT));
        assert_eq!(read("2026-01-31 09:00"), Ok(MOMENT));
        assert_eq!(read("2026-01-31T08:00:00Z"), Ok(MOMENT), "an offset wins");
        assert_eq!(read("2026-07-31T10:00:00"), Ok(1_785_484_800_000));
        // What the clock shows twice is the first; what it skips, nothing.
        assert_eq!(read("2026-10-25T02:30:00"), millis(type_name, by.clone(), "2026-10-25T02:30:00+02:00"));
        assert!(read("2026-03-29T02:30:00").unwrap_err().contains("never showed"));
        assert_eq!(read("9999-12-31T23:59:59"), millis(type_name, by.clone(), "9999-12-31T22:59:59Z"));
    }
    // The column's own zone wins over the type's, in which readers show it.
    let tokyo = reading("Asia/Tokyo", "", false);
    assert_eq!(millis("timestamp(ms, Europe/Berlin)", tokyo, "2026-01-31T17:00:00"), Ok(MOMENT));
    assert_eq!(millis("timestamp(ms, UTC)", reading("+01:00", "", false), "2026-01-31T09:00:00"), Ok(MOMENT));
    assert_eq!(millis("timestamp(ms, UTC)", reading("UTC", "", false), "2026-01-31T08:00:00"), Ok(MOMENT));
    let none = millis("timestamp(ms, UTC)", Reading::default(), "2026-01-31T08:00:00").unwrap_err();
    assert!(none.contains("no offset") && none.contains("zone:"), "{none}");
}

#[test]
fn a_format_says_how_texts_are_written() {
    let by = |zone: &str, format: &str| reading(zone, format, false);
    for (zone, format, text) in [
        ("Europe/Berlin", "%d.%m.%Y %H:%M", "31.01.2026 09:00"),
        ("UTC", "%d/%m/%y %I:%M %p", "31/01/26 08:00 AM"),
        ("", "%b %d %Y %H:%M:%S%.f %z", "Jan 31 2026 09:00:00.000 +0100"),
        ("", "%Y%m%d %H%M%S %Q", "20260131 090000 Europe/Berlin"),
        ("", "%s", "1769846400"),
    ] {
        assert_eq!(millis("timestamp(ms, UTC)", by(zone, format), text), Ok(MOMENT), "{format}");
        let iso = millis("timestamp(ms, UTC)", by(zone, format), "2026-01-31T08:00:00Z");
        assert!(iso.unwrap_err().contains("not of the column's format"), "{format}");
    }
    let berlin = || by("Europe/Berlin", "%d.%m.%Y %H:%M:%S%.f");
    let read = |text: &str| millis("timestamp(ms, UTC)", berlin(), text);
    assert_eq!(read("31.12.1969 23:59:59.5"), Ok(-3_600_500));
    assert!(read("31.01.2026 09:00:00.1234").unwrap_err().contains("lose digits"));
    assert!(read("31.12.2016 23:59:60").unwrap_err().contains("leap second"));
    assert!(read("29.03.2026 02:30:00").unwrap_err().contains("never showed"));
    assert!(read("31.02.2026 02:30:00").is_err());
    let number = read_by("timestamp(ms, UTC)", berlin(), "1769846400000");
    assert_eq!(number.as_deref(), Ok("2026-01-31T08:00:00Z"), "a number is a number");
    assert_eq!(read_by("date", by("", "%d.%m.%Y"), "\"31.01.2026\"").as_deref(), Ok("2026-01-31"));
    assert_eq!(read_by("date", by("", "%m/%d/%Y"), "\"12/31/1969\"").as_deref(), Ok("1969-12-31"));
    assert!(read_by("date", by("", "%d.%m.%Y"), "\"31.01.0000\"").is_err());
    assert_eq!(read_by("time(s)", by("", "%I:%M %p"), "\"11:30 PM\"").as_deref(), Ok("23:30:00"));
    let nested = read_by("list<struct<at: date>>", by("", "%d.%m.%Y"), "[{\"at\": \"31.01.2026\"}]");
    assert_eq!(nested.as_deref(), Ok("[{at: 2026-01-31}]"));
}

#[test]
fn a_lenient_column_takes_numbers_and_bools_out_of_strings() {
    let lenient = || reading("", "", true);
    for (type_name, value, shown) in [
        ("int32", "\"-123\"", "-123"),
        ("int32", "7", "7"),
        ("uint8", "\"255\"", "255"),
        ("double", "\"1.5\"", "1.5"),
        ("double", "\"-Infinity\"", "-inf"),
        ("float", "\"NaN\"", "NaN"),
        ("bool", "\"true\"", "true"),
        ("bool", "\"False\"", "false"),
        ("bool", "1", "true"),
        ("bool", "\"0\"", "false"),
        ("string", "5", "5"),
        ("string", "1.50", "1.50"),
        ("string", "true", "true"),
        ("string", "\"x\"", "x"),
        ("date", "\"1\"", "1970-01-02"),
        ("date", "\"20260131\"", "2026-01-31"),
        ("time(ms)", "\"1000\"", "00:00:01"),
        ("timestamp(ms, UTC)", "\"1769846400000\"", "2026-01-31T08:00:00Z"),
        ("timestamp(s)", "\"-1\"", "1969-12-31T23:59:59"),
        ("list<int16>", "[\"1\", 2, null]", "[1, 2, ]"),
        ("map<string, struct<n: int8>>", "{\"a\": {\"n\": \"3\"}}", "{a: {n: 3}}"),
    ] {
        assert_eq!(read_by(type_name, lenient(), value).as_deref(), Ok(shown), "{type_name} of {value}");
    }
    for (type_name, value) in [
        ("int64", "\"1.5\""),
        ("int64", "\"\""),
        ("int64", "\" 1\""),
        ("int64", "\"0x1\""),
        ("int64", "true"),
        ("uint8", "\"256\""),
        ("double", "\"1e400\""),
        ("double", "\"9007199254740993\""),
        ("double", "\"nan\""),
        ("bool", "2"),
        ("bool", "\"yes\""),
        ("bool", "0.5"),
        ("string", "{}"),
        ("string", "[1]"),
        ("timestamp(ms, UTC)", "\"\""),
        ("timestamp(ms, UTC)", "\"1.5\""),
        ("timestamp(ms, UTC)", "\"-\""),
    ] {
        assert!(read_by(type_name, lenient(), value).is_err(), "{type_name} of {value}");
        assert!(read_by(type_name, Reading::default(), value).is_err(), "{type_name} of {value}");
    }
}

#[test]
fn times_lie_in_the_years_that_readers_hold_in_every_spelling() {
    let (first, last) = (-62_135_596_800_i64, 253_402_300_799_i64);
    for (unit, per_second) in [("s", 1), ("ms", 1_000), ("us", 1_000_000)] {
        for zone in ["", ", UTC"] {
            let type_name = format!("timestamp({unit}{zone})");
            let read = |value: &str| read_by(&type_name, Reading::default(), value);
            let z = if zone.is_empty() { "" } else { "Z" };
            for (number, text) in [
                (first * per_second, format!("0001-01-01T00:00:00{z}")),
                (last * per_second, format!("9999-12-31T23:59:59{z}")),
            ] {
                assert_eq!(read(&number.to_string()).unwrap(), text);
                assert_eq!(read(&format!("\"{text}\"")).unwrap(), text);
            }
            for outside in [first * per_second - 1, (last + 1) * per_second, i64::MIN, i64::MAX] {
                assert!(read(&outside.to_string()).unwrap_err().contains("out of the range"), "{outside}");
            }
            for outside in [format!("\"0000-12-31T23:59:59{z}\""), format!("\"9999-12-31T24:00:00{z}\"")] {
                assert!(read(&outside).unwrap_err().contains("out of the range"), "{outside}");
            }
        }
    }
    // What comes as nanoseconds into a column of milliseconds is no row.
    assert!(read_by("timestamp(ms, UTC)", Reading::default(), "1700000000000000000").is_err());
    for (value, is_row) in [("-719162", true), ("-719163", false), ("2932896", true), ("2932897", false)] {
        assert_eq!(read_by("date", Reading::default(), value).is_ok(), is_row, "{value}");
    }
    // Some readers show a moment by the clock of its type's zone, which then must have that year too.
    for (zone, text, is_row) in [
        ("Europe/Berlin", "9999-12-31T22:59:59Z", true),
        ("Europe/Berlin", "9999-12-31T23:00:00Z", false),
        ("America/New_York", "0001-01-01T04:56:02Z", true),
        ("America/New_York", "0001-01-01T04:00:00Z", false),
        ("+14:00", "9999-12-31T09:59:59Z", true),
        ("+14:00", "9999-12-31T10:00:00Z", false),
    ] {
        let read = millis(&format!("timestamp(ms, {zone})"), Reading::default(), text);
        assert_eq!(read.is_ok(), is_row, "{text} in {zone}: {read:?}");
    }
}

proptest! {
    #[test]
    fn what_is_taken_for_a_time_is_one_in_microseconds_too(
        value in prop_oneof![any::<i64>(), -400_000_000_000_000_000..400_000_000_000_000_000_i64],
        shift in 0_u32..60,
        text in "[0-9]{4}-(0[0-9]|1[0-3])-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?([+-][0-2][0-9]:[0-5][0-9])?",
    ) {
        for type_name in ["date", "timestamp(s)", "timestamp(ms)", "timestamp(us, UTC)", "timestamp(ns, UTC)",
            "timestamp(ms, Asia/Tokyo)", "timestamp(s, America/New_York)"] {
            for value in [(value >> shift).to_string(), format!("\"{text}\"")] {
                let mut decoder = json(&[column("v", type_name)]);
                if append(&mut decoder, format!(r#"{{"v": {value}}}"#)).is_err() {
                    continue;
                }
                let batch = decoder.finish();
                let array = batch.column(0);
                let (number, per_unit) = match array.data_type() {
                    DataType::Date32 => {
                        (i64::from(array.as_primitive::<Date32Type>().value(0)), 86_400_000_000)
                    }
                    DataType::Timestamp(TimeUnit::Millisecond, _) => {
                        (array.as_primitive::<TimestampMillisecondType>().value(0), 1_000)
                    }
                    DataType::Timestamp(TimeUnit::Microsecond, _) => {
                        (array.as_primitive::<TimestampMicrosecondType>().value(0), 1)
                    }
                    // Its whole range lies within that of microseconds.
                    _ => continue,
                };
                let micros = number.checked_mul(per_unit);
                prop_assert!(micros.is_some_and(|micros| micros / per_unit == number), "{type_name} of {value}");
                let day = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0)
                    + jiff::SignedDuration::from_micros(micros.unwrap());
                prop_assert!((1..=9999).contains(&day.year()), "{type_name} of {value}");
            }
        }
    }
}
