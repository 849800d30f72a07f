//! An image that grows at its end, in large pieces of whole blocks.

use super::Failure;
use std::fs::File;
use std::os::unix::fs::FileExt;

const CHUNK_SIZE: usize = 1 << 20;
/// Larger pieces are written as they are.
const LARGE: usize = 1 << 18;

pub struct Appender<'a> {
    file: &'a File,
    /// Where in the file the image starts.
    base: u64,
    block_size: usize,
    /// Of the image, up to the chunk.
    written: u64,
    chunk: Vec<u8>,
}

impl<'a> Appender<'a> {
    /// An image that has so many blocks already.
    pub fn new(file: &'a File, base: u64, block_size: usize, blocks: u64) -> Self {
        Self {
            file,
            base,
            block_size,
            written: blocks * block_size as u64,
            chunk: Vec::with_capacity(CHUNK_SIZE),
        }
    }

    /// Of the image so far, in bytes: whole blocks.
    pub fn size(&self) -> u64 {
        self.written + self.chunk.len() as u64
    }

    pub fn next_block(&self) -> u64 {
        self.size() / self.block_size as u64
    }

    /// Appends bytes as whole blocks, the last one filled up with zeros.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.chunk.len() + bytes.len() > CHUNK_SIZE {
            self.flush()?;
        }
        let whole = bytes.len() - bytes.len() % self.block_size;
        let (large, rest) = bytes.split_at(if whole >= LARGE { whole } else { 0 });
        if !large.is_empty() {
            self.flush()?;
            self.write(large)?;
        }
        self.chunk.extend_from_slice(rest);
        let end = self.chunk.len().next_multiple_of(self.block_size);
        self.chunk.resize(end, 0);
        Ok(())
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        let chunk = core::mem::take(&mut self.chunk);
        self.write(&chunk)?;
        self.chunk = chunk;
        self.chunk.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        write_at(self.file, self.base + self.written, bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

pub fn write_at(file: &File, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
    file.write_all_at(bytes, offset)
        .map_err(|error| Failure::Write(error.raw_os_error().unwrap_or(0)))
}
