/** Verdicts on APKs that were signed here, then changed. */

import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID as V2,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID as V31,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID as V3,
  findApkSections,
} from '../../../../../src/formats/apk/signing-block.ts';
import { decodeSigners, encodeSigners } from '../../../../../src/formats/apk/signer-block.ts';
import { decodeIdsig, encodeIdsigHeader } from '../../../../../src/formats/apk/idsig.ts';
import { bytesSource } from '../../../../../src/io/byte-source.ts';
import { toHex } from '../../../../../src/core/digest.ts';
import { readTrustAnchor } from '../../../../../src/signing/keys/trust-anchor.ts';
import { certificateDigest } from '../../../../../src/signing/x509.ts';
import type { SignApkOptions } from '../../../../../src/signing/apk/sign.ts';
import {
  verifyApk,
  type ApkVerdict,
  type VerifyApkOptions,
} from '../../../../../src/signing/apk/verifier/verify-apk.ts';
import { corpus } from '../../../../support/corpus.ts';
import { corpusSigner, sign, testApk, testKey, testManifest } from '../fixtures.ts';
import { pairsOf, withPairs, withValue } from './altered.ts';

const ALL = { v1: true, v2: true, v3: true } as const;
const oldManifest = { ...testManifest, minSdk: 21, targetSdk: 29 };

const verify = (apk: Uint8Array, options: VerifyApkOptions = {}): Promise<ApkVerdict> =>
  verifyApk(bytesSource(apk, 'test.apk'), options);

const errorsOf = ({ issues }: ApkVerdict): readonly string[] =>
  issues.filter(({ severity }) => severity === 'error').map(({ name }) => name);

/** Signed by v1, v2 and v3 for all releases. */
let apk: Uint8Array;
let idsig: Uint8Array;
beforeAll(async () => {
  ({ apk, idsig } = await sign(await testApk(undefined, oldManifest), { schemes: ALL }));
});

describe('verifyApk', () => {
  test('says which schemes hold, and whose APK it is', async () => {
    const verdict = await verify(apk, { idsig: bytesSource(idsig), strict: true });
    expect(errorsOf(verdict)).toEqual([]);
    expect(verdict).toMatchObject({
      verified: true,
      sdk: { min: 21, max: 0x7fffffff },
      schemes: { v1: true, v2: true, v3: true, v31: false, v4: true, stamp: false },
    });
    const { certificateDer } = await testKey();
    expect(verdict.signerCertificates).toEqual([certificateDer]);
  });

  test('looks only at what releases in the range look at', async () => {
    const schemesOf = async (minSdk: number, maxSdk?: number) => {
      const { examined, passedOver } = await verify(apk, { minSdk, maxSdk });
      return [examined.v1, examined.v2, examined.v3, passedOver];
    };
    expect(await schemesOf(18, 23)).toEqual([true, false, false, ['v3', 'v2']]);
    expect(await schemesOf(24, 27)).toEqual([false, true, false, ['v3', 'v1']]);
    expect(await schemesOf(28)).toEqual([false, false, true, ['v2', 'v1']]);
    expect(await schemesOf(21)).toEqual([true, true, true, []]);
  });

  test('takes a content of several MiB, by each kind of digest', async () => {
    for (const verity of [false, true]) {
      const big = await testApk(undefined, testManifest);
      const signed = await sign(big, { schemes: ALL, verity });
      expect(errorsOf(await verify(signed.apk, { minSdk: 24, strict: true }))).toEqual([]);
    }
  });

  const keys = ['dsa-1024', 'ec-p256', 'ec-p384', 'ec-p521', 'rsa-1024', 'rsa-4096', 'rsa-16384'];
  test.skipIf(corpus === undefined).for(keys)('takes signatures of %s', async (name) => {
    const signed = await sign(await testApk(), {
      signers: [corpusSigner(name)],
      schemes: { v1: false, v2: true, v3: true },
    });
    expect(errorsOf(await verify(signed.apk, { minSdk: 24 }))).toEqual([]);
    const broken = Uint8Array.from(signed.apk);
    broken[40] = (broken[40] ?? 0) ^ 1;
    const codes = errorsOf(await verify(broken, { minSdk: 24 }));
    expect(codes).toContain('V2_SIG_APK_DIGEST_DID_NOT_VERIFY');
    expect(codes).toContain('V3_SIG_APK_DIGEST_DID_NOT_VERIFY');
  });

  test('finds nothing wrong with a source that is no ZIP archive but that', async () => {
    const verdict = await verify(new Uint8Array(100));
    expect(errorsOf(verdict)).toEqual(['MALFORMED_APK']);
    expect(verdict.signerCertificates).toEqual([]);
  });

  test('asks for a range of versions', async () => {
    await expect(verify(apk, { minSdk: 30, maxSdk: 28 })).rejects.toThrow(RangeError);
    expect(errorsOf(await verify(apk, { maxSdk: 20 }))).toEqual(['MALFORMED_APK']);
  });
});

describe('a signature that was taken away is missed', () => {
  test('v3 by v2, and both by v1', async () => {
    const pairs = await pairsOf(apk);
    const withoutV3 = await withPairs(
      apk,
      pairs.filter(({ id }) => id !== V3),
    );
    expect(errorsOf(await verify(withoutV3))).toEqual([
      'V2_SIG_MISSING_APK_SIG_REFERENCED',
      'JAR_SIG_MISSING_APK_SIG_REFERENCED',
    ]);
    const withoutBoth = await withPairs(apk, []);
    expect(errorsOf(await verify(withoutBoth))).toContain('JAR_SIG_MISSING_APK_SIG_REFERENCED');
    // Releases that know no v3 do not miss it.
    expect(errorsOf(await verify(withoutV3, { minSdk: 24, maxSdk: 27 }))).toEqual([]);
  });

  test('v2, where the target SDK version asks for it', async () => {
    const manifest = { ...testManifest, minSdk: 21 };
    const { apk: jar } = await sign(await testApk(undefined, manifest), {
      schemes: { v1: true, v2: false, v3: false },
      idsig: undefined,
    });
    expect(errorsOf(await verify(jar))).toEqual(['MIN_SIG_SCHEME_FOR_TARGET_SDK_NOT_MET']);
    expect(errorsOf(await verify(jar, { maxSdk: 33 }))).toEqual([]);
  });
});

describe.skipIf(corpus === undefined)('several signers', () => {
  const signers = (names: readonly string[]): Partial<SignApkOptions> => ({
    signers: names.map((name, index) => ({ ...corpusSigner(name), name: `S${index}` })),
    schemes: { v1: true, v2: true, v3: false },
    idsig: undefined,
  });

  test('count together', async () => {
    const { apk: signed } = await sign(
      await testApk(undefined, oldManifest),
      signers(['rsa-2048', 'ec-p256']),
    );
    const verdict = await verify(signed);
    expect(errorsOf(verdict)).toEqual([]);
    expect(verdict.signerCertificates).toHaveLength(2);
  });

  test('must be the same in v1 and v2', async () => {
    const unsigned = await testApk(undefined, oldManifest);
    const { apk: signed } = await sign(unsigned, signers(['rsa-2048', 'ec-p256']));
    const changed = await withValue(signed, V2, (value) =>
      encodeSigners(decodeSigners(value, 'v2').slice(0, 1)),
    );
    expect(errorsOf(await verify(changed))).toEqual(['V2_SIG_MISSING']);
  });

  test('are at most ten, however many more there are', async () => {
    const { apk: signed } = await sign(await testApk(), { schemes: { v2: true } });
    const repeat = async (count: number) =>
      verify(
        await withValue(signed, V2, (value) => {
          const [signer] = decodeSigners(value, 'v2');
          if (signer === undefined) throw new Error('It has no signer');
          return encodeSigners(Array.from({ length: count }, () => signer));
        }),
        { minSdk: 24, maxSdk: 27 },
      );
    expect(errorsOf(await repeat(10))).toEqual([]);
    expect(errorsOf(await repeat(11))).toEqual(['V2_SIG_MAX_SIGNATURES_EXCEEDED']);
    const { signers: read } = await repeat(10_000);
    expect(read.v2).toHaveLength(10);
  });
});

describe('who is trusted', () => {
  test('must have signed, all of them', async () => {
    const { certificateDer } = await testKey();
    const digest = certificateDigest(certificateDer, 'sha512');
    const mine = await readTrustAnchor(`sha512:${toHex(digest)}`);
    const other = await readTrustAnchor(`sha512:${toHex(digest.toReversed())}`);
    expect(errorsOf(await verify(apk, { trusted: [other, mine] }))).toEqual([]);
    expect(errorsOf(await verify(apk, { trusted: [other] }))).toEqual(['SIGNER_NOT_TRUSTED']);
    expect(errorsOf(await verify(apk, { trusted: [] }))).toEqual(['SIGNER_NOT_TRUSTED']);
  });
});

describe('an idsig', () => {
  const judge = (bytes: Uint8Array) => verify(apk, { minSdk: 28, idsig: bytesSource(bytes) });

  test('may leave out its tree, but has all of it or none', async () => {
    const { treeOffset } = decodeIdsig(idsig);
    expect(errorsOf(await judge(idsig.subarray(0, treeOffset - 4)))).toEqual([]);
    for (const size of [treeOffset - 5, treeOffset - 2, treeOffset + 4096 - 1]) {
      expect(errorsOf(await judge(idsig.subarray(0, size)))).toContain('V4_SIG_MALFORMED_SIGNERS');
    }
  });

  test('says what is wrong with it', async () => {
    const of = async (change: (bytes: Uint8Array) => Uint8Array) =>
      errorsOf(await judge(change(Uint8Array.from(idsig))));
    const { hashing, signing, treeOffset, treeSize } = decodeIdsig(idsig);
    const again = (info: Partial<typeof signing>, more: Partial<typeof hashing> = {}) =>
      Uint8Array.from(
        Buffer.concat([
          encodeIdsigHeader(
            {
              hashing: { ...hashing, ...more },
              signing: { ...signing, ...info },
              signingBlocks: [],
            },
            treeSize,
          ),
          idsig.subarray(treeOffset),
        ]),
      );
    const none = new Uint8Array(0);
    expect(await of((bytes) => bytes.with(bytes.length - 1, 7))).toEqual([
      'V4_SIG_APK_TREE_DID_NOT_VERIFY',
    ]);
    expect(await of(() => again({ signature: none, certificate: none }))).toEqual([
      'V4_SIG_NO_SIGNATURES',
    ]);
    expect(await of(() => again({ signatureAlgorithm: 0x777 }))).toEqual([
      'V4_SIG_UNKNOWN_SIG_ALGORITHM',
    ]);
    expect(await of(() => again({ publicKey: none }))).toEqual(['V4_SIG_MALFORMED_PUBLIC_KEY']);
    expect(await of(() => again({ signature: signing.signature.toReversed() }))).toEqual([
      'V4_SIG_DID_NOT_VERIFY',
    ]);
    expect(await of(() => again({}, { rawRootHash: new Uint8Array(32) }))).toEqual([
      'V4_SIG_DID_NOT_VERIFY',
      'V4_SIG_APK_ROOT_DID_NOT_VERIFY',
    ]);
  });
});

describe('the signing block', () => {
  const of = (id: number) => ({ id, value: new Uint8Array(20) });

  test('of a payload holds known pairs, each once', async () => {
    const pairs = await pairsOf(apk);
    const [first] = pairs;
    if (first === undefined) throw new Error('It has no pairs');
    for (const more of [[of(0x504b4453)], [first], [of(0x12345678), of(0x12345678)]]) {
      const changed = await withPairs(apk, [...pairs, ...more]);
      expect(errorsOf(await verify(changed))).toEqual([]);
      expect(errorsOf(await verify(changed, { strict: true }))).toEqual(['STRICT_SIGNING_BLOCK']);
    }
  });

  test('of a payload leaves no byte behind its signers', async () => {
    for (const id of [V2, V3]) {
      const changed = await withValue(apk, id, (value) => Uint8Array.from([...value, 1, 2, 3]));
      expect(errorsOf(await verify(changed))).toEqual([]);
      expect(errorsOf(await verify(changed, { strict: true }))).toEqual(['STRICT_SIGNING_BLOCK']);
    }
  });

  test('is judged also where nobody can tell what the entries are', async () => {
    const { centralDirectoryOffset } = await findApkSections(bytesSource(apk));
    const changed = apk.with(centralDirectoryOffset, 0);
    const found = errorsOf(await verify(changed, { minSdk: 24 }));
    expect(new Set(found)).toEqual(
      new Set([
        'V2_SIG_APK_DIGEST_DID_NOT_VERIFY',
        'V3_SIG_APK_DIGEST_DID_NOT_VERIFY',
        'MALFORMED_APK',
      ]),
    );
    // Who asks the manifest for the range learns nothing more.
    expect(errorsOf(await verify(changed))).toEqual(['MALFORMED_APK']);
  });

  test('that is too large to be read is not taken for none', async () => {
    const size = 65 << 20;
    const block = new Uint8Array(size + 8);
    const view = new DataView(block.buffer);
    view.setUint32(0, size, true);
    view.setUint32(size - 16, size, true);
    block.set(new TextEncoder().encode('APK Sig Block 42'), size - 8);
    const end = new Uint8Array(22);
    end.set([0x50, 0x4b, 5, 6]);
    new DataView(end.buffer).setUint32(16, block.length, true);
    const verdict = await verify(Uint8Array.from(Buffer.concat([block, end])), { minSdk: 18 });
    expect(verdict.issues).toMatchObject([
      { name: 'MALFORMED_APK', message: expect.stringContaining('68157440 bytes') as string },
    ]);
  });

  test('the first of two pairs counts, as for Android', async () => {
    const pairs = await pairsOf(apk);
    const broken = { id: V3, value: new Uint8Array(8) };
    expect(errorsOf(await verify(await withPairs(apk, [...pairs, broken])))).toEqual([]);
    const before = await withPairs(apk, [broken, ...pairs]);
    expect(errorsOf(await verify(before))).toContain('V3_SIG_NO_SIGNERS');
  });

  test('lengths that lead out of it are findings, never a crash', async () => {
    for (const id of [V2, V3]) {
      const { value } = (await pairsOf(apk)).find((pair) => pair.id === id) ?? of(0);
      // The lengths of the signers, the signer, its signed data and the digests in it.
      for (const at of [0, 4, 8, 12]) {
        for (const length of [0x7fffffff, 0x80000000, 0xffffffff, value.length + 1]) {
          const changed = await withValue(apk, id, (bytes) => {
            new DataView(bytes.buffer).setUint32(at, length, true);
            return bytes;
          });
          const { verified, issues } = await verify(changed, { minSdk: 24 });
          expect(verified).toBe(false);
          expect(issues.every(({ name }) => name !== 'MALFORMED_APK')).toBe(true);
        }
      }
    }
  });
});

describe('whatever the bytes', () => {
  test('no byte of a payload can be changed', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: apk.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, flip) => {
          const changed = Uint8Array.from(apk);
          changed[at] = (changed[at] ?? 0) ^ flip;
          const { verified } = await verify(changed, { strict: true });
          expect(verified).toBe(false);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('no byte of an idsig can be changed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: idsig.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, flip) => {
          const changed = Uint8Array.from(idsig);
          changed[at] = (changed[at] ?? 0) ^ flip;
          const { verified } = await verify(apk, { minSdk: 28, idsig: bytesSource(changed) });
          expect(verified).toBe(false);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('there is a verdict', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat({ max: apk.length }),
        fc.boolean(),
        async (junk, at, strict) => {
          const start = Uint8Array.from(apk);
          start.set(junk.subarray(0, apk.length - at), Math.min(at, apk.length));
          for (const bytes of [junk, start, apk.subarray(0, at)]) {
            const verdict = await verify(bytes, { strict, idsig: bytesSource(junk), minSdk: 18 });
            expect(verdict.verified).toBe(errorsOf(verdict).length === 0);
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe.skipIf(corpus === undefined)('v3.1', () => {
  const rotated = async (): Promise<Uint8Array> => {
    const { decodeLineageFile } = await import('../../../../../src/formats/apk/lineage.ts');
    const { readFileSync } = await import('node:fs');
    const { corpusPath } = await import('../../../../support/corpus.ts');
    const lineage = decodeLineageFile(
      readFileSync(corpusPath('sig-apksig', 'keys', 'rsa-2048-lineage-2-signers')),
    );
    const signed = await sign(await testApk(undefined, { ...testManifest, minSdk: 24 }), {
      signers: [corpusSigner('rsa-2048'), corpusSigner('rsa-2048_2')],
      schemes: { v1: false, v2: true, v3: true },
      lineage,
      idsig: undefined,
    });
    return signed.apk;
  };

  test('has the signer that counts, and v3 the one before', async () => {
    const verdict = await verify(await rotated(), { strict: true });
    expect(errorsOf(verdict)).toEqual([]);
    expect(verdict.schemes).toMatchObject({ v2: true, v3: true, v31: true });
    expect(verdict.lineage).toHaveLength(2);
    expect(verdict.signerCertificates).toEqual(corpusSigner('rsa-2048_2').certificates);
  });

  test('is missed when it is taken away', async () => {
    const signed = await rotated();
    const pairs = await pairsOf(signed);
    const without = (id: number) =>
      withPairs(
        signed,
        pairs.filter((pair) => pair.id !== id),
      );
    expect(errorsOf(await verify(await without(V31)))).toEqual(['V31_BLOCK_MISSING']);
    expect(errorsOf(await verify(await without(V3)))).toContain('V31_BLOCK_FOUND_WITHOUT_V3_BLOCK');
    expect(errorsOf(await verify(await without(V31), { maxSdk: 32 }))).toEqual([]);
  });

  test('is about the content as well, although apksig does not compare it', async () => {
    const signed = await rotated();
    const other = await rotated();
    // The signer's own signature over another content.
    const foreign = await sign(await testApk(undefined, { ...testManifest, versionCode: 9 }), {
      signers: [corpusSigner('rsa-2048_2')],
      idsig: undefined,
    });
    const value = (await pairsOf(foreign.apk)).find(({ id }) => id === V3)?.value;
    if (value === undefined) throw new Error('It has no v3 signature');
    const changed = await withValue(other, V31, () => value);
    expect(errorsOf(await verify(signed))).toEqual([]);
    expect(errorsOf(await verify(changed))).toContain('V3_SIG_APK_DIGEST_DID_NOT_VERIFY');
  });
});
