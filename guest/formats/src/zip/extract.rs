//! One entry's bytes, whole: handed on in pieces, and checked as in `stream`.

use std::io;

use super::{Entry, EntryStream};
use crate::error::FormatError;
use crate::read_at::ReadAt;

const CHUNK_SIZE: usize = 64 * 1024;

/// The archive is wrong, or the sink failed.
#[derive(Debug)]
pub enum CopyError {
    Format(FormatError),
    Sink(io::Error),
}

impl From<FormatError> for CopyError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

/// Hands an entry's bytes to `sink` in pieces. On an error the sink may have seen bytes that must not be used.
///
/// # Errors
/// When size, CRC or compressed stream is not what the entry says, or the sink fails.
pub fn copy_entry(
    source: &(impl ReadAt + ?Sized),
    entry: &Entry,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), CopyError> {
    let mut stream = EntryStream::new(entry);
    let mut buffer = vec![0; CHUNK_SIZE];
    loop {
        let size = stream.read(source, entry, &mut buffer)?;
        sink(buffer.get(..size).unwrap_or(&[])).map_err(CopyError::Sink)?;
        if size < CHUNK_SIZE {
            return Ok(());
        }
    }
}
