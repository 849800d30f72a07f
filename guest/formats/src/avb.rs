//! AVB vbmeta images, read strictly: a descriptor that does not parse is fatal, and so is one of an unknown kind.
//!
//! AOSP external/avb, libavb/avb_vbmeta_image.h and avb_*_descriptor.h (version 1.3). libavb itself skips what it does not
//! understand; a boot that depends on "there is exactly one hashtree" cannot.

use sha2::{Digest, Sha256, Sha512};

use crate::error::{ErrorCode, FormatError};
use crate::reader::Reader;

const FORMAT: &str = "vbmeta";
const MAGIC: &[u8] = b"AVB0";
const VERSION_MAJOR: u32 = 1;
const VERSION_MINOR_MAX: u32 = 3;
pub const HEADER_SIZE: usize = 256;
/// `VBMETA_MAX_SIZE` of libavb.
pub const VBMETA_SIZE_MAX: usize = 64 * 1024;

const HASHTREE_RESERVED: usize = 60;
const HASH_RESERVED: usize = 60;
const CHAIN_RESERVED: usize = 60;
const ALGORITHM_NAME_SIZE: usize = 32;

/// The decoded image. The signature is carried, not checked: the digest in the bootconfig pins the whole image.
#[derive(Debug, PartialEq, Eq)]
pub struct Vbmeta {
    pub algorithm: u32,
    pub rollback_index: u64,
    pub flags: u32,
    pub descriptors: Vec<Descriptor>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Descriptor {
    Property {
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Hashtree(Hashtree),
    Hash {
        partition: String,
        algorithm: String,
        image_size: u64,
        salt: Vec<u8>,
        digest: Vec<u8>,
    },
    KernelCmdline {
        flags: u32,
        text: Vec<u8>,
    },
    ChainPartition {
        partition: String,
        rollback_index_location: u32,
        public_key: Vec<u8>,
    },
}

/// `AvbHashtreeDescriptor`; sizes and offsets are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashtree {
    pub dm_verity_version: u32,
    pub image_size: u64,
    pub tree_offset: u64,
    pub tree_size: u64,
    pub data_block_size: u32,
    pub hash_block_size: u32,
    pub fec_roots: u32,
    pub fec_offset: u64,
    pub fec_size: u64,
    pub algorithm: String,
    pub partition: String,
    pub salt: Vec<u8>,
    pub root_digest: Vec<u8>,
    pub flags: u32,
}

/// Decodes one image of exactly these bytes: header, authentication and auxiliary block.
///
/// # Errors
/// When any size, offset, version or descriptor is not as specified, or the image does not match its own hash.
pub fn decode_vbmeta(image: &[u8]) -> Result<Vbmeta, FormatError> {
    let mut header = Reader::new(FORMAT, image.get(..HEADER_SIZE).unwrap_or(image));
    if header.take(4, "magic")? != MAGIC {
        return Err(FormatError::new(FORMAT, ErrorCode::BadMagic, "magic", 0));
    }
    let (major, minor) = (
        header.u32_be("required_libavb_version_major")?,
        header.u32_be("required_libavb_version_minor")?,
    );
    if major != VERSION_MAJOR || minor > VERSION_MINOR_MAX {
        return Err(FormatError::new(
            FORMAT,
            ErrorCode::Unsupported,
            "required_libavb_version",
            4,
        ));
    }
    let authentication_size = header.u64_be("authentication_data_block_size")?;
    let auxiliary_size = header.u64_be("auxiliary_data_block_size")?;
    let algorithm = header.u32_be("algorithm_type")?;
    let hash = Extent::read(&mut header, "hash")?;
    let signature = Extent::read(&mut header, "signature")?;
    let public_key = Extent::read(&mut header, "public_key")?;
    let public_key_metadata = Extent::read(&mut header, "public_key_metadata")?;
    let descriptors = Extent::read(&mut header, "descriptors")?;
    let rollback_index = header.u64_be("rollback_index")?;
    let flags = header.u32_be("flags")?;
    header.u32_be("rollback_index_location")?;
    if header.take(48, "release_string")?.last() != Some(&0) {
        return Err(FormatError::new(
            FORMAT,
            ErrorCode::BadValue,
            "release_string",
            128,
        ));
    }
    if header.rest().iter().any(|byte| *byte != 0) {
        return Err(FormatError::new(
            FORMAT,
            ErrorCode::BadValue,
            "reserved",
            176,
        ));
    }

    let mut body = Reader::at(
        FORMAT,
        image.get(HEADER_SIZE..).unwrap_or(&[]),
        HEADER_SIZE as u64,
    );
    if !authentication_size.is_multiple_of(64) || !auxiliary_size.is_multiple_of(64) {
        return Err(body.error(ErrorCode::BadValue, "block size"));
    }
    let authentication = body.take_u64(authentication_size, "authentication_data_block")?;
    let auxiliary_base = body.offset();
    let auxiliary = body.take_u64(auxiliary_size, "auxiliary_data_block")?;
    body.finish("auxiliary_data_block")?;

    check_hash(
        image,
        auxiliary,
        algorithm,
        hash.of(authentication)?,
        signature.of(authentication)?,
    )?;
    public_key.of(auxiliary)?;
    public_key_metadata.of(auxiliary)?;
    // Inside the block, once it has been found there.
    let descriptor_bytes = descriptors.of(auxiliary)?;
    let descriptors_base = auxiliary_base.saturating_add(descriptors.offset);
    let descriptors = decode_descriptors(descriptor_bytes, descriptors_base)?;
    Ok(Vbmeta {
        algorithm,
        rollback_index,
        flags,
        descriptors,
    })
}

/// An offset and a size, both relative to a block that the caller names later.
struct Extent {
    field: &'static str,
    offset: u64,
    size: u64,
}

impl Extent {
    fn read(header: &mut Reader<'_>, field: &'static str) -> Result<Self, FormatError> {
        Ok(Self {
            field,
            offset: header.u64_be(field)?,
            size: header.u64_be(field)?,
        })
    }

    fn of<'a>(&self, block: &'a [u8]) -> Result<&'a [u8], FormatError> {
        let mut reader = Reader::new(FORMAT, block);
        reader.take_u64(self.offset, self.field)?;
        reader.take_u64(self.size, self.field)
    }
}

/// The image's own hash. It proves no origin (the digest in the bootconfig does), but a wrong one is a broken image.
fn check_hash(
    image: &[u8],
    auxiliary: &[u8],
    algorithm: u32,
    hash: &[u8],
    signature: &[u8],
) -> Result<(), FormatError> {
    let fail = |code, field| FormatError::new(FORMAT, code, field, HEADER_SIZE as u64);
    // Algorithms 7 and 8 (ML-DSA-65 and -87) sign the data itself: there is no separate hash.
    let (computed, signature_size): (Vec<u8>, usize) = match algorithm {
        0 => (Vec::new(), 0),
        1..=3 => (hash_of::<Sha256>(image, auxiliary), 256 << (algorithm - 1)),
        4..=6 => (hash_of::<Sha512>(image, auxiliary), 256 << (algorithm - 4)),
        7 => (Vec::new(), 3309),
        8 => (Vec::new(), 4627),
        _ => {
            return Err(FormatError::new(
                FORMAT,
                ErrorCode::Unsupported,
                "algorithm_type",
                28,
            ))
        }
    };
    if signature.len() != signature_size {
        return Err(fail(ErrorCode::BadValue, "signature"));
    }
    if hash != computed {
        return Err(fail(ErrorCode::Checksum, "hash"));
    }
    Ok(())
}

fn hash_of<D: Digest>(image: &[u8], auxiliary: &[u8]) -> Vec<u8> {
    D::new()
        .chain_update(image.get(..HEADER_SIZE).unwrap_or(image))
        .chain_update(auxiliary)
        .finalize()
        .to_vec()
}

/// Decodes a sequence of descriptors that fills its bytes.
///
/// # Errors
/// When one of them is unknown, does not fit, or has lengths that do not add up.
pub fn decode_descriptors(bytes: &[u8], base: u64) -> Result<Vec<Descriptor>, FormatError> {
    let mut reader = Reader::at(FORMAT, bytes, base);
    let mut descriptors = Vec::new();
    while !reader.is_empty() {
        let start = reader.offset();
        let tag = reader.u64_be("descriptor.tag")?;
        let size = reader.u64_be("descriptor.num_bytes_following")?;
        if !size.is_multiple_of(8) {
            return Err(FormatError::new(
                FORMAT,
                ErrorCode::BadValue,
                "descriptor.num_bytes_following",
                start + 8,
            ));
        }
        let mut body = Reader::at(FORMAT, reader.take_u64(size, "descriptor")?, start + 16);
        descriptors.push(match tag {
            0 => decode_property(&mut body)?,
            1 => decode_hashtree(&mut body)?,
            2 => decode_hash(&mut body)?,
            3 => decode_kernel_cmdline(&mut body)?,
            4 => decode_chain_partition(&mut body)?,
            _ => {
                return Err(FormatError::new(
                    FORMAT,
                    ErrorCode::Unsupported,
                    "descriptor.tag",
                    start,
                ))
            }
        });
        check_padding(&mut body)?;
    }
    Ok(descriptors)
}

/// Descriptors are padded with zeros to 8 bytes: anything else after the last field is a length that lies.
fn check_padding(body: &mut Reader<'_>) -> Result<(), FormatError> {
    let error = body.error(ErrorCode::Trailing, "descriptor");
    let padding = body.rest();
    if padding.len() < 8 && padding.iter().all(|byte| *byte == 0) {
        Ok(())
    } else {
        Err(error)
    }
}

fn decode_property(body: &mut Reader<'_>) -> Result<Descriptor, FormatError> {
    let key_size = body.u64_be("property.key_num_bytes")?;
    let value_size = body.u64_be("property.value_num_bytes")?;
    let key = body.take_u64(key_size, "property.key")?.to_vec();
    check_nul(body, "property.key")?;
    let value = body.take_u64(value_size, "property.value")?.to_vec();
    check_nul(body, "property.value")?;
    Ok(Descriptor::Property { key, value })
}

fn check_nul(body: &mut Reader<'_>, field: &'static str) -> Result<(), FormatError> {
    match body.u8(field)? {
        0 => Ok(()),
        _ => Err(body.error(ErrorCode::BadValue, field)),
    }
}

fn decode_hashtree(body: &mut Reader<'_>) -> Result<Descriptor, FormatError> {
    let dm_verity_version = body.u32_be("hashtree.dm_verity_version")?;
    let image_size = body.u64_be("hashtree.image_size")?;
    let tree_offset = body.u64_be("hashtree.tree_offset")?;
    let tree_size = body.u64_be("hashtree.tree_size")?;
    let data_block_size = body.u32_be("hashtree.data_block_size")?;
    let hash_block_size = body.u32_be("hashtree.hash_block_size")?;
    let fec_roots = body.u32_be("hashtree.fec_num_roots")?;
    let fec_offset = body.u64_be("hashtree.fec_offset")?;
    let fec_size = body.u64_be("hashtree.fec_size")?;
    let algorithm = algorithm_name(body, "hashtree.hash_algorithm")?;
    let name_size = body.u32_be("hashtree.partition_name_len")?;
    let salt_size = body.u32_be("hashtree.salt_len")?;
    let root_digest_size = body.u32_be("hashtree.root_digest_len")?;
    let flags = body.u32_be("hashtree.flags")?;
    body.take(HASHTREE_RESERVED, "hashtree.reserved")?;
    Ok(Descriptor::Hashtree(Hashtree {
        dm_verity_version,
        image_size,
        tree_offset,
        tree_size,
        data_block_size,
        hash_block_size,
        fec_roots,
        fec_offset,
        fec_size,
        algorithm,
        flags,
        partition: partition_name(body, name_size, "hashtree.partition_name")?,
        salt: body.take_u64(salt_size.into(), "hashtree.salt")?.to_vec(),
        root_digest: body
            .take_u64(root_digest_size.into(), "hashtree.root_digest")?
            .to_vec(),
    }))
}

fn decode_hash(body: &mut Reader<'_>) -> Result<Descriptor, FormatError> {
    let image_size = body.u64_be("hash.image_size")?;
    let algorithm = algorithm_name(body, "hash.hash_algorithm")?;
    let name_size = body.u32_be("hash.partition_name_len")?;
    let salt_size = body.u32_be("hash.salt_len")?;
    let digest_size = body.u32_be("hash.digest_len")?;
    body.u32_be("hash.flags")?;
    body.take(HASH_RESERVED, "hash.reserved")?;
    Ok(Descriptor::Hash {
        image_size,
        algorithm,
        partition: partition_name(body, name_size, "hash.partition_name")?,
        salt: body.take_u64(salt_size.into(), "hash.salt")?.to_vec(),
        digest: body.take_u64(digest_size.into(), "hash.digest")?.to_vec(),
    })
}

fn decode_kernel_cmdline(body: &mut Reader<'_>) -> Result<Descriptor, FormatError> {
    let flags = body.u32_be("kernel_cmdline.flags")?;
    let size = body.u32_be("kernel_cmdline.length")?;
    Ok(Descriptor::KernelCmdline {
        flags,
        text: body.take_u64(size.into(), "kernel_cmdline.text")?.to_vec(),
    })
}

fn decode_chain_partition(body: &mut Reader<'_>) -> Result<Descriptor, FormatError> {
    let rollback_index_location = body.u32_be("chain_partition.rollback_index_location")?;
    let name_size = body.u32_be("chain_partition.partition_name_len")?;
    let key_size = body.u32_be("chain_partition.public_key_len")?;
    body.u32_be("chain_partition.flags")?;
    body.take(CHAIN_RESERVED, "chain_partition.reserved")?;
    Ok(Descriptor::ChainPartition {
        rollback_index_location,
        partition: partition_name(body, name_size, "chain_partition.partition_name")?,
        public_key: body
            .take_u64(key_size.into(), "chain_partition.public_key")?
            .to_vec(),
    })
}

/// A NUL-padded name: nothing but NULs may follow the first.
fn algorithm_name(body: &mut Reader<'_>, field: &'static str) -> Result<String, FormatError> {
    let raw = body.take(ALGORITHM_NAME_SIZE, field)?;
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    let (name, padding) = raw.split_at(end);
    if padding.iter().any(|byte| *byte != 0) || !name.iter().all(u8::is_ascii_graphic) {
        return Err(body.error(ErrorCode::BadValue, field));
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn partition_name(
    body: &mut Reader<'_>,
    size: u32,
    field: &'static str,
) -> Result<String, FormatError> {
    let raw = body.take_u64(size.into(), field)?;
    if !raw.iter().all(u8::is_ascii_graphic) {
        return Err(body.error(ErrorCode::BadValue, field));
    }
    Ok(String::from_utf8_lossy(raw).into_owned())
}
