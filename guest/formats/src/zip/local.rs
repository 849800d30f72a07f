//! What lies between the start of the file and the signing block: local headers, data, data descriptors, padding.
//!
//! APPNOTE 4.3.7 to 4.3.9. Each must say what the central directory says, and nothing may lie between them.

use crate::error::{ErrorCode, FormatError};
use crate::read_at::{read_bytes, ReadAt};
use crate::reader::Reader;

use super::central::{extra_ids, have_same_fields, CentralRecord, FLAG_DATA_DESCRIPTOR};
use super::{Method, Sums, FORMAT};

const LOCAL_HEADER_MAGIC: u32 = 0x0403_4b50;
const LOCAL_HEADER_SIZE: u64 = 30;
const DATA_DESCRIPTOR_MAGIC: u32 = 0x0807_4b50;
/// Zeros that signers put before the signing block so that it starts at a page: below the largest page in use.
const ENTRIES_PADDING_SIZE_MAX: u64 = 64 * 1024 - 1;

/// The local header must start where the last entry ended and say what the central record says. Returns the data's offset.
pub(super) fn check_local_header(
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
    let extra_offset = reader.offset();
    let local = extra_ids(reader.rest(), extra_offset)?;
    let central = extra_ids(&record.extra, record.offset)?;
    if !have_same_fields(&local, &central) {
        return Err(fail(ErrorCode::BadValue, "extra"));
    }
    let data_offset = variable_offset + variable_size;
    if data_offset + u64::from(record.sums.compressed_size) > limit {
        return Err(fail(ErrorCode::Truncated, "data"));
    }
    Ok(data_offset)
}

/// Returns where the entry ends, behind its data descriptor if it has one.
pub(super) fn check_data_descriptor(
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

pub(super) fn check_entries_padding(
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
