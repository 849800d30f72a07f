/** The built-in signature that fsverity-utils tests itself with. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/core/digest.ts';
import { signFsVerity, verifyFsVerity } from '../../src/signing/fs-verity.ts';
import { keySigner } from '../../src/signing/signer.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

const read = (name: string): Buffer => readFileSync(corpusPath('sig-fsverity', name));

describe.skipIf(corpus === undefined)('fs-verity signatures of the corpus', () => {
  it('are made again byte for byte, and verify', async () => {
    const { signature } = JSON.parse(read('vectors.json').toString('utf8')) as {
      signature: { digest: string; alg: 'sha256' };
    };
    const file = { algorithm: signature.alg, digest: fromHex(signature.digest) };
    const signer = keySigner(createPrivateKey(read('key.pem')));
    const certificate = new Uint8Array(new X509Certificate(read('cert.pem')).raw);
    const expected = new Uint8Array(read('file.sig'));
    expect(await signFsVerity(file, { signer, certificate })).toEqual(expected);
    expect(verifyFsVerity(file, expected, [certificate])).toEqual(certificate);
  });
});
