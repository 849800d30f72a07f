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
/** What libcryptsetup writes to a file at a time. */
const PAGE = 4096;

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

export interface PlanOptions extends Omit<DmVerityParameters, 'salt' | 'dataBlocks'>, HashArea {
  /** At most 256 bytes; undefined to derive one of 32 bytes. */
  readonly salt: Uint8Array | undefined;
}

/** All that is known of a hash area before anything is hashed. */
export interface HashAreaPlan extends DmVerityParameters, HashArea {
  readonly layout: HashTreeLayout;
  /** In bytes from the start of the hash file. */
  readonly treeOffset: number;
  /** Where the tree ends. */
  readonly end: number;
}

/**
 * Decides where everything goes, and the salt.
 *
 * @param data All that is to be protected: whole blocks, at least one.
 * @throws {UsageError} when data or hash area are not at whole blocks, or the algorithm is sha1.
 * @throws {FormatError} on parameters that a superblock cannot hold.
 */
export async function planHashArea(data: ByteSource, options: PlanOptions): Promise<HashAreaPlan> {
  const { algorithm, dataBlockSize, hashBlockSize, hashType, hashOffset, hasSuperblock } = options;
  if (algorithm === 'sha1') {
    throw new UsageError('usage', 'Cannot format with sha1: collisions of it can be made', {
      hint: 'Take sha256; sha1 is for verifying what others made',
    });
  }
  const dataBlocks = data.size / dataBlockSize;
  const known = { algorithm, dataBlockSize, hashBlockSize, hashType };
  const { salt: given } = options;
  checkParameters({
    ...known,
    dataBlocks: Math.ceil(dataBlocks),
    salt: given ?? new Uint8Array(0),
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
  const salt = given ?? (await deriveSalt(data, { ...known, dataBlocks }));
  const parameters: DmVerityParameters = { ...known, dataBlocks, salt };
  const layout = layoutOf(parameters);
  const end = treeOffset + layout.treeSize;
  return { ...parameters, hashOffset, hasSuperblock, layout, treeOffset, end };
}

export interface WriteHashAreaOptions {
  /** 16 bytes; undefined to derive it from the root digest. Not used without a superblock. */
  readonly uuid?: Uint8Array | undefined;
  readonly hasher?: BlockHasher | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number) => void) | undefined;
}

/**
 * Writes tree and superblock. The superblock comes last: what was left half-written has none.
 *
 * @param data What the plan was made for.
 * @param target Of the hash file; what is not part of the hash area stays as it is.
 */
export async function writeHashArea(
  data: ByteSource,
  target: Pick<ImageSink, 'write'>,
  plan: HashAreaPlan,
  options: WriteHashAreaOptions = {},
): Promise<{ readonly rootDigest: Uint8Array; readonly uuid: Uint8Array | undefined }> {
  const { treeOffset } = plan;
  const tree = { write: (at: number, chunk: Uint8Array) => target.write(treeOffset + at, chunk) };
  const { hasher, signal, onProgress } = options;
  const { rootDigest } = await writeHashTree(data, tree, { ...plan, hasher, signal, onProgress });
  const uuid = await writeSuperblock(target, plan, rootDigest, options.uuid);
  return { rootDigest, uuid };
}

type FormatOptions = PlanOptions & WriteHashAreaOptions;

/** Plans a hash area and writes it; see `planHashArea` and `writeHashArea`. */
export async function formatDmVerity(
  data: ByteSource,
  target: Pick<ImageSink, 'write'>,
  options: FormatOptions,
): Promise<HashAreaPlan & Awaited<ReturnType<typeof writeHashArea>>> {
  const plan = await planHashArea(data, options);
  return { ...plan, ...(await writeHashArea(data, target, plan, options)) };
}

/**
 * Writes the superblock of a plan that has one, and zeros from there to the tree: what stood there before must not
 * remain.
 *
 * @param given Undefined to derive the UUID from the root digest.
 * @returns the UUID, or undefined where there is no superblock.
 */
export async function writeSuperblock(
  target: Pick<ImageSink, 'write'>,
  plan: HashAreaPlan,
  rootDigest: Uint8Array,
  given?: Uint8Array,
): Promise<Uint8Array | undefined> {
  if (!plan.hasSuperblock) return undefined;
  const uuid = given ?? deriveUuid('microbuild dm-verity', rootDigest);
  // One block of data has no tree: veritysetup ends the file with the page of the superblock then.
  const { layout, treeOffset, hashOffset } = plan;
  const room = treeOffset - hashOffset;
  const head = new Uint8Array(layout.treeSize === 0 ? Math.min(room, PAGE) : room);
  head.set(encodeSuperblock({ ...plan, uuid }));
  await target.write(hashOffset, head);
  return uuid;
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
