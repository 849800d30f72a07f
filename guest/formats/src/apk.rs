//! Where an APK's signature is: the four sections of the file, the signing block, and the v3 signers in it.
//!
//! source.android.com "APK Signature Scheme v2" and "v3"; AOSP Virtualization libs/apkzip and libs/apkverify.

use crate::error::{ErrorCode, FormatError};
use crate::read_at::{read_bytes, ReadAt};
use crate::reader::Reader;

const FORMAT: &str = "apk";

pub const SIGNATURE_SCHEME_V2_BLOCK_ID: u32 = 0x7109_871a;
pub const SIGNATURE_SCHEME_V3_BLOCK_ID: u32 = 0xf053_68c0;
pub const SIGNATURE_SCHEME_V31_BLOCK_ID: u32 = 0x1b93_ad61;
pub const VERITY_PADDING_BLOCK_ID: u32 = 0x4272_6577;
pub const SOURCE_STAMP_V1_BLOCK_ID: u32 = 0x2b09_189e;
pub const SOURCE_STAMP_V2_BLOCK_ID: u32 = 0x6dff_800d;

const EOCD_MAGIC: [u8; 4] = *b"PK\x05\x06";
const EOCD_SIZE: usize = 22;
const EOCD_COMMENT_SIZE_MAX: u64 = 0xffff;
const ZIP64_LOCATOR_MAGIC: [u8; 4] = *b"PK\x06\x07";
const ZIP64_LOCATOR_SIZE: u64 = 20;
/// A partition is padded with zeros to this: the file may end up to one block before the source does.
const PARTITION_BLOCK_SIZE: u64 = 4096;

const SIGNING_BLOCK_MAGIC: &[u8] = b"APK Sig Block 42";
/// Size field and magic.
const SIGNING_BLOCK_FOOTER_SIZE: u64 = 24;
/// Signed APKs have some 4 to 20 KiB here.
const SIGNING_BLOCK_SIZE_MAX: u64 = 4 * 1024 * 1024;
/// As apksig.
const SIGNER_COUNT_MAX: usize = 10;

/// The file's sections, as offsets in bytes: entries, signing block, central directory, end of central directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    pub signing_block_offset: u64,
    pub central_directory_offset: u64,
    pub eocd_offset: u64,
    pub eocd: Vec<u8>,
    pub entry_count: u16,
    /// Of the APK, without the zeros that pad its partition.
    pub apk_size: u64,
}

/// Finds the sections of an APK, or of one padded with zeros to the next block.
///
/// # Errors
/// When the file is no ZIP, has no signing block, or its sections are not back to back.
pub fn find_sections(source: &(impl ReadAt + ?Sized)) -> Result<Sections, FormatError> {
    let (eocd_offset, eocd) = find_eocd(source)?;
    let mut record = Reader::at(FORMAT, &eocd, eocd_offset);
    record.take(4, "eocd.signature")?;
    let disks = (
        record.u16_le("eocd.disk")?,
        record.u16_le("eocd.central_directory_disk")?,
    );
    let counts = (
        record.u16_le("eocd.entries_on_disk")?,
        record.u16_le("eocd.entries")?,
    );
    let size = u64::from(record.u32_le("eocd.central_directory_size")?);
    let offset = u64::from(record.u32_le("eocd.central_directory_offset")?);
    if disks != (0, 0) || counts.0 != counts.1 {
        return Err(record.error(ErrorCode::Unsupported, "eocd.disk"));
    }
    if counts.1 == u16::MAX
        || size == u64::from(u32::MAX)
        || offset == u64::from(u32::MAX)
        || has_zip64_locator(source, eocd_offset)?
    {
        return Err(record.error(ErrorCode::Unsupported, "ZIP64"));
    }
    if offset + size != eocd_offset {
        return Err(record.error(ErrorCode::BadValue, "eocd.central_directory_offset"));
    }
    let signing_block_offset = find_signing_block(source, offset)?;
    Ok(Sections {
        signing_block_offset,
        central_directory_offset: offset,
        eocd_offset,
        entry_count: counts.1,
        apk_size: eocd_offset + eocd.len() as u64,
        eocd,
    })
}

/// The last record that ends where the source ends, give or take the partition's padding.
fn find_eocd(source: &(impl ReadAt + ?Sized)) -> Result<(u64, Vec<u8>), FormatError> {
    let window = source
        .size()
        .min(EOCD_SIZE as u64 + EOCD_COMMENT_SIZE_MAX + PARTITION_BLOCK_SIZE);
    let base = source.size() - window;
    let tail = read_bytes(
        source,
        base,
        window,
        window,
        FORMAT,
        "end of central directory",
    )?;
    let fail = |code| FormatError::new(FORMAT, code, "end of central directory", base);
    // Four bytes that only look like the record's magic may stand behind it, in what it says.
    let candidates = tail.windows(EOCD_SIZE).enumerate().rev();
    let (start, size) = candidates
        .filter(|(_, record)| record.starts_with(&EOCD_MAGIC))
        .map(|(start, record)| {
            let comment_size = u16::from_le_bytes([record[20], record[21]]);
            (start, EOCD_SIZE + usize::from(comment_size))
        })
        .find(|(start, size)| start + size <= tail.len())
        .ok_or_else(|| fail(ErrorCode::BadMagic))?;
    let (eocd, padding) = tail
        .get(start..)
        .and_then(|record| record.split_at_checked(size))
        .ok_or_else(|| fail(ErrorCode::Truncated))?;
    if padding.len() as u64 >= PARTITION_BLOCK_SIZE || padding.iter().any(|byte| *byte != 0) {
        return Err(fail(ErrorCode::Trailing));
    }
    Ok((base + start as u64, eocd.to_vec()))
}

fn has_zip64_locator(
    source: &(impl ReadAt + ?Sized),
    eocd_offset: u64,
) -> Result<bool, FormatError> {
    let Some(offset) = eocd_offset.checked_sub(ZIP64_LOCATOR_SIZE) else {
        return Ok(false);
    };
    Ok(read_bytes(source, offset, 4, 4, FORMAT, "ZIP64 locator")? == ZIP64_LOCATOR_MAGIC)
}

fn find_signing_block(
    source: &(impl ReadAt + ?Sized),
    central_directory_offset: u64,
) -> Result<u64, FormatError> {
    let fail = |code| FormatError::new(FORMAT, code, "signing block", central_directory_offset);
    let footer_offset = central_directory_offset
        .checked_sub(SIGNING_BLOCK_FOOTER_SIZE)
        .ok_or_else(|| fail(ErrorCode::Truncated))?;
    let footer = read_bytes(
        source,
        footer_offset,
        SIGNING_BLOCK_FOOTER_SIZE,
        SIGNING_BLOCK_FOOTER_SIZE,
        FORMAT,
        "signing block",
    )?;
    let mut reader = Reader::at(FORMAT, &footer, footer_offset);
    let size = reader.u64_le("signing block size")?;
    if reader.rest() != SIGNING_BLOCK_MAGIC {
        return Err(fail(ErrorCode::BadMagic));
    }
    if size < SIGNING_BLOCK_FOOTER_SIZE {
        return Err(fail(ErrorCode::BadValue));
    }
    if size > SIGNING_BLOCK_SIZE_MAX {
        return Err(fail(ErrorCode::TooLarge));
    }
    let offset = central_directory_offset
        .checked_sub(size + 8)
        .ok_or_else(|| fail(ErrorCode::Truncated))?;
    if read_bytes(source, offset, 8, 8, FORMAT, "signing block size")? != size.to_le_bytes() {
        return Err(fail(ErrorCode::BadValue));
    }
    Ok(offset)
}

/// The ID-value pairs of a signing block, in the file's order.
#[derive(Debug)]
pub struct SigningBlock {
    bytes: Vec<u8>,
    pairs: Vec<(u32, std::ops::Range<usize>)>,
}

impl SigningBlock {
    /// # Errors
    /// When a pair does not fit, or bytes are left over.
    pub fn read(source: &(impl ReadAt + ?Sized), sections: &Sections) -> Result<Self, FormatError> {
        let start = sections.signing_block_offset + 8;
        let size = sections.central_directory_offset - SIGNING_BLOCK_FOOTER_SIZE - start;
        let bytes = read_bytes(
            source,
            start,
            size,
            SIGNING_BLOCK_SIZE_MAX,
            FORMAT,
            "signing block",
        )?;
        let mut reader = Reader::at(FORMAT, &bytes, start);
        let mut pairs = Vec::new();
        while !reader.is_empty() {
            let size = reader.u64_le("pair size")?;
            let mut pair = Reader::at(FORMAT, reader.take_u64(size, "pair")?, 0);
            let id = pair.u32_le("pair id")?;
            let end = bytes.len() - reader.remaining();
            pairs.push((id, end - pair.remaining()..end));
        }
        Ok(Self { bytes, pairs })
    }

    pub fn pairs(&self) -> impl Iterator<Item = (u32, &[u8])> + '_ {
        self.pairs
            .iter()
            .map(|(id, range)| (*id, &self.bytes[range.clone()]))
    }

    /// The only pair of that id.
    ///
    /// # Errors
    /// When there are several: readers that disagree on which one counts see different signers.
    pub fn find(&self, id: u32) -> Result<Option<&[u8]>, FormatError> {
        let mut found = self
            .pairs()
            .filter(|(known, _)| *known == id)
            .map(|(_, value)| value);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(FormatError::new(FORMAT, ErrorCode::Duplicate, "pair id", 0)),
            (value, None) => Ok(value),
        }
    }
}

/// One signer of a v3 block. `signed_data` is what the signatures are over: to be decoded once one of them has been checked.
#[derive(Debug)]
pub struct SignerV3<'a> {
    pub signed_data: &'a [u8],
    pub min_sdk: u32,
    pub max_sdk: u32,
    pub signatures: Vec<(u32, &'a [u8])>,
    pub public_key: &'a [u8],
}

#[derive(Debug)]
pub struct SignedDataV3<'a> {
    pub digests: Vec<(u32, &'a [u8])>,
    pub certificates: Vec<&'a [u8]>,
    pub min_sdk: u32,
    pub max_sdk: u32,
}

/// Decodes the value of a v3 pair.
///
/// # Errors
/// When a length does not fit or bytes are left over.
pub fn decode_v3_signers(value: &[u8]) -> Result<Vec<SignerV3<'_>>, FormatError> {
    let mut reader = Reader::new(FORMAT, value);
    let mut list = reader.prefixed("v3.signers")?;
    reader.finish("v3.signers")?;
    let mut signers = Vec::new();
    while !list.is_empty() {
        if signers.len() == SIGNER_COUNT_MAX {
            return Err(list.error(ErrorCode::TooLarge, "v3.signers"));
        }
        signers.push(decode_signer(list.prefixed("v3.signer")?)?);
    }
    Ok(signers)
}

fn decode_signer(mut reader: Reader<'_>) -> Result<SignerV3<'_>, FormatError> {
    let signer = SignerV3 {
        signed_data: reader.prefixed_bytes("v3.signed_data")?,
        min_sdk: reader.u32_le("v3.min_sdk")?,
        max_sdk: reader.u32_le("v3.max_sdk")?,
        signatures: decode_records(reader.prefixed("v3.signatures")?, "v3.signature")?,
        public_key: reader.prefixed_bytes("v3.public_key")?,
    };
    reader.finish("v3.signer")?;
    Ok(signer)
}

/// Decodes a signer's signed data; offsets in errors count from its start.
///
/// # Errors
/// When a length does not fit or bytes are left over.
pub fn decode_signed_data_v3(signed_data: &[u8]) -> Result<SignedDataV3<'_>, FormatError> {
    let mut reader = Reader::new(FORMAT, signed_data);
    let digests = decode_records(reader.prefixed("v3.digests")?, "v3.digest")?;
    let mut list = reader.prefixed("v3.certificates")?;
    let mut certificates = Vec::new();
    while !list.is_empty() {
        certificates.push(list.prefixed_bytes("v3.certificate")?);
    }
    let (min_sdk, max_sdk) = (
        reader.u32_le("v3.signed_min_sdk")?,
        reader.u32_le("v3.signed_max_sdk")?,
    );
    let mut attributes = reader.prefixed("v3.attributes")?;
    while !attributes.is_empty() {
        attributes
            .prefixed("v3.attribute")?
            .u32_le("v3.attribute.id")?;
    }
    reader.finish("v3.signed_data")?;
    Ok(SignedDataV3 {
        digests,
        certificates,
        min_sdk,
        max_sdk,
    })
}

/// A sequence of (algorithm, bytes).
fn decode_records<'a>(
    mut list: Reader<'a>,
    field: &'static str,
) -> Result<Vec<(u32, &'a [u8])>, FormatError> {
    let mut records = Vec::new();
    while !list.is_empty() {
        let mut record = list.prefixed(field)?;
        records.push((record.u32_le(field)?, record.prefixed_bytes(field)?));
        record.finish(field)?;
    }
    Ok(records)
}
