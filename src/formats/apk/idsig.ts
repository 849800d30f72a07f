/**
 * The `.idsig` file of APK Signature Scheme v4: a Merkle tree over the APK and a signature that ties
 * its root to the APK's v3 (or v2) digest.
 *
 * FORMAT, parts in brackets behind their u32 length:
 * u32 version
 * [u32 hash algorithm, u8 log2 of block size, [salt], [raw root hash]]
 * [[apk digest], [certificate], [additional data], [public key], u32 signature algorithm, [signature],
 *  any number of: u32 block id, [the same six]]
 * [tree]
 *
 * @see frameworks/base core/java/android/os/incremental/V4Signature.java
 */

import { FormatError, type FormatErrorCode } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { concat, cursor, prefixed, u32, type Cursor } from './length-prefixed.ts';

const IDSIG_VERSION = 2;
export const IDSIG_HASH_SHA256 = 1;
export const IDSIG_LOG2_BLOCK_SIZE = 12;

export interface HashingInfo {
  /** 1 is SHA-256, the only one defined. */
  readonly hashAlgorithm: number;
  /** 12: blocks of 4096 bytes. */
  readonly log2BlockSize: number;
  readonly salt: Uint8Array;
  readonly rawRootHash: Uint8Array;
}

/** Certificate, key and signature are empty in an idsig that the host made without a key. */
export interface SigningInfo {
  /** The content digest that the APK's own signature is over. */
  readonly apkDigest: Uint8Array;
  /** X.509 DER. */
  readonly certificate: Uint8Array;
  readonly additionalData: Uint8Array;
  /** SubjectPublicKeyInfo DER. */
  readonly publicKey: Uint8Array;
  readonly signatureAlgorithm: number;
  readonly signature: Uint8Array;
}

/** A further signing info, for the scheme whose block id it names. */
interface SigningInfoBlock extends SigningInfo {
  readonly blockId: number;
}

export interface IdsigHeader {
  readonly hashing: HashingInfo;
  readonly signing: SigningInfo;
  readonly signingBlocks: readonly SigningInfoBlock[];
}

/** A header, and where the tree stands behind it. */
export interface Idsig extends IdsigHeader {
  readonly treeOffset: number;
  readonly treeSize: number;
}

/** Android's own limit for the signing infos. */
const MAX_SIGNING_INFOS_SIZE = 7168;
/** Salts are at most as long as a hash. */
const MAX_SALT_SIZE = 32;
const ROOT_HASH_SIZE = 32;
const MAX_HASHING_INFO_SIZE = 4 + 1 + 4 + MAX_SALT_SIZE + 4 + ROOT_HASH_SIZE;
const MAX_SIGNING_BLOCKS = 8;
/** Everything before the tree. */
const MAX_HEADER_SIZE = 4 + 4 + MAX_HASHING_INFO_SIZE + 4 + MAX_SIGNING_INFOS_SIZE + 4;

const idsigError = (
  code: FormatErrorCode,
  message: string,
  where: { offset?: number; field?: string } = {},
): FormatError => new FormatError('idsig', code, `Cannot read idsig: ${message}`, where);

const encodeSigningInfo = (info: SigningInfo): Uint8Array =>
  concat([
    prefixed(info.apkDigest),
    prefixed(info.certificate),
    prefixed(info.additionalData),
    prefixed(info.publicKey),
    u32(info.signatureAlgorithm),
    prefixed(info.signature),
  ]);

const encodeHashing = (hashing: HashingInfo): Uint8Array =>
  concat([
    u32(hashing.hashAlgorithm),
    Uint8Array.of(hashing.log2BlockSize),
    prefixed(hashing.salt),
    prefixed(hashing.rawRootHash),
  ]);

/** Encodes all that stands before the tree, including the tree's size. */
export const encodeIdsigHeader = (header: IdsigHeader, treeSize: number): Uint8Array =>
  concat([
    u32(IDSIG_VERSION),
    prefixed(encodeHashing(header.hashing)),
    prefixed(
      encodeSigningInfo(header.signing),
      ...header.signingBlocks.flatMap((block) => [
        u32(block.blockId),
        prefixed(encodeSigningInfo(block)),
      ]),
    ),
    u32(treeSize),
  ]);

/** What the signature of an idsig is over. */
export function encodeV4SignedData(
  fileSize: number,
  hashing: HashingInfo,
  signing: Pick<SigningInfo, 'apkDigest' | 'certificate' | 'additionalData'>,
): Uint8Array {
  const size = new Uint8Array(8);
  new DataView(size.buffer).setBigUint64(0, BigInt(fileSize), true);
  const body = concat([
    size,
    encodeHashing(hashing),
    prefixed(signing.apkDigest),
    prefixed(signing.certificate),
    prefixed(signing.additionalData),
  ]);
  // The size counts itself.
  return concat([u32(body.length + 4), body]);
}

function decodeHashing(from: Cursor): HashingInfo {
  const hashAlgorithm = from.u32('hash algorithm');
  const log2BlockSize = from.u8('log2 of block size');
  const salt = from.prefixed('salt');
  const rawRootHash = from.prefixed('raw root hash');
  from.end('the hashing info');
  if (hashAlgorithm !== IDSIG_HASH_SHA256) {
    throw idsigError('unsupported', `hash algorithm is ${hashAlgorithm}, only 1 is known`);
  }
  if (log2BlockSize !== IDSIG_LOG2_BLOCK_SIZE) {
    throw idsigError('unsupported', `log2 of block size is ${log2BlockSize}, only 12 is known`);
  }
  if (rawRootHash.length !== ROOT_HASH_SIZE || salt.length > MAX_SALT_SIZE) {
    throw idsigError(
      'bad-value',
      `root hash and salt are ${rawRootHash.length} and ${salt.length} bytes`,
    );
  }
  return {
    hashAlgorithm,
    log2BlockSize,
    salt: Uint8Array.from(salt),
    rawRootHash: Uint8Array.from(rawRootHash),
  };
}

const decodeSigningInfo = (from: Cursor): SigningInfo => ({
  apkDigest: Uint8Array.from(from.prefixed('apk digest')),
  certificate: Uint8Array.from(from.prefixed('certificate')),
  additionalData: Uint8Array.from(from.prefixed('additional data')),
  publicKey: Uint8Array.from(from.prefixed('public key')),
  signatureAlgorithm: from.u32('signature algorithm'),
  signature: Uint8Array.from(from.prefixed('signature')),
});

function readBounded(from: Cursor, field: string, limit: number): Cursor {
  const inner = from.nested(field);
  if (inner.left > limit) {
    throw idsigError('too-large', `${field} takes ${inner.left} bytes, ${limit} are allowed`, {
      offset: inner.offset,
      field,
    });
  }
  return inner;
}

/**
 * Decodes what stands before the tree.
 *
 * @param head The file's start, up to the tree at least.
 * @param hasTree Whether a tree must follow; without it, nothing may.
 * @throws {FormatError} when a length leaves its parent or passes its limit.
 */
function decodeHeader(head: Uint8Array, hasTree = true): Idsig {
  const file = cursor(head);
  const version = file.u32('version');
  if (version !== IDSIG_VERSION) {
    throw idsigError('bad-version', `version is ${version}, only 2 is known`, { offset: 0 });
  }
  const hashing = decodeHashing(readBounded(file, 'hashing info', MAX_HASHING_INFO_SIZE));
  const infos = readBounded(file, 'signing infos', MAX_SIGNING_INFOS_SIZE);
  const signing = decodeSigningInfo(infos);
  const signingBlocks: SigningInfoBlock[] = [];
  while (infos.left > 0) {
    if (signingBlocks.length === MAX_SIGNING_BLOCKS) {
      throw idsigError('too-large', `it has more than ${MAX_SIGNING_BLOCKS} signing info blocks`);
    }
    const blockId = infos.u32('block id');
    const block = infos.nested('signing info block');
    signingBlocks.push({ blockId, ...decodeSigningInfo(block) });
    block.end('a signing info block');
  }
  const treeSize = hasTree || file.left > 0 ? file.u32('size of the tree') : 0;
  return { hashing, signing, signingBlocks, treeOffset: file.offset, treeSize };
}

function checkTreeSize({ treeOffset, treeSize }: Idsig, fileSize: number, padding: number): void {
  const left = fileSize - treeOffset;
  if (treeSize <= left && left - treeSize <= padding) return;
  throw idsigError(
    treeSize > left ? 'truncated' : 'trailing-data',
    `its tree is ${treeSize} bytes, ${left} follow the header`,
    { offset: treeOffset, field: 'tree' },
  );
}

/**
 * Decodes a whole idsig in memory.
 *
 * @throws {FormatError} when a length leaves its parent or passes its limit, or something follows.
 */
export function decodeIdsig(bytes: Uint8Array): Idsig {
  const idsig = decodeHeader(bytes);
  checkTreeSize(idsig, bytes.length, 0);
  return idsig;
}

/** An idsig may fill a partition, which ends in zeros up to a whole block. */
const MAX_PADDING = 4095;

/**
 * Reads an idsig without its tree. Fewer than 4096 zeros may follow it, as in a partition.
 *
 * @param options Whether there must be a tree: signers may leave it out, since it can be computed.
 * @throws {FormatError} as `decodeIdsig` does.
 */
export async function readIdsig(
  source: ByteSource,
  { hasTree = true }: { readonly hasTree?: boolean } = {},
): Promise<Idsig> {
  const head = await source.read(0, Math.min(source.size, MAX_HEADER_SIZE));
  const idsig = decodeHeader(head, hasTree);
  checkTreeSize(idsig, source.size, MAX_PADDING);
  const end = idsig.treeOffset + idsig.treeSize;
  const padding = await source.read(end, source.size - end);
  if (padding.some((byte) => byte !== 0)) {
    throw idsigError('trailing-data', 'bytes follow its tree', { offset: end });
  }
  return idsig;
}
