//! One thread's work: read, collect whole blocks that follow one another, hash and write them.

use super::batch::{Extent, Piece, Task};
use super::image::{Hasher, Image};
use super::{Failure, TASK_SIZE};
use crate::file::PageBuffer;
use core::ops::Range;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct Worker<'a> {
    image: &'a Image,
    block_size: usize,
    done: &'a AtomicU64,
    /// Whole blocks, `used` bytes of them, that go to `to`.
    run: PageBuffer,
    used: usize,
    to: u64,
    /// The content of a file that has no blocks of its own.
    small: Vec<u8>,
    /// The file that the last slice was of.
    sliced: Option<(PathBuf, File)>,
    hasher: Option<Hasher>,
}

impl<'a> Worker<'a> {
    pub fn new(image: &'a Image, block_size: usize, done: &'a AtomicU64) -> Self {
        Self {
            image,
            block_size,
            done,
            // Room for a whole task, for the tail behind it that is read with it, and for the byte that shows growth.
            run: PageBuffer::new(TASK_SIZE as usize + 2 * block_size + 1),
            used: 0,
            to: 0,
            small: vec![0; block_size + 1],
            sliced: None,
            hasher: image.hasher(),
        }
    }

    pub fn run(&mut self, task: &Task) -> Result<(), Failure> {
        for piece in &task.pieces {
            match piece {
                Piece::Bytes { shared, to, bytes } => {
                    self.bytes(*shared, *to, task.bytes(bytes))?
                }
                Piece::File {
                    number,
                    path,
                    size,
                    slice,
                    extents,
                } => {
                    let path = task.path(path);
                    let open = || File::open(path).map_err(|error| read_failure(*number, &error));
                    // Many slices of one file come one after the other.
                    let file = match self
                        .sliced
                        .take()
                        .filter(|(of, _)| slice.is_some() && of == path)
                    {
                        Some((_, file)) => file,
                        None => open()?,
                    };
                    let source = Source {
                        number: *number,
                        size: *size,
                        start: slice.unwrap_or(0),
                        is_slice: slice.is_some(),
                        file,
                    };
                    self.file(&source, extents)?;
                    if slice.is_some() {
                        self.sliced = Some((path.to_path_buf(), source.file));
                    }
                }
                Piece::Copy { from, to, length } => {
                    self.flush()?;
                    self.copy(*from, *to, *length)?;
                }
            }
        }
        self.flush()
    }

    /// Blocks of the previous image; the run is empty.
    fn copy(&mut self, from: u64, to: u64, length: u64) -> Result<(), Failure> {
        // Tasks are cut to this size at most.
        let length = length as usize;
        let room = self
            .run
            .as_mut_slice()
            .get_mut(..length)
            .ok_or(Failure::Unfinished)?;
        self.image.copy(from, to, room, &mut self.hasher)?;
        self.count(length);
        Ok(())
    }

    fn bytes(&mut self, shared: bool, to: u64, bytes: &[u8]) -> Result<(), Failure> {
        if shared {
            self.image.share(to, bytes, &mut self.hasher)?;
            self.count(bytes.len());
            return Ok(());
        }
        let step = TASK_SIZE as usize;
        for (index, part) in bytes.chunks(step).enumerate() {
            let room = self.room(to + (index * step) as u64, part.len())?;
            if let Some(target) = self
                .run
                .as_mut_slice()
                .get_mut(room.start..room.start + part.len())
            {
                target.copy_from_slice(part);
            }
            self.take(room.start, part.len());
        }
        Ok(())
    }

    fn file(&mut self, file: &Source, extents: &[Extent]) -> Result<(), Failure> {
        match extents {
            // The usual file: its blocks and the tail behind them, in one read.
            [body, tail]
                if !body.shared
                    && tail.shared
                    && body.from + body.length == tail.from
                    && tail.length <= self.block_size as u64
                    && body.length <= TASK_SIZE =>
            {
                let (length, tail_length) = (body.length as usize, tail.length as usize);
                let room = self.room(body.to, length)?;
                let read = room.start..room.start + length + tail_length;
                file.read(body.from, self.run.as_mut_slice(), read.clone())?;
                if let Some(bytes) = self.run.as_slice().get(read.start + length..read.end) {
                    self.image.share(tail.to, bytes, &mut self.hasher)?;
                }
                self.count(tail_length);
                self.take(room.start, length);
                Ok(())
            }
            _ => extents
                .iter()
                .try_for_each(|extent| self.extent(file, extent)),
        }
    }

    fn extent(&mut self, file: &Source, extent: &Extent) -> Result<(), Failure> {
        // Extents are cut to this size at most, where not they are shared and small.
        let length = extent.length as usize;
        if extent.shared {
            if self.small.len() <= length {
                self.small.resize(length + 1, 0);
            }
            file.read(extent.from, &mut self.small, 0..length)?;
            if let Some(bytes) = self.small.get(..length) {
                self.image.share(extent.to, bytes, &mut self.hasher)?;
            }
            self.count(length);
            return Ok(());
        }
        let room = self.room(extent.to, length)?;
        file.read(
            extent.from,
            self.run.as_mut_slice(),
            room.start..room.start + length,
        )?;
        self.take(room.start, length);
        Ok(())
    }

    /// Where in the run the blocks at `to` go; writes what is there if they do not follow it or do not fit.
    fn room(&mut self, to: u64, length: usize) -> Result<Range<usize>, Failure> {
        let limit = TASK_SIZE as usize;
        if self.used > 0 && (self.to + self.used as u64 != to || self.used + length > limit) {
            self.flush()?;
        }
        if self.used == 0 {
            self.to = to;
        }
        Ok(self.used..self.used + length)
    }

    /// Counts so many bytes as part of the run, with zeros up to the end of their last block.
    fn take(&mut self, start: usize, length: usize) {
        let end = (start + length).next_multiple_of(self.block_size);
        if let Some(padding) = self.run.as_mut_slice().get_mut(start + length..end) {
            padding.fill(0);
        }
        self.used = end;
        self.count(length);
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let used = core::mem::take(&mut self.used);
        match self.run.as_slice().get(..used) {
            Some(blocks) if used > 0 => self.image.write(self.to, blocks, &mut self.hasher),
            _ => Ok(()),
        }
    }

    fn count(&self, bytes: usize) {
        self.done.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

fn read_failure(number: u32, error: &std::io::Error) -> Failure {
    Failure::Read {
        number,
        errno: error.raw_os_error().unwrap_or(0),
    }
}

struct Source {
    number: u32,
    /// That it must have.
    size: u64,
    /// Where in the file it starts.
    start: u64,
    /// Whether it is a part of the file, behind which there may be more.
    is_slice: bool,
    file: File,
}

impl Source {
    /// For files of which the end is not read.
    fn check_size(&self) -> Result<(), Failure> {
        let number = self.number;
        match self.file.metadata() {
            Ok(metadata) => {
                let found = metadata.len().saturating_sub(self.start);
                if found == self.size || (self.is_slice && found > self.size) {
                    return Ok(());
                }
                Err(Failure::Size { number, found })
            }
            Err(error) => Err(read_failure(number, &error)),
        }
    }

    /// Reads a part into `target[range]`; with the last part of a file it makes sure that it ends there. The byte behind the range
    /// is overwritten.
    fn read(&self, from: u64, target: &mut [u8], range: Range<usize>) -> Result<(), Failure> {
        let length = range.len();
        if length == 0 {
            return self.check_size();
        }
        let is_last = !self.is_slice && from + length as u64 == self.size;
        // One byte more than expected shows a file that has grown.
        let target = target
            .get_mut(range.start..range.end + usize::from(is_last))
            .ok_or(Failure::Unfinished)?;
        let mut done = 0;
        while let Some(rest) = target.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, self.start + from + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_failure(self.number, &error)),
            }
            // Nothing but the end of the file makes the last read of a regular file short.
            if is_last && done == length {
                break;
            }
        }
        if done == length {
            return Ok(());
        }
        Err(Failure::Size {
            number: self.number,
            found: from + done as u64,
        })
    }
}
