//! Reading an open file at given places, and where its holes are.

use rustix::fs::{seek, SeekFrom};
use rustix::io::Errno;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

/// Why a range of a file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The file ends before the range does.
    Truncated,
    /// What the system said: an `errno`.
    System(i32),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()))
    }
}

/// Part of a file, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub offset: u64,
    pub length: u64,
}

impl Range {
    /// `None` if the range ends where no file can.
    pub fn new(offset: u64, length: u64) -> Option<Self> {
        let end = offset.checked_add(length)?;
        i64::try_from(end).ok()?;
        Some(Self { offset, length })
    }

    pub fn end(self) -> u64 {
        self.offset + self.length
    }
}

/// Fills the buffer from the file, without moving the file's position.
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
    file.read_exact_at(buffer, offset).map_err(|error| {
        if error.kind() == ErrorKind::UnexpectedEof {
            ReadError::Truncated
        } else {
            error.into()
        }
    })
}

/// A buffer of zeros that begins on a page: the kernel copies to such a place at full speed.
pub struct PageBuffer {
    bytes: Vec<u8>,
    start: usize,
}

pub const PAGE: usize = 4096;

impl PageBuffer {
    pub fn new(length: usize) -> Self {
        let bytes = vec![0; length + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start }
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.bytes.len() - PAGE]
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let end = self.bytes.len() - PAGE;
        &mut self.bytes[self.start..self.start + end]
    }
}

/// Where a regular file has data and where it has holes. Asking moves the file's position, which is put back at the end.
pub struct HoleMap<'a> {
    file: &'a File,
    position: u64,
}

impl Drop for HoleMap<'_> {
    fn drop(&mut self) {
        // A position that was valid before is so now.
        let _ = seek(self.file, SeekFrom::Start(self.position));
    }
}

impl<'a> HoleMap<'a> {
    /// `None` where asking is no use: a device, or a file system that does not tell.
    pub fn new(file: &'a File) -> Option<Self> {
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return None;
        }
        let position = seek(file, SeekFrom::Current(0)).ok()?;
        let map = Self { file, position };
        matches!(seek(file, SeekFrom::Hole(0)), Ok(_) | Err(Errno::NXIO)).then_some(map)
    }

    /// The first byte at or behind the offset that is in no hole; behind every file if there is none.
    pub fn next_data(&self, offset: u64) -> u64 {
        match seek(self.file, SeekFrom::Data(offset)) {
            Ok(found) => found,
            Err(Errno::NXIO) => u64::MAX,
            Err(_) => offset, // whatever it is, reading will say it
        }
    }

    /// The first hole behind the offset, which is in none.
    pub fn next_hole(&self, offset: u64) -> u64 {
        seek(self.file, SeekFrom::Hole(offset)).unwrap_or(u64::MAX)
    }
}
