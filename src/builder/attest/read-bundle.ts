/** Reads all that attestations of a bundle are written from, out of the bundle itself. */

import { createHash } from 'node:crypto';
import { readPayloadParts, type PayloadParts } from '../../bundle/attest/payload-parts.ts';
import { parseBuildRecord } from '../../bundle/build-record.ts';
import { BUNDLE_FILES, payloadDiskFile } from '../../bundle/layout.ts';
import type { ManifestFile } from '../../bundle/manifest.ts';
import type { Bundle } from '../../bundle/open.ts';
import { UsageError } from '../../core/errors.ts';
import { streamOf } from '../../io/byte-source.ts';
import { emptyLock, parseLock } from '../../recipe/lockfile.ts';
import type { AttestedBundle } from './attested-bundle.ts';

/** Larger than the record of any recipe. In bytes. */
const MAX_RECORD = 64 << 20;

/**
 * Nothing is verified here.
 *
 * @throws {UsageError} `input` when the bundle does not tell what it was built from.
 * @throws {FormatError} when its record or a payload disk cannot be read.
 */
export async function readAttestedBundle(bundle: Bundle): Promise<AttestedBundle> {
  const { manifest, names, path } = bundle;
  if (!names.includes(BUNDLE_FILES.buildRecord)) {
    throw new UsageError('input', `Cannot attest ${path}: it has no ${BUNDLE_FILES.buildRecord}`, {
      hint: 'An older microbuild made it: build it anew',
    });
  }
  const source = await bundle.open(BUNDLE_FILES.buildRecord);
  if (source.size > MAX_RECORD) {
    const message = `Cannot attest ${path}: its ${BUNDLE_FILES.buildRecord} has ${source.size} bytes`;
    throw new UsageError('input', message);
  }
  const record = parseBuildRecord(new TextDecoder().decode(await source.read(0, source.size)));
  const files: ManifestFile[] = [...manifest.files];
  for (const name of [BUNDLE_FILES.manifest, BUNDLE_FILES.manifestSignature]) {
    if (names.includes(name)) files.push(await digestFile(bundle, name));
  }
  const own = bundle.config.disks[1]?.image ?? BUNDLE_FILES.payload;
  const payloads: PayloadParts[] = [
    await readPayloadParts(bundle.payload, { name: null, file: own }),
  ];
  for (const [name, disk] of bundle.payloads) {
    payloads.push(await readPayloadParts(disk, { name, file: payloadDiskFile(name) }));
  }
  const lock =
    record.lock === null
      ? emptyLock
      : parseLock(record.lock, `${path}, its ${BUNDLE_FILES.buildRecord}`);
  return { manifest, files, record, lock, payloads };
}

async function digestFile(bundle: Bundle, name: string): Promise<ManifestFile> {
  const source = await bundle.open(name);
  const hash = createHash('sha256');
  for await (const chunk of streamOf(source)) hash.update(chunk);
  return { path: name, size: source.size, sha256: hash.digest('hex') };
}
