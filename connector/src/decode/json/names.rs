//! The names of an object's known members, found by guessing: producers keep the order of their keys, so a key is
//! compared in place with the one that stood there in the record before, and looked up only when that fails.

use std::collections::HashMap;

use super::flaw::Flaw;
use super::scan::Scanner;

/// Members after this many are not guessed.
const MAX_GUESSES: usize = 1024;

#[derive(Debug)]
pub(super) struct Names {
    by_name: HashMap<Box<str>, usize>,
    quoted: Vec<Quoted>,
    /// By the place in the object: the member that stood there last.
    guesses: Vec<usize>,
}

impl Names {
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut this = Self { by_name: HashMap::new(), quoted: Vec::new(), guesses: Vec::new() };
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
            let plain = name.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
            // What needs an escape is never guessed: 0xFF stands in no text.
            let quoted = if plain { [name.as_bytes(), b"\""].concat() } else { vec![0xFF] };
            self.quoted.push(Quoted::new(quoted));
            self.guesses.push(index);
        }
        index
    }

    /// Consumes the key of the member at the place `ordinal`, up to its value: which member it is, if known.
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
        let found = json.key()?.and_then(|key| self.by_name.get(&*key).copied());
        if let Some(index) = found
            && ordinal < MAX_GUESSES
        {
            let len = self.guesses.len().max(ordinal + 1);
            self.guesses.resize(len, index);
            self.guesses[ordinal] = index;
        }
        Ok(found)
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

    /// Whether `bytes` start with it. One comparison of a machine word, where a call would cost more than the rest.
    #[inline]
    pub(super) fn starts(&self, bytes: &[u8]) -> bool {
        match bytes.first_chunk() {
            Some(head) if self.text.len() <= 16 => (u128::from_ne_bytes(*head) ^ self.head) & self.mask == 0,
            _ => bytes.starts_with(&self.text),
        }
    }
}
