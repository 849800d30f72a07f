//! The contents of files, read and compressed a job at a time, as `src/formats/erofs/compress-ahead.ts` explains. A file is cut
//! in segments that are compressed each on its own; where the cuts are depends on the file alone, so that neither threads nor
//! jobs show in the image.

use super::super::plan::{Plan, Planned};
use super::super::tree::S_IFREG;
use super::index::{room_behind_index, IndexLayout};
use super::tails::{is_plain, stored_blocks, Tail, TailPacker, TailRoom};
use super::Settings;
use crate::cluster_batch::{read, Compressor, Failure, FilePart};
use crate::clusters::Extent;
use core::ops::Range;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of a file that are compressed at once, as the twin has it: a multiple of each block size.
const SEGMENT_SIZE: u64 = 2 << 20;
/// A job ends where its segments have so many bytes, or are so many.
const JOB_SIZE: u64 = 1 << 19;
const JOB_COUNT: usize = 256;

/// Part of a file, which is not empty.
#[derive(Clone, Copy)]
pub struct Segment {
    pub node: usize,
    pub from: u64,
    pub length: usize,
}

/// Cuts the files of a plan into jobs.
pub struct Jobs<'a> {
    plan: &'a Plan,
    node: usize,
    from: u64,
}

impl<'a> Jobs<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            node: 0,
            from: 0,
        }
    }

    /// The next segments; false when there are none.
    pub fn next(&mut self, segments: &mut Vec<Segment>) -> bool {
        segments.clear();
        let mut bytes = 0;
        while let Some(planned) = self.plan.planned.get(self.node) {
            if bytes >= JOB_SIZE || segments.len() == JOB_COUNT {
                break;
            }
            if !planned.is(S_IFREG) || self.from == planned.size {
                self.node += 1;
                self.from = 0;
                continue;
            }
            let length = SEGMENT_SIZE.min(planned.size - self.from);
            segments.push(Segment {
                node: self.node,
                from: self.from,
                length: length as usize,
            });
            self.from += length;
            bytes += length;
        }
        !segments.is_empty()
    }
}

/// How a segment ends.
pub enum Ending {
    /// Another segment of the file follows.
    Open,
    /// It is the whole file, which stays flat; what stands behind the inode.
    Flat { tail: Range<usize> },
    /// The last one; what stands behind the index, and the bytes of the last extent as they were: none where the file
    /// does not stay flat whatever was before.
    Indexed {
        tail: Option<(Tail, Range<usize>)>,
        raw: Range<usize>,
    },
}

/// A segment, compressed.
pub struct Piece {
    pub segment: Segment,
    /// In `extents` of the batch; the tail is not among them.
    pub extents: Range<usize>,
    /// In `blocks`.
    pub blocks: Range<usize>,
    pub ending: Ending,
}

/// What became of a job. Serves again.
#[derive(Default)]
pub struct Batch {
    pub pieces: Vec<Piece>,
    pub extents: Vec<Extent>,
    /// Whole blocks as they stand in the image: compressed data stands at their end, other at their start.
    pub blocks: Vec<u8>,
    /// What stands behind inodes.
    pub tails: Vec<u8>,
}

impl Batch {
    fn clear(&mut self) {
        self.pieces.clear();
        self.extents.clear();
        self.blocks.clear();
        self.tails.clear();
    }

    /// Appends bytes as whole blocks.
    fn push_blocks(&mut self, before: usize, bytes: &[u8], block_size: usize) {
        self.blocks.resize(self.blocks.len() + before, 0);
        self.blocks.extend_from_slice(bytes);
        let end = self.blocks.len().next_multiple_of(block_size);
        self.blocks.resize(end, 0);
    }
}

/// One thread's memory.
pub struct Worker<'a> {
    plan: &'a Plan,
    settings: &'a Settings,
    compressor: Compressor,
    packer: TailPacker,
    data: Vec<u8>,
    extents: Vec<Extent>,
    stored: Vec<u8>,
    /// The directory of the file before, with a slash, and its node.
    parent: usize,
    path: Vec<u8>,
    directory_length: usize,
}

impl<'a> Worker<'a> {
    pub fn new(plan: &'a Plan, settings: &'a Settings) -> Self {
        Self {
            plan,
            settings,
            compressor: Compressor::new(settings.algorithm, settings.level),
            packer: TailPacker::default(),
            data: Vec::new(),
            extents: Vec::new(),
            stored: Vec::new(),
            parent: usize::MAX,
            path: Vec::new(),
            directory_length: 0,
        }
    }

    /// Reads and compresses segments; a failure comes with the number of the file.
    pub fn run(&mut self, segments: &[Segment], batch: &mut Batch) -> Result<(), (usize, Failure)> {
        batch.clear();
        for segment in segments {
            self.segment(*segment, batch)
                .map_err(|failure| (segment.node, failure))?;
        }
        Ok(())
    }

    fn segment(&mut self, segment: Segment, batch: &mut Batch) -> Result<(), Failure> {
        let Segment { node, from, length } = segment;
        self.find(node);
        let planned = self.plan.planned.get(node).ok_or(Failure::Refused)?;
        // A byte more shows whether the file goes on.
        if self.data.len() <= length {
            self.data.resize(length + 1, 0);
        }
        let part = FilePart {
            path: Path::new(OsStr::from_bytes(&self.path)),
            from,
            size: planned.size,
        };
        read(part, length, &mut self.data)?;
        let data = self.data.get(..length).ok_or(Failure::Refused)?;
        let sizes = self.settings.sizes;
        let (extents, stored) = (&mut self.extents, &mut self.stored);
        extents.clear();
        stored.clear();
        self.compressor
            .compress(data, sizes, extents, stored)
            .ok_or(Failure::Refused)?;

        let ending = if from + (length as u64) < planned.size {
            Ending::Open
        } else {
            let (head, block_size) = (planned.inode_size(), sizes.block as u64);
            let is_whole = from == 0;
            let tail_start = batch.tails.len();
            let tail = if self.settings.inline_tails {
                let room = TailRoom {
                    behind_index: room_behind_index(planned.size, head, block_size) as usize,
                    is_whole,
                };
                let compressor = &mut self.compressor;
                let made = (&mut *extents, &mut *stored);
                self.packer
                    .pack(data, room, compressor, sizes, made, &mut batch.tails)
            } else {
                None
            };
            let tail = tail.map(|tail| (tail, tail_start..batch.tails.len()));
            if is_whole && stays_flat(planned, block_size, extents, tail.as_ref()) {
                batch.tails.truncate(tail_start);
                let (body, rest) = data.split_at(length - planned.tail as usize);
                let start = batch.blocks.len();
                batch.push_blocks(0, body, sizes.block);
                batch.tails.extend_from_slice(rest);
                batch.pieces.push(Piece {
                    segment,
                    extents: 0..0,
                    blocks: start..batch.blocks.len(),
                    ending: Ending::Flat {
                        tail: tail_start..batch.tails.len(),
                    },
                });
                return Ok(());
            }
            let raw_start = batch.tails.len();
            if !is_whole && is_plain(extents) {
                // All of the file may be plain: then it stays flat, unless its tail saves blocks.
                let last = extents.last().map_or(0, |extent| extent.length);
                let raw = tail.as_ref().map_or(last, |(tail, _)| tail.length);
                if raw <= sizes.block {
                    let bytes = data.get(length - raw..).ok_or(Failure::Refused)?;
                    batch.tails.extend_from_slice(bytes);
                }
            }
            Ending::Indexed {
                tail,
                raw: raw_start..batch.tails.len(),
            }
        };
        let (first_extent, first_block) = (batch.extents.len(), batch.blocks.len());
        let mut rest = stored.as_slice();
        for extent in &*extents {
            let (own, behind) = rest.split_at(extent.stored_length);
            let padding = extent.stored_length.next_multiple_of(sizes.block) - own.len();
            batch.push_blocks(if extent.is_plain { 0 } else { padding }, own, sizes.block);
            rest = behind;
        }
        batch.extents.extend_from_slice(extents);
        batch.pieces.push(Piece {
            segment,
            extents: first_extent..batch.extents.len(),
            blocks: first_block..batch.blocks.len(),
            ending,
        });
        Ok(())
    }

    /// Puts the path of a file into `path`.
    fn find(&mut self, node: usize) {
        let parent = self.plan.tree.nodes[node].parent;
        if parent != self.parent {
            self.parent = parent;
            self.path.clear();
            self.path.extend_from_slice(&self.plan.folder);
            self.plan.push_path(parent, &mut self.path);
            self.path.push(b'/');
            self.directory_length = self.path.len();
        }
        self.path.truncate(self.directory_length);
        let name = self.plan.tree.record(node).name();
        self.path.extend_from_slice(name);
    }
}

/// Whether a file that is at hand as a whole is stored as it is.
fn stays_flat(
    planned: &Planned,
    block_size: u64,
    extents: &[Extent],
    tail: Option<&(Tail, Range<usize>)>,
) -> bool {
    let index = IndexLayout::new(planned.size, planned.inode_size(), block_size).size;
    let blocks = stored_blocks(extents, block_size as usize) as u64;
    let tail = tail.map_or(0, |(_, bytes)| bytes.len() as u64);
    blocks * block_size + index + tail >= planned.body_blocks * block_size + planned.tail
}
