import { createHash, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../../src/core/errors.ts';
import { avbPublicKey } from '../../../../src/signing/avb/public-key.ts';
import {
  readTrustAnchor,
  trustsAvbKey,
  trustsCertificate,
} from '../../../../src/signing/keys/trust-anchor.ts';
import { keySigner } from '../../../../src/signing/signer.ts';
import { createSelfSignedCertificate, encodeCertificatePem } from '../../../../src/signing/x509.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const pairs = [0, 1].map(() => generateKeyPairSync('rsa', { modulusLength: 2048 }));
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const certificateOf = (key: (typeof pairs)[number]['privateKey']): Promise<Uint8Array> =>
  createSelfSignedCertificate(keySigner(key), { subject: [{ name: 'CN', value: 'anchor' }] });

function write(content: string | Uint8Array): string {
  const path = join(tmpDir(), 'anchor');
  writeFileSync(path, content);
  return path;
}

describe('what is trusted', () => {
  test('may be several certificates and keys in one file, and nobody else', async () => {
    const [first, second] = pairs;
    const certificate = await certificateOf(first!.privateKey);
    const pem = second!.publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const anchor = await readTrustAnchor(write(encodeCertificatePem(certificate) + pem));
    expect(pairs.map(({ publicKey }) => trustsAvbKey(anchor, avbPublicKey(publicKey)))).toEqual([
      true,
      true,
    ]);
    expect(trustsCertificate(anchor, certificate)).toBe(true);
    // A key is trusted in whatever certificate it stands; an elliptic one nobody named.
    expect(trustsCertificate(anchor, await certificateOf(second!.privateKey))).toBe(true);
    expect(trustsCertificate(anchor, await certificateOf(ec.privateKey))).toBe(false);
  });

  test('is a certificate by the digest of it or of its key, in either length', async () => {
    const certificate = await certificateOf(ec.privateKey);
    const spki = ec.publicKey.export({ type: 'spki', format: 'der' });
    for (const algorithm of ['sha256', 'sha512']) {
      for (const bytes of [certificate, spki]) {
        const hex = createHash(algorithm).update(bytes).digest('hex');
        for (const text of [`${algorithm}:${hex}`, hex.toUpperCase()]) {
          expect(trustsCertificate(await readTrustAnchor(text), certificate)).toBe(true);
        }
        const other = `${algorithm}:${hex.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))}`;
        expect(trustsCertificate(await readTrustAnchor(other), certificate)).toBe(false);
      }
    }
  });

  test('is told as tools print digests, with colons and in capitals', async () => {
    const certificate = await certificateOf(pairs[0]!.privateKey);
    const hex = createHash('sha256').update(certificate).digest('hex');
    const colons = hex.replaceAll(/..(?=.)/g, '$&:').toUpperCase();
    for (const text of [hex, colons, `sha256:${hex}`, `SHA256:${colons}`]) {
      expect(trustsCertificate(await readTrustAnchor(text), certificate)).toBe(true);
    }
    for (const text of [`sha512:${hex}`, `sha256:${hex.slice(2)}`, 'no-such-file', hex.slice(2)]) {
      await expect(readTrustAnchor(text)).rejects.toMatchObject({ code: 'key' });
    }
  });

  test('is a certificate or public key in a file, PEM or DER, and no private key', async () => {
    const [{ publicKey, privateKey }] = pairs as [(typeof pairs)[number]];
    const certificate = await certificateOf(privateKey);
    for (const content of [
      certificate,
      encodeCertificatePem(certificate),
      publicKey.export({ type: 'spki', format: 'der' }),
      publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    ]) {
      expect(trustsCertificate(await readTrustAnchor(write(content)), certificate)).toBe(true);
    }
    const other = write(ec.publicKey.export({ type: 'spki', format: 'pem' }).toString());
    expect(trustsCertificate(await readTrustAnchor(other), certificate)).toBe(false);
    const secret = write(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    for (const [content, reason] of [
      [secret, 'private key'],
      [write('text'), 'no AVB public key'],
      [write(new Uint8Array(300_000)), 'Cannot'],
      [tmpDir(), 'Cannot'],
    ] as const) {
      await expect(readTrustAnchor(content)).rejects.toMatchObject({
        code: 'key',
        message: expect.stringContaining(reason) as string,
      });
    }
  });

  test('is a certificate that cannot be read by its digest only', async () => {
    const certificate = (await certificateOf(pairs[0]!.privateKey)).subarray(0, -1);
    const hex = createHash('sha256').update(certificate).digest('hex');
    expect(trustsCertificate(await readTrustAnchor(hex), certificate)).toBe(true);
    const key = write(pairs[0]!.publicKey.export({ type: 'spki', format: 'der' }));
    expect(trustsCertificate(await readTrustAnchor(key), certificate)).toBe(false);
  });

  test('is never nobody: an unsigned image has no key', async () => {
    const empty = createHash('sha256').digest('hex');
    expect(trustsAvbKey(await readTrustAnchor(`sha256:${empty}`), new Uint8Array(0))).toBe(false);
  });

  test('is not what is half a key or certificate', async () => {
    const certificate = await certificateOf(pairs[0]!.privateKey);
    const blob = avbPublicKey(pairs[0]!.publicKey);
    const pem = encodeCertificatePem(certificate);
    for (const content of [
      certificate.subarray(0, -1),
      blob.subarray(0, -1),
      Buffer.concat([blob, blob]),
      `${pem}-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n`,
      '',
    ]) {
      await expect(readTrustAnchor(write(content))).rejects.toMatchObject({ code: 'key' });
    }
  });

  test('of any bytes is read or refused, and nothing else', async () => {
    const path = write('');
    const blob = avbPublicKey(pairs[0]!.publicKey);
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.nat(blob.length - 1), fc.nat(255)).map(([at, value]) => blob.with(at, value)),
    );
    const outcome = fc.assert(
      fc.asyncProperty(bytes, async (content) => {
        writeFileSync(path, content);
        const found: unknown = await readTrustAnchor(path).catch((error: unknown) => error);
        if (found instanceof Error) expect(found).toBeInstanceOf(UsageError);
      }),
      { numRuns: 200 },
    );
    await expect(outcome).resolves.toBeUndefined();
  });
});
