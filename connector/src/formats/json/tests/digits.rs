//! Numbers and times at random, to the last digit: against their digits moved by hand, and against `jiff`.
//! The other types are held against other readers of JSON by the tests of whole documents.

use proptest::prelude::*;

use super::*;

/// The digits before and behind the point, written out.
fn written_out(number: &str) -> (String, String) {
    let unsigned = number.trim_start_matches(['-', '+']);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap();
    let (mut whole, mut fraction) = (whole.to_owned(), fraction.to_owned());
    for _ in 0..exponent {
        whole.push(if fraction.is_empty() { '0' } else { fraction.remove(0) });
    }
    for _ in exponent..0 {
        fraction.insert(0, whole.pop().unwrap_or('0'));
    }
    (whole, fraction)
}

/// The number times ten to the scale, if that is an integer of at most 38 digits.
fn exact(number: &str, scale: usize) -> Option<i128> {
    let (whole, mut fraction) = written_out(number);
    while fraction.len() < scale {
        fraction.push('0');
    }
    let (kept, lost) = fraction.split_at(scale);
    let digits = format!("{whole}{kept}");
    let digits = digits.trim_start_matches('0');
    let magnitude: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let fits = lost.bytes().all(|digit| digit == b'0') && digits.len() <= 38;
    fits.then_some(if number.starts_with('-') { -magnitude } else { magnitude })
}

/// The value of a column of the type that a JSON value becomes; `None` for a reject.
fn read<T: ArrowPrimitiveType>(type_name: &str, value: &str) -> Option<T::Native> {
    let mut decoder = json(&[column("v", type_name)]);
    let appended = append(&mut decoder, format!(r#"{{"v": {value}}}"#));
    let batch = decoder.finish();
    assert_eq!(batch.num_rows(), usize::from(appended.is_ok()), "{value}");
    appended.ok().map(|()| batch.column(0).as_primitive::<T>().value(0))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i8>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<i32>().prop_map(|value| format!("{value}.0")),
        any::<f64>()
            .prop_filter("JSON has no others", |value| value.is_finite())
            .prop_map(|value| format!("{value:?}")),
        "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,6})?",
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?",
        "-?(0|[1-9][0-9]?)(\\.[0-9]{1,3}0{0,3})?([eE][+-]?0?[0-9])?",
    ]
}

/// A moment as people write it, with up to nine digits of the second and any offset.
fn moment() -> impl Strategy<Value = String> {
    let parts = (-60_000_000_000_i64..60_000_000_000, 0..1_000_000_000_i32, 0..10_u32, -1439..1440_i32);
    parts.prop_map(|(seconds, nanos, digits, offset)| {
        let coarse = 10_i32.pow(9 - digits);
        let nanos = nanos / coarse * coarse;
        let moment = jiff::Timestamp::new(seconds, nanos).unwrap();
        moment.display_with_offset(jiff::tz::Offset::from_seconds(offset * 60).unwrap()).to_string()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn numbers_are_exact_or_rejected(number in number()) {
        for (type_name, digits, scale) in [("decimal(20,4)", 20, 4), ("decimal(38,10)", 38, 10)] {
            let bound = 10_i128.pow(digits) - 1;
            let expected = exact(&number, scale).filter(|value| (-bound..=bound).contains(value));
            prop_assert_eq!(read::<Decimal128Type>(type_name, &number), expected, "{}", type_name);
            prop_assert_eq!(read::<Decimal128Type>(type_name, &format!("\"{number}\"")), expected, "text");
        }
        let whole = exact(&number, 0);
        let expected = whole.and_then(|value| i64::try_from(value).ok());
        prop_assert_eq!(read::<Int64Type>("int64", &number), expected);
        let years = -62_135_596_800_000_000..253_402_300_800_000_000_i64;
        let in_years = expected.filter(|value| years.contains(value));
        prop_assert_eq!(read::<TimestampMicrosecondType>("timestamp(us, UTC)", &number), in_years);
        prop_assert_eq!(read::<UInt64Type>("uint64", &number), whole.and_then(|value| u64::try_from(value).ok()));
    }

    #[test]
    fn times_are_exact_or_rejected(moment in moment()) {
        let nanos = moment.parse::<jiff::Timestamp>().unwrap().as_nanosecond();
        let expected = (nanos % 1000 == 0).then_some((nanos / 1000) as i64);
        prop_assert_eq!(read::<TimestampMicrosecondType>("timestamp(us, UTC)", &format!("\"{moment}\"")), expected);
    }

    #[test]
    fn texts_that_are_no_number_are_rejected(text in "[-+.eE ]{0,3}") {
        prop_assert_eq!(read::<Decimal128Type>("decimal(20,4)", &format!("\"{text}\"")), None);
    }
}
