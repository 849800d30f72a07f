/**
 * The superblock of dm-verity's hash area, as cryptsetup defines it: 512 bytes in front of the tree, all a kernel
 * table needs but the root digest.
 *
 * @see https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity
 */

import type { DumpField } from '../core/dump.ts';
import { FormatError, type FormatErrorCode } from '../core/errors.ts';
import { toSafeNumber } from '../core/math.ts';
import { dumpFields } from '../formats/struct-dump.ts';
import { bytes, le, struct, type Values } from '../formats/struct.ts';
import type { TreeAlgorithm } from './block-hasher.ts';
import { hashTreeLevels, isBlockSize } from './hash-tree-layout.ts';
import type { TreeParameters } from './tree-parameters.ts';
import { uuidText } from './uuid.ts';

export const SUPERBLOCK_SIZE = 512;
/** What a salt may have: the superblock has no room for more, the kernel takes no more. */
export const MAX_SALT = 256;
/** dm-verity's smallest block: a sector. */
export const MIN_BLOCK_SIZE = 512;

const SIGNATURE = Buffer.from('verity\0\0', 'latin1');

const fields = {
  signature: bytes(8),
  version: le.u32,
  hash_type: le.u32,
  uuid: bytes(16),
  algorithm: bytes(32),
  data_block_size: le.u32,
  hash_block_size: le.u32,
  data_blocks: le.u64,
  salt_size: le.u16,
  _pad1: bytes(6),
  salt: bytes(MAX_SALT),
  _pad2: bytes(168),
} as const;
export const VeritySb = struct('verity_sb', SUPERBLOCK_SIZE, fields);

/** All parameters of a dm-verity tree. */
export interface DmVerityParameters extends TreeParameters {
  readonly hashType: 0 | 1;
  readonly dataBlocks: number;
}

export interface Superblock extends DmVerityParameters {
  /** 16 bytes, in the order of their text. */
  readonly uuid: Uint8Array;
}

/** @throws {FormatError} as `checkParameters`. */
export function encodeSuperblock(superblock: Superblock): Uint8Array {
  checkParameters(superblock);
  const { hashType, uuid, algorithm, dataBlockSize, hashBlockSize, dataBlocks, salt } = superblock;
  return VeritySb.encode({
    signature: SIGNATURE,
    version: 1,
    hash_type: hashType,
    uuid,
    algorithm: Buffer.from(algorithm, 'latin1'),
    data_block_size: dataBlockSize,
    hash_block_size: hashBlockSize,
    data_blocks: BigInt(dataBlocks),
    salt_size: salt.length,
    _pad1: new Uint8Array(0),
    salt,
    _pad2: new Uint8Array(0),
  });
}

/**
 * Reads a superblock.
 *
 * @param source At least its 512 bytes.
 * @param offset Where it stands in its file, for errors.
 * @throws {FormatError} when it is none, or holds what no tree can be made of. Padding must be zeros.
 */
export function decodeSuperblock(source: Uint8Array, offset = 0): Superblock {
  const values = VeritySb.decode(source);
  const bad = (
    code: FormatErrorCode,
    message: string,
    field: keyof Values<typeof fields>,
  ): never => {
    throw invalid(code, message, field, offset + offsetOf(field));
  };
  if (!SIGNATURE.equals(values.signature)) {
    bad('bad-magic', `it begins with ${hex(values.signature)}, not with "verity"`, 'signature');
  }
  if (values.version !== 1) bad('bad-version', `version is ${values.version}`, 'version');
  const { hash_type: hashType } = values;
  if (hashType !== 0 && hashType !== 1) {
    throw bad('unsupported', `hash type is ${hashType}, only 0 and 1 are known`, 'hash_type');
  }
  const name = cString(values.algorithm);
  if (name === undefined) return bad('bad-value', 'the algorithm is no text', 'algorithm');
  if (!isTreeAlgorithm(name)) {
    return bad('unsupported', `the algorithm "${name}" is not known`, 'algorithm');
  }
  if (values.salt_size > MAX_SALT) {
    bad('out-of-range', `the salt has ${values.salt_size} bytes`, 'salt_size');
  }
  if (values.salt.subarray(values.salt_size).some((byte) => byte !== 0)) {
    bad('bad-value', 'bytes follow the salt', 'salt');
  }
  for (const pad of ['_pad1', '_pad2'] as const) {
    if (values[pad].some((byte) => byte !== 0)) bad('bad-value', 'padding is not zero', pad);
  }
  const superblock: Superblock = {
    hashType,
    uuid: values.uuid,
    algorithm: name,
    dataBlockSize: values.data_block_size,
    hashBlockSize: values.hash_block_size,
    // More than 2^53 is refused below, whatever it was.
    dataBlocks: Number(values.data_blocks),
    salt: values.salt.slice(0, values.salt_size),
  };
  checkParameters(superblock, offset);
  return superblock;
}

/** The fields by name and place, as `dump` shows them: text as text, padding not at all. */
export function dumpSuperblock(source: Uint8Array, offset: number): DumpField[] {
  const values = VeritySb.decode(source);
  const shown: Readonly<Record<string, string>> = {
    signature: cString(values.signature) ?? hex(values.signature),
    algorithm: cString(values.algorithm) ?? hex(values.algorithm),
    uuid: uuidText(values.uuid),
    salt: hex(values.salt.subarray(0, values.salt_size)) || '-',
  };
  return dumpFields(fields, values, offset)
    .filter(({ name }) => !name.startsWith('_'))
    .map((field) => ({ ...field, value: shown[field.name] ?? field.value }));
}

/**
 * Refuses what no tree can be made of.
 *
 * @param offset Of the superblock that the parameters came from, for errors.
 * @throws {FormatError} with the superblock's name of the field.
 */
export function checkParameters(parameters: DmVerityParameters, offset?: number): void {
  const { algorithm, dataBlockSize, hashBlockSize, dataBlocks, hashType, salt } = parameters;
  const at = (field: string): number | undefined =>
    offset === undefined ? undefined : offset + offsetOf(field);
  const check = (ok: boolean, code: FormatErrorCode, message: string, field: string): void => {
    if (!ok) throw invalid(code, message, field, at(field));
  };
  for (const [field, size] of [
    ['data_block_size', dataBlockSize],
    ['hash_block_size', hashBlockSize],
  ] as const) {
    const message = `blocks of ${size} bytes are not a power of two of 512 to 65536`;
    check(isBlockSize(size) && size >= MIN_BLOCK_SIZE, 'unsupported', message, field);
  }
  const isCount = Number.isSafeInteger(dataBlocks) && dataBlocks > 0;
  check(isCount, 'out-of-range', `${dataBlocks} data blocks are none`, 'data_blocks');
  check(salt.length <= MAX_SALT, 'out-of-range', `the salt has ${salt.length} bytes`, 'salt_size');
  try {
    toSafeNumber(BigInt(dataBlocks) * BigInt(dataBlockSize), 'the size of the data');
    hashTreeLevels(dataBlocks, { algorithm, blockSize: hashBlockSize, hashType });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw invalid('out-of-range', cause.message, 'data_blocks', at('data_blocks'), cause);
  }
}

const TREE_ALGORITHMS: ReadonlySet<string> = new Set<TreeAlgorithm>([
  'sha1',
  'sha256',
  'sha384',
  'sha512',
  'blake2b-256',
]);

/** Whether a name, in lower case, is that of an algorithm that trees can be read with. */
export const isTreeAlgorithm = (name: string): name is TreeAlgorithm => TREE_ALGORITHMS.has(name);

function invalid(
  code: FormatErrorCode,
  message: string,
  field: string,
  offset: number | undefined,
  cause?: unknown,
): FormatError {
  return new FormatError('dm-verity', code, `Cannot use dm-verity superblock: ${message}`, {
    field,
    ...(offset === undefined ? {} : { offset }),
    ...(cause === undefined ? {} : { cause }),
  });
}

function offsetOf(name: string): number {
  let at = 0;
  for (const [key, { size }] of Object.entries(fields)) {
    if (key === name) break;
    at += size;
  }
  return at;
}

/** Text up to the first NUL, of printable ASCII, with nothing but NULs behind. */
function cString(field: Uint8Array): string | undefined {
  const text = Buffer.from(field).toString('latin1');
  const end = text.indexOf('\0');
  const name = end === -1 ? text : text.slice(0, end);
  return /^[!-~]+\0*$/.test(text) ? name : undefined;
}

const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
