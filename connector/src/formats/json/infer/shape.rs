//! What the values of a column have been like so far, and the narrowest type that
//! holds them all without loss.

use std::collections::{HashMap, HashSet};

use crate::columns;
use crate::formats::json::number::Number;
use crate::formats::json::time::Moment;

/// An object with more members is taken for a map of whatever keys there are, which
/// no list of names can hold.
const MAX_MEMBERS: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// Nothing but null.
    Null,
    Bool,
    /// An int64.
    Integer {
        /// Whether a double holds them as well.
        as_double: bool,
    },
    Double,
    /// A time with an offset.
    Moment {
        /// Of the second's fraction.
        digits: usize,
    },
    Text,
    List(Box<Shape>),
    /// In the order of first appearance, each name once.
    Object(Vec<(String, Shape)>),
    /// Values that only their own text holds.
    Json,
}

impl Shape {
    pub(super) fn number(number: &Number<'_>) -> Self {
        match number.integer() {
            Some(Some(integer)) => Self::Integer { as_double: integer.unsigned_abs() <= 1 << 53 },
            Some(None) => Self::Json,
            None => number.double().map_or(Self::Json, |_| Self::Double),
        }
    }

    pub(super) fn text(text: &str) -> Self {
        match Moment::parse(text) {
            // The name of a zone would be lost, which somebody wrote on purpose.
            Some(moment) if moment.has_offset && moment.is_in_range() && !text.ends_with(']') => {
                Self::Moment { digits: moment.digits }
            }
            _ => Self::Text,
        }
    }

    pub(super) fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, shape) | (shape, Self::Null) => shape,
            (Self::Bool, Self::Bool) => Self::Bool,
            (Self::Integer { as_double: left }, Self::Integer { as_double: right }) => {
                Self::Integer { as_double: left && right }
            }
            (Self::Double, Self::Double)
            | (Self::Double, Self::Integer { as_double: true })
            | (Self::Integer { as_double: true }, Self::Double) => Self::Double,
            (Self::Moment { digits: left }, Self::Moment { digits: right }) => {
                Self::Moment { digits: left.max(right) }
            }
            (Self::Text | Self::Moment { .. }, Self::Text | Self::Moment { .. }) => Self::Text,
            (Self::List(left), Self::List(right)) => Self::List(Box::new(left.merge(*right))),
            (Self::Object(left), Self::Object(right)) => Self::Object(merge_members(left, right)),
            _ => Self::Json,
        }
    }

    /// Whether some of it is text for the digits of its times alone.
    pub(super) fn has_nanoseconds(&self) -> bool {
        match self {
            Self::Moment { digits } => *digits > 6,
            Self::List(elements) => elements.has_nanoseconds(),
            Self::Object(members) => members.iter().any(|(_, shape)| shape.has_nanoseconds()),
            _ => false,
        }
    }

    /// In the grammar of the job file.
    pub(super) fn type_name(&self) -> String {
        match self {
            Self::Bool => "bool".to_owned(),
            Self::Integer { .. } => "int64".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Moment { digits: 0..=3 } => "timestamp(ms, UTC)".to_owned(),
            Self::Moment { digits: 4..=6 } => "timestamp(us, UTC)".to_owned(),
            // Nanoseconds are only written where they are asked for, as many readers refuse
            // them; text loses nothing.
            Self::Moment { .. } | Self::Text => "string".to_owned(),
            Self::List(elements) => format!("list<{}>", elements.type_name()),
            Self::Object(members) if (1..=MAX_MEMBERS).contains(&members.len()) && !has_twins(members) => {
                let member = |(name, shape): &(String, Self)| {
                    format!("{}: {}", columns::quoted(name), shape.type_name())
                };
                format!("struct<{}>", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
            Self::Object(_) | Self::Json | Self::Null => "json".to_owned(),
        }
    }

    /// Whether nothing has come yet that says what may come.
    pub(super) fn holds_nothing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::List(elements) => elements.holds_nothing(),
            Self::Object(members) => members.is_empty(),
            _ => false,
        }
    }
}

/// Names that differ only in letter case: a struct of them is none that every reader reads.
fn has_twins(members: &[(String, Shape)]) -> bool {
    let mut names = HashSet::new();
    !members.iter().all(|(name, _)| names.insert(name.to_lowercase()))
}

fn merge_members(mut left: Vec<(String, Shape)>, right: Vec<(String, Shape)>) -> Vec<(String, Shape)> {
    let mut by_name: HashMap<_, _> =
        left.iter().enumerate().map(|(index, (name, _))| (name.clone(), index)).collect();
    for (name, shape) in right {
        match by_name.get(&name) {
            Some(&index) => {
                let known = &mut left[index].1;
                *known = std::mem::replace(known, Shape::Null).merge(shape);
            }
            None => {
                by_name.insert(name.clone(), left.len());
                left.push((name, shape));
            }
        }
    }
    left
}
