/** Builds an unsigned APK: a manifest, libraries aligned to pages, anything else. */

import { bytesContent } from '../../io/file-tree.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { writeZip, type WriteZipOptions, type ZipInput, type ZipSummary } from '../zip/write.ts';

const MANIFEST_NAME = 'AndroidManifest.xml';

export interface ApkInput {
  /** Binary XML, as `encodeManifest` makes it. */
  readonly manifest: Uint8Array;
  /** All other entries, in any order. Libraries belong to `lib/<abi>/`. */
  readonly entries: readonly ZipInput[];
}

/**
 * Writes an unsigned APK. The same input gives the same bytes.
 *
 * @throws {RangeError} for entry names that two readers could take differently.
 */
export const buildApk = (
  { manifest, entries }: ApkInput,
  sink: ImageSink,
  options: WriteZipOptions = {},
): Promise<ZipSummary> =>
  writeZip([{ name: MANIFEST_NAME, content: bytesContent(manifest) }, ...entries], sink, options);
