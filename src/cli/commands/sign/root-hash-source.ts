/** Where a root hash may be taken from: its digits, a file of digits, a hash area, or a vbmeta. */

import { digestSize, fromHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';
import { decodeVbmeta } from '../../../formats/avb/vbmeta.ts';
import { openFileSource, type ByteSource } from '../../../io/byte-source.ts';
import { hasFooter, readFooterBytes, readVbmeta } from '../../../formats/avb/footer.ts';
import { readRootDigest } from '../../../verity/root-digest.ts';

export interface RootHashPlace {
  /** Where the superblock is in its file, in bytes. */
  readonly hashOffset: number | undefined;
  /** Whose hash tree, in a vbmeta that describes several. */
  readonly partition: string | undefined;
}

const SIZES: ReadonlySet<number> = new Set(Object.values(digestSize));
const DIGITS = /^(?:[0-9a-fA-F]{2})+$/;
/** Digits of the longest digest, and a line end. */
const MAX_TEXT = 256;

/** The bytes of a digest that is written in hexadecimal, or undefined. */
export function rootHashOfDigits(text: string): Uint8Array | undefined {
  return DIGITS.test(text) && SIZES.has(text.length / 2) ? fromHex(text) : undefined;
}

async function isVbmeta(source: ByteSource, head: Buffer): Promise<boolean> {
  if (head.toString('latin1', 0, 4) === 'AVB0') return true;
  const tail = await readFooterBytes(source);
  return tail !== undefined && hasFooter(tail);
}

async function fromVbmeta(source: ByteSource, partition: string | undefined): Promise<Uint8Array> {
  const { bytes } = await readVbmeta(source);
  const trees = decodeVbmeta(bytes).descriptors.flatMap((each) =>
    each.kind === 'hashtree' ? [each] : [],
  );
  const found =
    partition === undefined ? trees : trees.filter((each) => each.partitionName === partition);
  const [tree, ...more] = found;
  if (tree !== undefined && more.length === 0) return tree.rootDigest;
  const names = trees.map(({ partitionName }) => partitionName).join(', ');
  throw new UsageError(
    'input',
    `Cannot tell the root hash of ${source.name}: it describes ${found.length} hash trees${partition === undefined ? '' : ` of ${partition}`}`,
    { hint: names === '' ? 'Give the root hash itself' : `Name one with --partition: ${names}` },
  );
}

/**
 * Reads the root hash from a file.
 *
 * @throws {UsageError} `input` when the file holds none, or several.
 * @throws {FormatError} when it is a damaged hash area or vbmeta.
 */
export async function readRootHash(path: string, place: RootHashPlace): Promise<Uint8Array> {
  const source = await openFileSource(path);
  try {
    const { hashOffset, partition } = place;
    if (hashOffset !== undefined) return await readRootDigest(source, hashOffset);
    const head = Buffer.from(await source.read(0, Math.min(MAX_TEXT, source.size)));
    if (head.toString('latin1', 0, 8) === 'verity\0\0') return await readRootDigest(source, 0);
    const digits =
      source.size <= MAX_TEXT ? rootHashOfDigits(head.toString('latin1').trim()) : undefined;
    if (digits !== undefined) return digits;
    if (await isVbmeta(source, head)) return await fromVbmeta(source, partition);
    throw new UsageError('input', `Cannot tell the root hash of ${path}: it holds none`, {
      hint: 'It may be the digits of a root hash, a hash area with superblock, or an image with vbmeta; --hash-offset says where the superblock is',
    });
  } finally {
    await source.close();
  }
}
