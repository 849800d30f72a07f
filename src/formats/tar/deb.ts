/**
 * A Debian package: which files it has, what it says of itself, and whether its files are the ones of its list of
 * digests. Nothing of it is run.
 *
 * @see deb(5), deb-control(5), deb-conffiles(5), deb-md5sums(5)
 */

import { createHash } from 'node:crypto';
import { FormatError, type FormatErrorCode } from '../../core/errors.ts';
import type { ArchiveEntry } from '../../io/archive-entry.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { findInode, type Directory } from '../../io/file-tree.ts';
import { arMemberSource, readAr } from '../ar/ar.ts';
import { tarToTree, type TarTreeOptions } from './tree.ts';
import { decodeUtf8 } from './values.ts';

/** What a package says of itself. */
export interface DebControl {
  readonly package: string;
  readonly version: string;
  /** Debian's name, or `all`. */
  readonly architecture: string;
  /** Files that belong to the one who runs the system: they are in the image as the package has them. */
  readonly conffiles: readonly string[];
  /** Scripts that Debian would run and that are not run here, such as `postinst`. */
  readonly scripts: readonly string[];
  /** MD5 in hexadecimal by absolute path, as far as the package tells. */
  readonly md5sums: ReadonlyMap<string, string>;
}

/** The parts of a package. */
export interface OpenDeb {
  readonly control: DebControl;
  /** The archive with its files, compressed or not. */
  readonly data: ByteSource;
}

/** Of the archive with what a package says of itself, in bytes, decompressed. The largest of Debian has 4 MiB. */
const MAX_CONTROL = 32 << 20;
const SCRIPTS = ['preinst', 'postinst', 'prerm', 'postrm', 'config'];

const refuse = (deb: ByteSource, why: string, code: FormatErrorCode = 'bad-value'): never => {
  throw new FormatError('deb', code, `Cannot read package ${deb.name}: ${why}`);
};

/**
 * Finds the parts of a package, and reads what it says of itself.
 *
 * @throws {FormatError} when the source is not a Debian package of format 2.
 */
export async function openDeb(deb: ByteSource): Promise<OpenDeb> {
  const members = await readAr(deb);
  const [version, ...rest] = members;
  if (version?.name !== 'debian-binary' || version.size > 64) {
    return refuse(deb, 'its first member is not "debian-binary"');
  }
  const format = Buffer.from(await arMemberSource(deb, version).read(0, version.size));
  if (!/^2\.\d+\n/.test(format.toString('latin1'))) refuse(deb, 'it is not of format 2');
  const part = (kind: 'control' | 'data'): ByteSource => {
    const found = rest.filter(({ name }) =>
      new RegExp(`^${kind}\\.tar(?:\\.(?:xz|gz|zst))?$`).test(name),
    );
    const [only] = found;
    return only === undefined || found.length !== 1
      ? refuse(
          deb,
          `one member "${kind}.tar" is needed, found ${members.map(({ name }) => name).join(', ')}`,
        )
      : arMemberSource(deb, only);
  };
  const data = part('data');
  const control = await tarToTree(part('control'), { maxSize: MAX_CONTROL, maxEntries: 1000 });
  return { control: await readControl(deb, control), data };
}

async function readControl(deb: ByteSource, tree: Directory): Promise<DebControl> {
  const text = async (name: string): Promise<string | undefined> => {
    const inode = findInode(tree, `/${name}`);
    if (inode === undefined) return undefined;
    if (inode.kind !== 'file') return refuse(deb, `its "${name}" is not a file`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of inode.content.stream()) chunks.push(chunk);
    return decodeUtf8(Buffer.concat(chunks)) ?? refuse(deb, `its "${name}" is not UTF-8`);
  };
  const fields = new Map<string, string>();
  for (const line of ((await text('control')) ?? refuse(deb, 'it has no control file')).split(
    '\n',
  )) {
    const [, name, value] = /^([!-9;-~]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === undefined || value === undefined) continue;
    if (fields.has(name.toLowerCase())) refuse(deb, `its control file has two fields ${name}`);
    fields.set(name.toLowerCase(), value);
  }
  const field = (name: string, form: RegExp): string => {
    const value = fields.get(name) ?? '';
    return form.test(value) ? value : refuse(deb, `its control file has no valid ${name}`);
  };
  const md5sums = new Map<string, string>();
  for (const line of ((await text('md5sums')) ?? '').split('\n')) {
    if (line === '') continue;
    const [, digest, path] = /^([0-9a-f]{32}) [ *](?:\.?\/)?(.+)$/.exec(line) ?? [];
    if (digest === undefined || path === undefined) refuse(deb, 'its list of digests is not one');
    else md5sums.set(`/${path}`, digest);
  }
  return {
    package: field('package', /^[a-z0-9][a-z0-9+.-]+$/),
    version: field('version', /^[A-Za-z0-9.+:~-]+$/),
    architecture: field('architecture', /^[a-z0-9-]+$/),
    conffiles: ((await text('conffiles')) ?? '')
      .split('\n')
      .map((line) => line.replace(/^remove-on-upgrade /, '').trim())
      .filter((path) => path.startsWith('/')),
    scripts: SCRIPTS.filter((name) => tree.children.has(name)),
    md5sums,
  };
}

/** Compares the files of a package, as they pass, with its own list. */
export function md5Checker(
  name: string,
  { md5sums }: DebControl,
): {
  /** For `indexTar`. */
  readonly onData: (path: string, chunk: Uint8Array | undefined) => void;
  /** @throws {FormatError} `bad-checksum`, naming a file that is not as the list says, or missing. */
  readonly finish: (entries: readonly ArchiveEntry[]) => void;
} {
  let hash = createHash('md5');
  const found = new Map<string, string>();
  const bad = (path: string, why: string): never => {
    throw new FormatError('deb', 'bad-checksum', `Cannot read package ${name}: ${path} ${why}`, {
      field: path,
    });
  };
  return {
    onData(path, chunk) {
      if (!md5sums.has(path)) return;
      if (chunk !== undefined) {
        hash.update(chunk);
        return;
      }
      found.set(path, hash.digest('hex'));
      hash = createHash('md5');
    },
    finish(entries) {
      const links = new Map(
        entries.flatMap((each) => (each.kind === 'hardlink' ? [[each.path, each.target]] : [])),
      );
      for (const [path, wanted] of md5sums) {
        const digest = found.get(path) ?? found.get(links.get(path) ?? '');
        if (digest === undefined) {
          // Of a hard link only one name has the data, and it may have no line of its own.
          if (links.has(path)) continue;
          bad(path, 'is in its list of digests and not among its files');
        } else if (digest !== wanted) {
          bad(path, `has the MD5 ${digest}, its list says ${wanted}: the package is damaged`);
        }
      }
    },
  };
}

/**
 * Reads the files of a package into a tree.
 *
 * @throws {FormatError} naming package, member and entry, when it is damaged, cut off or hostile.
 */
export async function debToTree(deb: ByteSource, options: TarTreeOptions = {}): Promise<Directory> {
  return tarToTree((await openDeb(deb)).data, options);
}
