/** What the verbs of `verity` and `fsverity` share: options with the names of veritysetup, and reading them. */

import type { Options } from 'yargs';
import { digestSize, fromHex } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { openFileSource } from '../../io/byte-source.ts';
import type { CommandArguments, CommandContext } from '../command.ts';
import { largeStep } from '../large-step.ts';
import { isBlockSize } from '../../verity/hash-tree-layout.ts';
import { isTreeAlgorithm, MAX_SALT, MIN_BLOCK_SIZE } from '../../verity/superblock.ts';
import type { TreeAlgorithm } from '../../verity/block-hasher.ts';

/** A text, of which the last one counts when it is given again. */
export const textOption = (describe: string): Options => ({
  type: 'string',
  requiresArg: true,
  describe,
});

const sizeOption = (describe: string): Options => ({
  type: 'string',
  requiresArg: true,
  describe,
});

/** Of every verb that reads or writes a tree. */
export const treeOptions: Readonly<Record<string, Options>> = {
  hash: textOption('Hash algorithm: sha256 (default), sha384, sha512, blake2b-256; sha1 to verify'),
  format: textOption('Hash type: 1 (default), or 0 of the first Chromium OS'),
  'data-block-size': sizeOption('Bytes a data block; default 4096'),
  'hash-block-size': sizeOption('Bytes a hash block; default 4096'),
  'data-blocks': sizeOption('How many blocks are protected; default all of DATA'),
  salt: textOption('In hexadecimal, at most 256 bytes; - for none'),
  superblock: {
    type: 'boolean',
    default: true,
    describe: 'A superblock in front of the tree; --no-superblock for none',
  },
  'hash-offset': sizeOption('Where the hash area starts in its file, in bytes'),
  'root-hash-file': textOption('File of the root digest, in hexadecimal'),
};

export const fecOptions: Readonly<Record<string, Options>> = {
  'fec-device': textOption('File of the parity; may be that of the tree, or DATA'),
  'fec-offset': sizeOption('Where the parity starts in its file, in bytes'),
  'fec-roots': sizeOption('Parity bytes of a codeword, 2 to 24; default 2'),
};

/** The last value of an option that may be given again and again. */
export function lastText(args: CommandArguments, name: string): string | undefined {
  const value = args.optionalText(name) as string | string[] | undefined;
  return Array.isArray(value) ? value.at(-1) : value;
}

/** @throws {UsageError} when it is no whole number of 0 to 2^53. */
export function optionalSize(args: CommandArguments, name: string): number | undefined {
  const text = lastText(args, name);
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new UsageError('usage', `Cannot use --${name} ${text}: it is no whole number`, {
    hint: 'Sizes and offsets are bytes, in decimal',
  });
}

/** @throws {UsageError} when dm-verity has no blocks of that size. */
export function optionalBlockSize(args: CommandArguments, name: string): number | undefined {
  const size = optionalSize(args, name);
  if (size === undefined || (isBlockSize(size) && size >= MIN_BLOCK_SIZE)) return size;
  throw new UsageError(
    'usage',
    `Cannot use --${name} ${size}: block sizes are powers of two of 512 to 65536`,
  );
}

/** @throws {UsageError} when there would be nothing to protect. */
export function optionalBlocks(args: CommandArguments): number | undefined {
  const blocks = optionalSize(args, 'data-blocks');
  if (blocks !== 0) return blocks;
  throw new UsageError('usage', 'Cannot use --data-blocks 0: at least one is protected');
}

/** @throws {UsageError} when the algorithm is not known. */
export function optionalAlgorithm(args: CommandArguments): TreeAlgorithm | undefined {
  const name = lastText(args, 'hash')?.toLowerCase();
  if (name === undefined || isTreeAlgorithm(name)) return name;
  throw new UsageError('usage', `Cannot use --hash ${name}: it is not known`, {
    hint: 'Known are sha256, sha384, sha512, blake2b-256 and, to verify, sha1',
  });
}

/** @throws {UsageError} when the number is neither 0 nor 1. */
export function optionalHashType(args: CommandArguments): 0 | 1 | undefined {
  const value = optionalSize(args, 'format');
  if (value === undefined || value === 0 || value === 1) return value;
  throw new UsageError('usage', `Cannot use --format ${value}: hash types are 0 and 1`);
}

/** Hexadecimal; `-` and nothing are an empty salt. */
export function optionalSalt(args: CommandArguments): Uint8Array | undefined {
  const text = lastText(args, 'salt');
  if (text === undefined) return undefined;
  const salt = text === '-' ? new Uint8Array(0) : parseHex(text, '--salt');
  if (salt.length <= MAX_SALT) return salt;
  throw new UsageError(
    'usage',
    `Cannot use --salt of ${salt.length} bytes: there is room for ${MAX_SALT}`,
  );
}

/** @throws {UsageError} when the text is not hexadecimal. */
export function parseHex(text: string, what: string): Uint8Array {
  try {
    return fromHex(text);
  } catch (cause) {
    throw new UsageError('usage', `Cannot use ${what} ${text.slice(0, 80)}: not hexadecimal`, {
      cause,
    });
  }
}

/** No root digest is longer, in hexadecimal with a newline behind it. */
const MAX_ROOT_FILE = 4096;

/**
 * The root digest of the command line or of `--root-hash-file`.
 *
 * @throws {UsageError} when there is none or two, or it is not as long as the algorithm's.
 */
export async function rootDigest(
  args: CommandArguments,
  algorithm: TreeAlgorithm,
): Promise<Uint8Array> {
  const text = args.optionalText('root');
  const path = lastText(args, 'root-hash-file');
  if ((text === undefined) === (path === undefined)) {
    throw new UsageError(
      'usage',
      text === undefined
        ? 'Nothing can be verified without a root digest'
        : 'The root digest is given twice',
      { hint: 'Give it behind DATA and TREE, or with --root-hash-file' },
    );
  }
  const digits = text ?? (await readRootFile(path ?? ''));
  const digest = parseHex(digits, 'the root digest');
  if (digest.length === digestSize[algorithm]) return digest;
  throw new UsageError(
    'usage',
    `Cannot use the root digest: it has ${digest.length} bytes, ${algorithm} gives ${digestSize[algorithm]}`,
  );
}

async function readRootFile(path: string): Promise<string> {
  const source = await openFileSource(path);
  try {
    const bytes = await source.read(0, Math.min(source.size, MAX_ROOT_FILE));
    return Buffer.from(bytes).toString('latin1').trim();
  } finally {
    await source.close();
  }
}

/** From how many bytes on making parity is reported: it takes longer than hashing. */
export const SHOWN_PARITY = 1 << 26;

/** Reports a step while it runs, when there is much to do. */
export const step = <T>(
  context: CommandContext,
  title: string,
  total: number,
  work: (onProgress: (done: number) => void) => Promise<T>,
  shownSize?: number,
): Promise<T> =>
  largeStep(
    context,
    { name: 'verity', title, total, ...(shownSize !== undefined && { shownSize }) },
    work,
  );
