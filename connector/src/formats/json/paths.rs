//! Where in a record each column's value lies: the tree of the keys that the job's paths name.

use super::column::Column;
use super::flaw::Flaw;
use super::names::{Names, Watch};
use super::scan::{Scanner, Token};
use crate::columns::{self, ColumnError, path};
use crate::formats::Unmatched;

/// The tree, and the record it is at.
#[derive(Debug)]
pub(super) struct Paths {
    root: Object,
    /// Columns that take the record as a whole.
    whole: Vec<usize>,
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
    /// Keys that lead here, each with a dot behind it.
    place: String,
    names: Names,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    /// Keys from the top, separated by dots.
    path: String,
    /// The record that it was last seen in.
    record: u64,
    /// The column that alone takes the value: almost always there is one.
    only: Option<usize>,
    /// Columns that take the value as a whole.
    columns: Vec<usize>,
    /// Members that columns take out of the value.
    below: Option<Object>,
}

impl Paths {
    /// Where the columns lie, and how each of them watches the members of its values:
    /// where another column takes some of them, it cannot tell.
    pub(super) fn new(columns: &[columns::Column], watch: Watch) -> Result<(Self, Vec<Watch>), ColumnError> {
        let mut root = Object::new(String::new());
        let (mut sources, mut whole) = (Vec::new(), Vec::new());
        for (index, column) in columns.iter().enumerate() {
            let keys = match &column.path {
                None => vec![column.name.clone()],
                Some(path) => path::keys(path).map_err(|(problem, remedy)| {
                    ColumnError::new(&column.name, format!("its path {problem}; {remedy}"))
                })?,
            };
            if keys.len() > super::scan::MAX_DEPTH {
                return Err(ColumnError::new(&column.name, "the path is deeper than a record may be"));
            }
            if keys.is_empty() {
                whole.push(index);
            } else {
                root.add(&keys, 1, index);
            }
            sources.push(Source {
                column: column.name.clone(),
                path: path::joined(keys.iter().map(String::as_str)),
            });
        }
        let mut watches = vec![watch; columns.len()];
        let is_shared = !whole.is_empty() && columns.len() > 1;
        root.watch(if is_shared { Watch::Off } else { watch }, &mut watches);
        Ok((Self { root, whole, sources, record: 0 }, watches))
    }

    /// Names members that no column asks for.
    pub(super) fn unmatched(&self, columns: &[Column], out: &mut Unmatched) {
        self.root.unmatched(out);
        for (source, column) in self.sources.iter().zip(columns) {
            column.unmatched(&source.path, out);
        }
    }

    /// Reads an object into the columns: those it has a value for grow by one. Whether
    /// these are all of them; if not, no column need have grown.
    #[inline]
    pub(super) fn read(&mut self, json: &mut Scanner<'_>, columns: &mut [Column]) -> Result<bool, Flaw> {
        self.record += 1;
        if !self.whole.is_empty() {
            let start = json.position();
            for &index in &self.whole {
                json.rewind(start);
                let Source { column, path } = &self.sources[index];
                columns[index].read(json).map_err(|flaw| flaw.column(column, path))?;
            }
            if self.root.members.is_empty() {
                return Ok(true);
            }
            json.rewind(start);
        }
        let (sources, record) = (&self.sources, self.record);
        let mut target = Target { columns, sources, record, is_full: true };
        self.root.read(json, &mut target)?;
        Ok(target.is_full)
    }
}

struct Target<'a> {
    columns: &'a mut [Column],
    sources: &'a [Source],
    record: u64,
    /// Whether no column lacks its value so far.
    is_full: bool,
}

impl Target<'_> {
    /// A flaw of the value that a column takes.
    #[cold]
    fn named(&self, index: usize, flaw: Flaw) -> Flaw {
        flaw.column(&self.sources[index].column, &self.sources[index].path)
    }
}

impl Object {
    fn new(place: String) -> Self {
        Self { place, names: Names::new(std::iter::empty(), Watch::Off), members: Vec::new() }
    }

    /// Adds the path of the column `index`, whose first `depth` keys lead to a member of this object.
    fn add(&mut self, keys: &[String], depth: usize, index: usize) {
        let member = self.names.add(&keys[depth - 1]);
        if member == self.members.len() {
            let path = path::joined(keys[..depth].iter().map(String::as_str));
            self.members.push(Member { path, record: 0, only: None, columns: Vec::new(), below: None });
        }
        let member = &mut self.members[member];
        if depth == keys.len() {
            member.columns.push(index);
        } else {
            let place = || format!("{}.", member.path);
            member.below.get_or_insert_with(|| Object::new(place())).add(keys, depth + 1, index);
        }
    }

    /// When all paths are there: what is taken by one column alone, or by none and only in parts, is watched.
    fn watch(&mut self, watch: Watch, of_columns: &mut [Watch]) {
        self.names.watch(watch);
        for member in &mut self.members {
            let takers = member.columns.len() + usize::from(member.below.is_some());
            let watch = if takers == 1 { watch } else { Watch::Off };
            member.only = member.columns.first().copied().filter(|_| takers == 1);
            member.columns.iter().for_each(|&column| of_columns[column] = watch);
            if let Some(below) = &mut member.below {
                below.watch(watch, of_columns);
            }
        }
    }

    fn unmatched(&self, out: &mut Unmatched) {
        self.names.unmatched(&self.place, out);
        self.members.iter().filter_map(|member| member.below.as_ref()).for_each(|below| below.unmatched(out));
    }

    fn read(&mut self, json: &mut Scanner<'_>, target: &mut Target<'_>) -> Result<(), Flaw> {
        let mut more = json.open_object()?;
        let (mut ordinal, mut passed) = (0, 0);
        while more {
            let found = self.names.find(ordinal, json)?;
            match found.and_then(|index| self.members.get_mut(index)) {
                Some(member) => member.read(json, target)?,
                None => {
                    self.names.pass(found, &self.place, json)?;
                    passed += 1;
                }
            }
            ordinal += 1;
            more = json.next_member()?;
        }
        // None of them came twice.
        target.is_full &= ordinal - passed == self.members.len();
        Ok(())
    }
}

impl Member {
    #[inline]
    fn read(&mut self, json: &mut Scanner<'_>, target: &mut Target<'_>) -> Result<(), Flaw> {
        if std::mem::replace(&mut self.record, target.record) == target.record {
            return Err(match self.columns.first() {
                Some(&index) => target.named(index, Flaw::twice()),
                None => Flaw::twice().member(&self.path),
            });
        }
        match self.only {
            Some(index) => target.columns[index].read(json).map_err(|flaw| target.named(index, flaw)),
            None => self.read_by_many(json, target),
        }
    }

    #[inline(never)]
    fn read_by_many(&mut self, json: &mut Scanner<'_>, target: &mut Target<'_>) -> Result<(), Flaw> {
        let start = json.position();
        for &index in &self.columns {
            json.rewind(start);
            target.columns[index].read(json).map_err(|flaw| target.named(index, flaw))?;
        }
        let Some(below) = &mut self.below else { return Ok(()) };
        json.rewind(start);
        match json.token()? {
            Token::Null => {
                target.is_full = false;
                json.null()
            }
            Token::Object => below.read(json, target),
            token => Err(Flaw::mismatch("an object", token.name()).member(&self.path)),
        }
    }
}
