//! What an image is made of, as it comes from the caller: records of 32-bit words and a blob of bytes that they point into.
//!
//! | record | words |
//! |---|---|
//! | bytes, in blocks of their own | 0, to (2), offset in the blob, length |
//! | bytes, in blocks shared with others | 1, to (2), offset in the blob, length |
//! | file | 2, number, path's offset in the blob, path's length, size (2), extents, then for each extent: shares its blocks (0 or 1), from (2), to (2), length (2) |
//! | slice of a file | 3, then as a file up to the number of extents, where in the file it starts (2), extents |
//! | blocks of the previous image | 4, from (2), to (2), length (2) |
//!
//! Numbers of two words have the lower one first. `to` is an offset in the image, `from` one in the file, the slice or the
//! previous image. An extent of no bytes asks for nothing but the file's size to be checked, which reading its end does as well.
//! Behind a slice its file goes on as it likes.

use core::ops::Range;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// Part of a file's content and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Whether the blocks are shared: then only these bytes are written, else zeros up to the end of the block too.
    pub shared: bool,
    pub from: u64,
    pub to: u64,
    pub length: u64,
}

#[derive(Debug)]
pub enum Piece {
    Bytes {
        shared: bool,
        to: u64,
        bytes: Range<usize>,
    },
    File {
        number: u32,
        path: Range<usize>,
        /// Of the whole file: any other is an error.
        size: u64,
        /// Where in the file the content starts, which is a part of it then.
        slice: Option<u64>,
        extents: Vec<Extent>,
    },
    /// Whole blocks of the previous image, which stand elsewhere now.
    Copy { from: u64, to: u64, length: u64 },
}

impl Piece {
    /// Roughly how long it takes, in bytes that could be copied meanwhile.
    fn cost(&self) -> u64 {
        match self {
            Self::Bytes { bytes, .. } => 64 + bytes.len() as u64,
            Self::File { extents, .. } => {
                OPEN_COST + extents.iter().map(|extent| extent.length).sum::<u64>()
            }
            Self::Copy { length, .. } => *length,
        }
    }
}

/// Opening and closing a file takes as long as copying this much.
const OPEN_COST: u64 = 8 << 10;

/// Pieces for one thread to do in order, together with the blob they point into.
#[derive(Debug)]
pub struct Task {
    pub blob: Arc<Vec<u8>>,
    pub pieces: Vec<Piece>,
}

impl Task {
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        // Ranges are checked when records are decoded.
        self.blob.get(range.clone()).unwrap_or_default()
    }
    pub fn path(&self, range: &Range<usize>) -> &Path {
        Path::new(OsStr::from_bytes(self.bytes(range)))
    }
}

/// The limits that a batch must keep.
pub struct Limits {
    /// Size of the image.
    pub size: u64,
    pub block_size: u64,
    /// What is shared ends here.
    pub shared_size: u64,
    /// Of the previous image: 0 without one.
    pub previous_size: u64,
    /// A task's own blocks end where they reach this many bytes: whole blocks.
    pub task_size: u64,
}

struct Words<'a> {
    rest: &'a [u32],
    limits: &'a Limits,
    blob_length: usize,
}

impl Words<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
    fn u64(&mut self) -> Option<u64> {
        let low = self.u32()?;
        Some(u64::from(low) | u64::from(self.u32()?) << 32)
    }
    fn blob_range(&mut self) -> Option<Range<usize>> {
        let start = usize::try_from(self.u32()?).ok()?;
        let end = start.checked_add(usize::try_from(self.u32()?).ok()?)?;
        (end <= self.blob_length).then_some(start..end)
    }
    fn flag(&mut self) -> Option<bool> {
        match self.u32()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
    /// Whether bytes may go there: inside the image, blocks of their own from the start of one.
    fn fits(&self, shared: bool, to: u64, length: u64) -> bool {
        let Limits {
            size,
            block_size,
            shared_size,
            ..
        } = *self.limits;
        let limit = if shared { shared_size } else { size };
        let inside = to.checked_add(length).is_some_and(|end| end <= limit);
        inside && (shared || to.is_multiple_of(block_size))
    }
    fn extent(&mut self, file_size: u64) -> Option<Extent> {
        let shared = self.flag()?;
        let (from, to, length) = (self.u64()?, self.u64()?, self.u64()?);
        let in_file = from.checked_add(length)? <= file_size;
        (in_file && self.fits(shared, to, length)).then_some(Extent {
            shared,
            from,
            to,
            length,
        })
    }
    fn piece(&mut self) -> Option<Piece> {
        match self.u32()? {
            kind @ (0 | 1) => {
                let shared = kind == 1;
                let to = self.u64()?;
                let bytes = self.blob_range()?;
                self.fits(shared, to, bytes.len() as u64)
                    .then_some(Piece::Bytes { shared, to, bytes })
            }
            kind @ (2 | 3) => {
                let number = self.u32()?;
                let path = self.blob_range()?;
                let size = self.u64()?;
                let count = self.u32()?;
                let slice = if kind == 3 { Some(self.u64()?) } else { None };
                i64::try_from(slice.unwrap_or(0).checked_add(size)?).ok()?;
                let extents = (0..count)
                    .map(|_| self.extent(size))
                    .collect::<Option<_>>()?;
                Some(Piece::File {
                    number,
                    path,
                    size,
                    slice,
                    extents,
                })
            }
            4 => {
                let (from, to, length) = (self.u64()?, self.u64()?, self.u64()?);
                let whole = |bytes: u64| bytes.is_multiple_of(self.limits.block_size);
                let there = from.checked_add(length)? <= self.limits.previous_size;
                (there && whole(from) && whole(length) && self.fits(false, to, length))
                    .then_some(Piece::Copy { from, to, length })
            }
            _ => None,
        }
    }
}

/// Decodes a batch; `None` when a record is not what it must be.
pub fn decode(blob: &[u8], words: &[u32], limits: &Limits) -> Option<Vec<Piece>> {
    let mut words = Words {
        rest: words,
        limits,
        blob_length: blob.len(),
    };
    let mut pieces = Vec::new();
    while !words.rest.is_empty() {
        pieces.push(words.piece()?);
    }
    Some(pieces)
}

/// Cuts a batch into tasks. The pieces are within the limits.
pub fn cut(blob: Vec<u8>, pieces: Vec<Piece>, limits: &Limits) -> Vec<Task> {
    let mut cutter = Cutter {
        blob: Arc::new(blob),
        limits,
        tasks: Vec::new(),
        pieces: Vec::new(),
        cost: 0,
    };
    for piece in pieces {
        cutter.push(piece);
    }
    cutter.cut();
    cutter.tasks
}

struct Cutter<'a> {
    blob: Arc<Vec<u8>>,
    limits: &'a Limits,
    tasks: Vec<Task>,
    pieces: Vec<Piece>,
    cost: u64,
}

impl Cutter<'_> {
    fn push(&mut self, piece: Piece) {
        match piece {
            Piece::File {
                number,
                path,
                size,
                slice,
                extents,
            } if extents.iter().any(|e| e.length > self.limits.task_size) => {
                self.push_parts(number, &path, size, slice, &extents);
            }
            Piece::Copy { from, to, length } => {
                for done in (0..length).step_by(self.limits.task_size as usize) {
                    self.push_whole(Piece::Copy {
                        from: from + done,
                        to: to + done,
                        length: (length - done).min(self.limits.task_size),
                    });
                }
            }
            _ => self.push_whole(piece),
        }
    }

    /// A large file in parts, so that all threads work on it.
    fn push_parts(
        &mut self,
        number: u32,
        path: &Range<usize>,
        size: u64,
        slice: Option<u64>,
        extents: &[Extent],
    ) {
        for extent in extents {
            let mut done = 0;
            while done < extent.length {
                let length = (extent.length - done).min(self.limits.task_size);
                self.push_whole(Piece::File {
                    number,
                    path: path.clone(),
                    size,
                    slice,
                    extents: vec![Extent {
                        shared: extent.shared,
                        from: extent.from + done,
                        to: extent.to + done,
                        length,
                    }],
                });
                done += length;
            }
        }
    }

    fn push_whole(&mut self, piece: Piece) {
        let cost = piece.cost();
        if self.cost + cost > self.limits.task_size + OPEN_COST {
            self.cut();
        }
        self.cost += cost;
        self.pieces.push(piece);
    }

    fn cut(&mut self) {
        self.cost = 0;
        let pieces = core::mem::take(&mut self.pieces);
        if !pieces.is_empty() {
            self.tasks.push(Task {
                blob: Arc::clone(&self.blob),
                pieces,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        size: 64 << 20,
        block_size: 4096,
        shared_size: 1 << 20,
        previous_size: 32 << 20,
        task_size: 1 << 20,
    };

    fn extents(task: &Task) -> impl Iterator<Item = &Extent> {
        task.pieces.iter().flat_map(|piece| match piece {
            Piece::File { extents, .. } => extents.as_slice(),
            Piece::Bytes { .. } | Piece::Copy { .. } => &[],
        })
    }

    #[test]
    fn any_words_are_refused_or_stay_within_the_image() {
        // A generator of our own: few bits set, so that many records are nearly right.
        let mut state = 1_u32;
        let mut next = |bound: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % bound
        };
        let mut decoded = 0;
        for _ in 0..200_000 {
            let length = next(30) as usize;
            let words: Vec<u32> = (0..length)
                .map(|_| match next(8) {
                    0 => u32::MAX,
                    1 => next(1 << 20) << 12,
                    2 => next(100),
                    _ => next(4),
                })
                .collect();
            let blob = vec![7; 50];
            let Some(pieces) = decode(&blob, &words, &LIMITS) else {
                continue;
            };
            decoded += 1;
            let tasks = cut(blob, pieces, &LIMITS);
            for task in &tasks {
                for piece in &task.pieces {
                    match piece {
                        Piece::Bytes { shared, to, bytes } => {
                            assert_eq!(task.bytes(bytes).len(), bytes.len());
                            let limit = if *shared { 1 << 20 } else { 64 << 20 };
                            assert!(to + bytes.len() as u64 <= limit);
                        }
                        Piece::Copy { from, to, length } => {
                            assert!(from + length <= 32 << 20 && to + length <= 64 << 20);
                            assert!(from % 4096 == 0 && to % 4096 == 0 && length % 4096 == 0);
                        }
                        Piece::File { .. } => {}
                    }
                }
                for extent in extents(task) {
                    let limit = if extent.shared { 1 << 20 } else { 64 << 20 };
                    assert!(extent.to + extent.length <= limit);
                    assert!(extent.shared || extent.to % 4096 == 0);
                }
            }
        }
        assert!(decoded > 1000);
    }

    #[test]
    fn a_large_file_is_cut_into_tasks_that_make_it_up() {
        let size = (5 << 20) + 100;
        let words = [2, 9, 0, 4, size, 0, 1, 0, 0, 0, 4096, 0, size, 0];
        let pieces = decode(b"path", &words, &LIMITS).unwrap_or_default();
        let tasks = cut(b"path".to_vec(), pieces, &LIMITS);
        assert_eq!(tasks.len(), 6);
        let mut end = 0;
        for extent in tasks.iter().flat_map(extents) {
            assert_eq!((extent.from, extent.to), (end, end + 4096));
            end += extent.length;
        }
        assert_eq!(end, u64::from(size));
    }
}
