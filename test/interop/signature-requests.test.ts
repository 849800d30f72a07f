/** The command lines that we print for each way to sign, run as they are: by OpenSSL and by a token. */

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SignatureOptions } from '../../src/signing/signer.ts';
import { isSignatureOf } from '../../src/signing/signer.ts';
import { signingCommands } from '../../src/signing/two-phase/algorithm.ts';
import { openRequestFolder, writeRequestFolder } from '../../src/signing/two-phase/folder.ts';
import { createRecorder, preparedSigner, requestId } from '../../src/signing/two-phase/signers.ts';
import { createSoftHsm, SOFTHSM_MODULE, type SoftHsm } from '../support/softhsm.ts';
import { runTool } from '../support/tools.ts';

const PIN = '7391-correct';
let folder: string;
let hsm: SoftHsm;
const at = (name: string): string => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'microbuild-requests-'));
  hsm = createSoftHsm(folder);
  process.env['SOFTHSM2_CONF'] = hsm.conf;
  hsm.initToken('release', PIN);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rsa = (): KeyObject => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const ec = (namedCurve: string) => (): KeyObject =>
  generateKeyPairSync('ec', { namedCurve }).privateKey;

const CASES: readonly [
  name: string,
  generate: () => KeyObject,
  options: SignatureOptions,
  algorithm: string,
][] = [
  ['rsa-256', rsa, { scheme: 'rsa-pkcs1', hash: 'sha256' }, 'SHA256withRSA'],
  ['rsa-512', rsa, { scheme: 'rsa-pkcs1', hash: 'sha512' }, 'SHA512withRSA'],
  ['rsa-avb', rsa, { scheme: 'rsa-pkcs1', hash: 'sha256', purpose: 'vbmeta' }, 'SHA256_RSA2048'],
  ['pss-256', rsa, { scheme: 'rsa-pss', hash: 'sha256' }, 'SHA256withRSA/PSS'],
  ['pss-512', rsa, { scheme: 'rsa-pss', hash: 'sha512' }, 'SHA512withRSA/PSS'],
  ['p256', ec('P-256'), { scheme: 'ecdsa', hash: 'sha256' }, 'SHA256withECDSA'],
  ['p384', ec('P-384'), { scheme: 'ecdsa', hash: 'sha384' }, 'SHA384withECDSA'],
  ['p521', ec('P-521'), { scheme: 'ecdsa', hash: 'sha512' }, 'SHA512withECDSA'],
  [
    'dsa',
    () => generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 }).privateKey,
    { scheme: 'dsa', hash: 'sha256' },
    'SHA256withDSA',
  ],
  [
    'ed25519',
    () => generateKeyPairSync('ed25519').privateKey,
    { scheme: 'ed25519', hash: 'sha512' },
    'Ed25519',
  ],
  [
    'ed25519-short',
    () => generateKeyPairSync('ed25519').privateKey,
    { scheme: 'ed25519', hash: 'sha512' },
    'Ed25519',
  ],
];

test.each(CASES)('%s', async (name, generate, options, algorithm) => {
  const privateKey = generate();
  const publicKey = createPublicKey(privateKey);
  const data = Buffer.from(`what ${name} signs, `.repeat(name.endsWith('short') ? 10 : 200));
  const recorder = createRecorder(1);
  const asked = preparedSigner(publicKey, 'thing', recorder).sign(data, options);
  await expect(asked).rejects.toThrow('made elsewhere');
  const needed = recorder.needed();
  const request = needed[0]?.request;
  if (request === undefined) throw new Error('nothing was recorded');
  expect(request.algorithm).toBe(algorithm);
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const reference = { reference: null, certificate: null, publicKey: pem, certificates: [] };
  const document = {
    schemaVersion: 1,
    job: { command: ['sign', 'thing'], arguments: [], directory: '/', inputs: [] },
    keys: [{ id: request.key, ...reference }],
    requests: [request],
  } as const;
  await writeRequestFolder(at(name), document, needed);

  const id = requestId(publicKey, data, options);
  const attached = async (line: string): Promise<Uint8Array | undefined> => {
    const { status, stderr } = runTool('sh', ['-c', line], { cwd: at(name) });
    expect([line, status, status === 0 ? '' : stderr]).toEqual([line, 0, '']);
    return (await openRequestFolder(at(name))).find(id, publicKey, data, options);
  };
  const found = await (await openRequestFolder(at(name))).find(id, publicKey, data, options);
  expect(found).toBeUndefined();

  const { openssl, pkcs11Tool } = signingCommands(request);
  const key = { path: at(`${name}.pem`), object: name, id: Buffer.from(name).toString('hex') };
  writeFileSync(key.path, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const signature = await attached(openssl.replace('KEY.pem', key.path));
  expect(isSignatureOf(publicKey, data, options, signature ?? Buffer.alloc(0))).toBe(true);

  expect(pkcs11Tool === undefined).toBe(['dsa', 'ed25519'].includes(name));
  if (pkcs11Tool === undefined) return;
  hsm.importKey('release', PIN, key);
  const tool = `pkcs11-tool --module ${SOFTHSM_MODULE} --token-label release --pin ${PIN}`;
  const line = pkcs11Tool.replace('pkcs11-tool', tool).replace(' ID ', ` ${key.id} `);
  const byToken = await attached(line);
  expect(isSignatureOf(publicKey, data, options, byToken ?? Buffer.alloc(0))).toBe(true);
  const isFixed = ['rsa-pkcs1', 'ed25519'].includes(options.scheme);
  if (isFixed) expect(byToken).toEqual(signature);

  // Tokens and key services answer with r || s.
  if (options.scheme !== 'ecdsa') return;
  const raw = await attached(line.replace('--signature-format openssl', '--signature-format rs'));
  const came = readFileSync(join(at(name), request.signature));
  expect(Buffer.compare(came, raw ?? Buffer.alloc(0))).not.toBe(0);
  expect(isSignatureOf(publicKey, data, options, raw ?? Buffer.alloc(0))).toBe(true);
});
