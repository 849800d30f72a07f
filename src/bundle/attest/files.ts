/** Where the attestations of a bundle are: in a folder of it, or beside it where it is one file. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from '../../core/errors.ts';
import { DSSE_MAX_SIZE } from '../../formats/dsse/envelope.ts';
import { openFileSource } from '../../io/byte-source.ts';
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

/**
 * The bytes of a file of the attestations; undefined when it is not there.
 *
 * @throws {FormatError} `too-large`
 */
export async function readAttestation(
  bundle: string,
  file: string,
): Promise<Uint8Array | undefined> {
  if (!(await hasAttestation(bundle, file))) return undefined;
  const source = await openFileSource(attestationPath(bundle, file), file);
  try {
    if (source.size <= DSSE_MAX_SIZE) return await source.read(0, source.size);
    throw new FormatError('dsse', 'too-large', `Cannot read ${file}: it has ${source.size} bytes`);
  } finally {
    await source.close();
  }
}

/** Whether a file of the attestations is there. */
export async function hasAttestation(bundle: string, file: string): Promise<boolean> {
  try {
    return (await stat(attestationPath(bundle, file))).isFile();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw error;
  }
}
