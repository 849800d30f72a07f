/** What attestations of a bundle are written from: all that it says of itself, and the digests of what is in it. */

import type { PayloadParts } from '../../bundle/attest/payload-parts.ts';
import type { BuildRecord } from '../../bundle/build-record.ts';
import type { Manifest, ManifestFile } from '../../bundle/manifest.ts';
import type { StatementSubject } from '../../formats/dsse/statement.ts';
import type { Lock } from '../../recipe/lockfile.ts';

export interface AttestedBundle {
  readonly manifest: Manifest;
  /** All its files, the manifest too. */
  readonly files: readonly ManifestFile[];
  readonly record: BuildRecord;
  readonly lock: Lock;
  /** The default payload first. */
  readonly payloads: readonly PayloadParts[];
}

/** Every file of the bundle by its name, and the APKs and idsigs inside its disks by disk and partition. */
export function subjectsOf({ files, payloads }: AttestedBundle): readonly StatementSubject[] {
  const parts = payloads.flatMap(({ apks }) => apks.flatMap(({ apk, idsig }) => [apk, idsig]));
  return [
    ...files.map(({ path, sha256 }) => ({ name: path, digest: { sha256 } })),
    ...parts.map(({ name, sha256 }) => ({ name, digest: { sha256 } })),
  ];
}
