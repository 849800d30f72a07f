/** `microbuild avb` as a user meets it: help, JSON, exit codes, and messages that say what to do. */

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { avbCommands } from '../../../src/cli/commands/avb/group.ts';
import { runCommandLine } from '../../../src/cli/command.ts';
import { tmpDir } from '../../support/tmp-dir.ts';
import { openSandbox } from '../../support/cli.ts';

interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

let folder: string;
const at = (name: string): string => join(folder, name);

async function avb(...args: string[]): Promise<Run> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(['avb', ...args], [avbCommands], {
    terminal: {
      interactive: false,
      out: (text) => (stdout += `${text}\n`),
      err: (text) => (stderr += `${text}\n`),
      style: (_style, text) => text,
    },
    env: {},
    signal: new AbortController().signal,
    version: '0',
  });
  return { status, stdout, stderr };
}

/** Of a run that must succeed. */
async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await avb(...args, '--json');
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const sign = (): string[] => ['--algorithm', 'SHA256_RSA2048', '--key', at('key.pem')];

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

beforeEach(() => {
  folder = tmpDir();
  writeFileSync(at('key.pem'), privateKey.export({ format: 'pem', type: 'pkcs8' }), {
    mode: 0o600,
  });
  writeFileSync(at('boot.img'), new Uint8Array(10_000).fill(1));
  writeFileSync(at('system.img'), new Uint8Array(50 * 4096).fill(2));
});

describe('microbuild avb', () => {
  test('signs, shows and verifies, for people and for programs', async () => {
    const image = at('system.img');
    const tree = ['--partition_name', 'system', '--partition_size', '0x400000'];
    const added = await json('add_hashtree_footer', '--image', image, ...tree, ...sign());
    expect(added).toMatchObject({ partitionSize: 0x400000, hashAlgorithm: 'sha256' });
    const info = await avb('info_image', '--image', image);
    expect(info.stdout).toContain(`      Root Digest:           ${String(added['rootDigest'])}\n`);
    expect(info.stdout).toContain('FEC num roots:         2\n');
    expect(JSON.stringify(await json('info_image', '--image', image))).toContain('"offset"');
    const verified = await json('verify_image', '--image', image, '--key', at('key.pem'));
    expect(verified).toMatchObject({ verified: true, parts: { length: 3 } });
    expect(await json('print_partition_digests', '--image', image)).toEqual({
      partitions: [{ name: 'system', digest: added['rootDigest'] }],
    });
  });

  test('ends with 3 when an image does not hold, and prints what was proved before', async () => {
    const image = at('boot.img');
    const footer = ['--partition_name', 'boot', '--dynamic_partition_size'];
    await json('add_hash_footer', '--image', image, ...footer, ...sign());
    const bytes = readFileSync(image);
    bytes[77] = 0;
    writeFileSync(image, bytes);
    const plain = await avb('verify_image', '--image', image);
    expect(plain.status).toBe(3);
    expect(plain.stdout).toMatch(/^Verifying image .*\nvbmeta: Successfully verified footer/);
    expect(plain.stderr).toMatch(/sha256 digest is not that of its descriptor/);
    const { status, stdout } = await avb('verify_image', '--image', image, '--json');
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      verified: false,
      error: { exitCode: 3, code: 'Verification' },
    });
  });

  test('names the offset of a damaged descriptor, and ends with 3', async () => {
    await avb('make_vbmeta_image', '--output', at('v.img'), '--prop', 'a:b');
    const bytes = readFileSync(at('v.img'));
    bytes[256 + 16 + 7] = 200;
    writeFileSync(at('v.img'), bytes);
    const { status, stderr } = await avb('verify_image', '--image', at('v.img'));
    expect(status).toBe(3);
    expect(stderr).toMatch(/property descriptor: key is 200 bytes, .* \(at offset 288\)/);
  });

  test.each([
    ['a negative number', ['make_vbmeta_image', '--output', 'v', '--flags', '-1'], /negative/],
    ['no number', ['make_vbmeta_image', '--output', 'v', '--rollback_index', 'ten'], /no number/],
    [
      'a number that is too large',
      ['make_vbmeta_image', '--output', 'v', '--flags', '0x100000000'],
      /at most/,
    ],
    [
      'an unknown algorithm',
      ['make_vbmeta_image', '--output', 'v', '--algorithm', 'RSA'],
      /known are NONE/,
    ],
    [
      'no key',
      ['make_vbmeta_image', '--output', 'v', '--algorithm', 'SHA256_RSA2048'],
      /a key is needed/,
    ],
    [
      'a property without value',
      ['make_vbmeta_image', '--output', 'v', '--prop', 'k'],
      /KEY:VALUE/,
    ],
    ['an unknown option', ['make_vbmeta_image', '--output', 'v', '--propp', 'k:v'], /propp/],
    ['an odd salt', ['add_hashtree_footer', '--image', 'v', '--salt', 'abc'], /not hexadecimal/],
    [
      'an unknown hash',
      ['add_hashtree_footer', '--image', 'v', '--hash_algorithm', 'md5'],
      /sha256/,
    ],
    [
      'no partition size',
      ['add_hash_footer', '--image', 'v', '--partition_name', 'v'],
      /partition_size/,
    ],
    ['a verb that is none', ['make_image'], /make_image/],
    [
      'slots that are none',
      ['set_ab_metadata', '--misc_image', 'v', '--slot_data', '1:2'],
      /PRIORITY/,
    ],
    [
      'no version of a key',
      ['make_certificate', '--output', 'v', '--subject', 's', '--subject_key', 'k'],
      /subject_key_version/,
    ],
  ])('refuses %s with exit code 2, and writes nothing', async (_, args, message) => {
    const run = await avb(...args.map((each) => (each === 'v' ? at('v.img') : each)));
    expect([run.status, run.stdout]).toEqual([2, '']);
    expect(run.stderr).toMatch(message);
    expect(existsSync(at('v.img'))).toBe(false);
  });

  test('says what is signed with a key that everybody has, or not signed at all', async () => {
    const unsigned = ['--output', at('v.img'), '--key', at('key.pem')];
    const { stderr, status } = await avb('make_vbmeta_image', ...unsigned);
    expect([status, stderr]).toEqual([0, expect.stringMatching(/nothing is signed/)]);
    const footer = ['--partition_name', 'boot', '--dynamic_partition_size'];
    const old = ['--hash_algorithm', 'sha1'];
    const sha1 = await avb('add_hash_footer', '--image', at('boot.img'), ...footer, ...old);
    expect([sha1.status, sha1.stderr]).toEqual([0, expect.stringMatching(/sha1 is broken/)]);
  });

  test('finds images of partitions where it is told, never outside of the folder by itself', async () => {
    const footer = ['--partition_name', '../../etc/passwd', '--dynamic_partition_size'];
    await avb('add_hash_footer', '--image', at('boot.img'), ...footer);
    const missing = await avb('verify_image', '--image', at('boot.img'));
    expect(missing.status).toBe(2);
    expect(missing.stderr).toContain(`${folder}/.._.._etc_passwd.img does not exist`);
    const named = ['--partition_image', `../../etc/passwd:${at('boot.img')}`];
    expect((await avb('verify_image', '--image', at('boot.img'), ...named)).status).toBe(0);
  });

  test('prints how large an image may be', async () => {
    const size = ['--partition_size', '10485760', '--calc_max_image_size'];
    expect((await avb('add_hash_footer', ...size)).stdout).toBe('10416128\n');
    expect((await avb('add_hashtree_footer', ...size)).stdout).toBe('10235904\n');
    const roots = ['--fec_num_roots', '24'];
    expect(await json('add_hashtree_footer', ...size, ...roots)).toEqual({ maxImageSize: 9146368 });
    expect((await avb('add_hashtree_footer', ...size, '--no_hashtree')).stdout).toBe('10416128\n');
  });

  test('an output that is a device is written to, not replaced', async () => {
    const before = statSync('/dev/null');
    const { status } = await avb(
      'extract_public_key',
      '--key',
      at('key.pem'),
      '--output',
      '/dev/null',
    );
    expect([status, statSync('/dev/null').ino]).toEqual([0, before.ino]);
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  test.each([
    ['extract_vbmeta_image', ['--image', '@boot.img', '--output', '@boot.img']],
    ['make_vbmeta_image', ['--key', '@key.pem', '--output', '@key.pem']],
    [
      'make_vbmeta_image',
      ['--include_descriptors_from_image', '@boot.img', '--output', '@./boot.img'],
    ],
    ['info_image', ['--image', '@boot.img', '--output', '@x', '--output_pubkey', '@x']],
    ['generate_test_image', ['--image_size', '10', '--output', '@']],
  ])('%s replaces nothing that it needs by its result', async (verb, words) => {
    const before = [readFileSync(at('boot.img')), readFileSync(at('key.pem'))];
    const result = await avb(verb, ...words.map((word) => word.replace('@', `${folder}/`)));
    expect(result).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('Cannot write --o'),
    });
    expect([readFileSync(at('boot.img')), readFileSync(at('key.pem'))]).toEqual(before);
    expect(existsSync(at('x'))).toBe(false);
  });

  test('a private key that others may read signs nothing, but its public half is taken', async () => {
    writeFileSync(at('open.pem'), readFileSync(at('key.pem')), { mode: 0o644 });
    const key = ['--key', at('open.pem')];
    const signed = ['--output', at('v.img'), '--algorithm', 'SHA256_RSA2048', ...key];
    const { status, stderr } = await avb('make_vbmeta_image', ...signed);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/chmod 600/)]);
    expect((await avb('extract_public_key', ...key, '--output', at('pk'))).status).toBe(0);
    expect(readFileSync(at('pk'))).toHaveLength(520);
  });

  test('generates test images of any size without holding them', async () => {
    await json(
      'generate_test_image',
      '--image_size',
      '3000000',
      '--start_byte',
      '7',
      '--output',
      at('t'),
    );
    const bytes = readFileSync(at('t'));
    expect([bytes.length, bytes[0], bytes[249], bytes[2_999_999]]).toEqual([
      3_000_000,
      7,
      0,
      (7 + 2_999_999) & 0xff,
    ]);
  });

  test('lists its verbs, and each tells its options', async () => {
    const sandbox = openSandbox();
    try {
      const list = await sandbox.microbuild(['avb', '--help']);
      expect(list.status).toBe(0);
      for (const { name } of avbCommands.commands) expect(list.stdout).toContain(`avb ${name}`);
      const help = await sandbox.microbuild(['avb', 'add_hashtree_footer', '--help']);
      expect(help.stdout).toContain('--fec_num_roots');
      expect(help.stdout).not.toContain('internal_release_string');
    } finally {
      sandbox.dispose();
    }
  });
});
