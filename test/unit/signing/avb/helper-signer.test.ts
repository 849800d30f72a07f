import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ToolError, UsageError } from '../../../../src/core/errors.ts';
import { helperSigner, padDigest } from '../../../../src/signing/avb/helper-signer.ts';
import { signVbmeta } from '../../../../src/signing/avb/sign.ts';
import { verifySignature } from '../../../../src/signing/avb/verify.ts';
import { decodeVbmeta } from '../../../../src/formats/avb/vbmeta.ts';
import { keySigner, type Signer } from '../../../../src/signing/signer.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** A helper in shell; `$KEY` is the private key in PEM. */
function helper(script: string, withFiles = false): { signer: Signer; folder: string } {
  const folder = tmpDir();
  const [program, keyPath] = [join(folder, 'helper'), join(folder, 'key.pem')];
  writeFileSync(keyPath, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  writeFileSync(program, `#!/bin/sh\nset -e\necho "$@" > '${folder}/arguments'\n${script}\n`);
  chmodSync(program, 0o755);
  const signer = helperSigner({
    program,
    withFiles,
    algorithm: 'SHA256_RSA2048',
    keyPath,
    publicKey,
    env: process.env,
  });
  return { signer, folder };
}

// What avbtool itself calls; `pkeyutl -sign` of OpenSSL 3 takes nothing longer than a hash.
const RAW = 'openssl rsautl -sign -raw -inkey "$2"';
const options = { hash: 'sha256', scheme: 'rsa-pkcs1' } as const;
const data = new Uint8Array([1, 2, 3]);

describe('a signing helper', () => {
  test.each([
    ['through pipes', RAW, false],
    ['in a file', `${RAW} -in "$3" > "$3.out"; mv "$3.out" "$3"`, true],
  ])('%s gives the signature that the key gives', async (_, script, withFiles) => {
    const { signer, folder } = helper(script, withFiles);
    const expected = await keySigner(privateKey).sign(data, options);
    expect(await signer.sign(data, options)).toEqual(expected);
    const [algorithm, key, file] = readFileSync(join(folder, 'arguments'), 'utf8').split(/\s/);
    expect([algorithm, key]).toEqual(['SHA256_RSA2048', join(folder, 'key.pem')]);
    expect(file !== '').toBe(withFiles);
  });

  test('signs a vbmeta', async () => {
    const { signer } = helper(RAW);
    const algorithm = 'SHA256_RSA2048';
    const vbmeta = decodeVbmeta(await signVbmeta({ algorithm, signer, descriptors: [] }));
    expect(() => verifySignature(vbmeta, 'vbmeta')).not.toThrow();
  });

  test.each([
    ['says nothing', 'cat > /dev/null'],
    ['repeats its input', 'cat'],
    ['answers with noise', 'cat > /dev/null; head -c 256 /dev/zero'],
    ['answers too much', 'cat > /dev/null; head -c 1000000 /dev/zero'],
  ])('that %s is not believed', async (_, script) => {
    const { signer } = helper(script);
    await expect(signer.sign(data, options)).rejects.toBeInstanceOf(UsageError);
    await expect(signer.sign(data, options)).rejects.toThrow(/no signature/);
  });

  test('that fails says why, whether or not it read its input', async () => {
    const { signer } = helper('echo token is locked >&2; exit 3');
    await expect(signer.sign(data, options)).rejects.toMatchObject({
      exitCode: 3,
      stderrTail: 'token is locked\n',
    });
    await expect(signer.sign(data, options)).rejects.toBeInstanceOf(ToolError);
  });

  test('that does not exist is named', async () => {
    const missing = helperSigner({
      program: '/nowhere/helper',
      withFiles: false,
      algorithm: 'SHA256_RSA2048',
      keyPath: 'key.pem',
      publicKey,
      env: process.env,
    });
    await expect(missing.sign(data, options)).rejects.toThrow(/nowhere\/helper/);
  });
});

test('the padded digest fills the modulus: 00 01 ff.. 00, DigestInfo, digest', () => {
  const padded = padDigest('sha512', new Uint8Array(64).fill(7), 256);
  expect(padded).toHaveLength(256);
  expect([...padded.subarray(0, 3)]).toEqual([0, 1, 0xff]);
  expect(padded.indexOf(0, 1)).toBe(256 - 64 - 19 - 1);
  expect(Buffer.from(padded.subarray(-83, -64)).toString('hex')).toBe(
    '3051300d060960864801650304020305000440',
  );
});
