//! A planned image as pieces for the assembly: the twin of `src/formats/erofs/pieces.ts`.

use super::encode::{directory_block, fill_block, DataLayout, InodeFields};
use super::plan::{Plan, Planned};
use super::tree::{Entry, S_IFDIR, S_IFLNK, S_IFREG};
use crate::assemble::batch::{Extent, Piece};

/// Pieces are handed over together until their bytes and paths are so many.
const BATCH_SIZE: usize = 1 << 16;

impl Plan {
    /// Hands over the pieces of the image in the order of the inodes, many at a time, with the bytes that they point into.
    /// Stops where that says no.
    pub fn pieces(&self, mut send: impl FnMut(Vec<u8>, Vec<Piece>) -> bool) {
        let mut blob = Vec::with_capacity(BATCH_SIZE * 2);
        let mut pieces = Vec::new();
        let mut entries = Vec::new();
        // Most files have the directory of the one before.
        let (mut parent, mut directory) = (usize::MAX, Vec::new());
        for (node, planned) in self.planned.iter().enumerate() {
            self.push_inode(node, &mut entries, &mut blob, &mut pieces);
            if planned.is(S_IFREG) && planned.size > 0 {
                let other = self.tree.nodes[node].parent;
                if parent != other {
                    parent = other;
                    directory.clear();
                    directory.extend_from_slice(&self.folder);
                    self.push_path(parent, &mut directory);
                    directory.push(b'/');
                }
                let start = blob.len();
                blob.extend_from_slice(&directory);
                blob.extend_from_slice(self.tree.record(node).name());
                pieces.push(Piece::File {
                    number: node as u32,
                    path: start..blob.len(),
                    size: planned.size,
                    slice: None,
                    extents: self.extents(planned),
                });
            }
            if blob.len() >= BATCH_SIZE {
                let next = Vec::with_capacity(BATCH_SIZE * 2);
                let full = core::mem::replace(&mut blob, next);
                if !send(full, core::mem::take(&mut pieces)) {
                    return;
                }
            }
        }
        send(blob, pieces);
    }

    /// The inode, and all of its data that is not a file's.
    fn push_inode<'a>(
        &'a self,
        node: usize,
        entries: &mut Vec<Entry<'a>>,
        blob: &mut Vec<u8>,
        pieces: &mut Vec<Piece>,
    ) {
        let planned = &self.planned[node];
        let mut data = if planned.is(S_IFDIR) {
            self.tree.entries(node, entries);
            Data::Entries(entries)
        } else if planned.is(S_IFLNK) {
            Data::Bytes(self.tree.record(node).target())
        } else {
            Data::Bytes(&[])
        };
        if !planned.is(S_IFREG) {
            for index in 0..planned.body_blocks {
                let start = blob.len();
                self.push_block(&mut data, blob);
                pieces.push(Piece::Bytes {
                    shared: false,
                    to: (u64::from(planned.block_address) + index) * self.block_size(),
                    bytes: start..blob.len(),
                });
            }
        }
        let start = blob.len();
        self.fields(node).encode(blob);
        self.push_block(&mut data, blob);
        pieces.push(Piece::Bytes {
            shared: true,
            to: planned.offset,
            bytes: start..blob.len(),
        });
    }

    /// Takes a block's worth from the data.
    fn push_block(&self, data: &mut Data<'_>, blob: &mut Vec<u8>) {
        let block_size = self.options.block_size as usize;
        match data {
            Data::Entries(rest) => {
                let (count, _) = fill_block(rest, block_size);
                let (block, behind) = rest.split_at(count);
                let target = |node: usize| (self.planned[node].nid(), self.planned[node].file_type);
                directory_block(block, target, blob);
                *rest = behind;
            }
            Data::Bytes(rest) => {
                let (block, behind) = rest.split_at(rest.len().min(block_size));
                blob.extend_from_slice(block);
                *rest = behind;
            }
        }
    }

    pub(super) fn fields(&self, node: usize) -> InodeFields {
        let planned = &self.planned[node];
        InodeFields {
            extended: planned.extended,
            data_layout: if planned.tail > 0 {
                DataLayout::FlatInline
            } else {
                DataLayout::FlatPlain
            },
            i_mode: planned.mode as u16,
            i_size: planned.size,
            i_u: planned.device.unwrap_or(planned.block_address),
            i_ino: node as u32 + 1,
            i_uid: planned.uid,
            i_gid: planned.gid,
            i_mtime: planned.mtime,
            i_mtime_nsec: planned.mtime_nsec,
            i_nlink: self.tree.nodes[node].links,
        }
    }

    fn extents(&self, planned: &Planned) -> Vec<Extent> {
        let body = planned.size - planned.tail;
        let body_extent = Extent {
            shared: false,
            from: 0,
            to: u64::from(planned.block_address) * self.block_size(),
            length: body,
        };
        let tail_extent = Extent {
            shared: true,
            from: body,
            to: planned.offset + planned.inode_size(),
            length: planned.tail,
        };
        [body_extent, tail_extent]
            .into_iter()
            .filter(|extent| extent.length > 0)
            .collect()
    }
}

/// What is still to come of an inode's data.
enum Data<'a> {
    Entries(&'a [Entry<'a>]),
    Bytes(&'a [u8]),
}
