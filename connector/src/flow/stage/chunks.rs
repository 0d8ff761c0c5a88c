//! The memory between an encoder and its upload. The encoder writes without waiting, the upload takes whole
//! chunks while it does; nothing is copied a second time.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

/// Bytes handed to an upload at once: large enough that a store's request or a
/// disk's write is worth its cost.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Chunks {
    full: VecDeque<Bytes>,
    /// Grows with what it holds, so that a thousand small files cost what they hold.
    rest: Vec<u8>,
}

impl Chunks {
    /// The next whole chunk.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.full.pop_front()
    }

    /// What does not fill a chunk yet.
    pub(super) fn pop_rest(&mut self) -> Option<Bytes> {
        (!self.rest.is_empty()).then(|| std::mem::take(&mut self.rest).into())
    }

    /// Bytes of memory held.
    pub(super) fn memory(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.rest.capacity()
    }
}

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.rest.len());
        self.rest.extend_from_slice(&bytes[..taken]);
        if self.rest.len() == CHUNK_BYTES {
            self.full.push_back(std::mem::take(&mut self.rest).into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn chunks_give_back_what_was_written_in_order() {
        let bytes: Vec<u8> = (0..CHUNK_BYTES * 2 + 77).map(|n| (n % 251) as u8).collect();
        let mut chunks = Chunks::default();
        for part in bytes.chunks(300_007) {
            chunks.write_all(part).unwrap();
        }
        let mut read = Vec::new();
        while let Some(chunk) = chunks.pop() {
            assert_eq!(chunk.len(), CHUNK_BYTES);
            read.extend_from_slice(&chunk);
        }
        read.extend_from_slice(&chunks.pop_rest().unwrap());
        assert!(read == bytes && chunks.pop_rest().is_none());
        assert_eq!(chunks.memory(), 0);
    }
}
