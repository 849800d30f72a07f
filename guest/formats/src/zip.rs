//! A strict profile of ZIP: what is left when every place where two readers could disagree is refused.
//!
//! PKWARE APPNOTE 6.3.10. A valid APK signature proves who signed the bytes, not that everybody reads the same files out of
//! them; after this profile there is one reading. It is stricter than Android; the tests list what it refuses beyond it.

use crate::apk::{self, Sections, SigningBlock};
use crate::error::{ErrorCode, FormatError};
use crate::read_at::{read_bytes, ReadAt};
use crate::reader::Reader;

mod extract;
mod names;
mod stream;
pub use extract::{copy_entry, CopyError};
use names::{decode_name, first_clash};
pub use stream::EntryStream;

const FORMAT: &str = "zip";
const CENTRAL_HEADER_MAGIC: u32 = 0x0201_4b50;
const LOCAL_HEADER_MAGIC: u32 = 0x0403_4b50;
const LOCAL_HEADER_SIZE: u64 = 30;
const DATA_DESCRIPTOR_MAGIC: u32 = 0x0807_4b50;
const CENTRAL_DIRECTORY_SIZE_MAX: u64 = 16 * 1024 * 1024;
/// Zeros that signers put before the signing block so that it starts at a page; the largest page in use.
const ENTRIES_PADDING_SIZE_MAX: u64 = 64 * 1024;

/// Encrypted (0), strongly encrypted (6), masked headers (13).
const FLAGS_REFUSED: u16 = 0x2041;
const FLAG_DATA_DESCRIPTOR: u16 = 0x0008;
const EXTRA_ZIP64: u16 = 0x0001;
const EXTRA_UNICODE_PATH: u16 = 0x7075;

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

/// The files alone of `read_archive`.
///
/// # Errors
/// As `read_archive`.
pub fn read_strict(
    source: &(impl ReadAt + ?Sized),
    sections: &Sections,
) -> Result<Vec<Entry>, FormatError> {
    read_archive(source, sections).map(|archive| archive.files)
}

/// Checks a whole signed APK against the profile and lists what is in it.
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
    records.sort_by_key(|record| record.local_offset);
    let mut archive = Archive::default();
    let mut end = 0;
    for record in records {
        let data_offset = check_local_header(source, &record, end, sections.signing_block_offset)?;
        end = check_data_descriptor(source, &record, data_offset, sections.signing_block_offset)?;
        let mode = record.mode;
        if let Some(name) = record.name.strip_suffix('/') {
            let name = name.to_owned();
            archive.directories.push(Directory { name, mode });
        } else {
            archive.files.push(Entry {
                name: record.name,
                mode,
                method: record.method,
                crc32: record.sums.crc32,
                compressed_size: record.sums.compressed_size.into(),
                size: record.sums.size.into(),
                data_offset,
            });
        }
    }
    check_entries_padding(source, end, sections.signing_block_offset)?;
    Ok(archive)
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

struct CentralRecord {
    name: String,
    mode: Option<u32>,
    flags: u16,
    method: Method,
    time: u32,
    sums: Sums,
    local_offset: u64,
    /// Of this record, for errors.
    offset: u64,
}

fn read_central_directory(
    source: &(impl ReadAt + ?Sized),
    sections: &Sections,
) -> Result<Vec<CentralRecord>, FormatError> {
    let start = sections.central_directory_offset;
    let size = sections.eocd_offset - start;
    let bytes = read_bytes(
        source,
        start,
        size,
        CENTRAL_DIRECTORY_SIZE_MAX,
        FORMAT,
        "central directory",
    )?;
    let mut reader = Reader::at(FORMAT, &bytes, start);
    let mut records = Vec::new();
    for _ in 0..sections.entry_count {
        records.push(read_central_record(&mut reader)?);
    }
    reader.finish("central directory")?;
    Ok(records)
}

fn read_central_record(reader: &mut Reader<'_>) -> Result<CentralRecord, FormatError> {
    let offset = reader.offset();
    let fail = |code, field| FormatError::new(FORMAT, code, field, offset);
    if reader.u32_le("central header")? != CENTRAL_HEADER_MAGIC {
        return Err(fail(ErrorCode::BadMagic, "central header"));
    }
    let made_by = reader.u16_le("version made by")?;
    reader.u16_le("version needed")?;
    let flags = reader.u16_le("flags")?;
    if flags & FLAGS_REFUSED != 0 {
        return Err(fail(ErrorCode::Unsupported, "flags"));
    }
    let method = match reader.u16_le("method")? {
        0 => Method::Stored,
        8 => Method::Deflated,
        _ => return Err(fail(ErrorCode::Unsupported, "method")),
    };
    let time = reader.u32_le("time and date")?;
    let sums = Sums::read(reader)?;
    let name_size = usize::from(reader.u16_le("name size")?);
    let extra_size = usize::from(reader.u16_le("extra size")?);
    let comment_size = reader.u16_le("comment size")?;
    let disk = reader.u16_le("disk")?;
    reader.u16_le("internal attributes")?;
    let attributes = reader.u32_le("external attributes")?;
    let local_offset = u64::from(reader.u32_le("local header offset")?);
    let name = decode_name(reader.take(name_size, "name")?)
        .ok_or_else(|| fail(ErrorCode::BadValue, "name"))?;
    check_extra(Reader::at(
        FORMAT,
        reader.take(extra_size, "extra")?,
        reader.offset(),
    ))?;
    if comment_size != 0 || disk != 0 {
        return Err(fail(ErrorCode::Unsupported, "entry comment"));
    }
    if !is_plain_mode(attributes >> 16, name.ends_with('/')) {
        return Err(fail(ErrorCode::Unsupported, "mode"));
    }
    let is_sized_right = match method {
        Method::Stored => sums.compressed_size == sums.size && flags & FLAG_DATA_DESCRIPTOR == 0,
        Method::Deflated => true,
    };
    if !is_sized_right || (name.ends_with('/') && sums.size != 0) {
        return Err(fail(ErrorCode::BadValue, "size"));
    }
    Ok(CentralRecord {
        mode: permissions(made_by, attributes),
        name,
        flags,
        method,
        time,
        sums,
        local_offset,
        offset,
    })
}

/// Permissions as Android's zipfuse finds them: those of a Unix writer, or the nearest to what MS-DOS has.
fn permissions(made_by: u16, attributes: u32) -> Option<u32> {
    const SYSTEM_DOS: u16 = 0;
    const SYSTEM_UNIX: u16 = 3;
    const DOS_READ_ONLY: u32 = 0x01;
    const DOS_DIRECTORY: u32 = 0x10;
    match made_by >> 8 {
        SYSTEM_UNIX => Some(attributes >> 16 & 0o777).filter(|mode| *mode != 0),
        SYSTEM_DOS if attributes != 0 => {
            let is_directory = attributes & DOS_DIRECTORY != 0;
            let mode = if is_directory { 0o775 } else { 0o664 };
            let is_read_only = attributes & DOS_READ_ONLY != 0;
            Some(if is_read_only { mode & 0o555 } else { mode })
        }
        _ => None,
    }
}

/// The type of a file or directory, or none where the writer left it out. Permissions are ours to choose, not the archive's.
fn is_plain_mode(mode: u32, is_directory: bool) -> bool {
    let kind = mode & 0o170_000;
    kind == 0 || kind == if is_directory { 0o040_000 } else { 0o100_000 }
}

/// Well-formed fields; what does not parse must be zeros, which old zipalign left there.
fn check_extra(mut extra: Reader<'_>) -> Result<(), FormatError> {
    while !extra.is_empty() {
        let mut field = extra.clone();
        let parsed = field.u16_le("extra").and_then(|id| {
            let size = field.u16_le("extra")?;
            field.take(size.into(), "extra").map(|_| id)
        });
        match parsed {
            Ok(EXTRA_ZIP64 | EXTRA_UNICODE_PATH) => {
                return Err(extra.error(ErrorCode::Unsupported, "extra"))
            }
            Ok(_) => extra = field,
            Err(error) if extra.rest().iter().any(|byte| *byte != 0) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}

/// The local header must start where the last entry ended and say what the central record says. Returns the data's offset.
fn check_local_header(
    source: &(impl ReadAt + ?Sized),
    record: &CentralRecord,
    expected_offset: u64,
    limit: u64,
) -> Result<u64, FormatError> {
    let fail = |code, field| FormatError::new(FORMAT, code, field, record.local_offset);
    if record.local_offset != expected_offset {
        return Err(fail(ErrorCode::BadValue, "local header offset"));
    }
    let fixed = read_bytes(
        source,
        record.local_offset,
        LOCAL_HEADER_SIZE,
        LOCAL_HEADER_SIZE,
        FORMAT,
        "local header",
    )?;
    let mut reader = Reader::at(FORMAT, &fixed, record.local_offset);
    if reader.u32_le("local header")? != LOCAL_HEADER_MAGIC {
        return Err(fail(ErrorCode::BadMagic, "local header"));
    }
    reader.u16_le("version needed")?;
    let flags = reader.u16_le("flags")?;
    let method = match reader.u16_le("method")? {
        0 => Some(Method::Stored),
        8 => Some(Method::Deflated),
        _ => None,
    };
    let time = reader.u32_le("time and date")?;
    let sums = Sums::read(&mut reader)?;
    let name_size = u64::from(reader.u16_le("name size")?);
    let extra_size = u64::from(reader.u16_le("extra size")?);
    let is_same = flags == record.flags && method == Some(record.method) && time == record.time;
    if !is_same || !sums.may_stand_for(&record.sums, flags & FLAG_DATA_DESCRIPTOR != 0) {
        return Err(fail(ErrorCode::BadValue, "local header"));
    }
    let variable_size = name_size + extra_size;
    let variable_offset = record.local_offset + LOCAL_HEADER_SIZE;
    // Two u16 lengths: at most 128 KiB.
    let variable = read_bytes(
        source,
        variable_offset,
        variable_size,
        variable_size,
        FORMAT,
        "local header",
    )?;
    let mut reader = Reader::at(FORMAT, &variable, variable_offset);
    if reader.take_u64(name_size, "name")? != record.name.as_bytes() {
        return Err(fail(ErrorCode::BadValue, "local name"));
    }
    check_extra(reader)?;
    let data_offset = variable_offset + variable_size;
    if data_offset + u64::from(record.sums.compressed_size) > limit {
        return Err(fail(ErrorCode::Truncated, "data"));
    }
    Ok(data_offset)
}

/// Returns where the entry ends, behind its data descriptor if it has one.
fn check_data_descriptor(
    source: &(impl ReadAt + ?Sized),
    record: &CentralRecord,
    data_offset: u64,
    limit: u64,
) -> Result<u64, FormatError> {
    let end = data_offset + u64::from(record.sums.compressed_size);
    if record.flags & FLAG_DATA_DESCRIPTOR == 0 {
        return Ok(end);
    }
    // With a magic or without: the specification allows both, and only one of them can match.
    let bytes = read_bytes(
        source,
        end,
        (limit - end).min(16),
        16,
        FORMAT,
        "data descriptor",
    )?;
    let mut with_magic = Reader::at(FORMAT, &bytes, end);
    let mut without = with_magic.clone();
    if with_magic.u32_le("data descriptor")? == DATA_DESCRIPTOR_MAGIC
        && Sums::read(&mut with_magic).ok() == Some(record.sums)
    {
        return Ok(end + 16);
    }
    if Sums::read(&mut without)? == record.sums {
        return Ok(end + 12);
    }
    Err(FormatError::new(
        FORMAT,
        ErrorCode::BadValue,
        "data descriptor",
        end,
    ))
}

fn check_entries_padding(
    source: &(impl ReadAt + ?Sized),
    start: u64,
    end: u64,
) -> Result<(), FormatError> {
    let fail = |code| FormatError::new(FORMAT, code, "bytes before the signing block", start);
    let size = end
        .checked_sub(start)
        .ok_or_else(|| fail(ErrorCode::Truncated))?;
    let padding = read_bytes(
        source,
        start,
        size,
        ENTRIES_PADDING_SIZE_MAX,
        FORMAT,
        "bytes before the signing block",
    )?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(fail(ErrorCode::Trailing));
    }
    Ok(())
}
