//! The bytes of inodes and directories, under the names of `fs/erofs/erofs_fs.h` of Linux.

use super::tree::Entry;

/// Inodes stand at multiples of this many bytes; their number is the nid.
pub const SLOT_SIZE: u64 = 32;
/// Where the superblock ends.
pub const SUPER_END: u64 = 1024 + 128;
pub const COMPACT_SIZE: u64 = 32;
pub const EXTENDED_SIZE: u64 = 64;
/// The block address of what has no block.
pub const NULL_ADDR: u32 = 0xffff_ffff;
const DIRENT_SIZE: usize = 12;

const LAYOUT_EXTENDED: u16 = 1;

/// How the data of an inode is stored, as `i_format` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataLayout {
    FlatPlain = 0,
    CompressedFull = 1,
    FlatInline = 2,
    CompressedCompact = 3,
}

/// The fields of both forms of an inode.
pub struct InodeFields {
    pub extended: bool,
    pub data_layout: DataLayout,
    pub i_mode: u16,
    pub i_size: u64,
    pub i_u: u32,
    pub i_ino: u32,
    pub i_uid: u32,
    pub i_gid: u32,
    pub i_mtime: i64,
    pub i_mtime_nsec: u32,
    pub i_nlink: u32,
}

impl InodeFields {
    pub fn size(&self) -> u64 {
        if self.extended {
            EXTENDED_SIZE
        } else {
            COMPACT_SIZE
        }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        let i_format =
            (self.data_layout as u16) << 1 | if self.extended { LAYOUT_EXTENDED } else { 0 };
        out.extend(i_format.to_le_bytes());
        out.extend([0; 2]); // i_xattr_icount
        out.extend(self.i_mode.to_le_bytes());
        if self.extended {
            out.extend([0; 2]);
            out.extend(self.i_size.to_le_bytes());
            for word in [self.i_u, self.i_ino, self.i_uid, self.i_gid] {
                out.extend(word.to_le_bytes());
            }
            out.extend(self.i_mtime.to_le_bytes());
            out.extend(self.i_mtime_nsec.to_le_bytes());
            out.extend(self.i_nlink.to_le_bytes());
            out.extend([0; 16]);
        } else {
            // The plan takes this form only where all of it fits.
            out.extend((self.i_nlink as u16).to_le_bytes());
            for word in [self.i_size as u32, 0, self.i_u, self.i_ino] {
                out.extend(word.to_le_bytes());
            }
            out.extend((self.i_uid as u16).to_le_bytes());
            out.extend((self.i_gid as u16).to_le_bytes());
            out.extend([0; 4]);
        }
    }
}

/// `st_mode` to `file_type`.
pub fn file_type(mode: u32) -> Option<u8> {
    match mode >> 12 {
        0o10 => Some(1),
        0o04 => Some(2),
        0o02 => Some(3),
        0o06 => Some(4),
        0o01 => Some(5),
        0o14 => Some(6),
        0o12 => Some(7),
        _ => None,
    }
}

/// The kernel's `new_encode_dev`; `None` for numbers that it has no bits for.
pub fn device(major: u32, minor: u32) -> Option<u32> {
    (major < 1 << 12 && minor < 1 << 20)
        .then_some(minor & 0xff | major << 8 | (minor & 0x000f_ff00) << 12)
}

/// How many of the entries the next block holds, and the bytes of it that they use.
pub fn fill_block(entries: &[Entry<'_>], block_size: usize) -> (usize, usize) {
    let mut used = 0;
    for (count, (name, _)) in entries.iter().enumerate() {
        let need = DIRENT_SIZE + name.len();
        if used + need > block_size {
            return (count, used);
        }
        used += need;
    }
    (entries.len(), used)
}

/// The bytes of a block of a directory.
pub fn directory_block(
    entries: &[Entry<'_>],
    nid_and_type: impl Fn(usize) -> (u64, u8),
    out: &mut Vec<u8>,
) {
    let mut nameoff = entries.len() * DIRENT_SIZE;
    for (name, target) in entries {
        let (nid, file_type) = nid_and_type(*target);
        out.extend(nid.to_le_bytes());
        out.extend((nameoff as u16).to_le_bytes());
        out.extend([file_type, 0]);
        nameoff += name.len();
    }
    for (name, _) in entries {
        out.extend_from_slice(name);
    }
}
