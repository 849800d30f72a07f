import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { attestBundle } from '../../../../src/builder/attest/attest.ts';
import { subjectsOf } from '../../../../src/builder/attest/attested-bundle.ts';
import {
  describeProvenance,
  LOCAL_BUILDER,
  type BuildRun,
} from '../../../../src/builder/attest/provenance.ts';
import { decodeStatement } from '../../../../src/formats/dsse/statement.ts';
import { keySigner } from '../../../../src/signing/signer.ts';
import { verifyDsse } from '../../../../src/signing/verify-dsse.ts';
import { ARCHIVE, bundle, COMMIT, hex } from './fixture.ts';

const run: BuildRun = { builderId: LOCAL_BUILDER, options: { locked: true } };

interface Dependency {
  readonly name: string;
  readonly uri?: string;
  readonly digest?: Readonly<Record<string, string>>;
  readonly downloadLocation?: string;
}

interface Predicate {
  readonly buildDefinition: {
    readonly externalParameters: object;
    readonly resolvedDependencies: readonly Dependency[];
  };
  readonly runDetails: { readonly metadata: object };
}

const predicate = describeProvenance(bundle, run) as unknown as Predicate;
const { resolvedDependencies: dependencies, externalParameters } = predicate.buildDefinition;

describe('provenance', () => {
  test('tells what was asked for', () => {
    expect(externalParameters).toEqual({
      recipe: { path: 'microbuild.yaml', digest: { sha256: hex('c') } },
      profiles: ['release'],
      vars: { version: '1.2' },
      options: { locked: true },
    });
  });

  test('each dependency says which one it is, by digest or address', () => {
    for (const { uri, digest } of dependencies) expect(uri ?? digest).toBeDefined();
    const named = (name: string): Dependency | undefined =>
      dependencies.find((each) => each.name === name);
    expect(named('https://example.com/tool.git')).toMatchObject({
      uri: `git+https://example.com/tool.git@${COMMIT}`,
      digest: { gitCommit: COMMIT, sha256: hex('0') },
    });
    expect(named(ARCHIVE)).toMatchObject({
      downloadLocation: ARCHIVE,
      digest: { sha256: hex('f') },
    });
    expect(named('./layout')?.uri).toBe(
      'urn:microbuild:input:input%3Apartitions.vendor.contents%5B5%5D',
    );
    expect(named('microbuild.yaml')?.digest).toEqual({ sha256: hex('c') });
    // What went into the guest's programs did not go into this build.
    expect(named('sha2')).toBeUndefined();
  });

  test('without times it is the same each time', () => {
    expect(predicate.runDetails.metadata).toEqual({});
    expect(JSON.stringify(describeProvenance(bundle, run))).toBe(JSON.stringify(predicate));
  });

  test('times are those of the run', () => {
    const { runDetails } = describeProvenance(bundle, {
      ...run,
      invocationId: 'urn:x:1',
      startedOn: new Date(1500),
      finishedOn: new Date(2500),
    }) as unknown as Predicate;
    expect(runDetails.metadata).toEqual({
      invocationId: 'urn:x:1',
      startedOn: '1970-01-01T00:00:01Z',
      finishedOn: '1970-01-01T00:00:02Z',
    });
  });
});

test('both attestations are about every file and every APK, and the provenance about the bill of materials', async () => {
  const pair = generateKeyPairSync('ed25519');
  const files = await attestBundle(bundle, run, keySigner(pair.privateKey));
  const names = subjectsOf(bundle).map(({ name }) => name);
  expect(names).toEqual([
    'kernel',
    'manifest.json',
    'payload.img#0',
    'payload.img#0-idsig',
    'payload.img#1',
    'payload.img#1-idsig',
  ]);
  const [sbom, provenance] = files.slice(1).map(({ text }) => {
    const { payload } = verifyDsse(Buffer.from(text), { keys: [pair.publicKey] });
    return decodeStatement(payload).subject.map(({ name }) => name);
  });
  expect(sbom).toEqual(names);
  expect(provenance).toEqual([...names, 'attestations/sbom.cdx.json']);
});
