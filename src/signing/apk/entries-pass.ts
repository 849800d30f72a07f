/**
 * The one pass over the bytes of an APK: the entries are read once, and copied, and hashed for every
 * digest that a signature wants, while they are at hand.
 *
 * What is signed comes after the entries and depends on their digests, so a pass has three steps:
 * `runEntriesPass` copies and hashes the entries; `contentDigests` says what to sign; `finish` writes
 * what stands behind the entries and closes the v4 tree, which covers the file's final bytes.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v2#integrity-protected-contents
 */

import type { ContentDigestAlgorithm } from '../../formats/apk/algorithms.ts';
import { createContentHasher, digestedEnd } from '../../formats/apk/content-digest.ts';
import { readAhead } from '../../formats/apk/read-ahead.ts';
import { STREAM_CHUNK, type ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import type { BlockHasher } from '../../verity/block-hasher.ts';
import type { HashTree } from '../../verity/hash-tree.ts';
import type { CopyPiece } from './copy-plan.ts';
import { createMerkleTree } from './merkle-tree.ts';

/** The digests of one APK's content, by algorithm: those that were asked for. */
export type ContentDigests = ReadonlyMap<ContentDigestAlgorithm, Uint8Array>;

export interface EntriesPassOptions {
  readonly input: ByteSource;
  /** What the entries are, in order: `planCopy`'s pieces, with entries of our own among them. */
  readonly pieces: readonly CopyPiece[];
  /** Size of the section in bytes: at least that of the pieces, the rest is zeros. */
  readonly entriesSize: number;
  /** Must not be the input's file. */
  readonly output: ImageSink;
  /** May be empty: v1 alone signs none. */
  readonly digests: readonly ContentDigestAlgorithm[];
  /** Whether `finish` gives the v4 tree. */
  readonly tree: boolean;
  /** Hashes the blocks of Merkle trees. Default: node:crypto on this thread. */
  readonly hasher?: BlockHasher | undefined;
}

export interface EntriesPass {
  /**
   * The content digests of an APK with these entries. Once only.
   *
   * @param end The EOCD; where it says the central directory is does not matter here.
   */
  contentDigests(centralDirectory: Uint8Array, end: Uint8Array): Promise<ContentDigests>;
  /**
   * Writes what stands behind the entries (signing block, central directory, EOCD) and cuts the output
   * to size. Once only.
   */
  finish(tail: readonly Uint8Array[]): Promise<FinishedApk>;
}

export interface FinishedApk {
  /** In bytes. */
  readonly size: number;
  /** Over the whole file, padded with zeros to blocks of 4096; undefined unless asked for. */
  readonly tree: HashTree | undefined;
}

/** apksig's salt of the `verity` content digest. */
const VERITY_SALT = new Uint8Array(8);

/** Hashes the sections of a content for one algorithm. */
interface ContentDigester {
  startSection(size: number): void;
  update(piece: Uint8Array): void | Promise<void>;
  finish(): Promise<Uint8Array>;
}

/** SHA-256 root of the Merkle tree over the sections one behind the other, then their size (u64). */
function verityDigester(expectedSize: number, hasher: BlockHasher | undefined): ContentDigester {
  const tree = createMerkleTree({ salt: VERITY_SALT, expectedSize, hasher });
  let size = 0;
  return {
    startSection(sectionSize) {
      size += sectionSize;
    },
    update: (piece) => tree.update(piece),
    async finish() {
      const { rootDigest } = await tree.finish();
      const digest = new Uint8Array(rootDigest.length + 8);
      digest.set(rootDigest);
      new DataView(digest.buffer).setBigUint64(rootDigest.length, BigInt(size), true);
      return digest;
    },
  };
}

function createDigester(
  algorithm: ContentDigestAlgorithm,
  entriesSize: number,
  hasher: BlockHasher | undefined,
): ContentDigester {
  if (algorithm === 'verity-sha256') return verityDigester(entriesSize, hasher);
  const chunked = createContentHasher(algorithm === 'chunked-sha256' ? 'sha256' : 'sha512');
  return {
    startSection: (size) => chunked.startSection(size),
    update: (piece) => chunked.update(piece),
    finish: () => Promise.resolve(chunked.finish()),
  };
}

/** The pieces and the zeros behind them, in chunks of 1 MiB that stay as they are until the next but one. */
async function* entryChunks(
  input: ByteSource,
  pieces: readonly CopyPiece[],
  size: number,
): AsyncGenerator<Uint8Array> {
  // While one buffer is written, the other is filled.
  let buffer = new Uint8Array(STREAM_CHUNK);
  let spare = new Uint8Array(STREAM_CHUNK);
  let filled = 0;
  let done = 0;
  const fill = function* (bytes: Uint8Array): Generator<Uint8Array> {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + buffer.length - filled);
      buffer.set(part, filled);
      filled += part.length;
      at += part.length;
      done += part.length;
      if (filled < buffer.length) continue;
      yield buffer;
      filled = 0;
      [buffer, spare] = [spare, buffer];
    }
  };
  for (const piece of pieces) {
    if (piece.kind === 'bytes') yield* fill(piece.bytes);
    else for await (const bytes of readAhead(input, piece.offset, piece.size)) yield* fill(bytes);
  }
  if (done > size) throw new RangeError(`The entries are ${done} bytes, not ${size}`);
  yield* fill(new Uint8Array(size - done));
  if (filled > 0) yield buffer.subarray(0, filled);
}

/**
 * Copies and hashes the entries of an APK.
 *
 * @throws what the input and the output throw.
 */
export async function runEntriesPass(options: EntriesPassOptions): Promise<EntriesPass> {
  const { input, output, pieces, entriesSize, hasher } = options;
  const tree = options.tree ? createMerkleTree({ expectedSize: entriesSize, hasher }) : undefined;
  const digesters = [...new Set(options.digests)].map(
    (algorithm) => [algorithm, createDigester(algorithm, entriesSize, hasher)] as const,
  );
  const digestSection = async (section: Uint8Array): Promise<void> => {
    for (const [, digester] of digesters) {
      digester.startSection(section.length);
      await digester.update(section);
    }
  };

  for (const [, digester] of digesters) digester.startSection(entriesSize);
  let offset = 0;
  let writing: Promise<void> = Promise.resolve();
  for await (const chunk of entryChunks(input, pieces, entriesSize)) {
    await writing;
    writing = output.write(offset, chunk);
    // Its error counts when it is awaited; until then it must not count as unhandled.
    writing.catch(() => undefined);
    offset += chunk.length;
    for (const [, digester] of digesters) await digester.update(chunk);
    await tree?.update(chunk);
  }
  await writing;

  return {
    async contentDigests(centralDirectory, end) {
      await digestSection(centralDirectory);
      await digestSection(digestedEnd(end, entriesSize));
      const digests = new Map<ContentDigestAlgorithm, Uint8Array>();
      for (const [algorithm, digester] of digesters)
        digests.set(algorithm, await digester.finish());
      return digests;
    },
    async finish(tail) {
      const bytes = Buffer.concat(tail);
      await output.write(entriesSize, bytes);
      const size = entriesSize + bytes.length;
      await output.truncate(size);
      await tree?.update(bytes);
      return { size, tree: await tree?.finish() };
    },
  };
}
