/** `AndroidManifest.xml` of an APK under verification. */

import { FormatError } from '../../../core/errors.ts';
import type { ZipEntry } from '../../../formats/zip/read.ts';
import type { ApkView } from './apk-view.ts';
import { readEntryData } from './entry-data.ts';
import { readManifestFacts, type ManifestFacts } from './manifest-facts.ts';

const MANIFEST_ENTRY = 'AndroidManifest.xml';
const MAX_MANIFEST = 4 << 20;

/** @throws {FormatError} when there is none that can be read. */
export async function readManifest(
  apk: ApkView,
  entries: readonly ZipEntry[],
): Promise<ManifestFacts> {
  const entry = entries.find(({ name }) => name === MANIFEST_ENTRY);
  if (entry === undefined) {
    throw new FormatError('apk', 'bad-value', `Cannot read APK: it has no ${MANIFEST_ENTRY}`);
  }
  return readManifestFacts(await readEntryData(apk, entry, MAX_MANIFEST));
}
