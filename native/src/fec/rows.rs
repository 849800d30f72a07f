//! Where the rows of the matrix come from.

use crate::file::{read_exact_at, Range, ReadError};
use std::fs::File;

pub trait Rows: Sync {
    /// Fills the buffer with the bytes of a row from a column on.
    fn read(&self, row: usize, column: usize, buffer: &mut [u8]) -> Result<(), ReadError>;
}

/// Rows in memory, one after the other.
pub struct MemoryRows<'a> {
    pub bytes: &'a [u8],
    /// Of a row, in bytes.
    pub width: usize,
}

impl Rows for MemoryRows<'_> {
    fn read(&self, row: usize, column: usize, buffer: &mut [u8]) -> Result<(), ReadError> {
        let from = row * self.width + column;
        buffer.copy_from_slice(&self.bytes[from..from + buffer.len()]);
        Ok(())
    }
}

/// Part of a file.
pub struct Part<'a> {
    pub file: &'a File,
    pub range: Range,
}

/// Rows made of parts of files, one after the other, and then of zeros.
pub struct FileRows<'a> {
    pub parts: Vec<Part<'a>>,
    /// Of a row, in bytes.
    pub size: u64,
    /// What is called column 0.
    pub first_column: u64,
}

impl Rows for FileRows<'_> {
    fn read(&self, row: usize, column: usize, buffer: &mut [u8]) -> Result<(), ReadError> {
        let mut at = row as u64 * self.size + self.first_column + column as u64;
        let mut rest = buffer;
        for Part { file, range } in &self.parts {
            if at >= range.length {
                at -= range.length;
                continue;
            }
            let there = usize::try_from(range.length - at).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_mut(there.min(rest.len()));
            read_exact_at(file, now, range.offset + at)?;
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
            at = 0;
        }
        rest.fill(0);
        Ok(())
    }
}
