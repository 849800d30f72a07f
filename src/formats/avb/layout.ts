/**
 * The fixed parts of AVB 1.3 on disk. All integers are big-endian.
 *
 * @see avb_vbmeta_image.h, avb_footer.h, avb_*_descriptor.h of AOSP external/avb
 */

import { be, bytes, le, struct, u8 } from '../struct.ts';

export const AVB_MAGIC = 'AVB0';
export const AVB_FOOTER_MAGIC = 'AVBf';
export const AVB_VERSION_MAJOR = 1;
/** The newest minor version whose rules are known here. */
export const AVB_VERSION_MINOR = 3;
export const AVB_FOOTER_VERSION_MAJOR = 1;
/** The authentication and the auxiliary block are multiples of this, in bytes. */
export const AVB_BLOCK_ALIGNMENT = 64;
/** The largest vbmeta image that libavb reads: `VBMETA_MAX_SIZE` of avb_slot_verify.c. */
export const AVB_VBMETA_MAX_SIZE = 65536;
/** Footers and vbmeta images inside partitions stand on multiples of this, in bytes. */
export const AVB_IMAGE_BLOCK_SIZE = 4096;

/** `AvbVBMetaImageHeader`. */
export const vbmetaHeader = struct('AvbVBMetaImageHeader', 256, {
  magic: bytes(4),
  required_libavb_version_major: be.u32,
  required_libavb_version_minor: be.u32,
  authentication_data_block_size: be.u64,
  auxiliary_data_block_size: be.u64,
  algorithm_type: be.u32,
  hash_offset: be.u64,
  hash_size: be.u64,
  signature_offset: be.u64,
  signature_size: be.u64,
  public_key_offset: be.u64,
  public_key_size: be.u64,
  public_key_metadata_offset: be.u64,
  public_key_metadata_size: be.u64,
  descriptors_offset: be.u64,
  descriptors_size: be.u64,
  rollback_index: be.u64,
  flags: be.u32,
  rollback_index_location: be.u32,
  release_string: bytes(48),
  reserved: bytes(80),
});

/** `AvbFooter`: the last 64 bytes of a partition. */
export const avbFooter = struct('AvbFooter', 64, {
  magic: bytes(4),
  version_major: be.u32,
  version_minor: be.u32,
  original_image_size: be.u64,
  vbmeta_offset: be.u64,
  vbmeta_size: be.u64,
  reserved: bytes(28),
});

/** `AvbDescriptor`: begins every descriptor. */
export const descriptorHead = struct('AvbDescriptor', 16, {
  tag: be.u64,
  num_bytes_following: be.u64,
});

export const AVB_DESCRIPTOR_TAG_PROPERTY = 0;
export const AVB_DESCRIPTOR_TAG_HASHTREE = 1;
export const AVB_DESCRIPTOR_TAG_HASH = 2;
export const AVB_DESCRIPTOR_TAG_KERNEL_CMDLINE = 3;
export const AVB_DESCRIPTOR_TAG_CHAIN_PARTITION = 4;

/** `AvbPropertyDescriptor` behind its head; then key, NUL, value, NUL. */
export const propertyDescriptor = struct('AvbPropertyDescriptor', 16, {
  key_num_bytes: be.u64,
  value_num_bytes: be.u64,
});

/** `AvbHashtreeDescriptor` behind its head; then partition name, salt, root digest. */
export const hashtreeDescriptor = struct('AvbHashtreeDescriptor', 164, {
  dm_verity_version: be.u32,
  image_size: be.u64,
  tree_offset: be.u64,
  tree_size: be.u64,
  data_block_size: be.u32,
  hash_block_size: be.u32,
  fec_num_roots: be.u32,
  fec_offset: be.u64,
  fec_size: be.u64,
  hash_algorithm: bytes(32),
  partition_name_len: be.u32,
  salt_len: be.u32,
  root_digest_len: be.u32,
  flags: be.u32,
  reserved: bytes(60),
});

/** `AvbHashDescriptor` behind its head; then partition name, salt, digest. */
export const hashDescriptor = struct('AvbHashDescriptor', 116, {
  image_size: be.u64,
  hash_algorithm: bytes(32),
  partition_name_len: be.u32,
  salt_len: be.u32,
  digest_len: be.u32,
  flags: be.u32,
  reserved: bytes(60),
});

/** `AvbKernelCmdlineDescriptor` behind its head; then the text. */
export const kernelCmdlineDescriptor = struct('AvbKernelCmdlineDescriptor', 8, {
  flags: be.u32,
  kernel_cmdline_length: be.u32,
});

/** `AvbChainPartitionDescriptor` behind its head; then partition name and public key. */
export const chainPartitionDescriptor = struct('AvbChainPartitionDescriptor', 76, {
  rollback_index_location: be.u32,
  partition_name_len: be.u32,
  public_key_len: be.u32,
  flags: be.u32,
  reserved: bytes(60),
});

/** `AvbRSAPublicKeyHeader`; then the modulus and R^2 mod the modulus. */
export const rsaPublicKeyHeader = struct('AvbRSAPublicKeyHeader', 8, {
  key_num_bits: be.u32,
  n0inv: be.u32,
});

/** `AvbMLDSAPublicKeyHeader`; then the raw key of FIPS 204. */
export const mldsaPublicKeyHeader = struct('AvbMLDSAPublicKeyHeader', 4, {
  key_num_bytes: be.u32,
});

/** `AvbCertCertificateSignedData`, little-endian, of avb_cert_types.h. */
export const certificateSignedData = struct('AvbCertCertificateSignedData', 1108, {
  version: le.u32,
  public_key: bytes(1032),
  subject: bytes(32),
  usage: bytes(32),
  key_version: le.u64,
});

/** `AvbCertPublicKeyMetadata`: two certificates, each signed data and a signature of 512 bytes. */
export const certificateMetadata = struct('AvbCertPublicKeyMetadata', 3244, {
  version: le.u32,
  product_intermediate_key_certificate: bytes(1620),
  product_signing_key_certificate: bytes(1620),
});

/** `AvbCertPermanentAttributes`. */
export const permanentAttributes = struct('AvbCertPermanentAttributes', 1052, {
  version: le.u32,
  product_root_public_key: bytes(1032),
  product_id: bytes(16),
});

/** `AvbCertUnlockCredential` without its last field, the signature of the challenge. */
export const unlockCredential = struct('AvbCertUnlockCredential', 3244, {
  version: le.u32,
  product_intermediate_key_certificate: bytes(1620),
  product_unlock_key_certificate: bytes(1620),
});

/** `AvbABData` of avb_ab_flow.h without its last field, a CRC-32 of the rest. */
export const abData = struct('AvbABData', 28, {
  magic: bytes(4),
  version_major: u8,
  version_minor: u8,
  reserved1: bytes(2),
  a_priority: u8,
  a_tries_remaining: u8,
  a_successful_boot: u8,
  a_reserved: u8,
  b_priority: u8,
  b_tries_remaining: u8,
  b_successful_boot: u8,
  b_reserved: u8,
  reserved2: bytes(12),
});
