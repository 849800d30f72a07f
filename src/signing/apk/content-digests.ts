/**
 * Several content digests of one APK in one pass over its sections, and the v4 tree with them.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v2#integrity-protected-contents
 */

import type { ContentDigestAlgorithm } from '../../formats/apk/algorithms.ts';
import {
  createContentHasher,
  digestedEnd,
  type ContentHash,
} from '../../formats/apk/content-digest.ts';
import { readAhead } from '../../formats/apk/read-ahead.ts';
import type { SectionHasher, SectionPass } from '../../formats/apk/section-hasher.ts';
import type { ApkSections } from '../../formats/apk/signing-block.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import type { BlockHasher } from '../../verity/block-hasher.ts';
import type { HashTree } from '../../verity/hash-tree.ts';
import { createMerkleTree, MERKLE_BLOCK_SIZE, type MerkleTree } from './merkle-tree.ts';

/** The digests of one APK's content, by algorithm: those that were asked for. */
export type ContentDigests = ReadonlyMap<ContentDigestAlgorithm, Uint8Array>;

/** Hashes blocks of Merkle trees; some also copy and hash whole sections from file to file. */
export type ApkHasher = BlockHasher & Partial<SectionHasher>;

/** What is hashed of an APK. */
export interface DigestOptions {
  readonly digests: readonly ContentDigestAlgorithm[];
  /** Whether there is to be a v4 tree. */
  readonly tree: boolean;
  /** Default: node:crypto on this thread. */
  readonly hasher?: ApkHasher | undefined;
}

/** apksig's salt of the `verity` content digest. */
const VERITY_SALT = new Uint8Array(8);

/** Hashes the sections of a content for one algorithm. */
interface ContentDigester {
  startSection(size: number): void;
  update(piece: Uint8Array): void | Promise<void>;
  /** Instead of these two: where a `SectionHasher` puts the digests of a whole section. */
  takeSection(size: number): Partial<SectionPass>;
  finish(): Promise<Uint8Array>;
}

function chunkedDigester(hash: ContentHash): ContentDigester {
  const hasher = createContentHasher(hash);
  return {
    startSection: (size) => hasher.startSection(size),
    update: (piece) => hasher.update(piece),
    takeSection: (size) => ({ [hash]: hasher.chunkDigests(size) }),
    finish: () => Promise.resolve(hasher.finish()),
  };
}

/** SHA-256 root of the Merkle tree over the sections one behind the other, then their size (u64). */
function verityDigester(tree: MerkleTree): ContentDigester {
  let size = 0;
  return {
    startSection(sectionSize) {
      size += sectionSize;
    },
    update: (piece) => tree.update(piece),
    takeSection(sectionSize) {
      size += sectionSize;
      return { saltedLeaves: tree.leaves(sectionSize) };
    },
    async finish() {
      const { rootDigest } = await tree.finish();
      const digest = new Uint8Array(rootDigest.length + 8);
      digest.set(rootDigest);
      new DataView(digest.buffer).setBigUint64(rootDigest.length, BigInt(size), true);
      return digest;
    },
  };
}

/** All that is hashed of one APK while its bytes pass by. */
export interface ApkDigester {
  /** Of the content: the entries come first. */
  startSection(size: number): void;
  /** The next bytes of the section. They may be reused once the promise resolves. */
  update(piece: Uint8Array): Promise<void>;
  /**
   * Instead of these two for the entries: where a `SectionHasher` puts their digests. Undefined where
   * blocks of a tree would reach beyond them.
   */
  takeEntries(size: number): Partial<SectionPass> | undefined;
  contentDigests(): Promise<ContentDigests>;
  /** The v4 tree, if there is to be one; it covers the file and not the content. */
  readonly tree: MerkleTree | undefined;
}

/** @param entriesSize In bytes. */
export function createApkDigester(options: DigestOptions, entriesSize: number): ApkDigester {
  const { hasher } = options;
  const expectedSize = entriesSize;
  const tree = options.tree ? createMerkleTree({ expectedSize, hasher }) : undefined;
  const create = (algorithm: ContentDigestAlgorithm): ContentDigester =>
    algorithm === 'verity-sha256'
      ? verityDigester(createMerkleTree({ salt: VERITY_SALT, expectedSize, hasher }))
      : chunkedDigester(algorithm === 'chunked-sha256' ? 'sha256' : 'sha512');
  const digesters = new Map(options.digests.map((algorithm) => [algorithm, create(algorithm)]));
  const hasBlocks = tree !== undefined || digesters.has('verity-sha256');
  return {
    tree,
    startSection(size) {
      for (const digester of digesters.values()) digester.startSection(size);
    },
    async update(piece) {
      for (const digester of digesters.values()) await digester.update(piece);
    },
    takeEntries(size) {
      if (hasBlocks && size % MERKLE_BLOCK_SIZE !== 0) return undefined;
      const places = [...digesters.values()].map((digester) => digester.takeSection(size));
      return Object.assign({ leaves: tree?.leaves(size) }, ...places) as Partial<SectionPass>;
    },
    async contentDigests() {
      const digests = new Map<ContentDigestAlgorithm, Uint8Array>();
      for (const [algorithm, digester] of digesters)
        digests.set(algorithm, await digester.finish());
      return digests;
    },
  };
}

export interface DigestContentOptions extends DigestOptions {
  /** Gets a copy of the APK on the way. */
  readonly copy?: ImageSink | undefined;
}

/**
 * The content digests of an APK, and the v4 tree over the whole of it, in one pass.
 *
 * @throws what the source and the copy throw.
 */
export async function digestContent(
  source: ByteSource,
  sections: ApkSections,
  options: DigestContentOptions,
): Promise<{ readonly digests: ContentDigests; readonly tree: HashTree | undefined }> {
  const { copy } = options;
  const { entriesEnd, centralDirectoryOffset, centralDirectorySize, endBytes } = sections;
  const digester = createApkDigester(options, entriesEnd);
  const { tree } = digester;
  const canPass = source.file !== undefined && (copy === undefined || copy.file !== undefined);
  const hasher = canPass && options.hasher?.hashSection && options.hasher;
  const places = hasher && digester.takeEntries(entriesEnd);
  if (hasher && hasher.hashSection && source.file && places) {
    const pieces = [{ kind: 'input', offset: 0, size: entriesEnd }] as const;
    const [input, output] = [source.file, copy?.file];
    await hasher.hashSection({ ...places, input, output, pieces, size: entriesEnd });
  } else {
    digester.startSection(entriesEnd);
    let at = 0;
    for await (const piece of readAhead(source, 0, entriesEnd)) {
      await digester.update(piece);
      await tree?.update(piece);
      await copy?.write(at, piece);
      at += piece.length;
    }
  }
  if (tree || copy) {
    let at = entriesEnd;
    for await (const piece of readAhead(source, entriesEnd, sections.size - entriesEnd)) {
      await tree?.update(piece);
      await copy?.write(at, piece);
      at += piece.length;
    }
  }
  digester.startSection(centralDirectorySize);
  for await (const piece of readAhead(source, centralDirectoryOffset, centralDirectorySize)) {
    await digester.update(piece);
  }
  digester.startSection(endBytes.length);
  await digester.update(digestedEnd(endBytes, entriesEnd));
  return { digests: await digester.contentDigests(), tree: await tree?.finish() };
}
