//! One entry's bytes from its start on, in pieces of the caller's size, checked as they come: size, CRC-32, and a DEFLATE
//! stream that ends where the entry ends.
//!
//! RFC 1951; CRC-32 as in APPNOTE 4.4.7. A stream is a value: a copy of it goes on from the same place, so that a reader may
//! come back to it later.

use miniz_oxide::inflate::stream::{inflate, InflateState};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::{Entry, Method, FORMAT};
use crate::error::{ErrorCode, FormatError};
use crate::read_at::{read_bytes, ReadAt};

/// Input is read in pieces as large as what is wanted of the output, within these bounds.
const CHUNK_SIZE_MIN: usize = 4 * 1024;
const CHUNK_SIZE_MAX: usize = 64 * 1024;

#[derive(Clone)]
pub struct EntryStream {
    /// Of the entry's data, in bytes from its start.
    input_offset: u64,
    output_offset: u64,
    crc32: u32,
    /// `None` for a stored entry.
    inflate: Option<Box<InflateState>>,
    is_complete: bool,
}

impl EntryStream {
    /// In bytes: what a copy takes, of which nearly all is the window and the tables of DEFLATE.
    pub const MEMORY_SIZE: usize = size_of::<Self>() + size_of::<InflateState>();

    #[must_use]
    pub fn new(entry: &Entry) -> Self {
        let is_deflated = entry.method == Method::Deflated;
        Self {
            input_offset: 0,
            output_offset: 0,
            crc32: !0,
            inflate: is_deflated.then(|| InflateState::new_boxed(DataFormat::Raw)),
            is_complete: false,
        }
    }

    /// How many bytes of the file have been read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.output_offset
    }

    /// How many bytes of the entry's data have been used.
    #[must_use]
    pub fn data_position(&self) -> u64 {
        self.input_offset
    }

    /// Reads the next bytes into `buffer` and says how many there were; less than asked for only at the end of the file,
    /// and the end is only told when the whole entry was what it says.
    ///
    /// # Errors
    /// When size, CRC or compressed stream is not what the entry says. The stream cannot be used any more.
    pub fn read(
        &mut self,
        source: &(impl ReadAt + ?Sized),
        entry: &Entry,
        buffer: &mut [u8],
    ) -> Result<usize, FormatError> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let read = self.read_some(source, entry, rest)?;
            if read == 0 {
                break;
            }
            done += read;
        }
        if self.is_complete && self.output_offset < entry.size {
            return Err(fail(entry, ErrorCode::BadValue, "size"));
        }
        // The last bytes of a file are only handed out with the verdict on all of it.
        if self.output_offset == entry.size {
            self.finish(source, entry)?;
        }
        Ok(done)
    }

    fn read_some(
        &mut self,
        source: &(impl ReadAt + ?Sized),
        entry: &Entry,
        buffer: &mut [u8],
    ) -> Result<usize, FormatError> {
        loop {
            if self.is_complete {
                return Ok(0);
            }
            let input = self.next_input(source, entry, buffer.len())?;
            let written = match &mut self.inflate {
                None => {
                    let size = input.len().min(buffer.len());
                    copy(&input, buffer, size);
                    self.input_offset += size as u64;
                    self.is_complete = self.input_offset == entry.compressed_size;
                    size
                }
                Some(state) => {
                    let step = inflate(state, &input, buffer, MZFlush::None);
                    self.input_offset += step.bytes_consumed as u64;
                    match step.status {
                        Ok(MZStatus::StreamEnd) => self.is_complete = true,
                        // It wants input, and there is no more.
                        _ if input.is_empty() && step.bytes_written == 0 => {
                            return Err(fail(entry, ErrorCode::Truncated, "data"))
                        }
                        Ok(_) if step.bytes_consumed + step.bytes_written > 0 => {}
                        Err(MZError::Buf) if step.bytes_consumed + step.bytes_written > 0 => {}
                        _ => return Err(fail(entry, ErrorCode::BadValue, "data")),
                    }
                    step.bytes_written
                }
            };
            let read = buffer.get(..written).unwrap_or(&[]);
            self.output_offset += written as u64;
            if self.output_offset > entry.size {
                return Err(fail(entry, ErrorCode::TooLarge, "size"));
            }
            self.crc32 = update_crc32(self.crc32, read);
            if written > 0 {
                return Ok(written);
            }
        }
    }

    fn next_input(
        &self,
        source: &(impl ReadAt + ?Sized),
        entry: &Entry,
        wanted: usize,
    ) -> Result<Vec<u8>, FormatError> {
        let limit = wanted.clamp(CHUNK_SIZE_MIN, CHUNK_SIZE_MAX) as u64;
        let left = entry.compressed_size.saturating_sub(self.input_offset);
        let offset = entry
            .data_offset
            .checked_add(self.input_offset)
            .ok_or_else(|| fail(entry, ErrorCode::Truncated, "data"))?;
        read_bytes(source, offset, left.min(limit), limit, FORMAT, "data")
    }

    /// The verdict on the whole entry, once the declared size has been read.
    fn finish(
        &mut self,
        source: &(impl ReadAt + ?Sized),
        entry: &Entry,
    ) -> Result<(), FormatError> {
        // A DEFLATE stream may still have its end marker to come, and must not have more than that.
        if self.read_some(source, entry, &mut [0])? != 0 {
            return Err(fail(entry, ErrorCode::TooLarge, "size"));
        }
        if self.input_offset != entry.compressed_size {
            return Err(fail(entry, ErrorCode::Trailing, "data"));
        }
        if !self.crc32 != entry.crc32 {
            return Err(fail(entry, ErrorCode::Checksum, "crc32"));
        }
        Ok(())
    }
}

fn copy(from: &[u8], to: &mut [u8], size: usize) {
    if let (Some(from), Some(to)) = (from.get(..size), to.get_mut(..size)) {
        to.copy_from_slice(from);
    }
}

fn fail(entry: &Entry, code: ErrorCode, field: &'static str) -> FormatError {
    FormatError::new(FORMAT, code, field, entry.data_offset)
}

/// Eight bytes at a time: the tables say what each of them does to the sum after the others have passed.
fn update_crc32(crc32: u32, bytes: &[u8]) -> u32 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let table = |index: usize, byte: u8| CRC32_TABLES[index][usize::from(byte)];
    let crc32 = chunks.iter().fold(crc32, |crc, chunk| {
        let [a, b, c, d] = crc.to_le_bytes();
        table(7, chunk[0] ^ a)
            ^ table(6, chunk[1] ^ b)
            ^ table(5, chunk[2] ^ c)
            ^ table(4, chunk[3] ^ d)
            ^ table(3, chunk[4])
            ^ table(2, chunk[5])
            ^ table(1, chunk[6])
            ^ table(0, chunk[7])
    });
    rest.iter()
        .fold(crc32, |crc, byte| table(0, crc as u8 ^ byte) ^ (crc >> 8))
}

static CRC32_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 0 {
                crc >> 1
            } else {
                (crc >> 1) ^ 0xedb8_8320
            };
            bit += 1;
        }
        tables[0][index] = crc;
        index += 1;
    }
    let mut step = 1;
    while step < 8 {
        let mut index = 0;
        while index < 256 {
            let crc: u32 = tables[step - 1][index];
            tables[step][index] = (crc >> 8) ^ tables[0][(crc & 0xff) as usize];
            index += 1;
        }
        step += 1;
    }
    tables
};
