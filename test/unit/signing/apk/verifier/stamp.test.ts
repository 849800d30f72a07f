/** Source stamps that were made here, then changed. */

import { beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../../../../src/core/digest.ts';
import {
  decodeSourceStamp,
  encodeSourceStamp,
  encodeStampAttributes,
  SOURCE_STAMP_V2_BLOCK_ID as STAMP,
  type SourceStamp,
  type StampDigests,
  type StampedScheme,
} from '../../../../../src/formats/apk/source-stamp.ts';
import { bytesSource } from '../../../../../src/io/byte-source.ts';
import { signSourceStamp } from '../../../../../src/signing/apk/source-stamp-sign.ts';
import { verifyApk } from '../../../../../src/signing/apk/verifier/verify-apk.ts';
import {
  verifySourceStamp,
  type StampVerdict,
  type VerifyStampOptions,
} from '../../../../../src/signing/apk/verifier/verify-stamp.ts';
import { corpus } from '../../../../support/corpus.ts';
import { corpusKey, corpusSigner, sign, testApk, testManifest, testSigner } from '../fixtures.ts';
import { pairsOf, withPairs, withValue } from './altered.ts';

const verify = (apk: Uint8Array, options: VerifyStampOptions = {}): Promise<StampVerdict> =>
  verifySourceStamp(bytesSource(apk, 'test.apk'), options);

const namesOf = ({ issues }: StampVerdict): readonly string[] => issues.map(({ name }) => name);

const changeStamp = (
  apk: Uint8Array,
  change: (stamp: SourceStamp) => SourceStamp,
): Promise<Uint8Array> =>
  withValue(apk, STAMP, (value) => encodeSourceStamp(change(decodeSourceStamp(value))));

/** Signed by all schemes, stamped by our key. */
let apk: Uint8Array;
beforeAll(async () => {
  const manifest = { ...testManifest, minSdk: 21, targetSdk: 29 };
  ({ apk } = await sign(await testApk(undefined, manifest), {
    schemes: { v1: true, v2: true, v3: true },
    stamp: { signer: await testSigner(), time: 1_700_000_000 },
    idsig: undefined,
  }));
});

describe('a source stamp', () => {
  test('says who stamped, and when', async () => {
    const { status, stamp } = await verify(apk);
    expect(status).toBe('STAMP_VERIFIED');
    expect(stamp?.time).toBe(1_700_000_000n);
    const { schemes, issues } = await verifyApk(bytesSource(apk), { strict: true });
    expect(schemes.stamp).toBe(true);
    expect(issues).toEqual([]);
  });

  test('is by the certificate that was asked for', async () => {
    const [certificate = new Uint8Array(0)] = (await testSigner()).certificates;
    const right = sha256(certificate);
    expect((await verify(apk, { certificateDigest: right })).status).toBe('STAMP_VERIFIED');
    const wrong = await verify(apk, { certificateDigest: right.toReversed() });
    expect(wrong.status).toBe('CERT_DIGEST_MISMATCH');
    expect(namesOf(wrong)).toEqual(['SOURCE_STAMP_EXPECTED_DIGEST_MISMATCH']);
  });

  test('is missed when it is taken away, and never counts without its entry', async () => {
    const pairs = await pairsOf(apk);
    const stripped = await withPairs(
      apk,
      pairs.filter(({ id }) => id !== STAMP),
    );
    expect(await verify(stripped)).toMatchObject({ status: 'STAMP_NOT_VERIFIED' });
    const { verified, issues } = await verifyApk(bytesSource(stripped));
    expect(verified).toBe(true);
    expect(issues.map(({ name }) => name)).toEqual(['SOURCE_STAMP_SIG_MISSING']);

    const { apk: plain } = await sign(await testApk());
    expect(await verify(plain)).toMatchObject({ status: 'STAMP_MISSING' });
    const stamp = pairs.filter(({ id }) => id === STAMP);
    const half = await withPairs(plain, [...(await pairsOf(plain)), ...stamp]);
    expect(namesOf(await verify(half))).toEqual([
      'SOURCE_STAMP_SIGNATURE_BLOCK_WITHOUT_CERT_DIGEST',
    ]);
  });

  test('must be about every scheme that the APK is verified by', async () => {
    for (const scheme of [1, 2, 3]) {
      const partial = await changeStamp(apk, (stamp) => ({
        ...stamp,
        schemes: stamp.schemes.filter((each) => each.scheme !== scheme),
      }));
      expect(namesOf(await verify(partial))).toEqual(['SOURCE_STAMP_NO_SIGNATURE']);
    }
  });

  test('holds no other certificate than the APK tells of', async () => {
    const other = await changeStamp(apk, (stamp) => ({
      ...stamp,
      certificate: Uint8Array.from([...stamp.certificate, 0]),
    }));
    expect(namesOf(await verify(other))).toEqual([
      'SOURCE_STAMP_CERTIFICATE_MISMATCH_BETWEEN_SIGNATURE_BLOCK_AND_APK',
    ]);
  });

  test('has signed its attributes', async () => {
    const late = new Uint8Array(8).fill(1);
    const changed = await changeStamp(apk, (stamp) => ({
      ...stamp,
      attributes: {
        signatures: stamp.attributes?.signatures ?? [],
        encoded: encodeStampAttributes([{ id: 0xe43c5946, value: late }]),
      },
    }));
    expect(namesOf(await verify(changed))).toEqual(['SOURCE_STAMP_DID_NOT_VERIFY']);
    // Early stamps had none.
    const without = await changeStamp(apk, ({ certificate, schemes }) => ({
      certificate,
      schemes,
    }));
    expect(await verify(without)).toMatchObject({ status: 'STAMP_VERIFIED' });
  });

  test('that is malformed is a finding', async () => {
    for (const length of [0, 4, 40, 900]) {
      const cut = await withValue(apk, STAMP, (value) => value.subarray(0, length));
      expect(namesOf(await verify(cut))).toEqual(['SOURCE_STAMP_MALFORMED_SIGNATURE']);
    }
  });

  test('of an APK whose own signature is broken is not judged', async () => {
    const broken = await withValue(apk, 0xf05368c0, (value) => value.fill(0, 8, 40));
    expect(await verify(broken)).toMatchObject({ status: 'VERIFICATION_ERROR' });
    expect(await verify(new Uint8Array(10))).toMatchObject({ status: 'VERIFICATION_ERROR' });
  });
});

describe.skipIf(corpus === undefined)('signSourceStamp', () => {
  const digests: ReadonlyMap<StampedScheme, StampDigests> = new Map([
    [3, new Map([['chunked-sha256', new Uint8Array(32)]])],
  ]);

  test('stamps with elliptic curves too, which apksig verifies', async () => {
    for (const name of ['ec-p256', 'ec-p384', 'ec-p521']) {
      const { apk: stamped } = await sign(await testApk(), {
        stamp: { signer: corpusSigner(name) },
        idsig: undefined,
      });
      expect(await verify(stamped)).toMatchObject({ status: 'STAMP_VERIFIED' });
    }
  });

  test('gives the same bytes each time, unless it tells a time', async () => {
    const { signer, certificateDer: certificate } = corpusKey('rsa-2048');
    const make = (time?: number) =>
      signSourceStamp({ signer, certificate }, digests, time === undefined ? {} : { time });
    expect(await make()).toEqual(await make());
    expect(await make(1)).not.toEqual(await make());
    await expect(make(0)).rejects.toThrow(RangeError);
  });

  test('takes no key that stamps cannot be verified with', async () => {
    const { signer, certificateDer: certificate } = corpusKey('dsa-2048');
    await expect(signSourceStamp({ signer, certificate }, digests)).rejects.toMatchObject({
      code: 'key',
    });
  });
});
