/**
 * Verifies what is attested of a bundle: that somebody who is trusted says it, and of exactly this bundle. The signature comes
 * first; nothing is read of what nobody trusted signed.
 */

import { createHash, type KeyObject } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { sha256, toHex } from '../../core/digest.ts';
import { FormatError, VerificationError } from '../../core/errors.ts';
import {
  decodeStatement,
  PROVENANCE_PREDICATE,
  SBOM_PREDICATE,
  STATEMENT_PAYLOAD_TYPE,
  type Statement,
} from '../../formats/dsse/statement.ts';
import { parseStrictJson } from '../../formats/dsse/strict-json.ts';
import { streamOf } from '../../io/byte-source.ts';
import { verifyDsse } from '../../signing/verify-dsse.ts';
import { ATTESTATIONS_FOLDER, BUNDLE_FILES, payloadDiskFile } from '../layout.ts';
import type { Bundle } from '../open.ts';
import {
  ATTESTATION_KINDS,
  ATTESTATIONS,
  BOM_FILE,
  hasAttestation,
  readAttestation,
} from './files.ts';
import type { AttestationKind } from './files.ts';
import { readApkDigests } from './payload-parts.ts';

export interface AttestationTrust {
  /** Whose attestations are taken. */
  readonly keys: readonly KeyObject[];
  /** Those that must be there; the others are verified when they are. */
  readonly require: readonly AttestationKind[];
  /** Who must have built it; default: anybody whom a trusted key vouches for. */
  readonly builderId?: string | undefined;
}

/** An attestation that holds. */
export interface VerifiedAttestation {
  readonly kind: AttestationKind;
  /** One line for people. */
  readonly detail: string;
}

const PREDICATES: Readonly<Record<AttestationKind, string>> = {
  sbom: SBOM_PREDICATE,
  provenance: PROVENANCE_PREDICATE,
};

const TITLES: Readonly<Record<AttestationKind, string>> = {
  sbom: 'bill of materials',
  provenance: 'provenance',
};

/** The kinds that are to be looked at: those that are there, and those that must be. */
export async function presentAttestations(
  { path }: Pick<Bundle, 'path'>,
  { require }: Pick<AttestationTrust, 'require'>,
): Promise<readonly AttestationKind[]> {
  const present: AttestationKind[] = [];
  for (const kind of ATTESTATION_KINDS) {
    const isThere = await hasAttestation(path, ATTESTATIONS[kind]);
    if (isThere || require.includes(kind)) present.push(kind);
  }
  return present;
}

/**
 * What an attestation of this bundle must be about: the SHA-256 of each file, and of the APKs and idsigs in it. To be called when
 * the files are known to be those that the manifest lists.
 */
export async function attestedDigests(bundle: Bundle): Promise<ReadonlyMap<string, string>> {
  const digests = new Map(bundle.manifest.files.map(({ path, sha256: digest }) => [path, digest]));
  for (const name of [BUNDLE_FILES.manifest, BUNDLE_FILES.manifestSignature]) {
    if (!bundle.names.includes(name)) continue;
    const hash = createHash('sha256');
    for await (const chunk of streamOf(await bundle.open(name))) hash.update(chunk);
    digests.set(name, hash.digest('hex'));
  }
  const own = bundle.config.disks[1]?.image ?? BUNDLE_FILES.payload;
  const disks = [[own, bundle.payload] as const].concat(
    [...bundle.payloads].map(([name, disk]) => [payloadDiskFile(name), disk] as const),
  );
  for (const [file, disk] of disks) {
    for (const part of await readApkDigests(disk, file)) digests.set(part.name, part.sha256);
  }
  return digests;
}

/**
 * Proves one attestation.
 *
 * @param digests Of `attestedDigests`.
 * @throws {VerificationError} `sbom` or `provenance`, when it is missing, nobody trusted signed it, or it is about something else.
 */
export async function verifyAttestation(
  { path }: Pick<Bundle, 'path'>,
  kind: AttestationKind,
  digests: ReadonlyMap<string, string>,
  trust: AttestationTrust,
): Promise<VerifiedAttestation> {
  const bytes = await readAttestation(path, ATTESTATIONS[kind]);
  if (bytes === undefined) {
    throw new VerificationError(kind, 'missing', `The bundle has no ${TITLES[kind]}`, {
      expected: ATTESTATIONS[kind],
      hint: 'Build it without --no-attestations, or attest it: microbuild attest BUNDLE --key KEY',
    });
  }
  const bom = await readAttestation(path, BOM_FILE);
  const statement = asLink(kind, () => trustedStatement(bytes, kind, trust));
  checkSubjects(statement, kind, digests, bom);
  const detail =
    kind === 'sbom' ? checkBom(statement, bom) : checkProvenance(statement, trust.builderId);
  return { kind, detail: `${detail}, of ${statement.subject.length} files` };
}

function trustedStatement(
  bytes: Uint8Array,
  kind: AttestationKind,
  { keys }: AttestationTrust,
): Statement {
  if (keys.length === 0) {
    throw new VerificationError(kind, 'untrusted', 'No key is trusted that signs envelopes');
  }
  const { payload } = verifyDsse(bytes, { keys, payloadType: STATEMENT_PAYLOAD_TYPE });
  const statement = decodeStatement(payload);
  const expected = PREDICATES[kind];
  if (statement.predicateType === expected) return statement;
  throw new VerificationError(
    kind,
    'payload-type',
    `Cannot use the ${TITLES[kind]}: what was signed is something else`,
    { expected, actual: statement.predicateType },
  );
}

/** It must be about all of this bundle, and about nothing else. */
function checkSubjects(
  { subject }: Statement,
  kind: AttestationKind,
  digests: ReadonlyMap<string, string>,
  bom: Uint8Array | undefined,
): void {
  const foreign = (name: string, expected: string, actual: string): VerificationError =>
    new VerificationError(
      kind,
      'digest-mismatch',
      `Cannot trust the ${TITLES[kind]}: it is about another ${name} than this bundle has`,
      { expected, actual, hint: 'It belongs to another build: get the one of this bundle' },
    );
  const named = new Map<string, string>();
  for (const { name, digest } of subject) {
    if (named.has(name)) {
      const message = `Cannot trust the ${TITLES[kind]}: it names ${name} twice`;
      throw new VerificationError(kind, 'duplicate', message);
    }
    const said = Object.hasOwn(digest, 'sha256') ? (digest['sha256'] ?? '') : '';
    named.set(name, said);
    // The bill of materials is no part of the bundle: where it is kept, it must be that one.
    if (name === `${ATTESTATIONS_FOLDER}/${BOM_FILE}`) {
      const actual = bom && toHex(sha256(bom));
      if (actual !== undefined && actual !== said) throw foreign(name, said, actual);
      continue;
    }
    const actual = digests.get(name);
    if (actual !== said) throw foreign(name, said, actual ?? 'there is none');
  }
  for (const [name, actual] of digests) {
    if (!named.has(name)) throw foreign(name, 'none', actual);
  }
}

/** @returns what it says, for people. */
function checkBom({ predicate }: Statement, bom: Uint8Array | undefined): string {
  const components = predicate['components'];
  if (predicate['bomFormat'] !== 'CycloneDX' || !Array.isArray(components)) {
    throw new VerificationError(
      'sbom',
      'bad-value',
      'Cannot use the bill of materials: no CycloneDX',
    );
  }
  const plain = bom && asLink('sbom', () => parseStrictJson(bom, 'cyclonedx'));
  if (plain !== undefined && !isDeepStrictEqual(plain, predicate)) {
    throw new VerificationError(
      'sbom',
      'digest-mismatch',
      `Cannot trust ${BOM_FILE}: it is not the bill of materials that was signed`,
    );
  }
  const version = predicate['specVersion'];
  return `CycloneDX ${typeof version === 'string' ? version : ''}, ${components.length} components`;
}

/** A field of a field of ... that is a text. */
function textAt(value: unknown, ...path: readonly string[]): string | undefined {
  let at = value;
  for (const name of path) {
    if (at === null || typeof at !== 'object' || !Object.hasOwn(at, name)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[name];
  }
  return typeof at === 'string' ? at : undefined;
}

/** @returns who built it, and when, for people. */
function checkProvenance({ predicate }: Statement, wanted: string | undefined): string {
  const builder = textAt(predicate, 'runDetails', 'builder', 'id');
  const type = textAt(predicate, 'buildDefinition', 'buildType');
  if (builder === undefined || type === undefined) {
    throw new VerificationError(
      'provenance',
      'bad-value',
      'Cannot use the provenance: it does not say how and by whom the bundle was built',
    );
  }
  if (wanted !== undefined && builder !== wanted) {
    throw new VerificationError(
      'provenance',
      'untrusted',
      'Cannot trust the provenance: somebody else built the bundle',
      { expected: wanted, actual: builder },
    );
  }
  const finished = textAt(predicate, 'runDetails', 'metadata', 'finishedOn');
  return `built by ${builder}${finished === undefined ? '' : ` until ${finished}`}`;
}

/** What is wrong with an envelope or statement is wrong with this link of the chain. */
function asLink<T>(kind: AttestationKind, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof FormatError) {
      throw new VerificationError(kind, cause.code, cause.message, { cause });
    }
    if (!(cause instanceof VerificationError) || cause.link === kind) throw cause;
    const { code, message, expected = '', actual = '' } = cause;
    const hint = 'Name the key that signs attestations with --trust, beside that of the images';
    throw new VerificationError(kind, code, message, { expected, actual, cause, hint });
  }
}
