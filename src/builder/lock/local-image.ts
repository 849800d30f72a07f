/**
 * Which image of a layout folder a recipe means.
 *
 * @see the OCI image specification 1.1, "OCI Image Layout"
 */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { FormatError } from '../../core/errors.ts';
import { findManifest, parseManifest, type OciDescriptor } from '../../formats/oci/documents.ts';
import { openFileSource } from '../../io/byte-source.ts';
import type { LockedImage } from '../../recipe/lockfile.ts';

/** What registries take; a layout has no more. */
const MAX_DOCUMENT_BYTES = 4 << 20;

/**
 * Follows `index.json` to the image for a platform.
 *
 * @param folder Absolute path.
 * @throws {FormatError} `oci` when the folder is no layout, or has no such image.
 */
export async function resolveLocalImage(folder: string, platform: string): Promise<LockedImage> {
  const top = await readDocument(join(folder, 'index.json'), folder);
  const { bytes, followed } = await findManifest(
    top,
    (each) => readDocument(blobPath(folder, each), folder, each),
    { platform, where: folder },
  );
  // The first one is the layout's own, which no digest names.
  const [found, index] = [followed.at(-1), followed.at(-2)];
  if (found === undefined) throw refuse(folder, 'its index.json is no index');
  const { config, layers } = parseManifest(bytes, folder);
  return {
    ...(index === undefined ? {} : { index }),
    manifest: found,
    config,
    layers,
    platform,
  };
}

const blobPath = (folder: string, { digest }: OciDescriptor): string =>
  join(folder, 'blobs', ...digest.split(':'));

async function readDocument(
  path: string,
  folder: string,
  expected?: OciDescriptor,
): Promise<Uint8Array> {
  let file;
  try {
    file = await openFileSource(path);
  } catch (cause) {
    throw refuse(folder, `it has no ${path.slice(folder.length + 1)}`, cause);
  }
  try {
    if (file.size > MAX_DOCUMENT_BYTES) throw refuse(folder, `a document has ${file.size} bytes`);
    const bytes = await file.read(0, file.size);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (expected !== undefined && expected.digest !== digest) {
      throw refuse(folder, `${expected.digest} has the digest ${digest}`);
    }
    return bytes;
  } finally {
    await file.close();
  }
}

const refuse = (folder: string, why: string, cause?: unknown): FormatError =>
  new FormatError('oci', 'bad-value', `Cannot read image ${folder}: ${why}`, { cause });
