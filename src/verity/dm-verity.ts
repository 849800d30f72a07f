/**
 * A dm-verity hash area: where superblock and tree are, and writing them.
 *
 * Nothing in it is random. The salt exists so that nobody can search collisions for all images at once; it is
 * public, so it need not be a secret but only another one for other data. Ours is a digest over all parameters of
 * the tree and over both ends of the data, where file systems keep their own identifiers and checksums. It is known
 * after reading two megabytes, so the data is still hashed in one pass; equal data give equal images, whatever their
 * files are called. The UUID is derived from the root digest, as it stands for that very content.
 */

import { sha256 } from '../core/digest.ts';
import { UsageError } from '../core/errors.ts';
import { alignUp } from '../core/math.ts';
import { STREAM_CHUNK, type ByteSource } from '../io/byte-source.ts';
import type { ImageSink } from '../io/image-sink.ts';
import type { BlockHasher } from './block-hasher.ts';
import { hashTreeLevels, type HashTreeLayout } from './hash-tree-layout.ts';
import {
  checkParameters,
  encodeSuperblock,
  SUPERBLOCK_SIZE,
  type DmVerityParameters,
} from './superblock.ts';
import { deriveUuid } from './uuid.ts';
import { writeHashTree } from './write-hash-tree.ts';

/** How much of each end of the data is part of a derived salt, in bytes. */
const SALT_ENDS = STREAM_CHUNK;

/** Where the hash area is in its file, in bytes. */
export interface HashArea {
  /** Where the superblock is, or the tree when there is none. */
  readonly hashOffset: number;
  readonly hasSuperblock: boolean;
}

/**
 * Where the tree starts: behind the superblock, at the next hash block.
 *
 * @throws {UsageError} when the hash area cannot be at its offset.
 */
export function treeOffsetOf(
  { hashOffset, hasSuperblock }: HashArea,
  hashBlockSize: number,
): number {
  const alignment = hasSuperblock ? SUPERBLOCK_SIZE : hashBlockSize;
  if (!Number.isSafeInteger(hashOffset) || hashOffset < 0 || hashOffset % alignment !== 0) {
    throw new UsageError(
      'usage',
      `Cannot place the hash area at ${hashOffset}: ${hasSuperblock ? 'a superblock' : 'a tree without superblock'} stands at multiples of ${alignment}`,
    );
  }
  return hasSuperblock ? alignUp(hashOffset + SUPERBLOCK_SIZE, hashBlockSize) : hashOffset;
}

export interface FormatOptions extends Omit<DmVerityParameters, 'salt' | 'dataBlocks'>, HashArea {
  /** At most 256 bytes; undefined to derive one of 32 bytes. */
  readonly salt: Uint8Array | undefined;
  /** 16 bytes; undefined to derive it from the root digest. Not used without a superblock. */
  readonly uuid?: Uint8Array | undefined;
  readonly hasher?: BlockHasher | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number) => void) | undefined;
}

export interface FormattedHashArea extends DmVerityParameters {
  readonly rootDigest: Uint8Array;
  readonly uuid: Uint8Array | undefined;
  readonly layout: HashTreeLayout;
  /** In bytes from the start of the hash file. */
  readonly treeOffset: number;
  /** Where the tree ends. */
  readonly end: number;
}

/**
 * Writes superblock and tree. The superblock comes last: what was left half-written has none.
 *
 * @param data All that is to be protected: whole blocks, at least one.
 * @param target Of the hash area; what is not part of it stays as it is.
 * @throws {UsageError} when data or hash area are not at whole blocks, or the algorithm is sha1.
 * @throws {FormatError} on parameters that a superblock cannot hold.
 */
export async function formatDmVerity(
  data: ByteSource,
  target: Pick<ImageSink, 'write'>,
  options: FormatOptions,
): Promise<FormattedHashArea> {
  const { algorithm, dataBlockSize, hashBlockSize, hashType, hasSuperblock } = options;
  if (algorithm === 'sha1') {
    throw new UsageError('usage', 'Cannot format with sha1: collisions of it can be made', {
      hint: 'Take sha256; sha1 is for verifying what others made',
    });
  }
  const dataBlocks = data.size / dataBlockSize;
  const known = { algorithm, dataBlockSize, hashBlockSize, hashType };
  checkParameters({
    ...known,
    dataBlocks: Math.ceil(dataBlocks),
    salt: options.salt ?? new Uint8Array(0),
  });
  if (!Number.isInteger(dataBlocks)) {
    throw new UsageError(
      'input',
      `Cannot format ${data.name}: ${data.size} bytes are not whole blocks of ${dataBlockSize}`,
      {
        hint: `Pad the file, or protect its first ${Math.floor(dataBlocks)} blocks with --data-blocks`,
      },
    );
  }
  const treeOffset = treeOffsetOf(options, hashBlockSize);
  const salt = options.salt ?? (await deriveSalt(data, { ...known, dataBlocks }));
  const parameters: DmVerityParameters = { ...known, dataBlocks, salt };
  const tree = { write: (at: number, chunk: Uint8Array) => target.write(treeOffset + at, chunk) };
  const { hasher, signal, onProgress } = options;
  const written = await writeHashTree(data, tree, { ...parameters, hasher, signal, onProgress });
  const { rootDigest, layout } = written;
  const end = treeOffset + layout.treeSize;
  if (!hasSuperblock)
    return { ...parameters, rootDigest, uuid: undefined, layout, treeOffset, end };

  const uuid = options.uuid ?? deriveUuid('microbuild dm-verity', rootDigest);
  // Up to the tree: what stood there before must not remain.
  const head = new Uint8Array(treeOffset - options.hashOffset);
  head.set(encodeSuperblock({ ...parameters, uuid }));
  await target.write(options.hashOffset, head);
  return { ...parameters, rootDigest, uuid, layout, treeOffset, end };
}

/** The salt of data that was given none: 32 bytes. */
async function deriveSalt(
  data: ByteSource,
  parameters: Omit<DmVerityParameters, 'salt'>,
): Promise<Uint8Array> {
  const { hashType, algorithm, dataBlockSize, hashBlockSize, dataBlocks } = parameters;
  const said = ['microbuild dm-verity salt', hashType, algorithm, dataBlockSize, hashBlockSize];
  const length = Math.min(data.size, SALT_ENDS);
  return sha256(
    Buffer.from(`${[...said, dataBlocks].join('\0')}\0`),
    await data.read(0, length),
    await data.read(data.size - length, length),
  );
}

/** The layout of a tree that is there already. */
export function layoutOf(parameters: DmVerityParameters): HashTreeLayout {
  const { dataBlocks, hashBlockSize } = parameters;
  return hashTreeLevels(dataBlocks, { ...parameters, blockSize: hashBlockSize });
}
