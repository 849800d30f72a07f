//! Reading an open file at given places, and where its holes are.

use rustix::fs::{copy_file_range, seek, SeekFrom};
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

/// Why a range could not be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyError {
    Read(ReadError),
    /// What the system said on writing: an `errno`.
    Write(i32),
}

/// Copies as many bytes as there is room for from a place in a file to one in another. The system does it itself where it can,
/// without a copy where the file system shares blocks; else the bytes go through the room.
pub fn copy_range(
    (source, from): (&File, u64),
    (target, to): (&File, u64),
    room: &mut [u8],
) -> Result<(), CopyError> {
    let (mut at_source, mut at_target) = (from, to);
    let done = loop {
        let done = (at_target - to) as usize;
        if done == room.len() {
            return Ok(());
        }
        let (read, write) = (Some(&mut at_source), Some(&mut at_target));
        match copy_file_range(source, read, target, write, room.len() - done) {
            Ok(count) if count > 0 => {}
            Err(Errno::INTR) => {}
            // Not on these file systems, or not with such files: reading and writing tells what is wrong.
            Ok(_) | Err(_) => break done,
        }
    };
    let rest = room.get_mut(done..).unwrap_or_default();
    read_exact_at(source, rest, from + done as u64).map_err(CopyError::Read)?;
    target
        .write_all_at(rest, to + done as u64)
        .map_err(|error| CopyError::Write(error.raw_os_error().unwrap_or(0)))
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
