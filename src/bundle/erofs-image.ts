/** Finds the EROFS image that a path means: the file itself, a partition of a disk, or that of a bundle. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, UsageError } from '../core/errors.ts';
import { EROFS_SUPER_MAGIC_V1, EROFS_SUPER_OFFSET } from '../formats/erofs/layout.ts';
import { partitionSource, readGpt } from '../formats/gpt/reader.ts';
import { isAligned, readAligned } from '../formats/tar/aligned.ts';
import { openFileSource, sliceSource, type ByteSource } from '../io/byte-source.ts';
import { BUNDLE_FILES } from './layout.ts';
import { reasonOf } from '../io/system-error.ts';

/**
 * Opens the image; closing it closes the file.
 *
 * @param path An image, a GPT disk that holds one, or a bundle, of which the OS disk is meant.
 * @param partition Label on the disk; when left out, the one partition that holds EROFS.
 * @throws {UsageError} `input` when there is no such file or partition, or several could be meant.
 * @throws {FormatError} when the disk's partition table is not usable.
 */
export async function openErofsImage(path: string, partition?: string): Promise<ByteSource> {
  const missing = (cause: NodeJS.ErrnoException): never => {
    throw new UsageError('input', `Cannot open ${path}: ${reasonOf(cause)}`, { cause });
  };
  const isBundle = (await stat(path).catch(missing)).isDirectory();
  const file = await openFileSource(isBundle ? join(path, BUNDLE_FILES.os) : path).catch(missing);
  try {
    const image = await imageIn(await diskIn(file), partition);
    return { ...image, close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The OS disk of an `.mbundle`; any other file is what it is. */
async function diskIn(file: ByteSource): Promise<ByteSource> {
  if (!(await isAligned(file))) return file;
  const os = (await readAligned(file)).find(({ name }) => name === BUNDLE_FILES.os);
  if (os !== undefined) return sliceSource(file, os.offset, os.size, `${file.name}: ${os.name}`);
  throw new UsageError(
    'input',
    `Cannot find an image in ${file.name}: it has no ${BUNDLE_FILES.os}`,
  );
}

async function imageIn(file: ByteSource, partition: string | undefined): Promise<ByteSource> {
  if (!(await isDisk(file))) {
    if (partition === undefined) return file;
    throw new UsageError(
      'input',
      `Cannot find partition ${partition}: ${file.name} is no GPT disk`,
    );
  }
  const table = await readGpt(file);
  const labels = table.partitions.map(({ label }) => label);
  if (partition !== undefined) {
    if (labels.includes(partition)) return partitionSource(file, table, partition);
    throw new UsageError('input', `Cannot find partition ${partition} on ${file.name}`, {
      hint: `It has ${labels.join(', ')}`,
    });
  }
  const found: ByteSource[] = [];
  for (const { label, offset, size } of table.partitions) {
    const part = sliceSource(file, offset, size, `${file.name}: ${label}`);
    if (await isErofs(part)) found.push(part);
  }
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new UsageError(
    'input',
    `Cannot tell which partition of ${file.name} is meant: ${found.length} hold EROFS`,
    { hint: `Name one with --partition: ${labels.join(', ')}` },
  );
}

async function isDisk(source: ByteSource): Promise<boolean> {
  if (source.size < 1024) return false;
  return Buffer.from(await source.read(512, 8)).toString('latin1') === 'EFI PART';
}

async function isErofs(source: ByteSource): Promise<boolean> {
  try {
    const magic = await source.read(EROFS_SUPER_OFFSET, 4);
    return new DataView(magic.buffer, magic.byteOffset).getUint32(0, true) === EROFS_SUPER_MAGIC_V1;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}
