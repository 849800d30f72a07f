//! The messages between kernel and file system, each described once: `struct fuse_*` of include/uapi/linux/fuse.h.
//!
//! Numbers are in the machine's own order; kernel and file system are on one machine.

/// Declares a record: its fields, decoder, encoder, and a check that they add up to the size in the kernel's header.
macro_rules! record {
    ($(#[$about:meta])* $name:ident, $size:literal { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name { $(pub $field: $type),+ }

        impl $name {
            pub const SIZE: usize = $size;

            /// The record at the start of `bytes`, and what follows it; `None` when it does not fit.
            #[must_use]
            pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
                $(let ($field, bytes) = bytes.split_first_chunk::<{ size_of::<$type>() }>()?;)+
                Some((Self { $($field: <$type>::from_ne_bytes(*$field)),+ }, bytes))
            }

            pub fn encode(&self, out: &mut Vec<u8>) {
                $(out.extend_from_slice(&self.$field.to_ne_bytes());)+
            }
        }

        const _: () = assert!($size == 0 $(+ size_of::<$type>())+);
    };
}

record!(InHeader, 40 {
    len: u32, opcode: u32, unique: u64, nodeid: u64, uid: u32, gid: u32, pid: u32, total_extlen: u16, padding: u16,
});
record!(OutHeader, 16 { len: u32, error: i32, unique: u64 });
record!(InitIn, 16 { major: u32, minor: u32, max_readahead: u32, flags: u32 });
record!(InitOut, 64 {
    major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16, congestion_threshold: u16,
    max_write: u32, time_gran: u32, max_pages: u16, map_alignment: u16, flags2: u32, max_stack_depth: u32,
    unused_0: u64, unused_1: u64, unused_2: u64,
});
record!(Attr, 88 {
    ino: u64, size: u64, blocks: u64, atime: u64, mtime: u64, ctime: u64,
    atimensec: u32, mtimensec: u32, ctimensec: u32,
    mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32, blksize: u32, flags: u32,
});
record!(
    /// `struct fuse_entry_out` less its attributes, which follow.
    EntryOut, 40 {
        nodeid: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_nsec: u32, attr_valid_nsec: u32,
    }
);
record!(
    /// `struct fuse_attr_out` less its attributes, which follow.
    AttrOut, 16 { attr_valid: u64, attr_valid_nsec: u32, dummy: u32 }
);
record!(ReadIn, 40 {
    fh: u64, offset: u64, size: u32, read_flags: u32, lock_owner: u64, flags: u32, padding: u32,
});
record!(
    /// `struct fuse_dirent` less its name, which follows, padded to 8 bytes.
    Dirent, 24 { ino: u64, off: u64, namelen: u32, kind: u32 }
);
record!(StatfsOut, 80 {
    blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, namelen: u32, frsize: u32, padding: u32,
    spare_0: u64, spare_1: u64, spare_2: u64,
});

pub const VERSION_MAJOR: u32 = 7;
/// The version that this file follows. The records above have had their sizes since 7.23, and a kernel
/// that needs no OPENDIR says so since 7.29 (Linux 5.1).
pub const VERSION_MINOR: u32 = 31;
pub const VERSION_MINOR_MIN: u32 = 29;

/// Of one read, in bytes: the kernel's own read-ahead.
pub const MAX_READ: u32 = 128 * 1024;
pub const ROOT_ID: u64 = 1;

pub const LOOKUP: u32 = 1;
pub const FORGET: u32 = 2;
pub const GETATTR: u32 = 3;
pub const READ: u32 = 15;
pub const STATFS: u32 = 17;
pub const INIT: u32 = 26;
pub const READDIR: u32 = 28;
pub const INTERRUPT: u32 = 36;
pub const DESTROY: u32 = 38;
pub const BATCH_FORGET: u32 = 42;
pub const READDIRPLUS: u32 = 44;

pub const ASYNC_READ: u32 = 1 << 0;
pub const DO_READDIRPLUS: u32 = 1 << 13;
pub const READDIRPLUS_AUTO: u32 = 1 << 14;
/// The kernel takes ENOSYS to OPEN as "never ask again; keep what is cached".
pub const NO_OPEN_SUPPORT: u32 = 1 << 17;
pub const PARALLEL_DIROPS: u32 = 1 << 18;
/// The same for OPENDIR.
pub const NO_OPENDIR_SUPPORT: u32 = 1 << 24;

pub const ENOENT: i32 = 2;
pub const EIO: i32 = 5;
pub const ENOTDIR: i32 = 20;
pub const EISDIR: i32 = 21;
pub const EINVAL: i32 = 22;
pub const ENOSYS: i32 = 38;
pub const EPROTO: i32 = 71;

pub const S_IFDIR: u32 = 0o040_000;
pub const S_IFREG: u32 = 0o100_000;
