/** `verify` of images and PKCS #7 signatures: whom it trusts, and what it says of everybody else. */

import { createHash, generateKeyPairSync } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { avbCommands } from '../../../src/cli/commands/avb/group.ts';
import { loadSignGroup } from '../../../src/cli/commands/sign/group.ts';
import { verifyCommand } from '../../../src/cli/commands/verify.ts';
import { runCommandLine } from '../../../src/cli/command.ts';
import { avbPublicKey } from '../../../src/signing/avb/public-key.ts';
import { keySigner } from '../../../src/signing/signer.ts';
import { createSelfSignedCertificate, encodeCertificatePem } from '../../../src/signing/x509.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const pairs = {
  image: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  vendor: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  other: generateKeyPairSync('rsa', { modulusLength: 2048 }),
};
const blob = avbPublicKey(pairs.image.publicKey);
const spki = pairs.image.publicKey.export({ format: 'der', type: 'spki' });
const hex = (algorithm: string, bytes: Uint8Array): string =>
  createHash(algorithm).update(bytes).digest('hex');

let folder: string;
const at = (name: string): string => join(folder, name);

interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function microbuild(...argv: string[]): Promise<Result> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(argv, [avbCommands, await loadSignGroup(), verifyCommand], {
    terminal: {
      interactive: false,
      out: (text) => (stdout += `${text}\n`),
      err: (text) => (stderr += `${text}\n`),
      style: (_style, text) => text,
    },
    env: { MICROBUILD_KEYS: at('keys') },
    signal: new AbortController().signal,
    version: '0',
  });
  return { status, stdout, stderr };
}

async function succeed(...argv: string[]): Promise<string> {
  const { status, stdout, stderr } = await microbuild(...argv);
  expect([status, stderr]).toEqual([0, '']);
  return stdout;
}

function tamper(name: string, offset: number): void {
  const bytes = readFileSync(at(name));
  bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  writeFileSync(at(name), bytes);
}

const certificates: Record<string, Uint8Array> = {};

beforeEach(async () => {
  folder = tmpDir();
  for (const [name, { privateKey, publicKey }] of Object.entries(pairs)) {
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
    writeFileSync(at(`${name}.pem`), pem, { mode: 0o600 });
    writeFileSync(at(`${name}.pub`), publicKey.export({ format: 'pem', type: 'spki' }));
    const der = (certificates[name] ??= await createSelfSignedCertificate(keySigner(privateKey), {
      subject: [{ name: 'CN', value: name }],
    }));
    writeFileSync(at(`${name}.der`), der);
    writeFileSync(at(`${name}.crt`), encodeCertificatePem(der));
  }
  writeFileSync(at('image.spki'), spki);
  writeFileSync(at('image.avb'), blob);
});

describe('verify of an image', () => {
  beforeEach(async () => {
    writeFileSync(at('system.img'), new Uint8Array(16_384).fill(7));
    writeFileSync(at('vendor.img'), new Uint8Array(16_384).fill(8));
    const key = (name: string): string[] => ['--key', at(`${name}.pem`)];
    const algorithm = ['--algorithm', 'SHA256_RSA2048'];
    const tree = ['--partition_size', '131072', '--do_not_generate_fec', '--partition_name'];
    const system = ['--image', at('system.img'), ...tree, 'system'];
    await succeed('avb', 'add_hashtree_footer', ...system);
    const hash = [
      '--image',
      at('vendor.img'),
      '--partition_size',
      '131072',
      '--partition_name',
      'vendor',
    ];
    await succeed('avb', 'add_hash_footer', ...hash, ...algorithm, ...key('vendor'));
    writeFileSync(at('vendor.avb'), avbPublicKey(pairs.vendor.publicKey));
    const parts = ['--include_descriptors_from_image', at('system.img')];
    const chain = ['--chain_partition', `vendor:2:${at('vendor.avb')}`];
    const output = ['--output', at('vbmeta.img'), '--rollback_index', '5'];
    await succeed(
      'avb',
      'make_vbmeta_image',
      ...output,
      ...parts,
      ...chain,
      ...algorithm,
      ...key('image'),
    );
  });

  test.each([
    ['AVB’s encoding', () => at('image.avb')],
    ['a PEM public key', () => at('image.pub')],
    ['a DER public key', () => at('image.spki')],
    ['a PEM certificate', () => at('image.crt')],
    ['a DER certificate', () => at('image.der')],
    ['SHA-256 of AVB’s encoding', () => `sha256:${hex('sha256', blob)}`],
    ['SHA-512 of AVB’s encoding', () => `sha512:${hex('sha512', blob)}`],
    [
      'a digest with colons',
      () => (hex('sha256', blob).match(/../g) ?? []).join(':').toUpperCase(),
    ],
    ['SHA-256 of the public key', () => `sha256:${hex('sha256', spki)}`],
  ])('trusts by %s, among others', async (_form, anchor) => {
    const trust = ['--trust', at('other.pub'), '--trust', anchor()];
    const json = JSON.parse(
      await succeed('verify', at('vbmeta.img'), ...trust, '--json'),
    ) as object;
    expect(json).toMatchObject({
      verified: true,
      trustedBy: anchor(),
      key: `sha256:${hex('sha256', blob)}`,
      rollbackIndex: '5',
      chains: [{ verified: true, image: at('vendor.img') }],
    });
  });

  test('shows what vouches for what, with every key and digest', async () => {
    const text = await succeed('verify', at('vbmeta.img'), '--trust', at('image.pub'));
    const vendor = hex('sha256', avbPublicKey(pairs.vendor.publicKey));
    for (const line of [
      `image.pub → ${at('vbmeta.img')}`,
      `signed by RSA-2048 key sha256:${hex('sha256', blob)}, SHA256_RSA2048`,
      'vbmeta → partition system',
      `vbmeta → key of partition vendor → ${at('vendor.img')}`,
      `signed by RSA-2048 key sha256:${vendor}`,
      `sha256 digest `,
      'verified: rollback index 5, flags 0',
    ]) {
      expect(text).toContain(line);
    }
  });

  test('says whose it is when nobody trusts them, and how they could be', async () => {
    const unknown = await microbuild('verify', at('vbmeta.img'));
    const key = `sha256:${hex('sha256', blob)}`;
    expect(unknown.status).toBe(3);
    expect(unknown.stderr).toContain(`signed by RSA-2048 key ${key}, which nothing here trusts`);
    expect(unknown.stderr).toContain(`--trust ${key}`);
    const other = await microbuild(
      'verify',
      at('vbmeta.img'),
      '--trust',
      at('other.crt'),
      '--json',
    );
    expect([other.status, JSON.parse(other.stdout)]).toMatchObject([
      3,
      { verified: false, trusted: false, key, error: { code: 'PublicKeyRejected' } },
    ]);
  });

  test('trusts this workspace’s development key where none is named', async () => {
    mkdirSync(at('keys'));
    copyFileSync(at('image.pem'), at('keys/image.pem'));
    expect(await succeed('verify', at('vbmeta.img'))).toContain('(development) →');
  });

  test.each([
    ['system.img', 100, 'data block 0'],
    ['system.img', 16_384 + 50, 'hash block'],
    ['vendor.img', 100, 'digest'],
    ['vbmeta.img', 300, 'hash|signature|vbmeta'],
  ])('finds a changed byte in %s at %i', async (name, offset, said) => {
    tamper(name, offset);
    const trust = ['--trust', at('image.pub')];
    const { status, stderr, stdout } = await microbuild('verify', at('vbmeta.img'), ...trust);
    expect([status, stderr]).toEqual([3, expect.stringMatching(new RegExp(said))]);
    expect(stdout).toContain('BROKEN');
  });

  test('refuses a chained image that another key signed', async () => {
    const sign = ['sign', 'image', at('vendor.img'), '--key', at('other.pem')];
    await succeed(...sign);
    const trust = ['--trust', at('image.pub'), '--trust', at('other.pub')];
    const { status, stderr } = await microbuild('verify', at('vbmeta.img'), ...trust);
    expect([status, stderr]).toEqual([3, expect.stringContaining('not the one it must be signed')]);
  });

  test('tells of partitions whose images are not there', async () => {
    for (const name of ['vendor.img', 'system.img']) rmSync(at(name));
    const verify = ['verify', at('vbmeta.img'), '--trust', at('image.pub')];
    expect(await succeed(...verify)).toContain('not looked at: vendor, system, whose images');
    const json = JSON.parse(await succeed(...verify, '--json')) as object;
    expect(json).toMatchObject({ verified: true, complete: false, missing: ['vendor', 'system'] });
  });

  test('refuses one that nobody signed, whoever is trusted', async () => {
    const output = ['--output', at('none.img')];
    await succeed('avb', 'make_vbmeta_image', ...output);
    const { status, stderr } = await microbuild(
      'verify',
      at('none.img'),
      '--trust',
      at('image.pub'),
    );
    expect([status, stderr]).toEqual([3, expect.stringContaining('it is not signed')]);
  });

  test('refuses to trust what is no key, and a private one', async () => {
    writeFileSync(at('junk'), 'no key');
    for (const [trust, said] of [
      [at('junk'), 'no AVB public key'],
      [at('image.pem'), 'private key'],
      ['sha256:12', 'no sha256 digest'],
      ['sha256:zz', 'no digest'],
      [at('missing'), 'ENOENT'],
    ] as const) {
      const { status, stderr } = await microbuild('verify', at('vbmeta.img'), '--trust', trust);
      expect([status, stderr]).toEqual([2, expect.stringContaining(said)]);
    }
  });
});

describe('verify of a PKCS #7 signature', () => {
  const root = 'ab'.repeat(32);
  const key = (): string[] => ['--key', at('image.pem'), '--cert', at('image.crt')];

  test('proves a root hash, and nothing for another', async () => {
    await succeed('sign', 'root-hash', root, ...key(), '-o', at('root.p7s'));
    const verify = ['verify', at('root.p7s'), '--root-hash'];
    const trust = ['--trust', at('other.crt'), '--trust', at('image.der')];
    const text = await succeed(...verify, root, ...trust);
    expect(text).toContain('CN=image → root.p7s → root hash');
    expect(text).toContain(`certificate sha256:${hex('sha256', certificates['image'] ?? spki)}`);
    for (const [argv, code, said] of [
      [[...verify, 'cd'.repeat(32), ...trust], 3, 'not over this data'],
      [[...verify, root, '--trust', at('other.crt')], 3, 'none of its 1 signers'],
      [[...verify, root], 3, 'which nothing here trusts'],
      [['verify', at('root.p7s'), ...trust], 2, 'does not hold what it signs'],
    ] as const) {
      const { status, stderr } = await microbuild(...argv);
      expect([status, stderr]).toEqual([code, expect.stringContaining(said)]);
    }
  });

  test('proves the file that stands beside it, or is named', async () => {
    writeFileSync(at('lib.so'), new Uint8Array(10_000).fill(3));
    await succeed('sign', 'fsverity', at('lib.so'), ...key());
    const verify = ['verify', at('lib.so.fsverity-sig'), '--trust', at('image.crt')];
    const json = JSON.parse(await succeed(...verify, '--json')) as object;
    expect(json).toMatchObject({
      verified: true,
      kind: 'fs-verity',
      certificate: { subject: 'CN=image' },
    });
    await succeed(...verify, '--file', at('lib.so'));
    tamper('lib.so', 9999);
    const { status, stderr } = await microbuild(...verify);
    expect([status, stderr]).toEqual([3, expect.stringContaining('not over this data')]);
  });

  test('refuses what is BER and no DER', async () => {
    await succeed('sign', 'root-hash', root, ...key(), '-o', at('root.p7s'));
    const der = readFileSync(at('root.p7s'));
    // The outer length in one byte more than it needs.
    const ber = Buffer.concat([Uint8Array.of(0x30, 0x83, 0), der.subarray(2)]);
    writeFileSync(at('ber.p7s'), ber);
    const verify = ['verify', at('ber.p7s'), '--root-hash', root, '--trust', at('image.crt')];
    const { status, stderr } = await microbuild(...verify);
    expect([status, stderr]).toEqual([3, expect.stringContaining('DER')]);
  });
});
