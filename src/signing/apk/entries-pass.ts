/**
 * The one pass over the bytes of an APK: the entries are read once, and copied, and hashed for every
 * digest that a signature wants, while they are at hand.
 *
 * What is signed comes after the entries and depends on their digests, so a pass has three steps:
 * `runEntriesPass` copies and hashes the entries; `contentDigests` says what to sign; `finish` writes
 * what stands behind the entries and closes the v4 tree, which covers the file's final bytes.
 */

import { digestedEnd } from '../../formats/apk/content-digest.ts';
import { readAhead } from '../../formats/apk/read-ahead.ts';
import type { SectionPiece } from '../../formats/apk/section-hasher.ts';
import { windowSource } from '../../formats/zip/window-source.ts';
import { STREAM_CHUNK, type ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import type { HashTree } from '../../verity/hash-tree.ts';
import {
  createApkDigester,
  type ApkDigester,
  type ContentDigests,
  type DigestOptions,
} from './content-digests.ts';

export type { ContentDigests } from './content-digests.ts';

/** `digests` may be empty: v1 alone signs none. `tree` says whether `finish` gives the v4 tree. */
export interface EntriesPassOptions extends DigestOptions {
  readonly input: ByteSource;
  /** What the entries are, in order: `planCopy`'s pieces, with entries of our own among them. */
  readonly pieces: readonly SectionPiece[];
  /** Size of the section in bytes: at least that of the pieces, the rest is zeros. */
  readonly entriesSize: number;
  /** The input's own file only where all entries stand in their places already: then they are only hashed. */
  readonly output: ImageSink;
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

/** Up to this, pieces are read together, as far as they stand together. */
const SMALL_PIECE = 64 << 10;

/** The pieces and the zeros behind them, in chunks of 1 MiB that stay as they are until the next but one. */
async function* entryChunks(
  input: ByteSource,
  pieces: readonly SectionPiece[],
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
  // Entries that are small, or moved, come in pieces by the thousand.
  const near = windowSource(input);
  for (const piece of pieces) {
    if (piece.kind === 'bytes') yield* fill(piece.bytes);
    else if (piece.size <= SMALL_PIECE) yield* fill(await near.read(piece.offset, piece.size));
    else for await (const bytes of readAhead(input, piece.offset, piece.size)) yield* fill(bytes);
  }
  yield* fill(new Uint8Array(size - done));
  if (filled > 0) yield buffer.subarray(0, filled);
}

/** Writes the entries, and hashes each part of them while it is written. */
async function streamEntries(
  { input, output, pieces, entriesSize }: EntriesPassOptions,
  digester: ApkDigester,
  isThere: boolean,
): Promise<void> {
  digester.startSection(entriesSize);
  let offset = 0;
  let writing: Promise<void> = Promise.resolve();
  for await (const chunk of entryChunks(input, pieces, entriesSize)) {
    await writing;
    if (!isThere) writing = output.write(offset, chunk);
    // Its error counts when it is awaited; until then it must not count as unhandled.
    writing.catch(() => undefined);
    offset += chunk.length;
    await digester.update(chunk);
    await digester.tree?.update(chunk);
  }
  await writing;
}

/** The same from file to file. @returns false where there are no files, or nobody who can do it. */
async function passFiles(
  options: EntriesPassOptions,
  digester: ApkDigester,
  isThere: boolean,
): Promise<boolean> {
  const { hasher, pieces, entriesSize: size } = options;
  const [input, output] = [options.input.file, options.output.file];
  if (hasher?.hashSection === undefined || !input || !output) return false;
  const digests = digester.takeEntries(size);
  if (digests === undefined) return false;
  await hasher.hashSection({
    ...digests,
    input,
    output: isThere ? undefined : output,
    pieces,
    size,
  });
  return true;
}

/**
 * Whether the entries stand in the output already.
 *
 * @throws {RangeError} when they would have to be moved inside of it.
 */
function areInPlace({ input, output, pieces }: EntriesPassOptions): boolean {
  const [from, to] = [input.file, output.file];
  if (from === undefined || from.fd !== to?.fd) return false;
  const [piece] = pieces;
  const isOne = pieces.length === 1 && piece?.kind === 'input' && piece.offset === 0;
  if (!isOne || from.offset !== to.offset) {
    throw new RangeError('Entries cannot be moved inside of their own file');
  }
  return true;
}

/**
 * Copies and hashes the entries of an APK.
 *
 * @throws {RangeError} when the pieces do not fit into the section, or the output is the input and they would move.
 * @throws what the input and the output throw.
 */
export async function runEntriesPass(options: EntriesPassOptions): Promise<EntriesPass> {
  const { output, pieces, entriesSize } = options;
  const piecesSize = pieces.reduce(
    (sum, piece) => sum + (piece.kind === 'input' ? piece.size : piece.bytes.length),
    0,
  );
  if (piecesSize > entriesSize) {
    throw new RangeError(`The entries are ${piecesSize} bytes, not ${entriesSize}`);
  }
  const digester = createApkDigester(options, entriesSize);
  const { tree } = digester;
  const isThere = areInPlace(options);
  if (!(await passFiles(options, digester, isThere))) {
    await streamEntries(options, digester, isThere);
  }

  return {
    async contentDigests(centralDirectory, end) {
      for (const section of [centralDirectory, digestedEnd(end, entriesSize)]) {
        digester.startSection(section.length);
        await digester.update(section);
      }
      return digester.contentDigests();
    },
    async finish(tail) {
      const bytes = Buffer.concat(tail);
      // What stood behind the entries of the input is not the zeros that are hashed.
      if (isThere) await output.write(piecesSize, new Uint8Array(entriesSize - piecesSize));
      await output.write(entriesSize, bytes);
      const size = entriesSize + bytes.length;
      await output.truncate(size);
      await tree?.update(bytes);
      return { size, tree: await tree?.finish() };
    },
  };
}
