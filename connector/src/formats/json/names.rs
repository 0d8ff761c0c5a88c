//! The names of an object's known members, found by guessing: producers keep the
//! order of their keys, so a key is compared in place with the one that stood there
//! in the record before, and looked up only when that fails.
//!
//! Some of the names that nobody asks for are kept as well, behind those that are:
//! to be told, and to be guessed.

use std::collections::HashMap;

use super::flaw::Flaw;
use super::infer::shortened;
use super::scan::Scanner;
use crate::columns::path;
use crate::formats::Unmatched;

/// Members after this many are not guessed.
const MAX_GUESSES: usize = 1024;
/// Names kept of members that nobody asks for, and the longest of them.
const MAX_UNASKED: usize = 64;
const MAX_UNASKED_BYTES: usize = 256;

/// What to do with members that nobody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::formats) enum Watch {
    /// Nothing: another column may ask for them.
    Off,
    Count,
    Reject,
}

#[derive(Debug)]
pub(super) struct Names {
    by_name: HashMap<Box<str>, usize>,
    quoted: Vec<Quoted>,
    /// By the place in the object: the member that stood there last.
    guesses: Vec<usize>,
    watch: Watch,
    /// Those that nobody asks for; their indexes follow those of the others.
    unasked: Vec<Box<str>>,
}

impl Names {
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n str>, watch: Watch) -> Self {
        let (quoted, guesses, unasked) = (Vec::new(), Vec::new(), Vec::new());
        let mut this = Self { by_name: HashMap::new(), quoted, guesses, watch, unasked };
        names.for_each(|name| {
            this.add(name);
        });
        this
    }

    /// The index of `name`, which is new or known.
    pub(super) fn add(&mut self, name: &str) -> usize {
        let next = self.quoted.len();
        let index = *self.by_name.entry(name.into()).or_insert(next);
        if index == next {
            self.quoted.push(Quoted::of(name));
            self.guesses.push(index);
        }
        index
    }

    pub(super) fn watch(&mut self, watch: Watch) {
        self.watch = watch;
    }

    /// Consumes the key of the member at the place `ordinal`, up to its value: which member it is. One that
    /// nobody asks for has an index beyond all others, or none.
    #[inline]
    pub(super) fn find(&mut self, ordinal: usize, json: &mut Scanner<'_>) -> Result<Option<usize>, Flaw> {
        if let Some(&guess) = self.guesses.get(ordinal)
            && json.guessed_key(&self.quoted[guess])?
        {
            return Ok(Some(guess));
        }
        self.look_up(ordinal, json)
    }

    fn look_up(&mut self, ordinal: usize, json: &mut Scanner<'_>) -> Result<Option<usize>, Flaw> {
        // One that is no text is nobody's.
        let found = match json.key()? {
            None => None,
            Some(key) => match self.by_name.get(&*key) {
                Some(&index) => Some(index),
                None => self.keep(&key),
            },
        };
        if let Some(index) = found
            && ordinal < MAX_GUESSES
        {
            let len = self.guesses.len().max(ordinal + 1);
            self.guesses.resize(len, index);
            self.guesses[ordinal] = index;
        }
        Ok(found)
    }

    /// Keeps a name that nobody asks for.
    fn keep(&mut self, name: &str) -> Option<usize> {
        if self.unasked.len() >= MAX_UNASKED || name.len() > MAX_UNASKED_BYTES {
            return None;
        }
        let index = self.quoted.len();
        self.by_name.insert(name.into(), index);
        self.quoted.push(Quoted::of(name));
        self.unasked.push(name.into());
        Some(index)
    }

    /// Passes over the value of a member of the object at `place` that nobody asks for;
    /// `found` is what [`Self::find`] gave.
    #[inline]
    pub(super) fn pass(&self, found: Option<usize>, place: &str, json: &mut Scanner<'_>) -> Result<(), Flaw> {
        match self.watch {
            Watch::Off => {}
            Watch::Count => json.unmatched += 1,
            Watch::Reject => return Err(self.unasked_flaw(found, place)),
        }
        json.skip()
    }

    #[cold]
    fn unasked_flaw(&self, found: Option<usize>, place: &str) -> Flaw {
        let asked = self.quoted.len() - self.unasked.len();
        let name = found.and_then(|index| self.unasked.get(index.checked_sub(asked)?));
        let flaw = Flaw::new("no column asks for this member, and format.unknown is reject");
        let name = name.map_or_else(|| "(a member)".to_owned(), |name| shortened(&path::quoted(name)));
        flaw.member(&format!("{place}{name}"))
    }

    /// Names those that nobody asks for, with what lies beside them and differs only in letter case.
    pub(super) fn unmatched(&self, place: &str, out: &mut Unmatched) {
        if self.watch == Watch::Off {
            return;
        }
        let asked = self.quoted.len() - self.unasked.len();
        for name in &self.unasked {
            let lower = name.to_lowercase();
            let mut beside = self.by_name.iter().filter(|(_, index)| **index < asked);
            let like = beside.find(|(known, _)| known.to_lowercase() == lower);
            let path = format!("{place}{}", shortened(&path::quoted(name)));
            out.name(path, like.map(|(known, _)| shortened(known)));
        }
    }
}

/// A name with its closing quote, as it stands in a record.
#[derive(Debug)]
pub(super) struct Quoted {
    text: Box<[u8]>,
    /// Its first bytes, and which bits they are.
    head: u128,
    mask: u128,
}

impl Quoted {
    fn of(name: &str) -> Self {
        let plain = name.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
        // What needs an escape is never guessed: 0xFF stands in no text.
        Self::new(if plain { [name.as_bytes(), b"\""].concat() } else { vec![0xFF] })
    }

    fn new(text: Vec<u8>) -> Self {
        let mut head = [0; 16];
        let mut mask = [0; 16];
        for (index, &byte) in text.iter().enumerate().take(16) {
            head[index] = byte;
            mask[index] = 0xFF;
        }
        Self { text: text.into(), head: u128::from_ne_bytes(head), mask: u128::from_ne_bytes(mask) }
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether `bytes` start with it. One comparison of a machine word, where a call
    /// would cost more than the rest.
    #[inline]
    pub(super) fn starts(&self, bytes: &[u8]) -> bool {
        match bytes.first_chunk() {
            Some(head) if self.text.len() <= 16 => (u128::from_ne_bytes(*head) ^ self.head) & self.mask == 0,
            _ => bytes.starts_with(&self.text),
        }
    }
}
