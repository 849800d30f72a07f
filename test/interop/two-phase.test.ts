/**
 * Signing in two phases, for everything that is signed: what OpenSSL and pkcs11-tool make of a request, by
 * the command lines that we print, gives the bytes of signing at once.
 */

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadCommands } from '../../src/cli/commands.ts';
import { runCommandLine } from '../../src/cli/command.ts';
import { keySigner } from '../../src/signing/signer.ts';
import type { SigningCommands } from '../../src/signing/two-phase/algorithm.ts';
import type { RequestedKey, SignatureRequest } from '../../src/signing/two-phase/request.ts';
import { verifyDsse } from '../../src/signing/verify-dsse.ts';
import { createSelfSignedCertificate, encodeCertificatePem } from '../../src/signing/x509.ts';
import { createSoftHsm, SOFTHSM_MODULE, type SoftHsm } from '../support/softhsm.ts';
import { runTool } from '../support/tools.ts';
import { testApk, testKeyPath } from '../unit/signing/apk/fixtures.ts';

const PIN = '7391-correct';
const KEYS = {
  // The one that is imported into the token.
  rsa: () => {
    const privateKey = createPrivateKey(readFileSync(testKeyPath));
    return { privateKey, publicKey: createPublicKey(privateKey) };
  },
  old: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  stamp: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ec: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ed25519: () => generateKeyPairSync('ed25519'),
} as const;

let folder: string;
let hsm: SoftHsm;
const at = (name: string): string => join(folder, name);

interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function microbuild(...words: string[]): Promise<Run> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(words, await loadCommands(words), {
    terminal: {
      interactive: false,
      out: (text) => (stdout += `${text}\n`),
      err: (text) => (stderr += `${text}\n`),
      style: (_style, text) => text,
    },
    env: { MICROBUILD_KEYS: at('development') },
    signal: new AbortController().signal,
    version: '0',
  });
  return { status, stdout, stderr };
}

async function succeed(...words: string[]): Promise<void> {
  const { status, stderr } = await microbuild(...words);
  expect([words.slice(0, 2), status, status === 0 ? '' : stderr]).toEqual([
    words.slice(0, 2),
    0,
    '',
  ]);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'microbuild-two-phase-'));
  hsm = createSoftHsm(folder);
  process.env['SOFTHSM2_CONF'] = hsm.conf;
  hsm.initToken('release', PIN);
  for (const [name, generate] of Object.entries(KEYS)) {
    const { privateKey, publicKey } = generate();
    writeFileSync(at(`${name}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }), {
      mode: 0o600,
    });
    writeFileSync(at(`${name}.pk8`), privateKey.export({ type: 'pkcs8', format: 'der' }));
    writeFileSync(at(`${name}.pub`), publicKey.export({ type: 'spki', format: 'pem' }));
    const certificate = await createSelfSignedCertificate(keySigner(privateKey), {
      subject: [{ name: 'CN', value: name }],
    });
    writeFileSync(at(`${name}.crt`), encodeCertificatePem(certificate));
  }
  hsm.importKey('release', PIN, { path: testKeyPath, object: 'rsa', id: '01' });
  const pair = ['--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'p256', '--id', '02'];
  hsm.tool('release', PIN, ...pair);
  const read = ['--read-object', '--type', 'pubkey', '--label', 'p256'];
  hsm.tool('release', PIN, ...read, '--output-file', at('p256.pub'));
  writeFileSync(at('app.apk'), await testApk());
  writeFileSync(at('data.bin'), Buffer.alloc(50_000, 3));
  writeFileSync(at('raw.img'), Buffer.alloc(16384, 7));
  const footer = [
    '--image',
    at('raw.img'),
    '--partition_name',
    'boot',
    '--partition_size',
    '131072',
  ];
  const how = ['--salt', '00', '--key', at('old.pem'), '--algorithm', 'SHA256_RSA2048'];
  await succeed('avb', 'add_hash_footer', ...footer, ...how);
  const vbmeta = ['--output', at('vbmeta.img'), '--rollback_index', '4'];
  await succeed('avb', 'make_vbmeta_image', ...vbmeta, ...how.slice(2));
  const signerOf = (name: string): string[] => [
    '--key',
    at(`${name}.pk8`),
    '--cert',
    at(`${name}.crt`),
  ];
  const signers = ['--old-signer', ...signerOf('old'), '--new-signer', ...signerOf('rsa')];
  const rotated = runTool('apksigner', ['rotate', '--out', at('lineage'), ...signers]);
  expect([rotated.status, rotated.stderr]).toEqual([0, '']);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Needed {
  readonly keys: readonly RequestedKey[];
  readonly requests: readonly (SignatureRequest & { readonly commands: SigningCommands })[];
}

/** PEM, or DER as pkcs11-tool writes it. */
function readPublic(path: string): KeyObject {
  const key = readFileSync(path);
  return key[0] === 0x30
    ? createPublicKey({ key, format: 'der', type: 'spki' })
    : createPublicKey(key);
}

/** Runs what was printed, as a person would with the names filled in. */
function signWith(tool: 'openssl' | 'pkcs11Tool', needed: Needed, request: string): void {
  for (const { key, commands } of needed.requests) {
    const pem = needed.keys.find(({ id }) => id === key)?.publicKey ?? '';
    const name = [...Object.keys(KEYS), 'p256'].find((each) =>
      readPublic(at(`${each}.pub`)).equals(createPublicKey(pem)),
    );
    const token = `pkcs11-tool --module ${SOFTHSM_MODULE} --token-label release --pin ${PIN}`;
    const line = (commands[tool] ?? '')
      .replace('KEY.pem', at(`${name}.pem`))
      .replace(' ID ', name === 'p256' ? ' 02 ' : ' 01 ')
      .replace('pkcs11-tool', token);
    const { status, stderr } = runTool('sh', ['-c', line], { cwd: request });
    expect([line, status, status === 0 ? '' : stderr]).toEqual([line, 0, '']);
  }
}

/** Prepares, signs elsewhere and attaches in as many rounds as it takes. @returns how many it took. */
async function inTwoPhases(
  words: readonly string[],
  tool: 'openssl' | 'pkcs11Tool' = 'openssl',
): Promise<number> {
  const request = mkdtempSync(at('request-'));
  let run = await microbuild(...words, '--prepare', request, '--json');
  for (let round = 1; round < 10; round += 1) {
    // On stderr there may be warnings.
    const expected = round === 1 ? 0 : 5;
    expect([round, run.status, run.status === expected ? '' : run.stderr]).toEqual([
      round,
      expected,
      '',
    ]);
    signWith(tool, JSON.parse(run.stdout) as Needed, request);
    run = await microbuild('sign', '--attach', request, '--json');
    if (run.status === 0) return round;
  }
  throw new Error('more rounds than signatures');
}

const key = (name: string): string[] => ['--key', at(`${name}.pem`), '--cert', at(`${name}.crt`)];
const publicKey = (name: string): string[] => [
  '--key',
  at(`${name}.pub`),
  '--cert',
  at(`${name}.crt`),
];

type Words = (key: (name: string) => string[], output: string) => string[];

const apk =
  (...more: string[]): Words =>
  (named, output) => ['sign', 'apk', at('app.apk'), ...named('rsa'), '-o', output, ...more];

/**
 * Command lines, what they write, and how many rounds they take: schemes v2 and v3 are over the files of
 * v1, v4 and a source stamp are over what those signed.
 */
const CASES: readonly [name: string, words: Words, endings: string[], rounds: number][] = [
  ['an APK, v1 to v4', apk(), ['', '.idsig'], 3],
  ['an APK, v1 only', apk('--v2', 'false', '--v3', 'false', '--min-sdk-version', '23'), [''], 1],
  [
    'an APK of two signers',
    (named, output) => [...apk()(named, output), ...named('old'), '--v3', 'false', '--v4', 'false'],
    [''],
    2,
  ],
  [
    'an APK with a lineage',
    (named, output) => [
      'sign',
      'apk',
      at('app.apk'),
      ...named('old'),
      ...named('rsa'),
      '--lineage',
      at('lineage'),
      '-o',
      output,
      '--v4',
      'false',
    ],
    [''],
    2,
  ],
  [
    'an APK with a source stamp',
    (named, output) => {
      const [, stampKey = '', , stampCert = ''] = named('stamp');
      const stamp = ['--stamp-key', stampKey, '--stamp-cert', stampCert];
      return [...apk()(named, output), ...stamp, '--v4', 'false'];
    },
    [''],
    2,
  ],
  [
    'a lineage',
    (named, output) => {
      const signers = ['--old-signer', ...named('old'), '--new-signer', ...named('rsa')];
      return ['keys', 'rotate', '--out', output, ...signers];
    },
    [''],
    1,
  ],
  [
    'a certificate',
    (named, output) => {
      const subject = ['--subject', 'Example', '-o', output];
      return ['keys', 'certificate', ...named('rsa').slice(0, 2), ...subject];
    },
    [''],
    1,
  ],
  [
    'an image with a footer',
    (named, output) => ['sign', at('raw.img'), ...named('rsa'), '-o', output],
    [''],
    1,
  ],
  [
    'a vbmeta image',
    (named, output) => ['sign', 'image', at('vbmeta.img'), ...named('rsa'), '-o', output],
    [''],
    1,
  ],
  [
    'a root hash',
    (named, output) => ['sign', 'root-hash', 'ab'.repeat(32), ...named('rsa'), '-o', output],
    [''],
    1,
  ],
  [
    'a file for fs-verity',
    (named, output) => ['sign', 'fsverity', at('data.bin'), ...named('rsa'), '-o', output],
    [''],
    1,
  ],
  [
    'a DSSE envelope',
    (named, output) => [
      'sign',
      'dsse',
      at('data.bin'),
      '--payload-type',
      'text/plain',
      ...named('rsa'),
      '-o',
      output,
    ],
    [''],
    1,
  ],
];

describe('the bytes of signing at once come of two phases', () => {
  test.each(CASES)('for %s', async (name, words, endings, rounds) => {
    const label = name.replaceAll(/\W/g, '-');
    const [once, twice] = [at(`${label}-once`), at(`${label}-twice`)];
    await succeed(...words(key, once));
    expect(await inTwoPhases(words(publicKey, twice))).toBe(rounds);
    for (const ending of endings) {
      const same = readFileSync(`${twice}${ending}`).equals(readFileSync(`${once}${ending}`));
      expect([ending, same]).toEqual([ending, true]);
    }
  });

  test('for an APK signed in place', async () => {
    writeFileSync(at('place.apk'), readFileSync(at('app.apk')));
    const words = ['sign', 'apk', at('place.apk'), ...publicKey('rsa')];
    await succeed('sign', 'apk', at('app.apk'), ...key('rsa'), '-o', at('not-in-place.apk'));
    await inTwoPhases(words);
    expect(readFileSync(at('place.apk')).equals(readFileSync(at('not-in-place.apk')))).toBe(true);
  });
});

describe('by a token with pkcs11-tool', () => {
  test('an APK and an image come out as by OpenSSL', async () => {
    for (const words of [
      (output: string) => [...apk()(publicKey, output)],
      (output: string) => ['sign', 'image', at('vbmeta.img'), '--key', at('rsa.pub'), '-o', output],
    ]) {
      await inTwoPhases(words(at('by-token')), 'pkcs11Tool');
      await inTwoPhases(words(at('by-openssl')));
      expect(readFileSync(at('by-token')).equals(readFileSync(at('by-openssl')))).toBe(true);
    }
  });

  test('a DSSE envelope is signed with ECDSA, which the token does over a hash', async () => {
    const words = ['sign', 'dsse', at('data.bin'), '--payload-type', 'text/plain'];
    await inTwoPhases([...words, '--key', at('p256.pub'), '-o', at('by-token')], 'pkcs11Tool');
    const { payload } = verifyDsse(readFileSync(at('by-token')), {
      keys: [readPublic(at('p256.pub'))],
    });
    expect(Buffer.from(payload).equals(readFileSync(at('data.bin')))).toBe(true);
  });
});

test('an APK is signed with ECDSA, and apksigner verifies it', async () => {
  await inTwoPhases(['sign', 'apk', at('app.apk'), ...publicKey('ec'), '-o', at('ec.apk')]);
  const idsig = ['--v4-signature-file', at('ec.apk.idsig')];
  const how = ['verify', '--verbose', '--print-certs', '--min-sdk-version', '21', ...idsig];
  const { status, stdout } = runTool('apksigner', [...how, at('ec.apk')]);
  expect([status, stdout]).toEqual([0, expect.anything()]);
  for (const scheme of ['v1', 'v2', 'v3', 'v4']) {
    expect(stdout).toMatch(new RegExp(`Verified using ${scheme} scheme .*: true`));
  }
  const { fingerprint256 } = new X509Certificate(readFileSync(at('ec.crt')));
  expect(stdout).toContain(fingerprint256.replaceAll(':', '').toLowerCase());
});

test('Ed25519 signs a DSSE envelope as it does at once', async () => {
  const words = (name: string, output: string): string[] => [
    'sign',
    'dsse',
    at('data.bin'),
    '--payload-type',
    'text/plain',
    '--key',
    at(name),
    '-o',
    at(output),
  ];
  await succeed(...words('ed25519.pem', 'ed-once'));
  await inTwoPhases(words('ed25519.pub', 'ed-twice'));
  expect(readFileSync(at('ed-twice')).equals(readFileSync(at('ed-once')))).toBe(true);
});
