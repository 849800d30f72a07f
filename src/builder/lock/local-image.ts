/**
 * Which image of a layout folder a recipe means.
 *
 * @see the OCI image specification 1.1, "OCI Image Layout"
 */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { FormatError } from '../../core/errors.ts';
import { openFileSource } from '../../io/byte-source.ts';
import type { LockedImage, OciDescriptor } from '../../recipe/lockfile.ts';
import { parseIndex, parseManifest, selectPlatform } from '../fetch/oci-manifest.ts';

/** What registries take; a layout has no more. */
const MAX_DOCUMENT_BYTES = 4 << 20;
/** An index of a layout may lead to the index of an image, and that to its manifest. */
const MAX_DEPTH = 3;

/**
 * Follows `index.json` to the image for a platform.
 *
 * @param folder Absolute path.
 * @throws {FormatError} `oci` when the folder is no layout, or has no such image.
 */
export async function resolveLocalImage(folder: string, platform: string): Promise<LockedImage> {
  let bytes = await readDocument(join(folder, 'index.json'), folder);
  let index: OciDescriptor | undefined;
  let found: OciDescriptor | undefined;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const entries = parseIndex(bytes, folder);
    if (entries === undefined) break;
    index = found;
    const [only, another] = entries;
    // One image says for itself what it is for.
    const isOnly = only !== undefined && another === undefined && only.platform === undefined;
    found = isOnly ? only : selectPlatform(entries, platform, folder);
    bytes = await readDocument(blobPath(folder, found), folder, found);
  }
  if (found === undefined) throw refuse(folder, 'its index.json is no index');
  const { config, layers } = parseManifest(bytes, folder);
  const { digest, size, mediaType } = found;
  return {
    ...(index === undefined ? {} : { index }),
    manifest: { digest, size, mediaType },
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
