//! APK Signature Scheme v4, the `.idsig` file: the Merkle tree's root and who vouches for it.
//!
//! AOSP frameworks `V4Signature`, and libs/apkverify/src/v4.rs. The tree itself stays where it is: dm-verity reads it.

use crate::dm_verity::BLOCK_SIZE;
use crate::error::{ErrorCode, FormatError};
use crate::read_at::{read_bytes, ReadAt};
use crate::reader::Reader;

const FORMAT: &str = "idsig";
const VERSION: u32 = 2;
const HASH_ALGORITHM_SHA256: u32 = 1;
const LOG2_BLOCK_SIZE: u8 = 12;
const SALT_SIZE_MAX: usize = 32;
const ROOT_HASH_SIZE: usize = 32;
/// Everything before the tree: two certificates and keys of RSA-16384 take some 20 KiB.
const HEAD_SIZE_MAX: u64 = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idsig {
    pub salt: Vec<u8>,
    pub root_hash: Vec<u8>,
    pub signing_info: SigningInfo,
    /// In bytes from the start of the file.
    pub tree_offset: u64,
    pub tree_size: u64,
}

/// Empty certificate, key and signature when a host made the file without the signer's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningInfo {
    pub apk_digest: Vec<u8>,
    pub certificate: Vec<u8>,
    pub additional_data: Vec<u8>,
    pub public_key: Vec<u8>,
    pub algorithm: u32,
    pub signature: Vec<u8>,
}

impl SigningInfo {
    #[must_use]
    pub fn is_unsigned(&self) -> bool {
        self.certificate.is_empty() && self.public_key.is_empty() && self.signature.is_empty()
    }
}

/// Decodes a file, or a partition in which zeros follow the file up to the next block.
///
/// # Errors
/// When a version, algorithm or length is not one of those that this guest maps.
pub fn decode_idsig(source: &(impl ReadAt + ?Sized)) -> Result<Idsig, FormatError> {
    let head = read_bytes(
        source,
        0,
        source.size().min(HEAD_SIZE_MAX),
        HEAD_SIZE_MAX,
        FORMAT,
        "head",
    )?;
    let mut reader = Reader::new(FORMAT, &head);
    if reader.u32_le("version")? != VERSION {
        return Err(FormatError::new(
            FORMAT,
            ErrorCode::Unsupported,
            "version",
            0,
        ));
    }
    let (salt, root_hash) = decode_hashing_info(reader.prefixed("hashing_info")?)?;
    let signing_info = decode_signing_infos(reader.prefixed("signing_infos")?)?;
    let tree_size = u64::from(reader.u32_le("merkle_tree")?);
    let tree_offset = reader.offset();
    let end = tree_offset + tree_size;
    if end > source.size() {
        return Err(reader.error(ErrorCode::Truncated, "merkle_tree"));
    }
    if !tree_size.is_multiple_of(BLOCK_SIZE) {
        return Err(reader.error(ErrorCode::BadValue, "merkle_tree"));
    }
    let padding = read_bytes(
        source,
        end,
        source.size() - end,
        BLOCK_SIZE - 1,
        FORMAT,
        "padding",
    )?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(FormatError::new(
            FORMAT,
            ErrorCode::Trailing,
            "merkle_tree",
            end,
        ));
    }
    Ok(Idsig {
        salt,
        root_hash,
        signing_info,
        tree_offset,
        tree_size,
    })
}

fn decode_hashing_info(mut info: Reader<'_>) -> Result<(Vec<u8>, Vec<u8>), FormatError> {
    if info.u32_le("hash_algorithm")? != HASH_ALGORITHM_SHA256 {
        return Err(info.error(ErrorCode::Unsupported, "hash_algorithm"));
    }
    if info.u8("log2_blocksize")? != LOG2_BLOCK_SIZE {
        return Err(info.error(ErrorCode::Unsupported, "log2_blocksize"));
    }
    let salt = info.prefixed_bytes("salt")?;
    if salt.len() > SALT_SIZE_MAX {
        return Err(info.error(ErrorCode::TooLarge, "salt"));
    }
    let root_hash = info.prefixed_bytes("raw_root_hash")?;
    if root_hash.len() != ROOT_HASH_SIZE {
        return Err(info.error(ErrorCode::BadValue, "raw_root_hash"));
    }
    info.finish("hashing_info")?;
    Ok((salt.to_vec(), root_hash.to_vec()))
}

fn decode_signing_infos(mut infos: Reader<'_>) -> Result<SigningInfo, FormatError> {
    let signing_info = decode_signing_info(&mut infos)?;
    // Further blocks belong to v3.1, which this guest does not follow; they must still be well-formed.
    while !infos.is_empty() {
        infos.u32_le("block_id")?;
        let mut block = infos.prefixed("signing_info_block")?;
        decode_signing_info(&mut block)?;
        block.finish("signing_info_block")?;
    }
    Ok(signing_info)
}

fn decode_signing_info(info: &mut Reader<'_>) -> Result<SigningInfo, FormatError> {
    Ok(SigningInfo {
        apk_digest: info.prefixed_bytes("apk_digest")?.to_vec(),
        certificate: info.prefixed_bytes("x509_certificate")?.to_vec(),
        additional_data: info.prefixed_bytes("additional_data")?.to_vec(),
        public_key: info.prefixed_bytes("public_key")?.to_vec(),
        algorithm: info.u32_le("signature_algorithm_id")?,
        signature: info.prefixed_bytes("signature")?.to_vec(),
    })
}

/// The bytes that a v4 signature is over.
#[must_use]
pub fn encode_signed_data(idsig: &Idsig, apk_size: u64) -> Vec<u8> {
    let info = &idsig.signing_info;
    let fields = [
        &idsig.salt,
        &idsig.root_hash,
        &info.apk_digest,
        &info.certificate,
        &info.additional_data,
    ];
    let size: usize = 4 + 8 + 4 + 1 + fields.iter().map(|field| 4 + field.len()).sum::<usize>();
    let mut data = Vec::with_capacity(size);
    // Each length came from a u32 of a file below 64 KiB, so none is cut.
    data.extend_from_slice(&(size as u32).to_le_bytes());
    data.extend_from_slice(&apk_size.to_le_bytes());
    data.extend_from_slice(&HASH_ALGORITHM_SHA256.to_le_bytes());
    data.push(LOG2_BLOCK_SIZE);
    for field in fields {
        data.extend_from_slice(&(field.len() as u32).to_le_bytes());
        data.extend_from_slice(field);
    }
    data
}
