//! The last compressed data of a file stands behind its index when it fits there: the twin of
//! `src/formats/erofs/compress-tail.ts`.

use crate::cluster_batch::{Compressor, Sizes};
use crate::clusters::Extent;

/// What a tail must at least save by being compressed: the smallest block that compressors know.
const SMALL_BLOCK: usize = 512;

/// Bytes that a tail of a file can have.
#[derive(Clone, Copy)]
pub struct TailRoom {
    /// Behind inode, header and index.
    pub behind_index: usize,
    /// Whether the segment is the whole file.
    pub is_whole: bool,
}

/// What stands behind the inode in place of the last extent.
#[derive(Clone, Copy)]
pub struct Tail {
    pub is_plain: bool,
    /// In the file, in bytes.
    pub length: usize,
}

/// Memory that serves one segment after the other.
#[derive(Default)]
pub struct TailPacker {
    extents: Vec<Extent>,
    stored: Vec<u8>,
}

impl TailPacker {
    /// Takes from the end of the extents of a segment and their bytes what can stand behind the inode, and puts it into `tail`.
    pub fn pack(
        &mut self,
        segment: &[u8],
        room: TailRoom,
        compressor: &mut Compressor,
        sizes: Sizes,
        (extents, stored): (&mut Vec<Extent>, &mut Vec<u8>),
        tail: &mut Vec<u8>,
    ) -> Option<Tail> {
        self.shorten_last(segment, room, compressor, sizes, extents, stored)?;
        let last = *extents.last()?;
        let length = last.length;
        let raw = segment.get(segment.len().checked_sub(length)?..)?;
        let own_start = stored.len() - last.stored_length;
        let is_small =
            last.is_plain && self.compress_small(raw, room, compressor, sizes, extents)?;
        let bytes = if is_small {
            &self.stored
        } else {
            stored.get(own_start..)?
        };
        if bytes.len() > room.behind_index {
            return None;
        }
        tail.extend_from_slice(bytes);
        extents.pop();
        stored.truncate(own_start);
        Some(Tail {
            is_plain: last.is_plain && !is_small,
            length,
        })
    }

    /// A last cluster of some blocks and a bit is cut in whole blocks and a tail, where that tail fits behind the index.
    fn shorten_last(
        &mut self,
        segment: &[u8],
        room: TailRoom,
        compressor: &mut Compressor,
        sizes: Sizes,
        extents: &mut Vec<Extent>,
        stored: &mut Vec<u8>,
    ) -> Option<()> {
        let last = *extents.last()?;
        let whole = last.stored_length / sizes.block;
        if last.is_plain || whole == 0 || last.stored_length.is_multiple_of(sizes.block) {
            return Some(());
        }
        let rest = segment.get(segment.len().checked_sub(last.length)?..)?;
        let shorter = Sizes {
            cluster: whole * sizes.block,
            ..sizes
        };
        self.extents.clear();
        self.stored.clear();
        compressor.compress(rest, shorter, &mut self.extents, &mut self.stored)?;
        let (end, kept) = self.extents.split_last()?;
        let fits =
            end.stored_length <= room.behind_index && stored_blocks(kept, sizes.block) <= whole;
        if fits {
            extents.pop();
            extents.extend_from_slice(&self.extents);
            stored.truncate(stored.len() - last.stored_length);
            stored.extend_from_slice(&self.stored);
        }
        Some(())
    }

    /// Compresses a plain tail where that saves enough: what saves no block may still save some bytes.
    fn compress_small(
        &mut self,
        raw: &[u8],
        room: TailRoom,
        compressor: &mut Compressor,
        sizes: Sizes,
        extents: &[Extent],
    ) -> Option<bool> {
        // Of a file that is otherwise flat an index would cost what the tail saves.
        let costs_index = extents.len() > 1 && room.is_whole && is_plain(extents);
        if raw.len() <= SMALL_BLOCK || costs_index {
            return Some(false);
        }
        let small = Sizes {
            block: SMALL_BLOCK,
            cluster: sizes.block,
        };
        self.extents.clear();
        self.stored.clear();
        compressor.compress(raw, small, &mut self.extents, &mut self.stored)?;
        let is_one = matches!(self.extents.as_slice(), [extent] if !extent.is_plain);
        Some(is_one && self.stored.len() <= room.behind_index)
    }
}

/// Blocks that extents take.
pub fn stored_blocks(extents: &[Extent], block_size: usize) -> usize {
    extents
        .iter()
        .map(|extent| extent.stored_length.div_ceil(block_size))
        .sum()
}

/// Whether no extent is compressed.
pub fn is_plain(extents: &[Extent]) -> bool {
    extents.iter().all(|extent| extent.is_plain)
}
