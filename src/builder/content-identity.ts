/**
 * Which content each file of a tree has, without reading more than is worth it: small trees by the SHA-256 of their files,
 * large ones by what tells that a file is still the same one. Equal identities are equal contents; not the other way round.
 */

import { createHash, hash } from 'node:crypto';
import { basename, join } from 'node:path';
import { toHex } from '../core/digest.ts';
import {
  DIGEST_BYTES,
  isSettled,
  SIGNATURE_WORDS,
  type FileReader,
} from '../io/file-signatures.ts';
import {
  sortedChildren,
  walk,
  type Directory,
  type Inode,
  type RegularFile,
} from '../io/file-tree.ts';
import type { ContentDigest } from './image-reuse.ts';

export interface ContentIdentity {
  readonly digestOf: ContentDigest;
  /**
   * SHA-256, in hexadecimal, of everything an image is made of: names, attributes and contents; undefined when a content is
   * not known.
   */
  readonly treeDigest: string | undefined;
  /** Whether the files were the same all the time since: asked when the image is written. */
  isUnchanged(): Promise<boolean>;
}

/** Trees up to this many bytes are read: hashing them takes some milliseconds. */
const MAX_READ = 32 << 20;
/** Contents in memory are small. */
const MAX_HELD = 16 << 20;

export interface IdentityOptions {
  /** Files of the store there are named by their digest. */
  readonly cacheDirectory: string;
  readonly reader: FileReader;
  /** Bytes that are read at most. */
  readonly maxRead?: number | undefined;
  /** Whether nobody else writes to the files: they may be as new as they like. */
  readonly arePrivate?: boolean | undefined;
}

export async function identifyContents(
  root: Directory,
  { cacheDirectory, reader, maxRead = MAX_READ, arePrivate = false }: IdentityOptions,
): Promise<ContentIdentity> {
  const stored = join(cacheDirectory, 'cas', '/');
  const digests = new Map<RegularFile, string>();
  const onDisk = new Map<string, RegularFile[]>();
  const others: RegularFile[] = [];
  let total = 0;
  walk(root, (_path, inode) => {
    if (inode.kind !== 'file' || digests.has(inode)) return;
    const { content } = inode;
    const { slice } = content;
    if (slice?.path.startsWith(stored) === true) {
      digests.set(
        inode,
        identityOf('blob', Buffer.from(basename(slice.path)), slice.offset, content.size),
      );
      return;
    }
    const path = content.file?.path ?? slice?.path;
    if (path === undefined) {
      others.push(inode);
      return;
    }
    const known = onDisk.get(path);
    if (known === undefined) onDisk.set(path, [inode]);
    else if (!known.includes(inode)) known.push(inode);
    total += content.size;
  });
  for (const inode of others) {
    const { size } = inode.content;
    if (size > MAX_HELD) continue;
    const sum = createHash('sha256');
    for await (const chunk of inode.content.stream()) sum.update(chunk);
    digests.set(inode, identityOf('file', sum.digest(), 0, size));
  }
  const paths = [...onDisk.keys()];
  const moment = Date.now();
  const isRead = total <= maxRead;
  const found = isRead
    ? await reader.digests(paths)
    : { signatures: await reader.signatures(paths, { follow: true }), digests: undefined };
  for (const [index, inodes] of [...onDisk.values()].entries()) {
    const at = index * SIGNATURE_WORDS;
    const words = found.signatures.subarray(at, at + SIGNATURE_WORDS);
    if (words[0] !== 0 || !(arePrivate || isSettled(words, 0, moment))) continue;
    const bytes = found.digests
      ? found.digests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES)
      : new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    const kind = found.digests ? 'file' : 'signature';
    for (const inode of inodes) {
      const { slice, size } = inode.content;
      digests.set(inode, identityOf(kind, bytes, slice?.offset ?? 0, size));
    }
  }
  const digestOf: ContentDigest = (file) => digests.get(file);
  return {
    digestOf,
    treeDigest: digestTree(root, digestOf),
    async isUnchanged() {
      // A signature that was taken before never comes back; a digest may.
      if (!isRead) return true;
      const now = await reader.signatures(paths, { follow: true });
      return now.every((word, index) => word === found.signatures[index]);
    },
  };
}

const NUMBERS = Buffer.alloc(16);

/** A function of its own that makes few objects: there are tens of thousands of files. */
function identityOf(
  kind: 'blob' | 'file' | 'signature',
  name: Uint8Array,
  offset: number,
  size: number,
): string {
  NUMBERS.writeDoubleLE(offset, 0);
  NUMBERS.writeDoubleLE(size, 8);
  // Names of one kind have one length, so that nothing is taken for something else.
  return hash('sha256', Buffer.concat([KINDS[kind], name, NUMBERS]), 'binary');
}

const KINDS = {
  blob: Buffer.from('blob '),
  file: Buffer.from('file '),
  signature: Buffer.from('signature '),
};

/** Text is hashed when there is so much of it. */
const CHUNK = 1 << 16;

function digestTree(root: Directory, digestOf: ContentDigest): string | undefined {
  const sum = createHash('sha256');
  let text = '';
  const put = (line: string): void => {
    text += line;
    if (text.length < CHUNK) return;
    sum.update(text);
    text = '';
  };
  const numbers = new Map<Inode, number>();
  let isKnown = true;
  const add = (name: string, inode: Inode): void => {
    const known = numbers.get(inode);
    if (known !== undefined) {
      put(`${name}\0link\0${known}\n`);
      return;
    }
    numbers.set(inode, numbers.size);
    const { kind, mode, uid, gid, mtime, mtimeNsec } = inode;
    let content = '';
    if (kind === 'file') {
      const digest = digestOf(inode);
      isKnown &&= digest !== undefined;
      content = digest === undefined ? '' : digest;
    } else if (kind === 'symlink') {
      content = inode.target;
    } else if (kind === 'char-device' || kind === 'block-device') {
      content = `${inode.major}:${inode.minor}`;
    } else if (kind === 'directory') {
      content = String(inode.children.size);
    }
    const attributes = inode.xattrs.size === 0 ? '' : describeXattrs(inode.xattrs);
    put(
      `${name}\0${kind}\0${mode}\0${uid}\0${gid}\0${mtime}\0${mtimeNsec}\0${content}${attributes}\n`,
    );
    if (kind !== 'directory') return;
    for (const [child, each] of sortedChildren(inode)) add(child, each);
  };
  add('', root);
  return isKnown ? sum.update(text).digest('hex') : undefined;
}

function describeXattrs(xattrs: ReadonlyMap<string, Uint8Array>): string {
  const sorted = [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([key, value]) => `\0${key}=${toHex(value)}`).join('');
}
