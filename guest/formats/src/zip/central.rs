//! The central directory: what each record says by itself.
//!
//! APPNOTE 4.3.12, 4.4 and 4.5.

use crate::apk::Sections;
use crate::error::{ErrorCode, FormatError};
use crate::read_at::{read_bytes, ReadAt};
use crate::reader::Reader;

use super::names::decode_name;
use super::{Method, Sums, FORMAT};

const CENTRAL_HEADER_MAGIC: u32 = 0x0201_4b50;
/// 65535 records of 300 bytes and a little: more is not an APK but an attack on memory.
const CENTRAL_DIRECTORY_SIZE_MAX: u64 = 32 * 1024 * 1024;

pub(super) const FLAG_DATA_DESCRIPTOR: u16 = 0x0008;
/// How hard the deflater tried (1, 2), a data descriptor (3), a name in UTF-8 (11). The others encrypt, or are reserved.
const FLAGS_KNOWN: u16 = 0x0806 | FLAG_DATA_DESCRIPTOR;

const EXTRA_ZIP64: u16 = 0x0001;
const EXTRA_UNICODE_PATH: u16 = 0x7075;
/// Fields that one header may have and the other not: padding and alignment, times, owners, Java's mark.
const EXTRA_ONE_SIDED: [u16; 8] = [
    0x0000, 0x000a, 0x5455, 0x5855, 0x7855, 0x7875, 0xcafe, 0xd935,
];

pub(super) struct CentralRecord {
    pub name: String,
    pub mode: Option<u32>,
    pub flags: u16,
    pub method: Method,
    pub time: u32,
    pub sums: Sums,
    pub extra: Vec<u8>,
    pub local_offset: u64,
    /// Of this record, for errors.
    pub offset: u64,
}

pub(super) fn read_central_directory(
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
        records.push(read_record(&mut reader)?);
    }
    reader.finish("central directory")?;
    Ok(records)
}

fn read_record(reader: &mut Reader<'_>) -> Result<CentralRecord, FormatError> {
    let offset = reader.offset();
    let fail = |code, field| FormatError::new(FORMAT, code, field, offset);
    if reader.u32_le("central header")? != CENTRAL_HEADER_MAGIC {
        return Err(fail(ErrorCode::BadMagic, "central header"));
    }
    let made_by = reader.u16_le("version made by")?;
    reader.u16_le("version needed")?;
    let flags = reader.u16_le("flags")?;
    if flags & !FLAGS_KNOWN != 0 {
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
    let extra_offset = reader.offset();
    let extra = reader.take(extra_size, "extra")?;
    extra_ids(extra, extra_offset)?;
    if comment_size != 0 || disk != 0 {
        return Err(fail(ErrorCode::Unsupported, "entry comment"));
    }
    let is_directory = name.ends_with('/');
    if !is_plain_mode(attributes >> 16, is_directory) {
        return Err(fail(ErrorCode::Unsupported, "mode"));
    }
    let is_sized_right = match method {
        Method::Stored => sums.compressed_size == sums.size && flags & FLAG_DATA_DESCRIPTOR == 0,
        Method::Deflated => true,
    };
    if !is_sized_right || (is_directory && sums.size != 0) {
        return Err(fail(ErrorCode::BadValue, "size"));
    }
    Ok(CentralRecord {
        mode: permissions(made_by, attributes),
        name,
        flags,
        method,
        time,
        sums,
        extra: extra.to_vec(),
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

/// The ids of well-formed fields; what does not parse must be zeros, which old zipalign left there.
pub(super) fn extra_ids(extra: &[u8], offset: u64) -> Result<Vec<u16>, FormatError> {
    let mut reader = Reader::at(FORMAT, extra, offset);
    let mut ids = Vec::new();
    while !reader.is_empty() {
        let mut field = reader.clone();
        let parsed = field.u16_le("extra").and_then(|id| {
            let size = field.u16_le("extra")?;
            field.take(size.into(), "extra").map(|_| id)
        });
        match parsed {
            Ok(EXTRA_ZIP64 | EXTRA_UNICODE_PATH) => {
                return Err(reader.error(ErrorCode::Unsupported, "extra"))
            }
            Ok(id) => {
                ids.push(id);
                reader = field;
            }
            Err(error) if reader.rest().iter().any(|byte| *byte != 0) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(ids)
}

/// A field that only one of the two headers has is seen by half of the readers.
pub(super) fn have_same_fields(local: &[u16], central: &[u16]) -> bool {
    let is_in = |ids: &[u16], id: &u16| EXTRA_ONE_SIDED.contains(id) || ids.contains(id);
    local.iter().all(|id| is_in(central, id)) && central.iter().all(|id| is_in(local, id))
}
