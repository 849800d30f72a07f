/** Where the attestations of a bundle are: in a folder of it, or beside it where it is one file. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isArchiveName } from '../files.ts';
import { ATTESTATIONS_FOLDER } from '../layout.ts';

/** The kinds of attestation, and the file that holds the signed one. */
export const ATTESTATIONS = {
  sbom: 'sbom.dsse.json',
  provenance: 'provenance.dsse.json',
} as const;

export type AttestationKind = keyof typeof ATTESTATIONS;

export const ATTESTATION_KINDS = Object.keys(ATTESTATIONS) as readonly AttestationKind[];

/** The bill of materials as it is, for tools that read no envelopes. */
export const BOM_FILE = 'sbom.cdx.json';

/** All files that attestations are written to. */
export const ATTESTATION_FILES: readonly string[] = [BOM_FILE, ...Object.values(ATTESTATIONS)];

/** Where a file of the attestations of a bundle is. */
export const attestationPath = (bundle: string, file: string): string =>
  isArchiveName(bundle) ? `${bundle}.${file}` : join(bundle, ATTESTATIONS_FOLDER, file);

/** The bytes of a file of the attestations; undefined when it is not there. */
export async function readAttestation(
  bundle: string,
  file: string,
): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await readFile(attestationPath(bundle, file)));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
