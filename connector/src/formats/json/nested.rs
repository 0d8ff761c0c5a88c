//! Columns of values that hold others: struct, list and map.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};

use super::column::{Column, KeyValues, Values};
use super::flaw::Flaw;
use super::names::{Names, Watch};
use super::scalar;
use super::scan::{Scanner, Token};
use crate::columns::Reading;
use crate::columns::path;
use crate::formats::Unmatched;

#[derive(Debug)]
pub(super) struct Struct {
    fields: Fields,
    names: Names,
    /// One a field, of equal length; the grammar has no struct without fields.
    members: Vec<Column>,
}

impl Struct {
    pub(super) fn new(fields: &Fields, reading: &Reading, watch: Watch) -> Self {
        let names = Names::new(fields.iter().map(|field| field.name().as_str()), watch);
        let members = fields.iter().map(|field| Column::new(field, reading, watch)).collect();
        Self { fields: fields.clone(), names, members }
    }
}

impl Values for Struct {
    fn read(&mut self, token: Token, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        if token != Token::Object {
            return Err(Flaw::mismatch("an object", token.name()));
        }
        let len = self.members[0].len();
        let mut more = json.open_object()?;
        let (mut ordinal, mut read) = (0, 0);
        while more {
            let found = self.names.find(ordinal, json)?;
            match found.and_then(|index| Some((index, self.members.get_mut(index)?))) {
                Some((index, member)) => {
                    let result = if member.len() == len { member.read(json) } else { Err(Flaw::twice()) };
                    result.map_err(|flaw| flaw.member(self.fields[index].name()))?;
                    read += 1;
                }
                None => self.names.pass(found, "", json)?,
            }
            ordinal += 1;
            more = json.next_member()?;
        }
        if read < self.members.len() {
            self.members.iter_mut().filter(|member| member.len() == len).for_each(Column::null);
        }
        Ok(())
    }

    fn null(&mut self) {
        self.members.iter_mut().for_each(Column::null);
    }

    fn truncate(&mut self, len: usize) {
        self.members.iter_mut().for_each(|member| member.truncate(len));
    }

    fn bytes(&self) -> usize {
        self.members.iter().map(Column::bytes).sum()
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let members = self.members.iter_mut().map(Column::finish).collect();
        Arc::new(StructArray::new(self.fields.clone(), members, nulls))
    }

    fn unmatched(&self, place: &str, out: &mut Unmatched) {
        self.names.unmatched(&format!("{place}."), out);
        for (field, member) in self.fields.iter().zip(&self.members) {
            member.unmatched(&format!("{place}.{}", path::quoted(field.name())), out);
        }
    }
}

/// Where the values of each row end in a column below.
#[derive(Debug)]
struct Offsets(Vec<i32>);

impl Offsets {
    fn new() -> Self {
        Self(vec![0])
    }

    fn push(&mut self, end: usize) -> Result<(), Flaw> {
        let end =
            i32::try_from(end).map_err(|_| Flaw::new("a batch with more than 2^31 values of the column"))?;
        self.0.push(end);
        Ok(())
    }

    fn last(&self) -> usize {
        self.0.last().map_or(0, |&end| end as usize)
    }

    fn push_empty(&mut self) {
        self.0.extend_from_within(self.0.len() - 1..);
    }

    /// Keeps `len` rows, and says how many values they have.
    fn truncate(&mut self, len: usize) -> usize {
        self.0.truncate(len + 1);
        self.last()
    }

    fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }

    fn finish(&mut self) -> OffsetBuffer<i32> {
        let mut next = Vec::with_capacity(self.0.len());
        next.push(0);
        OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.0, next)))
    }
}

#[derive(Debug)]
pub(super) struct List {
    field: FieldRef,
    elements: Column,
    offsets: Offsets,
}

impl List {
    pub(super) fn new(element: &FieldRef, reading: &Reading, watch: Watch) -> Self {
        Self {
            field: element.clone(),
            elements: Column::new(element, reading, watch),
            offsets: Offsets::new(),
        }
    }
}

impl Values for List {
    fn read(&mut self, token: Token, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        if token != Token::Array {
            return Err(Flaw::mismatch("an array", token.name()));
        }
        let start = self.elements.len();
        let mut more = json.open_array()?;
        while more {
            let index = self.elements.len() - start;
            self.elements.read(json).map_err(|flaw| flaw.index(index))?;
            more = json.next_element()?;
        }
        self.offsets.push(self.elements.len())
    }

    fn null(&mut self) {
        self.offsets.push_empty();
    }

    fn truncate(&mut self, len: usize) {
        self.elements.truncate(self.offsets.truncate(len));
    }

    fn bytes(&self) -> usize {
        self.elements.bytes() + self.offsets.bytes()
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(ListArray::new(self.field.clone(), self.offsets.finish(), self.elements.finish(), nulls))
    }

    fn unmatched(&self, place: &str, out: &mut Unmatched) {
        self.elements.unmatched(&format!("{place}[]"), out);
    }
}

#[derive(Debug)]
pub(super) struct Map {
    /// The struct of key and value.
    field: FieldRef,
    pair: Fields,
    keys: Box<dyn KeyValues>,
    /// Whether a value of the keys' type is a string in JSON anyway, as keys are.
    keys_are_strings: bool,
    values: Column,
    offsets: Offsets,
    /// Entries of one row in the order of their keys; kept for its memory.
    sorted: Vec<usize>,
}

impl Map {
    pub(super) fn new(entries: &FieldRef, reading: &Reading, watch: Watch) -> Self {
        let DataType::Struct(pair) = entries.data_type() else {
            unreachable!("the entries of a map are a struct of key and value");
        };
        let keys_are_strings = match pair[0].data_type() {
            DataType::Boolean => false,
            DataType::Decimal128(..) => true,
            key => !key.is_numeric(),
        };
        Self {
            field: entries.clone(),
            pair: pair.clone(),
            keys: scalar::values(&pair[0], reading),
            keys_are_strings,
            values: Column::new(&pair[1], reading, watch),
            offsets: Offsets::new(),
            sorted: Vec::new(),
        }
    }

    fn read_key(&mut self, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        if self.keys_are_strings {
            return self.keys.read(Token::String, json);
        }
        let text = json.string()?;
        let mut json = Scanner::new(&text);
        let whole = |_| Flaw::new("the key is not of the map's type");
        let token = json.token().map_err(whole)?;
        self.keys.read(token, &mut json)?;
        if text.starts_with(char::is_whitespace) || json.position() != text.len() {
            return Err(Flaw::new("the key is not of the map's type"));
        }
        Ok(())
    }

    /// Whether a key of the row that begins with the entry `start` comes twice.
    fn has_twins(&mut self, start: usize) -> bool {
        self.sorted.clear();
        self.sorted.extend(start..self.values.len());
        self.sorted.sort_unstable_by(|&left, &right| self.keys.compare(left, right));
        self.sorted.windows(2).any(|pair| self.keys.compare(pair[0], pair[1]).is_eq())
    }
}

impl Values for Map {
    fn read(&mut self, token: Token, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        if token != Token::Object {
            return Err(Flaw::mismatch("an object", token.name()));
        }
        let start = self.offsets.last();
        let mut more = json.open_object()?;
        while more {
            let index = self.values.len() - start;
            json.key_with(|json| self.read_key(json)).map_err(|flaw| flaw.index(index))?;
            self.values.read(json).map_err(|flaw| flaw.index(index))?;
            more = json.next_member()?;
        }
        if self.has_twins(start) {
            return Err(Flaw::twice());
        }
        self.offsets.push(self.values.len())
    }

    fn null(&mut self) {
        self.offsets.push_empty();
    }

    fn truncate(&mut self, len: usize) {
        let len = self.offsets.truncate(len);
        self.keys.truncate(len);
        self.values.truncate(len);
    }

    fn bytes(&self) -> usize {
        self.keys.bytes() + self.values.bytes() + self.offsets.bytes()
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let pair =
            StructArray::new(self.pair.clone(), vec![self.keys.finish(None), self.values.finish()], None);
        Arc::new(MapArray::new(self.field.clone(), self.offsets.finish(), pair, nulls, false))
    }

    fn unmatched(&self, place: &str, out: &mut Unmatched) {
        self.values.unmatched(&format!("{place}.*"), out);
    }
}
