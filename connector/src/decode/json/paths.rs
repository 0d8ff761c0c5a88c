//! Where in a record each column's value lies: the tree of the keys that the job's paths name.

use super::column::Column;
use super::flaw::Flaw;
use super::names::Names;
use super::scan::{Scanner, Token};
use crate::columns::ColumnError;
use crate::config;

/// The tree, and the record it is at.
#[derive(Debug)]
pub(super) struct Paths {
    root: Object,
    sources: Vec<Source>,
    /// Number of the record, also of those that were rejected.
    record: u64,
}

/// What to call a column and its place in an error.
#[derive(Debug)]
struct Source {
    column: String,
    path: String,
}

#[derive(Debug)]
struct Object {
    names: Names,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    /// Keys from the top, separated by dots.
    path: String,
    /// The record that it was last seen in.
    record: u64,
    /// Columns that take the value as a whole: almost always one.
    columns: Vec<usize>,
    /// Members that columns take out of the value.
    below: Option<Object>,
}

impl Paths {
    pub(super) fn new(columns: &[config::Column]) -> Result<Self, ColumnError> {
        let mut root = Object::new();
        let mut sources = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let keys = match &column.path {
                None => vec![column.name.as_str()],
                Some(path) => path.split('.').collect(),
            };
            if column.path.is_some() && keys.contains(&"") {
                return Err(ColumnError::new(
                    &column.name,
                    "a path is keys with one dot between two of them",
                ));
            }
            if keys.len() > super::scan::MAX_DEPTH {
                return Err(ColumnError::new(&column.name, "the path is deeper than a record may be"));
            }
            root.add(&keys, 1, index);
            sources.push(Source { column: column.name.clone(), path: keys.join(".") });
        }
        Ok(Self { root, sources, record: 0 })
    }

    /// Reads an object into the columns: those it has a value for grow by one.
    pub(super) fn read(&mut self, json: &mut Scanner<'_>, columns: &mut [Column]) -> Result<(), Flaw> {
        self.record += 1;
        self.root.read(json, &mut Target { columns, sources: &self.sources, record: self.record })
    }
}

struct Target<'a> {
    columns: &'a mut [Column],
    sources: &'a [Source],
    record: u64,
}

impl Object {
    fn new() -> Self {
        Self { names: Names::new(std::iter::empty()), members: Vec::new() }
    }

    /// Adds the path of the column `index`, whose first `depth` keys lead to a member of this object.
    fn add(&mut self, keys: &[&str], depth: usize, index: usize) {
        let member = self.names.add(keys[depth - 1]);
        if member == self.members.len() {
            let path = keys[..depth].join(".");
            self.members.push(Member { path, record: 0, columns: Vec::new(), below: None });
        }
        let member = &mut self.members[member];
        if depth == keys.len() {
            member.columns.push(index);
        } else {
            member.below.get_or_insert_with(Object::new).add(keys, depth + 1, index);
        }
    }

    fn read(&mut self, json: &mut Scanner<'_>, target: &mut Target<'_>) -> Result<(), Flaw> {
        let mut more = json.open_object()?;
        let mut ordinal = 0;
        while more {
            match self.names.find(ordinal, json)? {
                Some(index) => self.members[index].read(json, target)?,
                None => json.skip()?,
            }
            ordinal += 1;
            more = json.next_member()?;
        }
        Ok(())
    }
}

impl Member {
    #[inline]
    fn read(&mut self, json: &mut Scanner<'_>, target: &mut Target<'_>) -> Result<(), Flaw> {
        let name = |flaw: Flaw, index: usize| {
            flaw.column(&target.sources[index].column, &target.sources[index].path)
        };
        if std::mem::replace(&mut self.record, target.record) == target.record {
            return Err(match self.columns.first() {
                Some(&index) => name(Flaw::twice(), index),
                None => Flaw::twice().member(&self.path),
            });
        }
        let start = json.position();
        for &index in &self.columns {
            json.rewind(start);
            target.columns[index].read(json).map_err(|flaw| name(flaw, index))?;
        }
        let Some(below) = &mut self.below else { return Ok(()) };
        json.rewind(start);
        match json.token()? {
            Token::Null => json.null(),
            Token::Object => below.read(json, target),
            token => Err(Flaw::mismatch("an object", token.name()).member(&self.path)),
        }
    }
}
