//! What the compressing threads made, put into the image: data, indexes and inodes in the order of the inodes.

use super::super::allocator::Allocator;
use super::super::encode::{
    directory_block, fill_block, InodeFields, NULL_ADDR, SLOT_SIZE, SUPER_END,
};
use super::super::plan::Plan;
use super::super::tree::{Entry, S_IFDIR, S_IFLNK};
use super::appender::{write_at, Appender};
use super::extents::ExtentList;
use super::groups::Groups;
use super::index::{IndexEncoder, IndexFormat, IndexLayout};
use super::queue::Queue;
use super::segments::{Batch, Ending, Piece};
use super::tails::Tail;
use super::{Control, Failure, Settings, Written};
use crate::cluster_batch::Algorithm;
use core::ops::Range;
use std::fs::File;
use std::sync::atomic::Ordering;

/// Behind the superblock stand the settings of the compression: room for the longest.
const RECORD_ROOM: u64 = 16;

pub struct Writer<'a> {
    plan: &'a Plan,
    control: &'a Control,
    file: &'a File,
    base: u64,
    block_size: u64,
    image: Appender<'a>,
    groups: Groups,
    /// The blocks before the data: where the root is.
    start: Vec<u8>,
    root_offset: u64,
    indexes: IndexEncoder,
    /// Of the file so far.
    extents: ExtentList,
    compressed_files: u64,
    has_tails: bool,
}

impl<'a> Writer<'a> {
    pub fn new(
        plan: &'a Plan,
        settings: &Settings,
        file: &'a File,
        base: u64,
        control: &'a Control,
    ) -> Self {
        let block_size = plan.block_size();
        // The root has no index, and no file is before it.
        let room = plan
            .planned
            .first()
            .map_or(0, |root| root.inode_size() + root.tail);
        let mut allocator = Allocator::new(block_size, SUPER_END + RECORD_ROOM, usize::MAX);
        let root_offset = allocator.place(room);
        let blocks = allocator.blocks();
        let format = IndexFormat {
            block_size,
            big_pclusters: settings.sizes.cluster > settings.sizes.block,
            algorithm: match settings.algorithm {
                Algorithm::Lz4 => 0,
                Algorithm::Deflate => 2,
                Algorithm::Zstd => 3,
            },
        };
        Self {
            plan,
            control,
            file,
            base,
            block_size,
            image: Appender::new(file, base, block_size as usize, blocks),
            groups: Groups::new(block_size, plan.planned.len()),
            start: vec![0; (blocks * block_size) as usize],
            root_offset,
            indexes: IndexEncoder::new(format),
            extents: ExtentList::default(),
            compressed_files: 0,
            has_tails: false,
        }
    }

    pub fn write(mut self, queue: &Queue) -> Result<Written, Failure> {
        let mut before = None;
        let mut node = 0;
        while let Some(batch) = queue.next(before.take()) {
            let batch = batch?;
            for piece in &batch.pieces {
                let own = piece.segment.node;
                self.others(node..own)?;
                node = own;
                if self.piece(&batch, piece)? {
                    node += 1;
                }
            }
            if self.control.cancelled.load(Ordering::Relaxed) {
                return Err(Failure::Cancelled);
            }
            before = Some(batch);
        }
        self.others(node..self.plan.planned.len())?;
        self.finish()
    }

    /// Inodes without data that is compressed; directories come last.
    fn others(&mut self, nodes: Range<usize>) -> Result<(), Failure> {
        for node in nodes {
            let planned = &self.plan.planned[node];
            if planned.is(S_IFDIR) {
                continue;
            }
            let mut fields = self.plan.fields(node);
            let data = if planned.is(S_IFLNK) {
                self.plan.tree.record(node).target()
            } else {
                &[]
            };
            let (body, tail) = data.split_at(data.len() - planned.tail as usize);
            if planned.is(S_IFLNK) && !body.is_empty() {
                fields.i_u = self.next_block()?;
                self.image.append(body)?;
            }
            self.add(node, &fields, None, tail)?;
        }
        Ok(())
    }

    /// Adds an inode, with the index that was encoded last if there is one.
    fn add(
        &mut self,
        node: usize,
        fields: &InodeFields,
        index: Option<(&IndexLayout, usize)>,
        tail: &[u8],
    ) -> Result<(), Failure> {
        let index = index.map_or(&[][..], |(layout, inline_size)| {
            self.indexes.encode(layout, &self.extents, inline_size)
        });
        self.groups.add(node, fields, index, tail);
        if self.groups.is_full() {
            self.groups.settle(self.image.size());
            self.image.append(self.groups.bytes())?;
            self.groups.clear();
        }
        Ok(())
    }

    /// Writes the next segment. Returns whether the file ends with it.
    fn piece(&mut self, batch: &Batch, piece: &Piece) -> Result<bool, Failure> {
        let node = piece.segment.node;
        let next = self.next_block()?;
        let is_first = piece.segment.from == 0;
        if is_first {
            self.extents.restart(next);
        }
        let blocks = &batch.blocks[piece.blocks.clone()];
        let done = piece.segment.length as u64;
        self.control.done.fetch_add(done, Ordering::Relaxed);
        let (tail, raw) = match &piece.ending {
            Ending::Open => {
                self.image.append(blocks)?;
                self.add_extents(batch, piece);
                return Ok(false);
            }
            Ending::Flat { tail } => {
                self.image.append(blocks)?;
                self.flat(node, &batch.tails[tail.clone()])?;
                return Ok(true);
            }
            Ending::Indexed { tail, raw } => (tail, &batch.tails[raw.clone()]),
        };
        if !is_first && self.extents.is_plain() && !raw.is_empty() {
            self.flat_end(piece, blocks, raw)?;
            return Ok(true);
        }
        self.image.append(blocks)?;
        self.add_extents(batch, piece);
        let tail = tail
            .as_ref()
            .map(|(tail, bytes)| (*tail, &batch.tails[bytes.clone()]));
        self.indexed(node, tail)?;
        Ok(true)
    }

    fn add_extents(&mut self, batch: &Batch, piece: &Piece) {
        for extent in &batch.extents[piece.extents.clone()] {
            let blocks = (extent.stored_length as u64).div_ceil(self.block_size);
            self.extents
                .add(extent.length as u32, blocks as u32, extent.is_plain);
        }
    }

    /// The end of a file of several segments of which all are plain: it stays flat. `raw` is the last extent as it was.
    fn flat_end(&mut self, piece: &Piece, blocks: &[u8], raw: &[u8]) -> Result<(), Failure> {
        let node = piece.segment.node;
        let planned = &self.plan.planned[node];
        let tail = &raw[raw.len() - planned.tail as usize..];
        let body = piece.segment.length - tail.len();
        let body_blocks = body.next_multiple_of(self.block_size as usize);
        if let Some(own) = blocks.get(..body_blocks) {
            self.image.append(own)?;
        } else {
            self.image.append(blocks)?;
            self.image.append(raw)?;
        }
        self.flat(node, tail)
    }

    /// A file whose data is in the image as it was.
    fn flat(&mut self, node: usize, tail: &[u8]) -> Result<(), Failure> {
        let mut fields = self.plan.fields(node);
        if self.plan.planned[node].body_blocks > 0 {
            fields.i_u = self.extents.first_block();
        }
        self.add(node, &fields, None, tail)
    }

    /// A file whose data is in the image compressed, but for its tail.
    fn indexed(&mut self, node: usize, tail: Option<(Tail, &[u8])>) -> Result<(), Failure> {
        let planned = &self.plan.planned[node];
        let layout = IndexLayout::new(planned.size, planned.inode_size(), self.block_size);
        let mut fields = self.plan.fields(node);
        fields.data_layout = layout.data_layout;
        fields.i_u = self.extents.blocks;
        self.compressed_files += 1;
        let Some((tail, bytes)) = tail else {
            return self.add(node, &fields, Some((&layout, 0)), &[]);
        };
        // A tail counts as a block like any other, although it has none.
        self.extents.add(tail.length as u32, 1, tail.is_plain);
        self.has_tails = true;
        self.add(node, &fields, Some((&layout, bytes.len())), bytes)
    }

    /// The last group, with the directories, then their blocks and those before all.
    fn finish(mut self) -> Result<Written, Failure> {
        let plan = self.plan;
        let directories: Vec<usize> = (0..plan.planned.len())
            .filter(|&node| plan.planned[node].is(S_IFDIR))
            .collect();
        let inner = directories.get(1..).unwrap_or_default();
        for &node in inner {
            let planned = &plan.planned[node];
            self.groups.place(node, planned.inode_size(), planned.tail);
        }
        let start = self.image.size();
        let mut next = start / self.block_size + self.groups.settle(start);
        self.groups.offsets[0] = self.root_offset;
        let mut addresses = Vec::with_capacity(directories.len());
        for &node in &directories {
            let blocks = plan.planned[node].body_blocks;
            addresses.push(if blocks == 0 { NULL_ADDR } else { next as u32 });
            next += blocks;
        }
        check_blocks(next)?;
        let mut entries = Vec::new();
        let mut bytes = Vec::new();
        for (&node, address) in directories.iter().zip(addresses) {
            let mut fields = plan.fields(node);
            fields.i_u = address;
            plan.tree.entries(node, &mut entries);
            let (_, tail) = self.body(node, &entries);
            bytes.clear();
            self.directory_block(tail, &mut bytes);
            if node == 0 {
                let mut root = Vec::new();
                fields.encode(&mut root);
                root.append(&mut bytes);
                let at = self.root_offset as usize;
                self.start[at..at + root.len()].copy_from_slice(&root);
            } else {
                let at = self.groups.offsets[node] - start;
                self.groups.encode(at, &fields, &[], &bytes);
            }
        }
        self.image.append(self.groups.bytes())?;
        for node in directories {
            plan.tree.entries(node, &mut entries);
            let (blocks, _) = self.body(node, &entries);
            for block in blocks {
                bytes.clear();
                self.directory_block(block, &mut bytes);
                self.image.append(&bytes)?;
            }
        }
        // fsck.erofs up to 1.5 reads the header of xattrs that are not there behind the last inode, too.
        let size = self.image.size();
        let mut inodes = self.groups.offsets.iter().zip(&plan.planned);
        if inodes.any(|(offset, planned)| offset + planned.inode_size() == size) {
            self.image.append(&[0])?;
        }
        self.image.flush()?;
        write_at(self.file, self.base, &self.start)?;
        Ok(Written {
            blocks: self.image.next_block(),
            root_offset: self.root_offset,
            compressed_files: self.compressed_files,
            has_tails: self.has_tails,
        })
    }

    /// The entries of a directory by its blocks, and those behind its inode.
    fn body<'b>(
        &self,
        node: usize,
        entries: &'b [Entry<'b>],
    ) -> (Vec<&'b [Entry<'b>]>, &'b [Entry<'b>]) {
        let mut rest = entries;
        let blocks = (0..self.plan.planned[node].body_blocks)
            .map(|_| {
                let (count, _) = fill_block(rest, self.block_size as usize);
                let (block, behind) = rest.split_at(count);
                rest = behind;
                block
            })
            .collect();
        (blocks, rest)
    }

    fn directory_block(&self, entries: &[Entry<'_>], out: &mut Vec<u8>) {
        let target = |to: usize| {
            let nid = self.groups.offsets[to] / SLOT_SIZE;
            (nid, self.plan.planned[to].file_type)
        };
        directory_block(entries, target, out);
    }

    fn next_block(&self) -> Result<u32, Failure> {
        let next = self.image.next_block();
        check_blocks(next)?;
        Ok(next as u32)
    }
}

/// Addresses have 32 bits.
fn check_blocks(blocks: u64) -> Result<(), Failure> {
    if blocks >= u64::from(NULL_ADDR) {
        return Err(Failure::Blocks(blocks));
    }
    Ok(())
}
