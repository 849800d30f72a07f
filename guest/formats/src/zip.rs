//! A strict profile of ZIP: what is left when every place where two readers could disagree is refused.
//!
//! PKWARE APPNOTE 6.3.10. A valid APK signature proves who signed the bytes, not that everybody reads the same files out of
//! them; after this profile there is one reading. It is stricter than Android; the tests list what it refuses beyond it.

use crate::apk::{self, Sections, SigningBlock};
use crate::error::{ErrorCode, FormatError};
use crate::read_at::ReadAt;
use crate::reader::Reader;

mod central;
mod extract;
mod local;
mod names;
mod stream;
use central::{read_central_directory, CentralRecord};
pub use extract::{copy_entry, CopyError};
use local::{check_data_descriptor, check_entries_padding, check_local_header};
use names::first_clash;
pub use stream::EntryStream;

const FORMAT: &str = "zip";
/// What decompresses to more than that of itself is made to exhaust who reads it.
const RATIO_MAX: u64 = 64;
const USUAL_TOTAL_SIZE: u64 = 256 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Stored,
    Deflated,
}

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// Permission bits (`0o777` at most), where the archive states any.
    pub mode: Option<u32>,
    pub method: Method,
    pub crc32: u32,
    pub compressed_size: u64,
    pub size: u64,
    pub data_offset: u64,
}

/// A directory that the archive names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Without the slash at the end.
    pub name: String,
    pub mode: Option<u32>,
}

/// What an archive holds, in the order of the offsets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Archive {
    pub files: Vec<Entry>,
    pub directories: Vec<Directory>,
}

/// The whole profile: `read_archive`, and then every file's contents. Returns the files.
///
/// # Errors
/// As `read_archive`, and when size, CRC or compressed stream of a file is not what the archive says.
pub fn read_strict(
    source: &(impl ReadAt + ?Sized),
    sections: &Sections,
) -> Result<Vec<Entry>, FormatError> {
    let archive = read_archive(source, sections)?;
    for entry in &archive.files {
        check_contents(source, entry)?;
    }
    Ok(archive.files)
}

/// Checks what a signed APK says about its contents against the profile, and lists what is in it. The contents of files are
/// checked as they are read.
///
/// # Errors
/// When anything is there that another reader could read differently.
pub fn read_archive(
    source: &(impl ReadAt + ?Sized),
    sections: &Sections,
) -> Result<Archive, FormatError> {
    let comment_size = sections.apk_size - sections.eocd_offset - 22;
    if comment_size != 0 {
        return Err(FormatError::new(
            FORMAT,
            ErrorCode::Unsupported,
            "archive comment",
            sections.eocd_offset,
        ));
    }
    check_signing_block(&SigningBlock::read(source, sections)?, sections)?;
    let mut records = read_central_directory(source, sections)?;
    if let Some(index) = first_clash(records.iter().map(|record| record.name.as_str())) {
        let offset = records.get(index).map_or(0, |record| record.offset);
        return Err(FormatError::new(
            FORMAT,
            ErrorCode::Duplicate,
            "name",
            offset,
        ));
    }
    check_total_size(&records, sections)?;
    records.sort_by_key(|record| record.local_offset);
    let starts: Vec<u64> = records.iter().map(|record| record.local_offset).collect();
    let mut archive = Archive::default();
    let mut end = 0;
    for (index, record) in records.into_iter().enumerate() {
        let next = starts.get(index + 1).copied();
        // Ascending, so that the next one starts behind this one's start; whether behind its end is what is checked.
        let limit = next.unwrap_or(sections.signing_block_offset);
        let data_offset = check_local_header(source, &record, end, limit)?;
        end = check_data_descriptor(source, &record, data_offset, limit)?;
        let entry = Entry {
            mode: record.mode,
            method: record.method,
            crc32: record.sums.crc32,
            compressed_size: record.sums.compressed_size.into(),
            size: record.sums.size.into(),
            name: record.name,
            data_offset,
        };
        match entry.name.strip_suffix('/') {
            None => archive.files.push(entry),
            Some(name) => {
                // Nobody will read it later.
                check_contents(source, &entry)?;
                archive.directories.push(Directory {
                    name: name.to_owned(),
                    mode: entry.mode,
                });
            }
        }
    }
    check_entries_padding(source, end, sections.signing_block_offset)?;
    Ok(archive)
}

fn check_contents(source: &(impl ReadAt + ?Sized), entry: &Entry) -> Result<(), FormatError> {
    match copy_entry(source, entry, |_| Ok(())) {
        Err(CopyError::Format(error)) => Err(error),
        Err(CopyError::Sink(_)) | Ok(()) => Ok(()),
    }
}

fn check_total_size(records: &[CentralRecord], sections: &Sections) -> Result<(), FormatError> {
    let total: u64 = records
        .iter()
        .map(|record| u64::from(record.sums.size))
        .sum();
    if total > USUAL_TOTAL_SIZE.max(sections.apk_size.saturating_mul(RATIO_MAX)) {
        let offset = sections.central_directory_offset;
        return Err(FormatError::new(
            FORMAT,
            ErrorCode::TooLarge,
            "size of all entries",
            offset,
        ));
    }
    Ok(())
}

/// Bytes of unknown pairs are outside every signature, so only known ids may be there, each once.
fn check_signing_block(block: &SigningBlock, sections: &Sections) -> Result<(), FormatError> {
    let fail = |code, field| FormatError::new(FORMAT, code, field, sections.signing_block_offset);
    let mut seen = Vec::new();
    for (id, value) in block.pairs() {
        match id {
            apk::SIGNATURE_SCHEME_V2_BLOCK_ID
            | apk::SIGNATURE_SCHEME_V3_BLOCK_ID
            | apk::SIGNATURE_SCHEME_V31_BLOCK_ID
            | apk::SOURCE_STAMP_V1_BLOCK_ID
            | apk::SOURCE_STAMP_V2_BLOCK_ID => {}
            apk::VERITY_PADDING_BLOCK_ID if value.iter().all(|byte| *byte == 0) => {}
            _ => return Err(fail(ErrorCode::Unsupported, "signing block pair")),
        }
        if seen.contains(&id) {
            return Err(fail(ErrorCode::Duplicate, "signing block pair"));
        }
        seen.push(id);
    }
    Ok(())
}

/// CRC and sizes: the three numbers that a central record, a local header and a data descriptor all state.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Sums {
    crc32: u32,
    compressed_size: u32,
    size: u32,
}

impl Sums {
    fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            crc32: reader.u32_le("crc32")?,
            compressed_size: reader.u32_le("compressed size")?,
            size: reader.u32_le("size")?,
        })
    }

    /// Equal, or zero where a data descriptor will tell.
    fn may_stand_for(&self, other: &Self, is_deferred: bool) -> bool {
        let same = |mine: u32, theirs: u32| mine == theirs || (is_deferred && mine == 0);
        same(self.crc32, other.crc32)
            && same(self.compressed_size, other.compressed_size)
            && same(self.size, other.size)
    }
}
