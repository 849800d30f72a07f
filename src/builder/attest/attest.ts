/** Writes and signs the attestations of a bundle. */

import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sha256, toHex } from '../../core/digest.ts';
import {
  ATTESTATION_FILES,
  ATTESTATIONS,
  attestationPath,
  BOM_FILE,
} from '../../bundle/attest/files.ts';
import { isArchiveName } from '../../bundle/files.ts';
import { ATTESTATIONS_FOLDER } from '../../bundle/layout.ts';
import { encodeEnvelope } from '../../formats/dsse/envelope.ts';
import {
  encodeStatement,
  PROVENANCE_PREDICATE,
  SBOM_PREDICATE,
  STATEMENT_PAYLOAD_TYPE,
  type Statement,
} from '../../formats/dsse/statement.ts';
import { writeFileAtomic, writeFileSynced } from '../../io/atomic-output.ts';
import { signDsse } from '../../signing/dsse.ts';
import type { Signer } from '../../signing/signer.ts';
import { subjectsOf, type AttestedBundle } from './attested-bundle.ts';
import { describeProvenance, type BuildRun } from './provenance.ts';
import { describeBom, formatBom } from './sbom.ts';

/** A file of the attestations. */
export interface AttestationFile {
  readonly name: string;
  readonly text: string;
}

/** Makes the bill of materials and the provenance, both signed. The signatures are asked for at the same time. */
export async function attestBundle(
  bundle: AttestedBundle,
  run: BuildRun,
  signer: Signer,
): Promise<readonly AttestationFile[]> {
  const subject = subjectsOf(bundle);
  const bom = describeBom(bundle);
  const bomText = formatBom(bom);
  const bomSubject = {
    name: `${ATTESTATIONS_FOLDER}/${BOM_FILE}`,
    digest: { sha256: toHex(sha256(new TextEncoder().encode(bomText))) },
  };
  const [sbom, provenance] = await Promise.all([
    sign({ subject, predicateType: SBOM_PREDICATE, predicate: bom }, signer),
    sign(
      {
        subject: [...subject, bomSubject],
        predicateType: PROVENANCE_PREDICATE,
        predicate: describeProvenance(bundle, run),
      },
      signer,
    ),
  ]);
  return [
    { name: BOM_FILE, text: bomText },
    { name: ATTESTATIONS.sbom, text: sbom },
    { name: ATTESTATIONS.provenance, text: provenance },
  ];
}

async function sign(statement: Statement, signer: Signer): Promise<string> {
  const payload = encodeStatement(statement);
  const content = { payloadType: STATEMENT_PAYLOAD_TYPE, payload };
  return encodeEnvelope(await signDsse(content, [signer]));
}

/** Writes the files into a new bundle's folder, or replaces those of a bundle that stands. */
export async function writeAttestations(
  bundle: string,
  files: readonly AttestationFile[],
  { isNew }: { readonly isNew: boolean },
): Promise<void> {
  if (!isArchiveName(bundle)) {
    await mkdir(dirname(attestationPath(bundle, BOM_FILE)), { recursive: true });
  }
  const write = isNew ? writeFileSynced : writeFileAtomic;
  await Promise.all(files.map(({ name, text }) => write(attestationPath(bundle, name), text)));
}

/** Removes all attestations of a bundle: those of another one that was there. */
export async function removeAttestations(bundle: string): Promise<void> {
  const paths = ATTESTATION_FILES.map((file) => attestationPath(bundle, file));
  await Promise.all(paths.map((path) => rm(path, { force: true })));
}
