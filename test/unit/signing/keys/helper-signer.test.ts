import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { ToolError, UsageError } from '../../../../src/core/errors.ts';
import { decodeVbmeta } from '../../../../src/formats/avb/vbmeta.ts';
import { signVbmeta } from '../../../../src/signing/avb/sign.ts';
import { verifySignature } from '../../../../src/signing/avb/verify.ts';
import {
  helperSigner,
  padDigest,
  type HelperSignerOptions,
} from '../../../../src/signing/keys/helper-signer.ts';
import { openKey } from '../../../../src/signing/keys/open-key.ts';
import { keySigner, type Signer, type SignatureOptions } from '../../../../src/signing/signer.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');

interface Helper {
  readonly signer: Signer;
  readonly folder: string;
  readonly program: string;
  readonly keyPath: string;
}

interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** A helper in shell; `$KEY` is the path of the private key in PEM. */
function helper(
  script: string,
  options: Partial<HelperSignerOptions> = {},
  pair: KeyPair = rsa,
): Helper {
  const folder = tmpDir();
  const [program, keyPath] = [join(folder, 'helper'), join(folder, 'key.pem')];
  writeFileSync(keyPath, pair.privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  writeFileSync(
    program,
    `#!/bin/sh\nset -e\nKEY='${keyPath}'\necho "$@" > '${folder}/arguments'\n${script}\n`,
  );
  chmodSync(program, 0o755);
  const signer = helperSigner({
    program,
    args: [],
    mode: 'digest',
    key: 'release',
    publicKey: pair.publicKey,
    timeoutSeconds: 20,
    env: process.env,
    ...options,
  });
  return { signer, folder, program, keyPath };
}

const argumentsOf = (folder: string): string[] =>
  readFileSync(join(folder, 'arguments'), 'utf8').trim().split(' ');

// What avbtool itself calls; `pkeyutl -sign` of OpenSSL 3 takes nothing longer than a hash.
const RAW = 'openssl rsautl -sign -raw -inkey "$KEY"';
// What a cloud service does, with the hash in the second argument.
const DIGEST = 'cat > "$0.in"; openssl pkeyutl -sign -inkey "$KEY" -in "$0.in" -pkeyopt digest:$2';
const rsaOptions: SignatureOptions = { hash: 'sha256', scheme: 'rsa-pkcs1', purpose: 'vbmeta' };
const data = new Uint8Array([1, 2, 3]);

describe('a helper in digest mode', () => {
  test.each(['sha1', 'sha256', 'sha384', 'sha512'] as const)(
    'gets the %s digest and answers with the signature that the key gives',
    async (hash) => {
      const { signer, folder, program } = helper(DIGEST);
      const options = { hash, scheme: 'rsa-pkcs1' } as const;
      expect(await signer.sign(data, options)).toEqual(
        await keySigner(rsa.privateKey).sign(data, options),
      );
      expect(argumentsOf(folder)).toEqual(['rsa-pkcs1', hash, 'release']);
      expect(readFileSync(`${program}.in`)).toEqual(createHash(hash).update(data).digest());
    },
  );

  test('signs with ECDSA, in DER, and with PSS', async () => {
    const ecdsa = helper(DIGEST, {}, ec);
    const answer = await ecdsa.signer.sign(data, { hash: 'sha256', scheme: 'ecdsa' });
    expect(answer[0]).toBe(0x30);
    const pss = helper(`${DIGEST} -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest`);
    expect(await pss.signer.sign(data, { hash: 'sha512', scheme: 'rsa-pss' })).toHaveLength(256);
  });

  test('signs with Ed25519, for which it gets what is to be signed', async () => {
    const { signer, folder, program } = helper(
      'cat > "$0.in"; openssl pkeyutl -sign -rawin -inkey "$KEY" -in "$0.in"',
      {},
      ed,
    );
    const options = { hash: 'sha512', scheme: 'ed25519' } as const;
    expect(await signer.sign(data, options)).toEqual(
      await keySigner(ed.privateKey).sign(data, options),
    );
    expect(argumentsOf(folder)).toEqual(['ed25519', 'none', 'release']);
    expect(readFileSync(`${program}.in`)).toEqual(Buffer.from(data));
  });

  test('that does not read its input is believed when its answer is right', async () => {
    const right = await keySigner(rsa.privateKey).sign(data, rsaOptions);
    const folder = tmpDir();
    writeFileSync(join(folder, 'answer'), right);
    const { signer } = helper(`exec <&-; sleep 0.1; cat '${folder}/answer'`);
    expect(await signer.sign(data, rsaOptions)).toEqual(right);
  });
});

describe('a helper in raw mode', () => {
  test.each([
    ['through pipes', RAW, 'raw'],
    ['in a file', `${RAW} -in "$3" > "$3.out"; mv "$3.out" "$3"`, 'raw-file'],
  ] as const)('%s gives the signature that the key gives', async (_, script, mode) => {
    const { signer, folder } = helper(script, { mode });
    expect(await signer.sign(data, rsaOptions)).toEqual(
      await keySigner(rsa.privateKey).sign(data, rsaOptions),
    );
    const [algorithm, key, file] = argumentsOf(folder);
    expect([algorithm, key]).toEqual(['SHA256_RSA2048', 'release']);
    expect(file === undefined).toBe(mode === 'raw');
    // The folder of the file is gone with its helper.
    expect(file !== undefined && existsSync(file)).toBe(false);
  });

  test('signs a vbmeta', async () => {
    const { signer } = helper(RAW, { mode: 'raw' });
    const algorithm = 'SHA256_RSA2048';
    const vbmeta = decodeVbmeta(await signVbmeta({ algorithm, signer, descriptors: [] }));
    expect(() => verifySignature(vbmeta, 'vbmeta')).not.toThrow();
  });

  test('is not asked for what it cannot pad', async () => {
    const pss = helper(RAW, { mode: 'raw' });
    await expect(pss.signer.sign(data, { hash: 'sha256', scheme: 'rsa-pss' })).rejects.toThrow(
      /mode=digest|PKCS#1 only/,
    );
    const ecdsa = helper(RAW, { mode: 'raw' }, ec);
    await expect(ecdsa.signer.sign(data, { hash: 'sha256', scheme: 'ecdsa' })).rejects.toThrow(
      UsageError,
    );
    expect(existsSync(join(ecdsa.folder, 'arguments'))).toBe(false);
  });
});

describe.each(['digest', 'raw'] as const)('in %s mode, a helper', (mode) => {
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 });

  test.each([
    ['answers with zeros', 'head -c 256 /dev/zero', /256 bytes that are no signature/],
    ['repeats its input', 'cat; exit 0', /bytes, a signature of this key has 256|no signature/],
    ['answers with nothing, and exit code 0', ':', /answered with nothing/],
    ['answers with a part', 'head -c 255 /dev/zero', /255 bytes, a signature of this key has 256/],
    [
      'says more than the signature',
      `${RAW} -in "$0.block"; echo done`,
      /261 bytes, a signature of this key has 256/,
    ],
    ['answers in Base64', 'echo c2lnbmF0dXJl', /13 bytes of text/],
  ])('that %s is not believed', async (_, script, message) => {
    const { signer, program } = helper(
      script.includes('cat') ? script : `cat > /dev/null; ${script}`,
      {
        mode,
      },
    );
    const digest = new Uint8Array(createHash('sha256').update(data).digest());
    writeFileSync(`${program}.block`, padDigest('sha256', digest, 256));
    const error = await signer.sign(data, rsaOptions).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ code: 'key', message: expect.stringMatching(message) });
    expect((error as UsageError).hint).not.toBe('');
    expect((error as UsageError).message).toContain(program);
  });

  test("that answers with another key's signature is not believed", async () => {
    const wrong = await keySigner(other.privateKey).sign(data, rsaOptions);
    const folder = tmpDir();
    writeFileSync(join(folder, 'answer'), wrong);
    const { signer } = helper(`cat > /dev/null; cat '${folder}/answer'`, { mode });
    await expect(signer.sign(data, rsaOptions)).rejects.toThrow(/no signature of the public key/);
  });

  test.each([
    ['endlessly', 'cat /dev/zero'],
    ['with a megabyte', 'head -c 1000000 /dev/zero'],
  ])('that answers %s is stopped', async (_, script) => {
    const { signer } = helper(`cat > /dev/null; ${script}`, { mode });
    const error = await signer.sign(data, rsaOptions).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ToolError);
    expect((error as ToolError).message).toMatch(/more than the 2048 bytes/);
  });

  test('that fails says why, whether or not it read its input', async () => {
    const { signer } = helper('echo token is locked >&2; exit 3', { mode });
    const error = await signer.sign(data, rsaOptions).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ToolError);
    expect(error).toMatchObject({ exitCode: 3, stderrTail: 'token is locked\n' });
  });

  test('that fails after a right answer has failed', async () => {
    const right = await keySigner(rsa.privateKey).sign(data, rsaOptions);
    const folder = tmpDir();
    writeFileSync(join(folder, 'answer'), right);
    const { signer } = helper(`cat '${folder}/answer'; exit 1`, { mode });
    await expect(signer.sign(data, rsaOptions)).rejects.toMatchObject({ exitCode: 1 });
  });

  test('that hangs is ended, with all that it started', async () => {
    const { signer, folder } = helper(
      // The child ignores the polite signal, and holds the pipes open.
      `(trap '' TERM; echo working >&2; while :; do sleep 0.2; date > "$0.alive"; done) & wait`,
      { mode, timeoutSeconds: 1 },
    );
    const error = await signer.sign(data, rsaOptions).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ToolError);
    expect(error).toMatchObject({
      message: expect.stringMatching(/no answer within 1 s/),
      stderrTail: 'working\n',
    });
    writeFileSync(join(folder, 'helper.alive'), 'unchanged');
    await sleep(500);
    expect(readFileSync(join(folder, 'helper.alive'), 'utf8')).toBe('unchanged');
  });

  test('that does not exist is named', async () => {
    const { signer } = helper('', { mode, program: '/nowhere/helper' });
    await expect(signer.sign(data, rsaOptions)).rejects.toThrow(/nowhere\/helper/);
  });

  test('is ended when the command is interrupted', async () => {
    const controller = new AbortController();
    const { signer } = helper('sleep 60', { mode, signal: controller.signal });
    const signature = signer.sign(data, rsaOptions);
    setTimeout(() => controller.abort(), 100);
    await expect(signature).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('helper: as a reference', () => {
  test('signs with the key that its certificate or public key names', async () => {
    const { program, folder } = helper(DIGEST);
    const publicPath = join(folder, 'key.pub');
    writeFileSync(publicPath, rsa.publicKey.export({ format: 'pem', type: 'spki' }));
    const reference = `helper:${program}?key=my%20key&public-key=${encodeURIComponent(publicPath)}&timeout=9`;
    const key = await openKey(reference, { env: process.env });
    expect(key.signer.publicKey.equals(rsa.publicKey)).toBe(true);
    await key.signer.sign(data, rsaOptions);
    expect(argumentsOf(folder)).toEqual(['rsa-pkcs1', 'sha256', 'my', 'key']);
    await key.close();
  });

  test('gives raw helpers the path of the public key, as avbtool does', async () => {
    const { program, folder } = helper(RAW);
    const publicPath = join(folder, 'key.pub');
    writeFileSync(publicPath, rsa.publicKey.export({ format: 'pem', type: 'spki' }));
    const key = await openKey(`helper:${program}?mode=raw&public-key=${publicPath}`, {
      env: process.env,
    });
    await key.signer.sign(data, rsaOptions);
    expect(argumentsOf(folder)).toEqual(['SHA256_RSA2048', publicPath]);
  });

  test('needs a public key, which must not be a private one, and no pass phrase', async () => {
    const { program, keyPath } = helper(DIGEST);
    const { env } = process;
    await expect(openKey(`helper:${program}`, { env })).rejects.toThrow(/what its public key is/);
    await expect(openKey(`helper:${program}?public-key=${keyPath}`, { env })).rejects.toThrow(
      /cannot use public key/i,
    );
    await expect(
      openKey(`helper:${program}?public-key=x`, { env, passphrase: 'env:X' }),
    ).rejects.toThrow(/pass phrase/);
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
  expect(() => padDigest('sha512', new Uint8Array(64), 64)).toThrow(UsageError);
});
