/** Opening an image with its tree, as `verify` and `repair` take them. */

import { FormatError, UsageError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import { openFileSource, sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { layoutOf, treeOffsetOf } from '../../verity/dm-verity.ts';
import { fecLayout, type FecLayout } from '../../verity/fec/layout.ts';
import type { HashTreeLayout } from '../../verity/hash-tree-layout.ts';
import {
  checkParameters,
  decodeSuperblock,
  SUPERBLOCK_SIZE,
  type DmVerityParameters,
  type Superblock,
} from '../../verity/superblock.ts';
import type { CommandArguments } from '../command.ts';
import { isSameFile } from './output-files.ts';
import { expectFile } from './verity-files.ts';
import {
  lastText,
  optionalAlgorithm,
  optionalBlocks,
  optionalBlockSize,
  optionalHashType,
  optionalSalt,
  optionalSize,
  rootDigest,
} from './verity-options.ts';

export interface VerityImage {
  readonly dataPath: string;
  readonly hashPath: string;
  readonly isHashInData: boolean;
  /** The protected blocks. */
  readonly data: ByteSource;
  readonly hashFile: ByteSource;
  readonly parameters: DmVerityParameters;
  readonly hasSuperblock: boolean;
  readonly hashOffset: number;
  readonly treeOffset: number;
  readonly layout: HashTreeLayout;
  readonly rootDigest: Uint8Array;
  readonly fec: FecPlace | undefined;
  close(): Promise<void>;
}

/** Where the parity is, and what it covers. */
export interface FecPlace {
  readonly path: string;
  readonly offset: number;
  readonly layout: FecLayout;
  /** From the tree to the end of what is covered. */
  readonly hashArea: ByteSource;
  /** From its first byte on; as long as it should be. */
  readonly parity: ByteSource;
}

export const imagePositionals = {
  data: { type: 'string', describe: 'Image that is protected' },
  tree: { type: 'string', required: false, describe: 'File of the hash area; default: DATA' },
  root: {
    type: 'string',
    required: false,
    describe: 'Root digest, in hexadecimal; else --root-hash-file',
  },
} as const;

export interface ImagePaths {
  readonly data: string;
  readonly hash: string;
  /** Undefined where there is no parity. */
  readonly fec: string | undefined;
}

/** Where everything is, by the arguments. */
export function imagePaths(args: CommandArguments): ImagePaths {
  const data = args.text('data');
  const hash = args.optionalText('tree') ?? data;
  const wanted = lastText(args, 'fec-roots') ?? lastText(args, 'fec-offset');
  const fec = lastText(args, 'fec-device') ?? (wanted === undefined ? undefined : hash);
  return { data, hash, fec };
}

/**
 * Opens what the arguments name. With a superblock it gives the parameters; options may repeat them, not contradict.
 *
 * @param paths Of copies to be opened in the place of what the arguments name.
 * @throws {UsageError} when something is missing or contradicts the superblock.
 * @throws {FormatError} when there is no superblock, or data, tree or parity end early.
 */
export async function openVerityImage(
  args: CommandArguments,
  paths: ImagePaths = imagePaths(args),
): Promise<VerityImage> {
  const { data: dataPath, hash: hashPath } = paths;
  const opened: ByteSource[] = [];
  // By the names that the user knows.
  const named = imagePaths(args);
  const open = async (path: string, name = path): Promise<ByteSource> => {
    await expectFile(path);
    const source = await openFileSource(path, name);
    opened.push(source);
    return source;
  };
  const close = async (): Promise<void> => {
    for (const source of opened) await source.close();
  };
  try {
    const dataFile = await open(dataPath, named.data);
    const hashFile = await open(hashPath, named.hash);
    const isHashInData = await isSameFile(hashPath, dataPath);
    const hasSuperblock = args.flag('superblock');
    const hashOffset = hashOffsetOf(args, isHashInData);
    const parameters = hasSuperblock
      ? await superblockParameters(args, hashFile, hashOffset)
      : optionParameters(args, dataFile);
    checkParameters(parameters);
    const layout = layoutOf(parameters);
    const treeOffset = treeOffsetOf({ hashOffset, hasSuperblock }, parameters.hashBlockSize);
    const data = firstBlocks(dataFile, parameters);
    // One block of data has no tree: the file may end before the place of one.
    if (layout.treeSize > 0) expectSize(hashFile, treeOffset + layout.treeSize, 'its hash tree');
    const image = {
      dataPath,
      hashPath,
      isHashInData,
      data,
      hashFile,
      parameters,
      hasSuperblock,
      hashOffset,
      treeOffset,
      layout,
      rootDigest: await rootDigest(args, parameters.algorithm),
    };
    return {
      ...image,
      fec: await openFec(args, image, paths.fec, (path) => open(path, named.fec)),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function hashOffsetOf(args: CommandArguments, isHashInData: boolean): number {
  const given = optionalSize(args, 'hash-offset');
  if (given !== undefined) return given;
  if (!isHashInData) return 0;
  const blocks = optionalBlocks(args);
  if (blocks !== undefined) {
    const end = blocks * (optionalBlockSize(args, 'data-block-size') ?? 4096);
    return alignUp(end, optionalBlockSize(args, 'hash-block-size') ?? 4096);
  }
  throw new UsageError('usage', 'The hash area is in the image, and it is not said where', {
    hint: 'Give --hash-offset, or --data-blocks when the hash area follows the data',
  });
}

async function superblockParameters(
  args: CommandArguments,
  hashFile: ByteSource,
  offset: number,
): Promise<Superblock> {
  expectSize(hashFile, offset + SUPERBLOCK_SIZE, 'its superblock');
  const superblock = decodeSuperblock(await hashFile.read(offset, SUPERBLOCK_SIZE), offset);
  const salt = optionalSalt(args);
  const given: readonly [
    option: string,
    value: string | number | undefined,
    said: string | number,
  ][] = [
    ['hash', optionalAlgorithm(args), superblock.algorithm],
    ['format', optionalHashType(args), superblock.hashType],
    ['data-block-size', optionalBlockSize(args, 'data-block-size'), superblock.dataBlockSize],
    ['hash-block-size', optionalBlockSize(args, 'hash-block-size'), superblock.hashBlockSize],
    ['data-blocks', optionalBlocks(args), superblock.dataBlocks],
    [
      'salt',
      salt && Buffer.from(salt).toString('hex'),
      Buffer.from(superblock.salt).toString('hex'),
    ],
  ];
  for (const [option, value, said] of given) {
    if (value === undefined || value === said) continue;
    throw new UsageError(
      'usage',
      `--${option} ${value} contradicts the superblock, which says ${said}`,
      { hint: 'Leave the option away, or take --no-superblock with --hash-offset of the tree' },
    );
  }
  return superblock;
}

function optionParameters(args: CommandArguments, dataFile: ByteSource): DmVerityParameters {
  const dataBlockSize = optionalBlockSize(args, 'data-block-size') ?? 4096;
  const salt = optionalSalt(args);
  if (salt === undefined) {
    throw new UsageError('usage', 'Without a superblock the salt must be given', {
      hint: 'Give --salt in hexadecimal, or --salt - when there is none',
    });
  }
  return {
    algorithm: optionalAlgorithm(args) ?? 'sha256',
    hashType: optionalHashType(args) ?? 1,
    dataBlockSize,
    hashBlockSize: optionalBlockSize(args, 'hash-block-size') ?? 4096,
    dataBlocks: optionalBlocks(args) ?? wholeBlocks(dataFile, dataBlockSize),
    salt,
  };
}

function wholeBlocks(file: ByteSource, blockSize: number): number {
  const blocks = Math.floor(file.size / blockSize);
  if (blocks > 0) return blocks;
  throw new UsageError('input', `Cannot use ${file.name}: it has no block of ${blockSize} bytes`);
}

function firstBlocks(
  file: ByteSource,
  { dataBlocks, dataBlockSize }: DmVerityParameters,
): ByteSource {
  const size = dataBlocks * dataBlockSize;
  expectSize(file, size, `${dataBlocks} blocks of data`);
  return sliceSource(file, 0, size);
}

function expectSize(file: ByteSource, size: number, what: string): void {
  if (file.size >= size) return;
  throw new FormatError(
    'dm-verity',
    'truncated',
    `Cannot use ${file.name}: ${what} would end at ${size}, the file has ${file.size} bytes`,
  );
}

/** The hash area from the tree on; nothing when there is no tree and nothing behind it. */
export function hashPart(file: ByteSource, treeOffset: number, end: number): ByteSource {
  return end > treeOffset
    ? sliceSource(file, treeOffset, end - treeOffset)
    : sliceSource(file, 0, 0);
}

async function openFec(
  args: CommandArguments,
  image: Omit<VerityImage, 'fec' | 'close'>,
  path: string | undefined,
  open: (path: string) => Promise<ByteSource>,
): Promise<FecPlace | undefined> {
  const { parameters, treeOffset, layout, data, hashFile } = image;
  if (path === undefined) return undefined;
  const { dataBlockSize: blockSize, hashBlockSize } = parameters;
  if (blockSize !== hashBlockSize) {
    throw new UsageError('usage', 'There is no parity: data and hash blocks have two sizes');
  }
  const isInHash = await isSameFile(path, image.hashPath);
  const treeEnd = treeOffset + layout.treeSize;
  const offset = optionalSize(args, 'fec-offset') ?? (isInHash ? treeEnd : 0);
  // What stands behind the tree is covered too, up to the parity or the end of the file.
  const limit = isInHash ? offset : hashFile.size;
  const end = Math.max(limit - (limit % blockSize), layout.treeSize === 0 ? treeEnd : 0);
  if (end < treeEnd || (isInHash && offset < treeEnd)) {
    throw new UsageError(
      'usage',
      `The parity at ${offset} would be within the tree, which ends at ${treeEnd}`,
    );
  }
  if (end > treeOffset) expectSize(hashFile, end, 'what the parity covers');
  const hashArea = hashPart(hashFile, treeOffset, end);
  const roots = optionalSize(args, 'fec-roots') ?? 2;
  const fec = fecLayout(data.size + hashArea.size, blockSize, roots);
  const file = await open(path);
  expectSize(file, offset + fec.paritySize, `the parity of ${roots} roots`);
  return {
    path,
    offset,
    layout: fec,
    hashArea,
    parity: sliceSource(file, offset, fec.paritySize),
  };
}
