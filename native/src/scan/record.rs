//! What was found, packed: records of 32-bit words and a blob of bytes that they point into.
//!
//! | words | |
//! |---|---|
//! | 0 | number of the directory that has it; of the root its own |
//! | 1 | its own number if it is a directory |
//! | 2 | errno of what could not be read of it, or 0: then the rest may be missing |
//! | 3, 4, 5, 6 | `st_mode`, `st_uid`, `st_gid`, `st_nlink` |
//! | 7, 8 | major and minor number of a device |
//! | 9, 10 | `st_size` |
//! | 11, 12, 13 | seconds of `st_mtime`, nanoseconds |
//! | 14, 15, 16, 17 | `st_ino`, major and minor number of `st_dev` |
//! | 18, 19 | name: offset in the blob, length |
//! | 20, 21 | target of a symbolic link |
//! | 22, 23 | extended attributes: offset in the blob, how many; each is the lengths of name and value (two words, little-endian), then both |

use rustix::fs::Statx;

pub const RECORD_WORDS: usize = 24;

/// Packed records, and how to make them.
#[derive(Debug, Default)]
pub struct Scan {
    pub records: Vec<u32>,
    pub blob: Vec<u8>,
}

/// Name and value of an extended attribute.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// One entry of a directory.
pub struct Entry<'a> {
    pub parent: u32,
    /// Of directories.
    pub number: u32,
    pub errno: i32,
    pub stat: Option<&'a Statx>,
    pub name: &'a [u8],
    pub target: &'a [u8],
    pub xattrs: &'a [Xattr],
}

impl Scan {
    /// `None` when all together is over 4 GiB.
    pub fn push(&mut self, entry: &Entry<'_>) -> Option<()> {
        let name = self.append(entry.name)?;
        let target = self.append(entry.target)?;
        let xattrs = u32::try_from(self.blob.len()).ok()?;
        for (name, value) in entry.xattrs {
            for part in [name, value] {
                self.append(&u32::try_from(part.len()).ok()?.to_le_bytes())?;
            }
            self.append(name)?;
            self.append(value)?;
        }
        let mut record = [0; RECORD_WORDS];
        record[0] = entry.parent;
        record[1] = entry.number;
        record[2] = entry.errno.unsigned_abs();
        if let Some(stat) = entry.stat {
            let low = |value: u64| (value & 0xffff_ffff) as u32;
            let high = |value: u64| (value >> 32) as u32;
            let seconds = stat.stx_mtime.tv_sec.cast_unsigned();
            record[3..18].copy_from_slice(&[
                u32::from(stat.stx_mode),
                stat.stx_uid,
                stat.stx_gid,
                stat.stx_nlink,
                stat.stx_rdev_major,
                stat.stx_rdev_minor,
                low(stat.stx_size),
                high(stat.stx_size),
                low(seconds),
                high(seconds),
                stat.stx_mtime.tv_nsec,
                low(stat.stx_ino),
                high(stat.stx_ino),
                stat.stx_dev_major,
                stat.stx_dev_minor,
            ]);
        }
        record[18..].copy_from_slice(&[
            name,
            u32::try_from(entry.name.len()).ok()?,
            target,
            u32::try_from(entry.target.len()).ok()?,
            xattrs,
            u32::try_from(entry.xattrs.len()).ok()?,
        ]);
        self.records.extend(record);
        Some(())
    }

    /// Takes what another thread found.
    pub fn merge(&mut self, other: &Self) -> Option<()> {
        let shift = self.append(&other.blob)?;
        let start = self.records.len();
        self.records.extend(&other.records);
        for record in self.records[start..].chunks_exact_mut(RECORD_WORDS) {
            for at in [18, 20, 22] {
                record[at] = record[at].checked_add(shift)?;
            }
        }
        Some(())
    }

    fn append(&mut self, bytes: &[u8]) -> Option<u32> {
        let at = u32::try_from(self.blob.len()).ok()?;
        self.blob.extend_from_slice(bytes);
        Some(at)
    }
}

/// One record, by its words.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    words: &'a [u32],
    blob: &'a [u8],
}

impl Scan {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len() / RECORD_WORDS
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record of that number, which must be below `len`.
    pub fn record(&self, index: usize) -> Record<'_> {
        Record {
            words: &self.records[index * RECORD_WORDS..][..RECORD_WORDS],
            blob: &self.blob,
        }
    }
}

impl<'a> Record<'a> {
    fn long(&self, at: usize) -> u64 {
        u64::from(self.words[at]) | u64::from(self.words[at + 1]) << 32
    }
    fn bytes(&self, at: usize) -> &'a [u8] {
        &self.blob[self.words[at] as usize..][..self.words[at + 1] as usize]
    }
    pub fn parent(&self) -> usize {
        self.words[0] as usize
    }
    pub fn number(&self) -> usize {
        self.words[1] as usize
    }
    pub fn errno(&self) -> u32 {
        self.words[2]
    }
    pub fn mode(&self) -> u32 {
        self.words[3]
    }
    pub fn owner(&self) -> (u32, u32) {
        (self.words[4], self.words[5])
    }
    pub fn links(&self) -> u32 {
        self.words[6]
    }
    pub fn device(&self) -> (u32, u32) {
        (self.words[7], self.words[8])
    }
    pub fn size(&self) -> u64 {
        self.long(9)
    }
    /// Seconds and nanoseconds.
    pub fn mtime(&self) -> (i64, u32) {
        (self.long(11).cast_signed(), self.words[13])
    }
    /// Equal for the names of one file.
    pub fn link(&self) -> [u32; 4] {
        [14, 15, 16, 17].map(|at| self.words[at])
    }
    pub fn name(&self) -> &'a [u8] {
        self.bytes(18)
    }
    pub fn target(&self) -> &'a [u8] {
        self.bytes(20)
    }
    /// How many there are.
    pub fn xattrs(&self) -> u32 {
        self.words[23]
    }
}
