/**
 * Which content each file of a tree has, without reading more than is worth it: small trees by the SHA-256 of their files,
 * large ones by what tells that a file is still the same one. Equal identities are equal contents; not the other way round.
 */

import { createHash } from 'node:crypto';
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

/** @param cacheDirectory Files of its store are named by their digest. */
export async function identifyContents(
  root: Directory,
  { cacheDirectory, reader }: { readonly cacheDirectory: string; readonly reader: FileReader },
): Promise<ContentIdentity> {
  const stored = join(cacheDirectory, 'cas', '/');
  const digests = new Map<RegularFile, Uint8Array>();
  const onDisk = new Map<string, RegularFile[]>();
  const others: RegularFile[] = [];
  let total = 0;
  walk(root, (_path, inode) => {
    if (inode.kind !== 'file' || digests.has(inode)) return;
    const { content } = inode;
    const { slice } = content;
    if (slice?.path.startsWith(stored) === true) {
      digests.set(inode, identity('blob', basename(slice.path), slice.offset, content.size));
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
    const hash = createHash('sha256');
    for await (const chunk of inode.content.stream()) hash.update(chunk);
    digests.set(inode, identity('file', hash.digest('hex'), 0, size));
  }
  const paths = [...onDisk.keys()];
  const moment = Date.now();
  const isRead = total <= MAX_READ;
  const found = isRead
    ? await reader.digests(paths)
    : { signatures: await reader.signatures(paths, { follow: true }), digests: undefined };
  for (const [index, inodes] of [...onDisk.values()].entries()) {
    const at = index * SIGNATURE_WORDS;
    const words = found.signatures.subarray(at, at + SIGNATURE_WORDS);
    if (words[0] !== 0 || !isSettled(words, 0, moment)) continue;
    const bytes = found.digests
      ? found.digests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES)
      : new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    const kind = found.digests ? 'file' : 'signature';
    const text = toHex(bytes);
    for (const inode of inodes) {
      const { slice, size } = inode.content;
      digests.set(inode, identity(kind, text, slice?.offset ?? 0, size));
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

const identity = (kind: string, name: string, offset: number, size: number): Uint8Array =>
  new Uint8Array(createHash('sha256').update(`${kind}\0${name}\0${offset}\0${size}`).digest());

function digestTree(root: Directory, digestOf: ContentDigest): string | undefined {
  const hash = createHash('sha256');
  const numbers = new Map<Inode, number>();
  let isKnown = true;
  const add = (name: string, inode: Inode): void => {
    const known = numbers.get(inode);
    if (known !== undefined) {
      hash.update(`${name}\0link\0${known}\n`);
      return;
    }
    numbers.set(inode, numbers.size);
    const { kind, mode, uid, gid, mtime, mtimeNsec } = inode;
    let content = '';
    if (kind === 'file') {
      const digest = digestOf(inode);
      isKnown &&= digest !== undefined;
      content = digest === undefined ? '' : toHex(digest);
    } else if (kind === 'symlink') {
      content = inode.target;
    } else if (kind === 'char-device' || kind === 'block-device') {
      content = `${inode.major}:${inode.minor}`;
    } else if (kind === 'directory') {
      content = String(inode.children.size);
    }
    const xattrs = [...inode.xattrs].sort(([a], [b]) => (a < b ? -1 : 1));
    const attributes = xattrs.map(([key, value]) => `\0${key}=${toHex(value)}`).join('');
    hash.update(
      `${name}\0${kind}\0${mode}\0${uid}\0${gid}\0${mtime}\0${mtimeNsec}\0${content}${attributes}\n`,
    );
    if (kind !== 'directory') return;
    for (const [child, each] of sortedChildren(inode)) add(child, each);
  };
  add('', root);
  return isKnown ? hash.digest('hex') : undefined;
}
