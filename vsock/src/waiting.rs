//! What a host program has not taken yet.

use crate::credit::BUFFER_SIZE;
use crate::sys::Part;

/// Bytes that wait, at most twice `BUFFER_SIZE` of memory.
#[derive(Debug, Default)]
pub struct Waiting {
    stored: Vec<u8>,
    taken: usize,
}

impl Waiting {
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.stored[self.taken..]
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken == self.stored.len()
    }

    /// Copies all parts but the first `skip` bytes.
    pub fn append(&mut self, parts: &[Part<'_>], skip: usize) {
        let mut skip = skip;
        for part in parts {
            let (skipped, rest) = part.split(skip);
            skip -= skipped.size();
            let start = self.stored.len();
            self.stored.resize(start + rest.size(), 0);
            rest.read(&mut self.stored[start..]);
        }
    }

    /// Forgets the first bytes.
    pub fn take(&mut self, count: usize) {
        self.taken += count;
        if self.is_empty() {
            // A buffer that was needed once is not kept.
            *self = Self::default();
        } else if self.taken >= BUFFER_SIZE as usize {
            self.stored.drain(..self.taken);
            self.taken = 0;
        }
    }
}
