//! Where everything of an image goes: the twin of `src/formats/erofs/plan.ts`.

use super::allocator::{Allocator, OPEN_BLOCKS};
use super::encode::{
    device, file_type, fill_block, COMPACT_SIZE, EXTENDED_SIZE, NULL_ADDR, SLOT_SIZE, SUPER_END,
};
use super::tree::{Entry, Tree, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use crate::assemble::SEGMENT_SIZE;
use crate::scan::Scan;
use sha2::{Digest, Sha256};

pub struct Options {
    /// A power of two.
    pub block_size: u32,
    /// Seconds since 1970; inodes of this very time take half the space.
    pub build_time: i64,
    /// Whether files keep their times.
    pub keep_times: bool,
    /// Whether all belongs to user and group 0.
    pub all_root: bool,
}

/// An inode and its place.
pub(super) struct Planned {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) mtime_nsec: u32,
    pub(super) extended: bool,
    pub(super) file_type: u8,
    /// `i_u` unless that is the address of a block.
    pub(super) device: Option<u32>,
    /// Bytes behind the inode.
    pub(super) tail: u64,
    pub(super) body_blocks: u64,
    pub(super) block_address: u32,
    pub(super) offset: u64,
}

impl Planned {
    pub fn inode_size(&self) -> u64 {
        if self.extended {
            EXTENDED_SIZE
        } else {
            COMPACT_SIZE
        }
    }
    pub fn is(&self, format: u32) -> bool {
        self.mode & S_IFMT == format
    }
    pub fn nid(&self) -> u64 {
        self.offset / SLOT_SIZE
    }
}

pub struct Plan {
    /// Where the folder is.
    pub(super) folder: Vec<u8>,
    pub(super) tree: Tree,
    pub(super) planned: Vec<Planned>,
    pub(super) options: Options,
    pub(super) metadata_blocks: u64,
    pub(super) blocks: u64,
}

/// The kernel takes the largest number as "no one".
const NO_ONE: u32 = u32::MAX;
/// What a number of JavaScript holds exactly.
const SAFE: u64 = (1 << 53) - 1;
const MAX_TARGET: usize = 4095;
impl Plan {
    /// Gives the scan back where something of it cannot be stored, or not by us.
    pub fn new(folder: &[u8], scan: Scan, options: Options) -> Result<Self, Scan> {
        let mut plan = Self::unplaced(folder, scan, options)?;
        let Some((metadata_blocks, blocks)) = place(&mut plan.planned, &plan.options) else {
            return Err(plan.tree.scan);
        };
        plan.metadata_blocks = metadata_blocks;
        plan.blocks = blocks;
        Ok(plan)
    }

    /// The same for an image of which only writing it tells what goes where: of no blocks.
    pub fn unplaced(folder: &[u8], scan: Scan, options: Options) -> Result<Self, Scan> {
        let tree = Tree::new(scan)?;
        let Some(planned) = plan_inodes(&tree, &options) else {
            return Err(tree.scan);
        };
        Ok(Self {
            folder: folder.to_vec(),
            tree,
            planned,
            options,
            metadata_blocks: 0,
            blocks: 0,
        })
    }

    pub fn is_placed(&self) -> bool {
        self.blocks > 0
    }
    pub fn inodes(&self) -> usize {
        self.planned.len()
    }
    /// In bytes, as all of these.
    pub fn size(&self) -> u64 {
        self.blocks * self.block_size()
    }
    pub fn shared_size(&self) -> u64 {
        self.metadata_blocks * self.block_size()
    }
    pub fn root_offset(&self) -> u64 {
        self.planned.first().map_or(0, |root| root.offset)
    }
    pub fn block_size(&self) -> u64 {
        self.options.block_size.into()
    }
    /// Bytes that all pieces have.
    pub fn piece_size(&self) -> u64 {
        self.planned
            .iter()
            .map(|planned| planned.inode_size() + planned.size)
            .sum()
    }

    /// Bytes that all files have.
    pub fn content_size(&self) -> u64 {
        self.planned
            .iter()
            .filter(|planned| planned.is(S_IFREG))
            .map(|planned| planned.size)
            .sum()
    }

    /// How many bytes come into each segment of the shared blocks.
    pub fn bytes_per_segment(&self) -> Vec<u32> {
        let mut missing = vec![0; self.shared_size().div_ceil(SEGMENT_SIZE) as usize];
        for planned in &self.planned {
            // Inode and tail fit a block, and blocks do not cross segments.
            let size = planned.inode_size() + planned.tail;
            missing[(planned.offset / SEGMENT_SIZE) as usize] += size as u32;
        }
        missing
    }

    /// What stands for the tree when identifiers are derived, as `planSeed` of the twin has it.
    pub fn seed(&self, volume_name: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(volume_name);
        let number = |value: u64| (value as f64).to_le_bytes();
        let time = |value: i64| (value as f64).to_le_bytes();
        hash.update(number(self.block_size()));
        hash.update(time(self.options.build_time));
        let mut facts = Vec::with_capacity(self.planned.len() * 56);
        for (planned, node) in self.planned.iter().zip(&self.tree.nodes) {
            facts.extend(number(planned.mode.into()));
            facts.extend(number(planned.uid.into()));
            facts.extend(number(planned.gid.into()));
            facts.extend(number(planned.size));
            facts.extend(number(node.links.into()));
            facts.extend(time(planned.mtime));
            facts.extend(number(planned.mtime_nsec.into()));
        }
        hash.update(facts);
        let mut names = Vec::new();
        let mut entries = Vec::new();
        for (node, planned) in self.planned.iter().enumerate() {
            if planned.is(S_IFDIR) {
                self.tree.entries(node, &mut entries);
                for (name, _) in &entries {
                    names.extend_from_slice(name);
                    names.push(b'/');
                }
            }
        }
        names.pop();
        hash.update(names);
        hash.finalize().into()
    }

    /// The size of a file and its path below the folder, with a slash before each name.
    pub fn file(&self, node: usize) -> Option<(u64, Vec<u8>)> {
        let planned = self.planned.get(node)?;
        let mut path = Vec::new();
        self.push_path(node, &mut path);
        Some((planned.size, path))
    }

    pub(super) fn push_path(&self, node: usize, path: &mut Vec<u8>) {
        if node > 0 {
            self.push_path(self.tree.nodes[node].parent, path);
            path.push(b'/');
            path.extend_from_slice(self.tree.record(node).name());
        }
    }
}

/// Every inode with its sizes; `None` where one cannot be stored.
fn plan_inodes(tree: &Tree, options: &Options) -> Option<Vec<Planned>> {
    u32::try_from(tree.nodes.len()).ok()?.checked_add(1)?;
    let mut entries = Vec::new();
    (0..tree.nodes.len())
        .map(|node| plan_inode(tree, node, options, &mut entries))
        .collect()
}

fn plan_inode<'a>(
    tree: &'a Tree,
    node: usize,
    options: &Options,
    entries: &mut Vec<Entry<'a>>,
) -> Option<Planned> {
    let record = tree.record(node);
    let mode = record.mode();
    let (uid, gid) = if options.all_root {
        (0, 0)
    } else {
        record.owner()
    };
    let (mtime, mtime_nsec) = if options.keep_times {
        record.mtime()
    } else {
        (options.build_time, 0)
    };
    if uid == NO_ONE || gid == NO_ONE || mtime.unsigned_abs() > SAFE || mtime_nsec >= 1_000_000_000
    {
        return None;
    }
    let size = match mode & S_IFMT {
        S_IFREG if record.size() <= SAFE => record.size(),
        S_IFDIR => {
            tree.entries(node, entries);
            directory_size(entries, options.block_size)
        }
        S_IFLNK if (1..=MAX_TARGET).contains(&record.target().len()) => {
            record.target().len() as u64
        }
        S_IFREG | S_IFLNK => return None,
        _ => 0,
    };
    let device = match mode & S_IFMT {
        S_IFCHR | S_IFBLK => {
            let (major, minor) = record.device();
            Some(device(major, minor)?)
        }
        _ => None,
    };
    let links = tree.nodes[node].links;
    let extended = uid > 0xffff
        || gid > 0xffff
        || links > 0xffff
        || size > u64::from(u32::MAX)
        || mtime != options.build_time
        || mtime_nsec != 0;
    let head = if extended {
        EXTENDED_SIZE
    } else {
        COMPACT_SIZE
    };
    let block_size = u64::from(options.block_size);
    // The last part of the data stands behind the inode when it fits its block.
    let rest = size % block_size;
    let tail = if head + rest <= block_size { rest } else { 0 };
    Some(Planned {
        mode,
        uid,
        gid,
        size,
        mtime,
        mtime_nsec,
        extended,
        file_type: file_type(mode)?,
        device,
        tail,
        body_blocks: (size - tail).div_ceil(block_size),
        block_address: NULL_ADDR,
        offset: 0,
    })
}

fn directory_size(mut entries: &[Entry<'_>], block_size: u32) -> u64 {
    let mut size = 0;
    loop {
        let (count, used) = fill_block(entries, block_size as usize);
        if count == entries.len() {
            return size + used as u64;
        }
        size += u64::from(block_size);
        entries = &entries[count..];
    }
}

/// Gives everything its place; the metadata's blocks and all of the image's, or `None` when these are too many.
fn place(planned: &mut [Planned], options: &Options) -> Option<(u64, u64)> {
    let mut allocator = Allocator::new(options.block_size.into(), SUPER_END, OPEN_BLOCKS);
    for inode in &mut *planned {
        inode.offset = allocator.place(inode.inode_size() + inode.tail);
    }
    let mut metadata_blocks = allocator.blocks();
    // fsck.erofs up to 1.5 reads the header of xattrs that are not there behind the last inode, too.
    let image_end = metadata_blocks * u64::from(options.block_size);
    if planned.iter().all(|inode| inode.body_blocks == 0)
        && planned
            .iter()
            .any(|inode| inode.offset + inode.inode_size() == image_end)
    {
        metadata_blocks += 1;
    }
    let mut next = metadata_blocks;
    // The blocks of directories are before those of files.
    for directories in [true, false] {
        for inode in &mut *planned {
            if inode.is(S_IFDIR) == directories && inode.body_blocks > 0 {
                inode.block_address = u32::try_from(next).ok()?;
                next = next.checked_add(inode.body_blocks)?;
            }
        }
    }
    (next < u64::from(NULL_ADDR)).then_some((metadata_blocks, next))
}
