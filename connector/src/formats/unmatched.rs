//! What records have that no column asks for: by these a user sees that a column is called otherwise than its
//! member, or that a producer has a new one.

use std::collections::BTreeMap;

/// Members that are named; all are counted.
const NAMED: usize = 20;

/// Of a table, since it was last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// Members of objects that no column asks for.
    pub members: u64,
    /// Rows in which no column found anything, not even null. Tombstones are not among them.
    pub rows: u64,
    /// Some of those members by their paths, with a known one beside it that differs only in letter case.
    pub keys: BTreeMap<String, Option<String>>,
}

impl Unmatched {
    pub fn is_empty(&self) -> bool {
        self.members == 0 && self.rows == 0
    }

    pub fn merge(&mut self, other: Self) {
        self.members += other.members;
        self.rows += other.rows;
        other.keys.into_iter().for_each(|(path, like)| self.name(path, like));
    }

    /// Names a member, unless enough are.
    pub(super) fn name(&mut self, path: String, like: Option<String>) {
        if self.keys.len() < NAMED || self.keys.contains_key(&path) {
            self.keys.insert(path, like);
        }
    }

    /// The keys as a message names them.
    pub fn named(&self) -> String {
        let one = |(path, like): (&String, &Option<String>)| match like {
            Some(like) => format!("{path} (differs from `{like}` only in letter case)"),
            None => path.clone(),
        };
        self.keys.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
