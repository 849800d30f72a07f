/**
 * The vbmeta image: header, authentication block, auxiliary block.
 *
 * FORMAT (big-endian)
 * - 256 bytes: header
 * - authentication block, a multiple of 64 bytes: hash, signature, zeros
 * - auxiliary block, a multiple of 64 bytes: descriptors, public key, public key metadata, zeros
 *
 * Hash and signature are over header and auxiliary block. Bytes behind these three are padding of
 * the partition: neither covered nor looked at.
 *
 * @see avb_vbmeta_image.h
 */

import { FormatError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import {
  AVB_ALGORITHMS,
  avbAlgorithm,
  type AvbAlgorithm,
  type AvbAlgorithmName,
} from './algorithm.ts';
import {
  decodeDescriptors,
  encodeDescriptor,
  type Descriptor,
  type PlacedDescriptor,
} from './descriptor.ts';
import {
  AVB_BLOCK_ALIGNMENT,
  AVB_MAGIC,
  AVB_VBMETA_MAX_SIZE,
  AVB_VERSION_MAJOR,
  AVB_VERSION_MINOR,
  vbmetaHeader,
} from './layout.ts';
import { decodePaddedText, encodePaddedText, plainBytes, requireZero } from './text.ts';

/** What is signed. */
export interface VbmetaContent {
  readonly algorithm: AvbAlgorithmName;
  /** In the order in which they stand in the image. */
  readonly descriptors: readonly Descriptor[];
  /** AVB's encoding (`encodeRsaPublicKey`, `encodeMldsaPublicKey`); empty for algorithm NONE. */
  readonly publicKey: Uint8Array;
  readonly publicKeyMetadata: Uint8Array;
  /** 0..2^64-1; a device refuses an image with a lower one than it has seen. */
  readonly rollbackIndex: bigint;
  readonly rollbackIndexLocation: number;
  /** 1: hash trees disabled, 2: verification disabled. */
  readonly flags: number;
  /** The program that made it, at most 47 bytes of UTF-8. */
  readonly releaseString: string;
  /** The libavb 1.x that a reader needs at least; the descriptors' own need when it is left out. */
  readonly requiredMinor?: number;
}

export interface Vbmeta extends VbmetaContent {
  /** The libavb that a reader needs: 1, unless `decodeVbmeta` was told to take any. */
  readonly requiredMajor: number;
  readonly requiredMinor: number;
  /** Empty for algorithm NONE. */
  readonly hash: Uint8Array;
  readonly signature: Uint8Array;
  /** Header, authentication and auxiliary block in bytes: what a digest of the vbmeta is over. */
  readonly size: number;
  readonly header: Uint8Array;
  readonly authenticationBlock: Uint8Array;
  readonly auxiliaryBlock: Uint8Array;
  readonly placedDescriptors: readonly PlacedDescriptor[];
}

/** Header and auxiliary block, which the signature covers, still without authentication block. */
export interface UnsignedVbmeta {
  readonly algorithm: AvbAlgorithm;
  readonly header: Uint8Array;
  readonly auxiliaryBlock: Uint8Array;
  /** Of the authentication block that belongs between them, in bytes. */
  readonly authenticationSize: number;
}

/** The libavb 1.x that understands this image: what it uses decides. */
export function requiredLibavbMinor(
  content: Pick<VbmetaContent, 'descriptors' | 'rollbackIndexLocation'>,
): number {
  let minor = content.rollbackIndexLocation > 0 ? 2 : 0;
  for (const descriptor of content.descriptors) {
    switch (descriptor.kind) {
      case 'hash':
        if (descriptor.flags !== 0 || descriptor.digest.length === 0) minor = Math.max(minor, 1);
        break;
      case 'hashtree':
        if (descriptor.flags !== 0 || descriptor.rootDigest.length === 0)
          minor = Math.max(minor, 1);
        break;
      case 'chain-partition':
        if (descriptor.flags !== 0) minor = Math.max(minor, 3);
        break;
      case 'property':
      case 'kernel-cmdline':
        break;
    }
  }
  return minor;
}

function concat(parts: readonly Uint8Array[], size: number): Uint8Array {
  const out = new Uint8Array(size);
  let at = 0;
  for (const piece of parts) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/**
 * Lays out everything but the authentication block.
 *
 * @throws {RangeError} when a value does not fit its field, the image would be larger than libavb
 *   reads, or the public key does not fit the algorithm.
 */
export function encodeUnsignedVbmeta(content: VbmetaContent): UnsignedVbmeta {
  const algorithm = avbAlgorithm(content.algorithm);
  if (content.publicKey.length !== algorithm.publicKeySize) {
    throw new RangeError(
      `Cannot encode vbmeta: a public key of ${content.publicKey.length} bytes does not go with ` +
        `${algorithm.name}, which has ${algorithm.publicKeySize}`,
    );
  }
  const descriptors = content.descriptors.map(encodeDescriptor);
  const descriptorsSize = descriptors.reduce((sum, piece) => sum + piece.length, 0);
  const keyOffset = descriptorsSize;
  const metadataOffset = keyOffset + content.publicKey.length;
  const auxiliarySize = alignUp(
    metadataOffset + content.publicKeyMetadata.length,
    AVB_BLOCK_ALIGNMENT,
  );
  const { signatureSize } = algorithm;
  const authenticationSize = alignUp(algorithm.hashSize + signatureSize, AVB_BLOCK_ALIGNMENT);
  const total = vbmetaHeader.size + authenticationSize + auxiliarySize;
  if (total > AVB_VBMETA_MAX_SIZE) {
    throw new RangeError(
      `Cannot encode vbmeta: it would have ${total} bytes, libavb reads ${AVB_VBMETA_MAX_SIZE}`,
    );
  }
  // Where there is no key and no metadata, avbtool leaves both offsets at the end of the descriptors.
  const header = vbmetaHeader.encode({
    magic: new TextEncoder().encode(AVB_MAGIC),
    required_libavb_version_major: AVB_VERSION_MAJOR,
    required_libavb_version_minor: content.requiredMinor ?? requiredLibavbMinor(content),
    authentication_data_block_size: BigInt(authenticationSize),
    auxiliary_data_block_size: BigInt(auxiliarySize),
    algorithm_type: algorithm.type,
    hash_offset: 0n,
    hash_size: BigInt(algorithm.hashSize),
    signature_offset: BigInt(algorithm.hashSize),
    signature_size: BigInt(signatureSize),
    public_key_offset: BigInt(keyOffset),
    public_key_size: BigInt(content.publicKey.length),
    public_key_metadata_offset: BigInt(metadataOffset),
    public_key_metadata_size: BigInt(content.publicKeyMetadata.length),
    descriptors_offset: 0n,
    descriptors_size: BigInt(descriptorsSize),
    rollback_index: content.rollbackIndex,
    flags: content.flags,
    rollback_index_location: content.rollbackIndexLocation,
    release_string: encodePaddedText(content.releaseString, 'release string', 48, true),
    reserved: new Uint8Array(80),
  });
  return {
    algorithm,
    header,
    auxiliaryBlock: concat(
      [...descriptors, content.publicKey, content.publicKeyMetadata],
      auxiliarySize,
    ),
    authenticationSize,
  };
}

/**
 * Puts hash and signature in their place.
 *
 * @throws {RangeError} when their sizes are not the algorithm's.
 */
export function encodeVbmeta(
  unsigned: UnsignedVbmeta,
  hash: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  const { algorithm, header, auxiliaryBlock, authenticationSize } = unsigned;
  if (hash.length !== algorithm.hashSize || signature.length !== algorithm.signatureSize) {
    throw new RangeError(
      `Cannot encode vbmeta: hash of ${hash.length} and signature of ${signature.length} bytes` +
        ` are not those of ${algorithm.name}`,
    );
  }
  return concat(
    [header, concat([hash, signature], authenticationSize), auxiliaryBlock],
    header.length + authenticationSize + auxiliaryBlock.length,
  );
}

type Header = ReturnType<typeof vbmetaHeader.decode>;

function decodeHeader(data: Uint8Array, anyVersion: boolean): Header {
  if (data.length < vbmetaHeader.size) {
    throw new FormatError(
      'avb',
      'truncated',
      `Cannot read vbmeta: it has ${data.length} bytes, its header alone needs ${vbmetaHeader.size}`,
    );
  }
  const header = vbmetaHeader.decode(data);
  if (!Buffer.from(header.magic).equals(Buffer.from(AVB_MAGIC))) {
    throw new FormatError('avb', 'bad-magic', 'Cannot read vbmeta: its magic is not "AVB0"', {
      offset: 0,
      field: 'header.magic',
    });
  }
  const { required_libavb_version_major: major, required_libavb_version_minor: minor } = header;
  if (!anyVersion && (major !== AVB_VERSION_MAJOR || minor > AVB_VERSION_MINOR)) {
    throw new FormatError(
      'avb',
      'bad-version',
      `Cannot read vbmeta: it needs libavb ${major}.${minor}, known is up to ` +
        `${AVB_VERSION_MAJOR}.${AVB_VERSION_MINOR}`,
      { offset: 4, field: 'header.required_libavb_version' },
    );
  }
  return header;
}

function refuse(field: string, why: string): never {
  throw new FormatError('avb', 'bad-value', `Cannot read vbmeta: ${field} ${why}`, {
    field: `header.${field}`,
  });
}

/** A copy of the part of a block that the header points at. */
function part(block: Uint8Array, name: string, offset: bigint, length: bigint): Uint8Array {
  if (offset + length > BigInt(block.length)) {
    throw new FormatError(
      'avb',
      'out-of-range',
      `Cannot read vbmeta: ${name} is ${length} bytes at ${offset} of a block of ${block.length}`,
      { field: `header.${name}_offset` },
    );
  }
  return block.slice(Number(offset), Number(offset + length));
}

/**
 * The authentication block is the one part that no signature covers: what it holds beside hash and
 * signature must be zero, so that a signed image has one form.
 */
function requireUnusedZero(
  block: Uint8Array,
  used: readonly (readonly [offset: bigint, size: bigint])[],
): void {
  const unused = block.slice();
  for (const [offset, size] of used) unused.fill(0, Number(offset), Number(offset + size));
  requireZero(unused, 'authentication block', vbmetaHeader.size);
}

/**
 * Decodes a vbmeta image. Says nothing about who signed it.
 *
 * @param input Begins with the header; bytes behind the auxiliary block are not looked at.
 * @param options `anyVersion` is for showing an image that no libavb known here would take.
 * @throws {FormatError} when any part, any descriptor included, is not as the format says.
 */
export function decodeVbmeta(
  input: Uint8Array,
  options: { readonly anyVersion?: boolean } = {},
): Vbmeta {
  const data = plainBytes(input);
  const header = decodeHeader(data, options.anyVersion === true);
  const releaseString = decodePaddedText(header.release_string, 'release_string', 128, true);
  requireZero(header.reserved, 'header.reserved', 176);

  const authenticationSize = header.authentication_data_block_size;
  const auxiliarySize = header.auxiliary_data_block_size;
  for (const [field, size] of [
    ['authentication_data_block_size', authenticationSize],
    ['auxiliary_data_block_size', auxiliarySize],
  ] as const) {
    if (size % BigInt(AVB_BLOCK_ALIGNMENT) !== 0n) {
      refuse(field, `is ${size}, not a multiple of ${AVB_BLOCK_ALIGNMENT}`);
    }
  }
  const total = BigInt(vbmetaHeader.size) + authenticationSize + auxiliarySize;
  if (total > BigInt(data.length)) {
    throw new FormatError(
      'avb',
      'truncated',
      `Cannot read vbmeta: its blocks add up to ${total} bytes, ${data.length} are there`,
      { field: 'header.auxiliary_data_block_size' },
    );
  }
  const size = Number(total);
  const headerBytes = data.slice(0, vbmetaHeader.size);
  const authenticationBlock = data.slice(vbmetaHeader.size, size - Number(auxiliarySize));
  const auxiliaryBlock = data.slice(size - Number(auxiliarySize), size);
  const hash = part(authenticationBlock, 'hash', header.hash_offset, header.hash_size);
  const signature = part(
    authenticationBlock,
    'signature',
    header.signature_offset,
    header.signature_size,
  );
  requireUnusedZero(authenticationBlock, [
    [header.hash_offset, header.hash_size],
    [header.signature_offset, header.signature_size],
  ]);
  const publicKey = part(
    auxiliaryBlock,
    'public_key',
    header.public_key_offset,
    header.public_key_size,
  );
  const publicKeyMetadata = part(
    auxiliaryBlock,
    'public_key_metadata',
    header.public_key_metadata_offset,
    header.public_key_metadata_size,
  );
  const descriptors = part(
    auxiliaryBlock,
    'descriptors',
    header.descriptors_offset,
    header.descriptors_size,
  );

  const algorithm = AVB_ALGORITHMS[header.algorithm_type];
  if (algorithm === undefined) {
    throw new FormatError(
      'avb',
      'unsupported',
      `Cannot read vbmeta: its algorithm is ${header.algorithm_type}`,
      { offset: 28, field: 'header.algorithm_type' },
    );
  }
  if (hash.length !== algorithm.hashSize) {
    refuse('hash_size', `is ${hash.length}, ${algorithm.name} makes ${algorithm.hashSize}`);
  }
  if (signature.length !== algorithm.signatureSize) {
    refuse(
      'signature_size',
      `is ${signature.length}, ${algorithm.name} makes ${algorithm.signatureSize}`,
    );
  }

  const placedDescriptors = decodeDescriptors(
    descriptors,
    size - Number(auxiliarySize) + Number(header.descriptors_offset),
  );
  return {
    algorithm: algorithm.name,
    descriptors: placedDescriptors.map(({ descriptor }) => descriptor),
    publicKey,
    publicKeyMetadata,
    rollbackIndex: header.rollback_index,
    rollbackIndexLocation: header.rollback_index_location,
    flags: header.flags,
    releaseString,
    requiredMajor: header.required_libavb_version_major,
    requiredMinor: header.required_libavb_version_minor,
    hash,
    signature,
    size,
    header: headerBytes,
    authenticationBlock,
    auxiliaryBlock,
    placedDescriptors,
  };
}
