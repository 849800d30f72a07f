/** Signatures that were made before, given again for the same bytes and for no others. */

import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { replaySigner } from '../../../src/signing/replay.ts';
import { keySigner, signChecked, type SignatureOptions } from '../../../src/signing/signer.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const kinds = [
  [
    'RSA',
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    { hash: 'sha256', scheme: 'rsa-pkcs1' },
  ],
  [
    'RSA with a salt',
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    { hash: 'sha512', scheme: 'rsa-pss' },
  ],
  [
    'ECDSA',
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    { hash: 'sha256', scheme: 'ecdsa' },
  ],
  ['Ed25519', generateKeyPairSync('ed25519'), { hash: 'sha512', scheme: 'ed25519' }],
] as const;

describe.each(kinds)('%s', (_, { privateKey, publicKey }, scheme) => {
  const options: SignatureOptions = { ...scheme, purpose: 'vbmeta' };

  test('the signature over these bytes is found among others', async () => {
    const real = keySigner(privateKey);
    const made = [
      await real.sign(bytes('one'), options),
      new Uint8Array(0),
      new Uint8Array(256).fill(7),
      await real.sign(bytes('two'), options),
    ];
    const replay = replaySigner(publicKey, made, () => expect.unreachable());
    expect(await signChecked(replay, bytes('two'), options)).toEqual(made[3]);
  });

  test('other bytes are not signed, and what was asked for is told', async () => {
    const made = [await keySigner(privateKey).sign(bytes('one'), options)];
    const missing: unknown[] = [];
    const replay = replaySigner(publicKey, made, (each) => missing.push(each));
    await expect(signChecked(replay, bytes('two'), options)).rejects.toMatchObject({ code: 'key' });
    expect(missing).toEqual([options]);
  });
});
