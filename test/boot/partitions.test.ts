/** Partitions beside the system: what is damaged there is corrected or ends the machine, and what is not pinned is not mounted. */

import { generateKeyPairSync } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Manifest } from '../../src/bundle/manifest.ts';
import { openBundle } from '../../src/bundle/open.ts';
import { verifyPinnedVbmeta } from '../../src/signing/avb/verify-pinned.ts';
import { decodeInitrd } from '../../src/formats/boot-image/initrd.ts';
import { fromHex } from '../../src/core/digest.ts';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { edit } from '../support/recipes.ts';
import { bundleFile, copyBundle, flipByte, partitionOf, relabel } from '../support/tamper.ts';

let sandbox: Sandbox;
/** With error correction, and the same without. */
let bundle: string;
let plain: string;
const at = (name: string): string => join(sandbox.folder, name);

async function image(name: string, edits: Parameters<typeof edit>[1]): Promise<string> {
  cpSync('recipes/vendor', at(name), { recursive: true });
  edit(join(at(name), 'microbuild.yaml'), edits);
  const path = at(`${name}-bundle`);
  const { status, stderr } = await sandbox.microbuild(['image', at(name), '-o', path]);
  expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  return path;
}

beforeAll(async () => {
  sandbox = openSandbox();
  bundle = await image('fec', []);
  plain = await image('plain', [['verity: { fec: true }', 'verity: { fec: false }']]);
});
afterAll(() => sandbox.dispose());

const run = (path: string, ...options: readonly string[]): Promise<CliResult> =>
  sandbox.microbuild(['run', path, '--payload=probe', '--timeout=120', ...options]);

/** A copy of a bundle, damaged. */
async function damaged(
  from: string,
  name: string,
  damage: (os: string) => Promise<void>,
): Promise<string> {
  const path = copyBundle(from, at(name));
  await damage(bundleFile(path, 'os'));
  return path;
}

/** Bytes of `vendor_a` that the tests damage: in a file that the payload reads, and where error correction begins. */
async function placesOf(path: string): Promise<{ data: number; parity: number }> {
  const os = bundleFile(path, 'os');
  const { offset } = await partitionOf(os, 'vendor_a');
  // The bundle says where its hash trees are.
  const opened = await openBundle(path);
  try {
    const { bootconfig } = await decodeInitrd(opened.initrd);
    const value = (key: string): string =>
      bootconfig.find((entry) => entry.key === key)?.values[0] ?? '';
    const vbmeta = await opened.os.partition('vbmeta_a');
    const { partitions } = verifyPinnedVbmeta({
      vbmeta: await vbmeta.read(0, vbmeta.size),
      vbmetaDigest: fromHex(value('androidboot.vbmeta.digest')),
      vbmetaSize: Number(value('androidboot.vbmeta.size')),
      mounts: new Map([['vendor', value('microbuild.mount.vendor')]]),
    });
    const [vendor] = partitions;
    if (vendor === undefined) throw new Error('There is no vendor');
    const bytes = readFileSync(os).subarray(offset);
    // waves.bin has no compression to hide in.
    const start = bytes.indexOf(Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]));
    expect(start).toBeGreaterThan(0);
    return { data: offset + start + 100_000, parity: offset + vendor.descriptor.fecOffset };
  } finally {
    await opened.close();
  }
}

describe('a partition with error correction', () => {
  test('is in the manifest with its root digest', () => {
    const { chain, payloads } = JSON.parse(
      readFileSync(bundleFile(bundle, 'manifest'), 'utf8'),
    ) as Manifest;
    expect(Object.keys(chain.partitionRootDigests ?? {})).toEqual(['vendor']);
    expect(Object.keys(payloads ?? {})).toEqual(['probe']);
  });

  test('is whole for its payload after blocks of data and of the correction itself were damaged', async () => {
    const { data, parity } = await placesOf(bundle);
    const path = await damaged(bundle, 'corrected', async (os) => {
      for (const place of [data, data + 1, data + 5000, parity + 1000]) flipByte(os, place);
    });
    // The host does not correct: it says what is broken.
    const host = await run(path);
    expect(host.status).toBe(3);
    expect(host.stderr).toContain('Cannot verify vendor');
    const { status } = await run(path, '--verify=boot');
    expect(status).toBe(0);
    const { stdout } = await sandbox.microbuild(['logs', 'vendor-probe']);
    expect(stdout).toContain('waves.bin: 200000 bytes, f7047650daf4384f');
  });

  test('ends the machine when more is damaged than can be corrected', async () => {
    const { data } = await placesOf(bundle);
    // All of the file: every codeword has more errors than parity.
    const path = await damaged(bundle, 'lost', async (os) => {
      for (let block = -20; block < 20; block++) {
        for (let byte = 0; byte < 4096; byte += 64) flipByte(os, data + block * 4096 + byte);
      }
    });
    const { status, stderr } = await run(path, '--verify=boot');
    expect(status).toBe(126);
    expect(stderr).toContain('broken link: partition');
    expect(stderr).toMatch(/vendor_a: data block \d+ is corrupted/);
  });
});

describe('a partition without error correction', () => {
  test('ends the machine at the first damaged block that is read', async () => {
    const { data } = await placesOf(plain);
    const path = await damaged(plain, 'broken', async (os) => flipByte(os, data));
    const { status, stderr } = await run(path, '--verify=boot');
    expect(status).toBe(126);
    expect(stderr).toContain('broken link: partition');
    expect(stderr).toMatch(/vendor_a: data block \d+ is corrupted/);
  });

  test('is missed by host and guest when it is called otherwise', async () => {
    const path = await damaged(plain, 'renamed', async (os) => relabel(os, 'vendor_a', 'vendor_b'));
    const host = await run(path);
    expect([host.status, host.stderr]).toEqual([
      3,
      expect.stringContaining('does not describe its partition "vendor_b"'),
    ]);
    const guest = await run(path, '--verify=boot');
    expect(guest.status).toBe(126);
    expect(guest.stderr).toContain('broken link: partition');
    expect(guest.stderr).toContain('vendor: no partition vendor_a');
  });

  test('cannot be exchanged for another that the same key has signed', async () => {
    const path = await damaged(plain, 'exchanged', async (os) => {
      const [to, from] = [await partitionOf(os, 'vendor_a'), bundleFile(bundle, 'os')];
      const other = await partitionOf(from, 'system_a');
      const bytes = readFileSync(from).subarray(other.offset, other.offset + other.size);
      const disk = readFileSync(os);
      disk.set(bytes.subarray(0, to.size), to.offset);
      writeFileSync(os, disk);
    });
    const { status, stderr } = await run(path, '--verify=boot');
    expect(status).toBe(126);
    expect(stderr).toContain('broken link: partition');
  });
});

describe('payloads of one bundle', () => {
  test('are verified and signed anew together; each runs with its own new signature', async () => {
    mkdirSync(at('new'));
    for (const name of ['image', 'payload']) {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
      writeFileSync(at(`new/${name}.pem`), pem, { mode: 0o600 });
      writeFileSync(at(`new/${name}.pub`), publicKey.export({ format: 'pem', type: 'spki' }));
    }
    const signed = await sandbox.microbuild([
      'sign',
      'bundle',
      plain,
      '-o',
      at('signed'),
      `--image-key=${at('new/image.pem')}`,
      `--payload-key=${at('new/payload.pem')}`,
      '--json',
    ]);
    expect([signed.status, signed.status === 0 ? '' : signed.stderr]).toEqual([0, '']);
    const trust = `--trust=${at('new/image.pub')}`;
    const verified = await sandbox.microbuild(['verify', at('signed'), trust, '--json']);
    const { links } = JSON.parse(verified.stdout) as { links: { link: string; title: string }[] };
    expect(links.map(({ link }) => link).filter((link) => link === 'idsig')).toHaveLength(2);
    expect(links.map(({ title }) => title)).toContain('vbmeta_a → every block of vendor_a');
    expect(await run(at('signed'), trust)).toMatchObject({ status: 0 });
  });

  test('are told when another is asked for', async () => {
    const { status, stderr } = await sandbox.microbuild(['run', plain, '--payload=none']);
    expect(status).toBe(2);
    expect(stderr).toContain('no payload none');
    expect(stderr).toContain('It has probe');
  });

  test('a damaged one is no matter for those that run, and is told by verify', async () => {
    const path = copyBundle(plain, at('other'));
    const disk = join(path, 'payload-probe.img');
    const { offset } = await partitionOf(disk, 'microdroid-apk');
    flipByte(disk, offset + 5000);
    const verified = await sandbox.microbuild(['verify', path]);
    expect(verified.status).toBe(3);
    expect(verified.stderr).toContain('payload probe');
    expect((await run(path)).status).toBe(3);
    const own = await sandbox.microbuild(['run', path, '--timeout=120']);
    expect(own.status).toBe(0);
  });
});
