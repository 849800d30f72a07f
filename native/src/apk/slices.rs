//! The bytes of a section: where they come from, and where they stand while they are hashed.

use super::{BLOCK_SIZE, PAGE, PREFIX_SIZE};
use crate::file::{read_exact_at, PageBuffer, ReadError};
use std::fs::File;

/// Chunks that SHA-256 takes, in bytes.
const HASH_CHUNK: usize = 64;

/// A run of bytes of a section.
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    /// From this offset of the file.
    File { offset: u64, size: u64 },
    /// From this offset of the buffer.
    Own { offset: usize, size: usize },
}

impl Piece {
    fn size(self) -> u64 {
        match self {
            Self::File { size, .. } => size,
            Self::Own { size, .. } => size as u64,
        }
    }
}

/// What a section consists of, one piece after the other.
pub struct Pieces<'a> {
    file: &'a File,
    own: &'a [u8],
    pieces: &'a [Piece],
    /// Where in the section each piece ends.
    ends: Vec<u64>,
}

impl<'a> Pieces<'a> {
    /// `None` if a piece is not within the buffer, or is where no file can be.
    pub fn new(file: &'a File, own: &'a [u8], pieces: &'a [Piece]) -> Option<Self> {
        let mut ends = Vec::with_capacity(pieces.len());
        let mut end = 0_u64;
        for piece in pieces {
            match *piece {
                Piece::File { offset, size } => {
                    i64::try_from(offset.checked_add(size)?).ok()?;
                }
                Piece::Own { offset, size } => {
                    own.get(offset..offset.checked_add(size)?)?;
                }
            }
            end = end.checked_add(piece.size())?;
            ends.push(end);
        }
        Some(Self {
            file,
            own,
            pieces,
            ends,
        })
    }

    /// Of all pieces together.
    pub fn size(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Fills the buffer with the bytes from `offset` of the section on; with zeros behind the last piece.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let first = self.ends.partition_point(|end| *end <= offset);
        let mut at = offset;
        let mut rest = buffer;
        for (piece, end) in self.pieces[first..].iter().zip(&self.ends[first..]) {
            if rest.is_empty() {
                return Ok(());
            }
            let length = usize::try_from(end - at).unwrap_or(usize::MAX);
            let (part, behind) = rest.split_at_mut(length.min(rest.len()));
            let skipped = at - (end - piece.size());
            match *piece {
                Piece::File { offset, .. } => read_exact_at(self.file, part, offset + skipped)?,
                Piece::Own { offset, .. } => {
                    // Less than the piece's size, which is one.
                    let from = offset + usize::try_from(skipped).unwrap_or(0);
                    part.copy_from_slice(&self.own[from..from + part.len()]);
                }
            }
            at += part.len() as u64;
            rest = behind;
        }
        rest.fill(0);
        Ok(())
    }
}

/// The slice of a chunk that is at work. A message does not begin with the chunk but with a prefix, so its 64-byte chunks end
/// within the slice: what is left over is carried to the place before the next one.
///
/// The slice itself begins on a page, for the kernel to copy to and from.
pub struct Lane {
    buffer: PageBuffer,
    /// Bytes of the message that stand before the slice.
    carried: usize,
    /// Of the slice.
    length: usize,
}

impl Lane {
    /// With room for slices of at most so many bytes, a multiple of the block size.
    pub fn new(slice: usize) -> Self {
        Self {
            buffer: PageBuffer::new(PAGE + slice),
            carried: 0,
            length: 0,
        }
    }

    /// A new message.
    pub fn start(&mut self, prefix: &[u8; PREFIX_SIZE]) {
        self.buffer.as_mut_slice()[PAGE - PREFIX_SIZE..PAGE].copy_from_slice(prefix);
        self.carried = PREFIX_SIZE;
        self.length = 0;
    }

    /// The place for the next `length` bytes.
    pub fn fill(&mut self, length: usize) -> &mut [u8] {
        self.length = length;
        &mut self.buffer.as_mut_slice()[PAGE..PAGE + length]
    }

    /// The slice in whole blocks, the last padded with zeros.
    pub fn blocks(&mut self) -> &[u8] {
        let end = PAGE + self.length;
        let padded = PAGE + self.length.next_multiple_of(BLOCK_SIZE);
        let bytes = self.buffer.as_mut_slice();
        bytes[end..padded].fill(0);
        &bytes[PAGE..padded]
    }

    fn whole_size(&self) -> usize {
        (self.carried + self.length) / HASH_CHUNK * HASH_CHUNK
    }

    /// What can be hashed of the message now.
    pub fn whole(&self) -> &[u8] {
        let start = PAGE - self.carried;
        &self.buffer.as_slice()[start..start + self.whole_size()]
    }

    /// Makes room for the next slice.
    pub fn carry(&mut self) {
        let whole_end = PAGE - self.carried + self.whole_size();
        let end = PAGE + self.length;
        self.carried = end - whole_end;
        self.length = 0;
        self.buffer
            .as_mut_slice()
            .copy_within(whole_end..end, PAGE - self.carried);
    }

    /// What is left of the message at its end: less than 64 bytes.
    pub fn carried(&self) -> &[u8] {
        &self.buffer.as_slice()[PAGE - self.carried..PAGE]
    }
}
