//! Documents at random: by a schema mostly, with keys in any order, missing,
//! unknown, twice, or escaped; strings of every plane and escape, numbers in every
//! notation, nulls at every level; and some broken on purpose.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// The columns that all documents are read into.
pub(super) const COLUMNS: [(&str, &str); 11] = [
    ("b", "bool"),
    ("tiny", "int8"),
    ("i", "int"),
    ("l", "int64"),
    ("u", "uint64"),
    ("d", "double"),
    ("s", "string"),
    ("t", "string"),
    ("o", "struct<i: int, s: string, o: struct<d: double, b: bool>>"),
    ("ld", "list<double>"),
    ("lo", "list<struct<s: string, l: list<int>>>"),
];

/// A key, and what writes its value.
type Member<'a> = (&'static str, fn(&mut Writer<'a>));

/// Writes one document after the other.
pub(super) struct Writer<'a> {
    pub(super) random: &'a mut StdRng,
    pub(super) out: String,
}

impl<'a> Writer<'a> {
    fn one_in(&mut self, count: u32) -> bool {
        self.random.random_range(0..count) == 0
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.random_range(0..bound)
    }

    fn space(&mut self) {
        if self.one_in(12) {
            let space = [" ", "\n", "\t\r", "  "][self.below(4)];
            self.out.push_str(space);
        }
    }

    /// A document of [`COLUMNS`].
    pub(super) fn document(&mut self) {
        self.space();
        let members: [Member<'a>; 11] = [
            ("b", Self::bool),
            ("tiny", |w| w.integer(-128, 127)),
            ("i", |w| w.integer(i32::MIN.into(), i32::MAX.into())),
            ("l", |w| w.integer(i64::MIN.into(), i64::MAX.into())),
            ("u", |w| w.integer(0, u64::MAX.into())),
            ("d", Self::double),
            ("s", Self::string),
            ("t", Self::string),
            ("o", Self::object),
            ("ld", |w| w.list(Self::double)),
            ("lo", |w| w.list(Self::element)),
        ];
        self.members(&members);
        self.space();
    }

    fn object(&mut self) {
        self.members(&[
            ("i", |w| w.integer(i32::MIN.into(), i32::MAX.into())),
            ("s", Self::string),
            ("o", |w| w.members(&[("d", Self::double), ("b", Self::bool)])),
        ]);
    }

    fn element(&mut self) {
        self.members(&[
            ("s", Self::string),
            ("l", |w| w.list(|w| w.integer(i32::MIN.into(), i32::MAX.into()))),
        ]);
    }

    /// Members of an object: some missing, some unknown, seldom one twice, in order or shuffled.
    fn members(&mut self, known: &[Member<'a>]) {
        let mut order: Vec<Option<usize>> = (0..known.len()).filter(|_| !self.one_in(6)).map(Some).collect();
        while self.one_in(3) {
            order.push(None);
        }
        if self.one_in(150) {
            order.push(Some(self.below(known.len())));
        }
        if self.one_in(3) {
            for index in (1..order.len()).rev() {
                order.swap(index, self.below(index + 1));
            }
        }
        self.out.push('{');
        for (place, member) in order.into_iter().enumerate() {
            if place > 0 {
                self.out.push(',');
            }
            self.space();
            match member {
                Some(index) => {
                    self.text(known[index].0);
                    self.colon();
                    match self.below(300) {
                        0 => self.anything(2),
                        1..=25 => self.out.push_str("null"),
                        _ => known[index].1(self),
                    }
                }
                None => {
                    // Near the names of columns, and never one of them.
                    let key = ["B", "", "ss", "i ", "u\0", "é", "\u{1F30A}", "a long name of sixteen"]
                        [self.below(8)];
                    self.text(key);
                    self.colon();
                    self.anything(3);
                }
            }
            self.space();
        }
        self.out.push('}');
    }

    fn colon(&mut self) {
        self.space();
        self.out.push(':');
        self.space();
    }

    fn list(&mut self, element: fn(&mut Self)) {
        self.out.push('[');
        for index in 0..self.below(4) {
            if index > 0 {
                self.out.push(',');
            }
            self.space();
            if self.one_in(8) {
                self.out.push_str("null")
            } else {
                element(self)
            }
            self.space();
        }
        self.out.push(']');
    }

    fn bool(&mut self) {
        let text = ["true", "false"][self.below(2)];
        self.out.push_str(text);
    }

    /// Any value, up to so many levels.
    fn anything(&mut self, depth: usize) {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => self.out.push_str("null"),
            1 => self.bool(),
            2 => self.integer(i64::MIN.into(), i64::MAX.into()),
            3 => self.out.push_str(["0.5", "-12.25", "1e-7", "2.5E+3"][self.random.random_range(0..4)]),
            4 => self.string(),
            5 => {
                self.out.push('[');
                for index in 0..self.below(3) {
                    self.out.push_str(if index > 0 { "," } else { "" });
                    self.anything(depth - 1);
                }
                self.out.push(']');
            }
            _ => {
                self.out.push('{');
                for index in 0..self.below(3) {
                    self.out.push_str(if index > 0 { ",\"x\":" } else { "\"y\":" });
                    self.anything(depth - 1);
                }
                self.out.push('}');
            }
        }
    }

    /// Mostly an integer within the bounds; or just beyond them, or in another notation of at most 15 digits,
    /// which a reader that goes by way of a double still has right.
    fn integer(&mut self, low: i128, high: i128) {
        let value = match self.below(40) {
            0 => low,
            1 => high,
            2 if self.one_in(8) => low - 1,
            3 if self.one_in(8) => high + 1,
            4..10 => self.random.random_range(low.max(-999)..=high.min(999)),
            _ => self.random.random_range(low..=high),
        };
        if self.one_in(12) && value.abs() < 1_000_000 {
            let text = match self.below(4) {
                0 => format!("{value}.0"),
                1 => format!("{value}00e-2"),
                2 => format!("{value}.{}", self.below(10)),
                _ => format!("{}e{}", value / 1000, self.below(4)),
            };
            self.out.push_str(&text);
        } else if value == 0 && low < 0 && self.one_in(2) {
            self.out.push_str("-0");
        } else {
            self.out.push_str(&value.to_string());
        }
    }

    /// A double that neither overflows nor vanishes, in up to 40 digits; often 17, and just beside a half.
    fn double(&mut self) {
        let text = match self.below(8) {
            0 => self.random.random_range(-1_000_000..1_000_000_i32).to_string(),
            1 => format!("{:.2}", self.random.random_range(-1e4..1e4)),
            // Seldom one that the double would change.
            2 if self.one_in(8) => self.random.random::<u64>().to_string(),
            2 => (self.random.random::<u64>() >> 11 << self.below(12)).to_string(),
            // The shortest digits that say which double it is, and the same with 17 digits.
            3 | 4 => {
                let value = self.any_double();
                if self.one_in(2) { format!("{value:?}") } else { format!("{value:.16e}") }
            }
            // Exactly between two doubles, and just above it: an integer of 54 bits that ends with a one.
            5 => {
                let half = (1_u128 << 52 | u128::from(self.random.random::<u64>() >> 12)) << 1 | 1;
                let shift = self.below(60);
                let last = ["", ".0", ".0000000000000000000000000000001", "e0"][self.below(4)];
                format!("{}{last}", half << shift)
            }
            6 => {
                let digits: String =
                    (0..1 + self.below(40)).map(|_| (b'0' + self.below(10) as u8) as char).collect();
                let digits = digits.trim_start_matches('0');
                let digits = if digits.is_empty() { "0" } else { digits };
                let sign = ["", "-"][self.below(2)];
                format!("{sign}{digits}{}{}", ["e", "E", "e+", "e-"][self.below(4)], self.below(250))
            }
            _ => format!("{}.{}", self.below(100), self.random.random::<u64>()),
        };
        self.out.push_str(&text);
    }

    fn any_double(&mut self) -> f64 {
        loop {
            let value = f64::from_bits(self.random.random());
            if value.is_finite() && value.abs() > 1e-290 && value.abs() < 1e300 {
                return value;
            }
        }
    }

    fn string(&mut self) {
        let mut text = String::new();
        for _ in 0..[0, 3, 8, 17, 40][self.below(5)] {
            let symbol = match self.below(24) {
                0 => '"',
                1 => '\\',
                2 => char::from(self.below(32) as u8),
                3 => ['é', 'ß', '\u{7F}', '\u{80}', '\u{7FF}', '\u{800}'][self.below(6)],
                4 => ['\u{D7FF}', '\u{E000}', '\u{FFFF}', '\u{2028}', '水'][self.below(5)],
                5 => ['\u{10000}', '\u{10FFFF}', '\u{1F30A}'][self.below(3)],
                _ => char::from(b' ' + self.below(95) as u8),
            };
            text.push(symbol);
        }
        self.text(&text);
    }

    /// A string, with escapes where they must be and where they may be. Seldom half of a surrogate pair.
    fn text(&mut self, text: &str) {
        self.out.push('"');
        for symbol in text.chars() {
            let short = match symbol {
                '"' => Some('"'),
                '\\' => Some('\\'),
                '/' => Some('/'),
                '\u{8}' => Some('b'),
                '\u{c}' => Some('f'),
                '\n' => Some('n'),
                '\r' => Some('r'),
                '\t' => Some('t'),
                _ => None,
            };
            let must = symbol < ' ' || symbol == '"' || symbol == '\\';
            if !must && !self.one_in(20) {
                self.out.push(symbol);
            } else if let (Some(short), true) = (short, self.one_in(2)) {
                self.out.push('\\');
                self.out.push(short);
            } else {
                for unit in symbol.encode_utf16(&mut [0; 2]) {
                    let escape =
                        if self.one_in(2) { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") };
                    self.out.push_str(&escape);
                }
            }
        }
        if self.one_in(1000) {
            let half = ["\\ud800", "\\udc00", "\\ud800\\u0041", "\\udfff\\ud800", "\\ud83"][self.below(5)];
            self.out.push_str(half);
        }
        self.out.push('"');
    }
}

/// Breaks a document in up to three places: a byte changed, put in, left out, or the end cut off.
pub(super) fn break_it(bytes: &mut Vec<u8>, random: &mut impl Rng) {
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=bytes.len());
        let byte = match random.random_range(0..3) {
            0 => random.random(),
            _ => b"{}[]\",:\\eE+-.0123456789 ntfu\n"[random.random_range(0..29)],
        };
        match random.random_range(0..4) {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if random.random_range(0..4) == 0 => bytes.truncate(at),
            _ => bytes.insert(at, byte),
        }
    }
}
