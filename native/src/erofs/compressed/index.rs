//! The index of compressed data: the twin of `src/formats/erofs/encode-cluster-index.ts`, which explains it.

use super::super::encode::{DataLayout, SLOT_SIZE};
use super::extents::ExtentList;

const MAP_HEADER_SIZE: u64 = 8;
/// Older kernels have eight bytes of no use between the header and a full index.
const FULL_INDEX_GAP: u64 = 8;
const FULL_ENTRY_SIZE: u64 = 8;
/// Entries are 32 bytes together: sixteen of two bytes.
const PACK_SIZE_2B: usize = 32;
const PER_PACK_2B: usize = 16;
const PACK_SIZE_4B: usize = 8;
const PER_PACK_4B: usize = 2;
/// Larger blocks have full indexes.
const MAX_COMPACT_BLOCK: u64 = 1 << 14;
/// `h_idata_size` has 16 bits.
const MAX_INLINE: u64 = 0xffff;

const ADVISE_COMPACTED_2B: u16 = 0x1;
const ADVISE_BIG_PCLUSTER_1: u16 = 0x2;
const ADVISE_BIG_PCLUSTER_2: u16 = 0x4;
const ADVISE_INLINE_PCLUSTER: u16 = 0x8;
const TYPE_PLAIN: u8 = 0;
const TYPE_HEAD: u8 = 1;
const TYPE_NONHEAD: u8 = 2;
/// In a distance: what follows is how many blocks the data takes.
const D0_CBLKCNT: u16 = 1 << 11;

/// Where the parts of an index are.
pub struct IndexLayout {
    pub data_layout: DataLayout,
    /// Bytes behind the inode, which end where the header may begin.
    pub size: u64,
    clusters: usize,
    /// How many clusters have entries of four bytes first, and of two bytes then.
    initial: usize,
    middle: usize,
}

impl IndexLayout {
    /// Of a file of so many bytes, behind an inode of `head` bytes.
    pub fn new(size: u64, head: u64, block_size: u64) -> Self {
        let clusters = size.div_ceil(block_size);
        if block_size > MAX_COMPACT_BLOCK {
            return Self {
                data_layout: DataLayout::CompressedFull,
                size: MAP_HEADER_SIZE + FULL_INDEX_GAP + clusters * FULL_ENTRY_SIZE,
                clusters: clusters as usize,
                initial: 0,
                middle: 0,
            };
        }
        // Packs of two bytes an entry start at multiples of their size.
        let start = head + MAP_HEADER_SIZE;
        let to_align = (start.next_multiple_of(PACK_SIZE_2B as u64) - start) / 4;
        let has_2b = block_size == 4096 && to_align < clusters;
        let initial = if has_2b { to_align } else { 0 };
        let middle = if has_2b {
            clusters - initial - (clusters - initial) % PER_PACK_2B as u64
        } else {
            0
        };
        let rest = (clusters - initial - middle).div_ceil(PER_PACK_4B as u64) * PACK_SIZE_4B as u64;
        Self {
            data_layout: DataLayout::CompressedCompact,
            size: MAP_HEADER_SIZE + initial * 4 + middle * 2 + rest,
            clusters: clusters as usize,
            initial: initial as usize,
            middle: middle as usize,
        }
    }
}

/// Bytes that can stand behind the index of a file: within a block, which may follow the inode's.
pub fn room_behind_index(size: u64, head: u64, block_size: u64) -> u64 {
    let indexed = head + IndexLayout::new(size, head, block_size).size;
    (block_size - indexed % SLOT_SIZE).min(MAX_INLINE)
}

/// What all indexes of an image have in common.
#[derive(Clone, Copy)]
pub struct IndexFormat {
    pub block_size: u64,
    /// Whether extents may take several blocks.
    pub big_pclusters: bool,
    /// The number of the format for the algorithm.
    pub algorithm: u8,
}

/// The entry of a cluster.
#[derive(Clone, Copy, Default)]
struct Cluster {
    kind: u8,
    /// Of heads: where in the cluster the data starts; of others `delta[0]`.
    low: u16,
    /// Of heads: the block; of others `delta[1]`.
    high: u32,
}

/// An encoder for one file after the other: its memory serves all.
pub struct IndexEncoder {
    format: IndexFormat,
    clusters: Vec<Cluster>,
    bytes: Vec<u8>,
}

impl IndexEncoder {
    pub fn new(format: IndexFormat) -> Self {
        Self {
            format,
            clusters: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// The header and the index. The extents have no gaps; those of a compact index stand without gaps in the image too.
    /// `inline_size` bytes of the last one stand behind the index, if any.
    pub fn encode(
        &mut self,
        layout: &IndexLayout,
        extents: &ExtentList,
        inline_size: usize,
    ) -> &[u8] {
        let is_full = layout.data_layout == DataLayout::CompressedFull;
        self.bytes.clear();
        self.header(is_full, inline_size);
        self.list_clusters(layout.clusters, extents);
        if is_full {
            self.bytes.extend([0; FULL_INDEX_GAP as usize]);
            for &Cluster { kind, low, high } in &self.clusters {
                let is_head = kind != TYPE_NONHEAD;
                let (first, second) = if is_head {
                    (low, high)
                } else {
                    (0, high << 16 | u32::from(low))
                };
                self.bytes.extend(u16::from(kind).to_le_bytes());
                self.bytes.extend(first.to_le_bytes());
                self.bytes.extend(second.to_le_bytes());
            }
        } else {
            self.pack(layout, extents.first_block());
        }
        &self.bytes
    }

    fn header(&mut self, is_full: bool, inline_size: usize) {
        let IndexFormat {
            block_size,
            big_pclusters,
            algorithm,
        } = self.format;
        let mut advise = 0;
        for (is_set, flag) in [
            (!is_full && block_size == 4096, ADVISE_COMPACTED_2B),
            (big_pclusters, ADVISE_BIG_PCLUSTER_1),
            // Both or none, although there is no second algorithm.
            (big_pclusters && !is_full, ADVISE_BIG_PCLUSTER_2),
            (inline_size > 0, ADVISE_INLINE_PCLUSTER),
        ] {
            if is_set {
                advise |= flag;
            }
        }
        self.bytes.extend([0; 2]);
        self.bytes.extend((inline_size as u16).to_le_bytes());
        self.bytes.extend(advise.to_le_bytes());
        self.bytes.extend([algorithm, 0]);
    }

    /// Fills in the entries: each cluster has one, as extents have no gaps.
    fn list_clusters(&mut self, count: usize, extents: &ExtentList) {
        let IndexFormat {
            block_size,
            big_pclusters,
            ..
        } = self.format;
        self.clusters.clear();
        self.clusters.resize(count, Cluster::default());
        let mut offset = 0;
        let mut set = |at: u64, kind: u8, low: u16, high: u32| {
            if let Some(cluster) = self.clusters.get_mut(at as usize) {
                *cluster = Cluster { kind, low, high };
            }
        };
        for extent in extents.iter() {
            let (head, start) = (offset / block_size, offset % block_size);
            offset += u64::from(extent.length);
            let end = offset / block_size;
            let kind = if extent.is_plain {
                TYPE_PLAIN
            } else {
                TYPE_HEAD
            };
            set(head, kind, start as u16, extent.first_block);
            for cluster in head + 1..end {
                // The first of them tells the size of the data, which is one cluster back then.
                let low = if big_pclusters && cluster == head + 1 {
                    extent.blocks as u16 | D0_CBLKCNT
                } else {
                    (cluster - head) as u16
                };
                set(cluster, TYPE_NONHEAD, low, (end - cluster) as u32);
            }
            // What ends within a cluster where nothing starts ends at a head that has no data.
            let rest = offset % block_size;
            if rest > 0 && end > head {
                set(end, TYPE_PLAIN, rest as u16, 0);
            }
        }
    }

    /// A pack holds some bits for each cluster and one block address, as the twin explains.
    fn pack(&mut self, layout: &IndexLayout, first_block: u32) {
        let big_pclusters = self.format.big_pclusters;
        let rest = layout.clusters - layout.initial - layout.middle;
        let mut packer = Packer {
            clusters: &self.clusters,
            bytes: &mut self.bytes,
            big_pclusters,
            low_bits: self.format.block_size.ilog2().max(12),
            base: first_block.wrapping_sub(u32::from(!big_pclusters)),
            pending: false,
        };
        packer.packs(layout.initial, PER_PACK_4B, PACK_SIZE_4B);
        packer.packs(layout.middle, PER_PACK_2B, PACK_SIZE_2B);
        packer.packs(rest, PER_PACK_4B, PACK_SIZE_4B);
    }
}

struct Packer<'a> {
    /// Those still to come.
    clusters: &'a [Cluster],
    bytes: &'a mut Vec<u8>,
    big_pclusters: bool,
    low_bits: u32,
    /// The address from which the next head's is counted.
    base: u32,
    /// Whether the newest head is not counted yet: its data may take one block.
    pending: bool,
}

impl Packer<'_> {
    fn packs(&mut self, count: usize, per_pack: usize, pack_size: usize) {
        let (clusters, rest) = self.clusters.split_at(count);
        for members in clusters.chunks(per_pack) {
            self.pack(members, per_pack, pack_size);
        }
        self.clusters = rest;
    }

    fn pack(&mut self, members: &[Cluster], per_pack: usize, pack_size: usize) {
        let bits = (pack_size - 4) * 8 / per_pack;
        let starts = members
            .first()
            .is_some_and(|first| first.kind != TYPE_NONHEAD);
        if self.pending && starts {
            self.base = self.base.wrapping_add(1);
            self.pending = false;
        }
        let mut pack = [0; PACK_SIZE_2B];
        pack[pack_size - 4..pack_size].copy_from_slice(&self.base.to_le_bytes());
        for (i, &Cluster { kind, low, high }) in members.iter().enumerate() {
            let mut value = low;
            if kind != TYPE_NONHEAD {
                if !self.big_pclusters || self.pending {
                    self.base = self.base.wrapping_add(1);
                }
                self.pending = self.big_pclusters;
            } else if self.big_pclusters && value & D0_CBLKCNT != 0 {
                self.base = self.base.wrapping_add(u32::from(value & !D0_CBLKCNT));
                self.pending = false;
            } else if i == per_pack - 1 {
                // The last of a pack looks ahead; how far back its data started follows from the one before.
                value = high.min(u32::from(D0_CBLKCNT) - 1) as u16;
            }
            put_bits(
                &mut pack,
                i * bits,
                u32::from(kind) << self.low_bits | u32::from(value),
            );
        }
        self.bytes.extend_from_slice(&pack[..pack_size]);
    }
}

/// Sets up to 16 bits of zeros.
fn put_bits(target: &mut [u8], bit: usize, value: u32) {
    let shifted = value << (bit & 7);
    for (byte, part) in target[bit / 8..].iter_mut().zip(shifted.to_le_bytes()) {
        *byte |= part;
    }
}
