/** Opens whatever holds files: an image, an archive, a partition of a disk, a bundle. */

import { stat } from 'node:fs/promises';
import { FormatError, UsageError } from '../../core/errors.ts';
import { readAr } from '../../formats/ar/ar.ts';
import { partitionSource, readGpt } from '../../formats/gpt/reader.ts';
import { readSparse, sparseSource } from '../../formats/sparse/reader.ts';
import { isAligned } from '../../formats/tar/aligned.ts';
import { openFileSource, sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { openErofsImage } from '../erofs-image.ts';
import { detectKind, type FileKind } from '../file-kind.ts';
import { openBundleFiles } from '../files.ts';
import { cpioEntries, tarEntries, zipEntries } from './archives.ts';
import type { EntryList } from './entry.ts';
import { reasonOf } from '../../io/system-error.ts';

export type Contents =
  | { readonly kind: 'image'; readonly image: ByteSource; close(): Promise<void> }
  | { readonly kind: 'list'; readonly list: EntryList; close(): Promise<void> };

/**
 * @param part A partition of a disk, or a member of a package, such as `control.tar.xz`; default: the partition
 *   that holds EROFS, or the files of the package.
 * @throws {UsageError} `input` when nothing is there, or it holds no files.
 * @throws {FormatError} when it is damaged.
 */
export async function openContents(path: string, part?: string, as?: FileKind): Promise<Contents> {
  const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError('input', `Cannot open ${path}: ${reasonOf(cause)}`, { cause });
  });
  if (stats.isDirectory()) return inBundle(path, part);
  const file = await openFileSource(path);
  try {
    if (as === undefined && path.endsWith('.mbundle') && (await isAligned(file))) {
      await file.close();
      return await inBundle(path, part);
    }
    const contents = await contentsOf(file, part, as);
    return { ...contents, close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The system of a bundle, or any partition of its disks. */
async function inBundle(path: string, part: string | undefined): Promise<Contents> {
  if (part === undefined) {
    const image = await openErofsImage(path);
    return { kind: 'image', image, close: () => image.close() };
  }
  const files = await openBundleFiles(path);
  try {
    for (const name of files.names.filter((each) => each.endsWith('.img'))) {
      const disk = await files.open(name);
      if ((await detectKind(disk)) !== 'gpt') {
        if (name !== part) continue;
        return { ...(await contentsOf(disk, undefined)), close: () => files.close() };
      }
      const table = await readGpt(disk);
      if (!table.partitions.some(({ label }) => label === part)) continue;
      const inner = await contentsOf(partitionSource(disk, table, part), undefined);
      return { ...inner, close: () => files.close() };
    }
    throw new UsageError('input', `Cannot find partition ${part} in ${path}: no disk has it`);
  } catch (error) {
    await files.close();
    throw error;
  }
}

const nothing = (): Promise<void> => Promise.resolve();

async function contentsOf(
  file: ByteSource,
  part: string | undefined,
  as?: FileKind,
): Promise<Contents> {
  const kind = as ?? (await detectKind(file));
  if (kind === 'erofs') return { kind: 'image', image: file, close: nothing };
  if (kind === 'sparse') return contentsOf(sparseSource(file, await readSparse(file)), part);
  if (kind === 'gpt') return inDisk(file, part);
  if (kind === 'deb') {
    return { kind: 'list', list: tarEntries(await memberOf(file, part)), close: nothing };
  }
  const listed = kind === undefined ? undefined : archives[kind];
  if (listed !== undefined) return { kind: 'list', list: listed(file), close: nothing };
  throw new UsageError('input', `Cannot list ${file.name}: it holds no files`, {
    hint: 'Bundles, disks, EROFS images, APKs, ZIP and tar archives, Debian packages and initrds do',
  });
}

const archives: Partial<Readonly<Record<FileKind, (source: ByteSource) => EntryList>>> = {
  apk: zipEntries,
  zip: zipEntries,
  initrd: cpioEntries,
  tar: tarEntries,
};

async function inDisk(file: ByteSource, part: string | undefined): Promise<Contents> {
  const table = await readGpt(file);
  const labels = table.partitions.map(({ label }) => label);
  if (part !== undefined) {
    if (labels.includes(part)) return contentsOf(partitionSource(file, table, part), undefined);
    throw new UsageError('input', `Cannot find partition ${part} on ${file.name}`, {
      hint: `It has ${labels.join(', ')}`,
    });
  }
  const found: ByteSource[] = [];
  for (const { label, offset, size } of table.partitions) {
    const slice = sliceSource(file, offset, size, `${file.name}: ${label}`);
    if ((await detectKind(slice)) === 'erofs') found.push(slice);
  }
  const [only] = found;
  if (only !== undefined && found.length === 1) {
    return { kind: 'image', image: only, close: nothing };
  }
  throw new UsageError(
    'input',
    `Cannot tell which partition of ${file.name} is meant: ${found.length} hold EROFS`,
    { hint: `Name one with --partition: ${labels.join(', ')}` },
  );
}

/** The archive of a package with its files, or the member that is named. */
async function memberOf(file: ByteSource, part: string | undefined): Promise<ByteSource> {
  const members = await readAr(file);
  const found = members.find(({ name }) =>
    part === undefined
      ? /^data\.tar(?:\.|$)/.test(name)
      : name === part || name.startsWith(`${part}.`),
  );
  if (found !== undefined)
    return sliceSource(file, found.offset, found.size, `${file.name}: ${found.name}`);
  throw new FormatError(
    'deb',
    'bad-value',
    `Cannot read package ${file.name}: it has no ${part ?? 'data.tar'}, only ${members.map(({ name }) => name).join(', ')}`,
  );
}
