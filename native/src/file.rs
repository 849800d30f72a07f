//! Reading an open file at given places, and where its holes are.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
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
        Self::System(error.raw_os_error().unwrap_or(libc::EIO))
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

const PAGE: usize = 4096;

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
    position: i64,
}

impl Drop for HoleMap<'_> {
    fn drop(&mut self) {
        // A position that was valid before is so now.
        let _ = seek(self.file, self.position, libc::SEEK_SET);
    }
}

impl<'a> HoleMap<'a> {
    /// `None` where asking is no use: a device, or a file system that does not tell.
    pub fn new(file: &'a File) -> Option<Self> {
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return None;
        }
        let position = seek(file, 0, libc::SEEK_CUR).ok()?;
        let map = Self { file, position };
        matches!(map.find(0, libc::SEEK_HOLE), Ok(_) | Err(libc::ENXIO)).then_some(map)
    }

    /// The first byte at or behind the offset that is in no hole; behind every file if there is none.
    pub fn next_data(&self, offset: u64) -> u64 {
        match self.find(offset, libc::SEEK_DATA) {
            Ok(found) => found,
            Err(libc::ENXIO) => u64::MAX,
            Err(_) => offset, // whatever it is, reading will say it
        }
    }

    /// The first hole behind the offset, which is in none.
    pub fn next_hole(&self, offset: u64) -> u64 {
        self.find(offset, libc::SEEK_HOLE).unwrap_or(u64::MAX)
    }

    fn find(&self, offset: u64, whence: i32) -> Result<u64, i32> {
        let offset = i64::try_from(offset).map_err(|_| libc::ENXIO)?;
        seek(self.file, offset, whence).map(i64::cast_unsigned)
    }
}

/// The new position, or an `errno`.
#[allow(unsafe_code)]
fn seek(file: &File, offset: i64, whence: i32) -> Result<i64, i32> {
    // SAFETY: takes no pointer, and the descriptor is open as long as the file is borrowed.
    let found = unsafe { libc::lseek(file.as_raw_fd(), offset, whence) };
    if found >= 0 {
        return Ok(found);
    }
    Err(std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO))
}
