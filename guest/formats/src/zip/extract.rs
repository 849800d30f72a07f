//! One entry's bytes, streamed and checked: size, CRC-32, and a DEFLATE stream that ends where the entry ends.
//!
//! RFC 1951; CRC-32 as in APPNOTE 4.4.7.

use std::io;

use miniz_oxide::inflate::stream::{inflate, InflateState};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::{Entry, Method, FORMAT};
use crate::error::{ErrorCode, FormatError};
use crate::read_at::{read_bytes, ReadAt};

const CHUNK_SIZE: u64 = 64 * 1024;

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
    let mut check = Check {
        crc32: !0,
        size: 0,
        limit: entry.size,
    };
    let mut write = |bytes: &[u8]| -> Result<(), CopyError> {
        if !check.add(bytes) {
            return Err(fail(entry, ErrorCode::TooLarge, "size").into());
        }
        sink(bytes).map_err(CopyError::Sink)
    };
    match entry.method {
        Method::Stored => for_each_chunk(source, entry, &mut write)?,
        Method::Deflated => copy_deflated(source, entry, &mut write)?,
    }
    if check.size != entry.size {
        return Err(fail(entry, ErrorCode::BadValue, "size").into());
    }
    if !check.crc32 != entry.crc32 {
        return Err(fail(entry, ErrorCode::Checksum, "crc32").into());
    }
    Ok(())
}

fn fail(entry: &Entry, code: ErrorCode, field: &'static str) -> FormatError {
    FormatError::new(FORMAT, code, field, entry.data_offset)
}

fn for_each_chunk(
    source: &(impl ReadAt + ?Sized),
    entry: &Entry,
    write: &mut impl FnMut(&[u8]) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let mut done = 0;
    while done < entry.compressed_size {
        let size = (entry.compressed_size - done).min(CHUNK_SIZE);
        write(&read_bytes(
            source,
            entry.data_offset + done,
            size,
            CHUNK_SIZE,
            FORMAT,
            "data",
        )?)?;
        done += size;
    }
    Ok(())
}

fn copy_deflated(
    source: &(impl ReadAt + ?Sized),
    entry: &Entry,
    write: &mut impl FnMut(&[u8]) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let mut output = vec![0; CHUNK_SIZE as usize];
    let mut is_complete = false;
    for_each_chunk(source, entry, &mut |chunk| {
        let mut input = chunk;
        loop {
            if is_complete {
                return if input.is_empty() {
                    Ok(())
                } else {
                    Err(fail(entry, ErrorCode::Trailing, "data").into())
                };
            }
            let step = inflate(&mut state, input, &mut output, MZFlush::None);
            input = input.get(step.bytes_consumed..).unwrap_or(&[]);
            write(output.get(..step.bytes_written).unwrap_or(&[]))?;
            match step.status {
                Ok(MZStatus::StreamEnd) => is_complete = true,
                // No progress is possible without more input.
                Err(MZError::Buf) if input.is_empty() => return Ok(()),
                Ok(_) if step.bytes_consumed + step.bytes_written > 0 => {}
                Ok(_) if input.is_empty() => return Ok(()),
                _ => return Err(fail(entry, ErrorCode::BadValue, "data").into()),
            }
        }
    })?;
    if is_complete {
        Ok(())
    } else {
        Err(fail(entry, ErrorCode::Truncated, "data").into())
    }
}

struct Check {
    crc32: u32,
    size: u64,
    limit: u64,
}

impl Check {
    /// False when the bytes go beyond what the entry declared.
    fn add(&mut self, bytes: &[u8]) -> bool {
        self.size += bytes.len() as u64;
        self.crc32 = bytes.iter().fold(self.crc32, |crc, byte| {
            CRC32_TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
        });
        self.size <= self.limit
    }
}

const CRC32_TABLE: [u32; 256] = {
    let mut table = [0; 256];
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
        table[index] = crc;
        index += 1;
    }
    table
};
