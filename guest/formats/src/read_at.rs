//! Random access to something larger than memory: a block device, or bytes in a test.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::error::{ErrorCode, FormatError};

pub trait ReadAt {
    /// In bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset` on, or fails.
    ///
    /// # Errors
    /// When the source is shorter, or does not answer.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let source = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(buffer.len())?))
            .and_then(|range| self.get(range))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(source);
        Ok(())
    }
}

/// A file or block device of known size.
#[derive(Debug)]
pub struct SizedFile {
    file: File,
    size: u64,
}

impl SizedFile {
    #[must_use]
    pub fn new(file: File, size: u64) -> Self {
        Self { file, size }
    }

    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl ReadAt for SizedFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// Reads `size` bytes at `offset` into memory, after checking both against the source and `limit`.
pub(crate) fn read_bytes(
    source: &(impl ReadAt + ?Sized),
    offset: u64,
    size: u64,
    limit: u64,
    format: &'static str,
    field: &'static str,
) -> Result<Vec<u8>, FormatError> {
    let fail = |code| FormatError::new(format, code, field, offset);
    if offset
        .checked_add(size)
        .is_none_or(|end| end > source.size())
    {
        return Err(fail(ErrorCode::Truncated));
    }
    if size > limit {
        return Err(fail(ErrorCode::TooLarge));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| fail(ErrorCode::TooLarge))?];
    source
        .read_exact_at(&mut bytes, offset)
        .map_err(|_| fail(ErrorCode::Io))?;
    Ok(bytes)
}
