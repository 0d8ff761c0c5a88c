//! Records whose size or width is the point; each has its number as `id`.

use std::fmt::Write;

use super::{Kind, Random, SEED, mix};

const WIDE_COLUMNS: usize = 200;
const LARGE_BYTES: usize = 1 << 20;

/// An id, and strings, whole numbers and floats in turn.
pub(super) fn wide_columns() -> Vec<(String, &'static str)> {
    let kinds = ["string", "int64", "double"];
    let rest = (1..WIDE_COLUMNS).map(|column| (format!("c{column}"), kinds[column % kinds.len()]));
    std::iter::once(("id".to_owned(), "int64")).chain(rest).collect()
}

/// Appends record `number` of a kind.
pub(super) fn write(kind: Kind, number: u64, json: &mut String) {
    let mut random = Random(mix(SEED ^ mix(number)));
    let _ = write!(json, r#"{{"id":{number}"#);
    match kind {
        Kind::Wide => {
            for (name, kind) in wide_columns().iter().skip(1) {
                let value = random.below(100_000);
                let _ = match *kind {
                    "string" => write!(json, r#","{name}":"value {value}""#),
                    "int64" => write!(json, r#","{name}":{value}"#),
                    _ => write!(json, r#","{name}":{:?}"#, value as f64 / 64.0),
                };
            }
        }
        Kind::Large => {
            json.push_str(r#","body":""#);
            while json.len() < LARGE_BYTES - 18 {
                let _ = write!(json, "{:016x}", mix(random.below(1 << 32)));
            }
            json.push('"');
        }
        _ => {
            let (name, value) = (random.below(1 << 20), random.below(10_000) as f64 / 100.0);
            let _ = write!(json, r#","name":"n{name:07}","value":{value:.2}"#);
        }
    }
    json.push('}');
}
