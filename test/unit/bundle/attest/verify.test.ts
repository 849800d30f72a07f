/** What `verifyAttestation` makes of any bytes: an answer, or a broken link of the chain. */

import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { attestationPath, type AttestationKind } from '../../../../src/bundle/attest/files.ts';
import { presentAttestations, verifyAttestation } from '../../../../src/bundle/attest/verify.ts';
import { VerificationError } from '../../../../src/core/errors.ts';
import { encodeEnvelope } from '../../../../src/formats/dsse/envelope.ts';
import { STATEMENT_PAYLOAD_TYPE, STATEMENT_TYPE } from '../../../../src/formats/dsse/statement.ts';
import { signDsse } from '../../../../src/signing/dsse.ts';
import { keySigner } from '../../../../src/signing/signer.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const pair = generateKeyPairSync('ed25519');
const trust = { keys: [pair.publicKey], require: [] };
const digests = new Map([
  ['kernel', 'aa'],
  ['payload.img#microdroid-apk', 'bb'],
]);
const subject = [...digests].map(([name, sha256]) => ({ name, digest: { sha256 } }));
const provenance = {
  _type: STATEMENT_TYPE,
  subject,
  predicateType: 'https://slsa.dev/provenance/v1',
  predicate: {
    buildDefinition: { buildType: 'urn:x:t' },
    runDetails: { builder: { id: 'urn:x:b' } },
  },
};

function folder(): string {
  const path = tmpDir();
  mkdirSync(join(path, 'attestations'));
  return path;
}

/** The code for which an envelope is refused, or what it says. */
async function verdict(
  path: string,
  kind: AttestationKind,
  text: string | Uint8Array,
): Promise<string> {
  writeFileSync(attestationPath(path, `${kind}.dsse.json`), text);
  try {
    return (await verifyAttestation({ path }, kind, digests, trust)).detail;
  } catch (error) {
    if (error instanceof VerificationError && error.link === kind) return error.code;
    throw error;
  }
}

async function signed(statement: unknown): Promise<string> {
  const payload = new TextEncoder().encode(JSON.stringify(statement));
  const content = { payloadType: STATEMENT_PAYLOAD_TYPE, payload };
  return encodeEnvelope(await signDsse(content, [keySigner(pair.privateKey)]));
}

test('a statement about all of the bundle holds', async () => {
  const path = folder();
  const said = await verdict(path, 'provenance', await signed(provenance));
  expect(said).toBe('built by urn:x:b, of 2 files');
  expect(await presentAttestations({ path }, { require: ['sbom'] })).toEqual([
    'sbom',
    'provenance',
  ]);
  expect(await presentAttestations({ path }, trust)).toEqual(['provenance']);
});

test.each<[what: string, change: object, code: string]>([
  ['a file less', { subject: subject.slice(1) }, 'digest-mismatch'],
  [
    'another digest',
    { subject: [subject[0], { ...subject[1], digest: { sha256: 'cc' } }] },
    'digest-mismatch',
  ],
  [
    'no SHA-256',
    { subject: [subject[0], { ...subject[1], digest: { sha512: 'bb' } }] },
    'digest-mismatch',
  ],
  [
    'a file more',
    { subject: [...subject, { name: 'x', digest: { sha256: 'dd' } }] },
    'digest-mismatch',
  ],
  [
    'a name that objects inherit',
    { subject: [...subject, { name: 'constructor', digest: { sha256: '' } }] },
    'bad-value',
  ],
  ['a file twice', { subject: [...subject, subject[0]] }, 'duplicate'],
  ['another predicate', { predicateType: 'https://cyclonedx.org/bom' }, 'payload-type'],
  ['no builder', { predicate: { buildDefinition: { buildType: 't' } } }, 'bad-value'],
  [
    'a builder that is a list',
    { predicate: { ...provenance.predicate, runDetails: { builder: { id: ['urn:x:b'] } } } },
    'bad-value',
  ],
])('a signed provenance with %s is a broken link', async (_what, change, code) => {
  expect(await verdict(folder(), 'provenance', await signed({ ...provenance, ...change }))).toBe(
    code,
  );
});

test('a bill of materials beside another one that is plain is a broken link', async () => {
  const path = folder();
  const predicate = { bomFormat: 'CycloneDX', specVersion: '1.6', components: [] };
  const text = await signed({
    ...provenance,
    predicateType: 'https://cyclonedx.org/bom',
    predicate,
  });
  expect(await verdict(path, 'sbom', text)).toBe('CycloneDX 1.6, 0 components, of 2 files');
  const plain = (value: string): void =>
    writeFileSync(attestationPath(path, 'sbom.cdx.json'), value);
  plain(JSON.stringify(predicate, undefined, 2));
  expect(await verdict(path, 'sbom', text)).toBe('CycloneDX 1.6, 0 components, of 2 files');
  plain(JSON.stringify({ ...predicate, components: [{}] }));
  expect(await verdict(path, 'sbom', text)).toBe('digest-mismatch');
  plain('{');
  expect(await verdict(path, 'sbom', text)).toBe('bad-value');
});

test('any bytes are a broken link, signed or not', async () => {
  const path = folder();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (junk) => {
      expect(await verdict(path, 'sbom', junk)).toMatch(
        /^(?:bad-value|truncated|too-large|duplicate)$/,
      );
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), async (value) => {
      fc.pre(!/\\ud[89a-f]/i.test(JSON.stringify(value)));
      const predicate = { bomFormat: 'CycloneDX', components: value };
      for (const statement of [
        value,
        { ...provenance, predicate: value },
        { ...provenance, predicate },
      ]) {
        expect(await verdict(path, 'provenance', await signed(statement))).toMatch(
          /^(?:bad-value|too-large|duplicate)$/,
        );
      }
    }),
    { numRuns: 50 },
  );
});
