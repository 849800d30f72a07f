/** Signing must give the bytes that AOSP's apksigner gives (RSA PKCS#1 v1.5 is deterministic). */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeLineageFile } from '../../src/formats/apk/lineage.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { MemorySink } from '../../src/io/image-sink.ts';
import type { Lineage } from '../../src/signing/apk/lineage-change.ts';
import { signApk } from '../../src/signing/apk/sign.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { corpusSigner } from '../unit/signing/apk/fixtures.ts';

interface GoldenCase {
  readonly in: string;
  readonly out: string;
  readonly signers: readonly string[];
  readonly lineage: string | null;
  readonly options: Readonly<Record<string, string>>;
}

const folder = (...parts: string[]): string => corpusPath('sig-apksig', ...parts);

const cases: readonly GoldenCase[] = corpus
  ? (
      JSON.parse(readFileSync(folder('golden.json'), 'utf8')) as {
        readonly golden: readonly GoldenCase[];
      }
    ).golden
  : [];

/** Android's names for releases, as the options of apksig say them. */
const RELEASES: Readonly<Record<string, number>> = {
  N: 24,
  O: 26,
  P: 28,
  Q: 29,
  R: 30,
  S: 31,
  T: 33,
  U: 34,
};

const flag = (value: string | undefined): boolean | undefined =>
  value === undefined ? undefined : value === 'true';

/** A number, or `AndroidSdkVersion.P`. */
function sdk(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = RELEASES[value.replace('AndroidSdkVersion.', '')] ?? Number(value);
  if (!Number.isInteger(number)) throw new Error(`The test does not know release ${value}`);
  return number;
}

const KNOWN: ReadonlySet<string> = new Set([
  'setV1SigningEnabled',
  'setV2SigningEnabled',
  'setV3SigningEnabled',
  'setV4SigningEnabled',
  'setMinSdkVersion',
  'setMinSdkVersionForRotation',
  'setRotationTargetsDevRelease',
  'setSigningCertificateLineage',
  'setVerityEnabled',
  'setAlignFileSize',
  'setDebuggableApkPermitted',
  'setOtherSignersSignaturesPreserved',
  'setCreatedBy',
]);

const lineageOf = (name: string): Lineage =>
  decodeLineageFile(new Uint8Array(readFileSync(folder('keys', name))));

async function sign({ in: input, signers, lineage, options }: Omit<GoldenCase, 'out'>): Promise<{
  readonly apk: Uint8Array;
  readonly idsig: Uint8Array;
}> {
  expect(Object.keys(options).filter((name) => !KNOWN.has(name))).toEqual([]);
  const output = new MemorySink();
  const idsig = new MemorySink();
  const schemes = {
    v1: flag(options['setV1SigningEnabled']),
    v2: flag(options['setV2SigningEnabled']),
    v3: flag(options['setV3SigningEnabled']),
  };
  await signApk({
    input: bytesSource(readFileSync(folder('apk', input))),
    output,
    idsig: options['setV4SigningEnabled'] === 'false' ? undefined : idsig,
    signers: signers.map((name) => ({ ...corpusSigner(name), name })),
    schemes,
    minSdk: sdk(options['setMinSdkVersion']),
    rotationMinSdk: sdk(options['setMinSdkVersionForRotation']),
    rotationTargetsDevRelease: flag(options['setRotationTargetsDevRelease']),
    lineage: lineage === null ? undefined : lineageOf(lineage),
    verity: flag(options['setVerityEnabled']),
    alignFileSize: flag(options['setAlignFileSize']),
    appendSignature: flag(options['setOtherSignersSignaturesPreserved']),
    createdBy: options['setCreatedBy'],
    debuggablePermitted: flag(options['setDebuggableApkPermitted']),
    // These inputs have comments and unaligned data, and apksig copies both.
    alignment: 'kept',
    entryComments: true,
  });
  return { apk: output.bytes(), idsig: idsig.bytes() };
}

describe.skipIf(corpus === undefined)("signApk gives apksigner's bytes", () => {
  test.for(cases)('$out', async (golden) => {
    const { apk, idsig } = await sign(golden);
    expect(Buffer.from(apk)).toEqual(readFileSync(folder('apk', golden.out)));
    const idsigPath = folder('idsig', `${golden.out}.idsig`);
    if (existsSync(idsigPath)) expect(Buffer.from(idsig)).toEqual(readFileSync(idsigPath));
  });
});

/** What is signed how, by the name of the result: `golden-unaligned-v1v2v3-lineage-out.apk`. */
function caseOf(name: string): Omit<GoldenCase, 'out'> {
  const golden = { signers: ['rsa-2048'], lineage: null, in: 'original.apk' };
  const [, release] = /^golden-rsa-minSdkVersion-(\d+)-out/.exec(name) ?? [];
  if (release !== undefined) return { ...golden, options: { setMinSdkVersion: release } };
  if (name.startsWith('golden-rsa-verity-out')) {
    return { ...golden, options: { setVerityEnabled: 'true' } };
  }
  if (name.startsWith('golden-file-size-aligned')) {
    return { ...golden, options: { setAlignFileSize: 'true' } };
  }
  if (name.startsWith('golden-rsa-out')) return { ...golden, options: {} };
  const [, kind, versions, lineage] =
    /^golden-(aligned|legacy-aligned|unaligned)(?:-((?:v[123])+))?(-lineage)?-out/.exec(name) ?? [];
  const enabled = (version: string): string => String(versions?.includes(version) ?? true);
  const rotated = lineage !== undefined;
  return {
    in: `golden-${kind}-in.apk`,
    signers: rotated ? ['rsa-2048', 'rsa-2048_2'] : ['rsa-2048'],
    lineage: rotated ? 'rsa-2048-lineage-2-signers' : null,
    options: {
      setV1SigningEnabled: enabled('v1'),
      setV2SigningEnabled: enabled('v2'),
      setV3SigningEnabled: enabled('v3'),
      ...(rotated && { setMinSdkVersionForRotation: 'AndroidSdkVersion.P' }),
    },
  };
}

/** An idsig has the root hash of its APK, so it speaks for APKs that are not at hand too. */
const idsigs = corpus
  ? readdirSync(folder('idsig')).filter((name) => name.startsWith('golden-'))
  : [];

describe.skipIf(corpus === undefined)("signApk gives the bytes of apksigner's idsigs", () => {
  test.for(idsigs)('%s', async (name) => {
    const { idsig } = await sign(caseOf(name));
    expect(Buffer.from(idsig)).toEqual(readFileSync(folder('idsig', name)));
  });
});
