//! Metadata of an image that grows: inodes come together in memory and go to the image in large groups. The twin is
//! `src/formats/erofs/metadata-groups.ts`.

use super::super::allocator::Allocator;
use super::super::encode::InodeFields;

/// Bytes of inodes in memory, after which a group is full.
const GROUP_SIZE: u64 = 16 << 20;

pub struct Groups {
    block_size: u64,
    /// The blocks of the group: inodes are encoded where they will stand.
    bytes: Vec<u8>,
    members: Vec<u32>,
    size: u64,
    allocator: Allocator,
    /// Where each inode is in the image, or in the group as long as that is in memory; by number.
    pub offsets: Vec<u64>,
    scratch: Vec<u8>,
}

impl Groups {
    pub fn new(block_size: u64, inodes: usize) -> Self {
        Self {
            block_size,
            bytes: Vec::new(),
            members: Vec::new(),
            size: 0,
            allocator: Allocator::new(block_size, 0, usize::MAX),
            offsets: vec![0; inodes],
            scratch: Vec::new(),
        }
    }

    /// Gives an inode its place. Its head is the inode with its index.
    pub fn place(&mut self, node: usize, head: u64, tail: u64) {
        let is_long = tail > 0 && head + tail > self.block_size;
        self.offsets[node] = if is_long {
            self.allocator.place_across(head, tail)
        } else {
            self.allocator.place(head + tail)
        };
        self.members.push(node as u32);
    }

    /// Encodes an inode, with what stands behind it, at its place in the group.
    pub fn encode(&mut self, offset: u64, fields: &InodeFields, index: &[u8], tail: &[u8]) {
        self.scratch.clear();
        fields.encode(&mut self.scratch);
        let mut at = offset as usize;
        let end = at + self.scratch.len() + index.len() + tail.len();
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        for part in [&self.scratch, index, tail] {
            self.bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
    }

    /// Places and encodes an inode.
    pub fn add(&mut self, node: usize, fields: &InodeFields, index: &[u8], tail: &[u8]) {
        let head = fields.size() + index.len() as u64;
        self.place(node, head, tail.len() as u64);
        self.encode(self.offsets[node], fields, index, tail);
        self.size += head + tail.len() as u64;
    }

    pub fn is_full(&self) -> bool {
        self.size >= GROUP_SIZE
    }

    /// Lets the group stand at an offset of the image; the block behind it, counted from there. No more come to it.
    pub fn settle(&mut self, start: u64) -> u64 {
        for member in self.members.drain(..) {
            self.offsets[member as usize] += start;
        }
        self.size = 0;
        let blocks = self.allocator.blocks();
        self.allocator = Allocator::new(self.block_size, 0, usize::MAX);
        self.bytes.resize((blocks * self.block_size) as usize, 0);
        blocks
    }

    /// The blocks of the group that was settled.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes room for the next group.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}
