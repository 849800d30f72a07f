/** `sign extract`, `sign replace` and `sign compare` as a user meets them. */

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { avbCommands } from '../../../../src/cli/commands/avb/group.ts';
import { loadSignGroup } from '../../../../src/cli/commands/sign/group.ts';
import { runCommandLine } from '../../../../src/cli/command.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';
import { sign, testApk } from '../../signing/apk/fixtures.ts';
import type { Run } from './bench.ts';

const signCommands = await loadSignGroup();

/** Made once: keys take long. */
const pems = ([2048, 4096] as const).map((modulusLength, index) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  return [index === 0 ? 'one.pem' : 'two.pem', pem] as const;
});

let folder: string;
const at = (name: string): string => join(folder, name);
beforeEach(() => {
  folder = tmpDir();
});

async function microbuild(...words: string[]): Promise<Run> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(words, [signCommands, avbCommands], {
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

async function succeed(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await microbuild(...words);
  expect([status, stderr]).toEqual([0, '']);
  return stdout;
}

const bytes = (name: string): Buffer => readFileSync(at(name));

describe('of an APK', () => {
  beforeEach(async () => {
    const build = await testApk();
    writeFileSync(at('build.apk'), build);
    writeFileSync(at('app.apk'), (await sign(build)).apk);
  });

  test('the signature is taken out, and put onto a build of the same', async () => {
    expect(await succeed('sign', 'extract', at('app.apk'), '-o', at('app.sig'))).toContain(
      'APK Signing Block of 4096 bytes',
    );
    const words = ['sign', 'replace', at('build.apk'), at('app.sig'), '-o', at('again.apk')];
    expect(await succeed(...words)).toContain('byte for byte');
    expect(bytes('again.apk').equals(bytes('app.apk'))).toBe(true);
    // The signed APK itself will do, too.
    await succeed('sign', 'replace', at('build.apk'), at('app.apk'), '-o', at('third.apk'));
    expect(bytes('third.apk').equals(bytes('app.apk'))).toBe(true);
  });

  test('a rebuild is compared with the release, or with its signature', async () => {
    await succeed('sign', 'extract', at('app.apk'), '-o', at('app.sig'));
    for (const release of ['app.apk', 'app.sig']) {
      const out = await succeed('sign', 'compare', at(release), at('build.apk'), '--json');
      expect(JSON.parse(out)).toMatchObject({ sameContent: true, sameSignature: false });
    }
    writeFileSync(at('other.apk'), await testApk([]));
    const run = await microbuild('sign', 'compare', at('app.sig'), at('other.apk'));
    expect([run.status, run.stdout]).toEqual([
      1,
      expect.stringContaining('lib/x86_64/libhello.so: it is missing'),
    ]);
  });

  test('nothing is written where it does not fit, or there is none', async () => {
    writeFileSync(at('other.apk'), await testApk([]));
    const words = ['sign', 'replace', at('other.apk'), at('app.apk'), '-o', at('out.apk')];
    expect((await microbuild(...words)).status).toBe(3);
    const none = ['sign', 'replace', at('app.apk'), at('build.apk'), '-o', at('out.apk')];
    expect((await microbuild(...none)).stderr).toContain('has no signature');
    const extract = await microbuild('sign', 'extract', at('build.apk'), '-o', at('out.apk'));
    expect(extract.stderr).toContain('has no signature');
    const onto = ['sign', 'replace', at('app.apk'), at('app.apk'), '-o', at('app.apk')];
    expect((await microbuild(...onto)).status).toBe(2);
    expect(existsSync(at('out.apk'))).toBe(false);
  });
});

describe('of an image', () => {
  beforeEach(async () => {
    for (const [name, pem] of pems) writeFileSync(at(name), pem, { mode: 0o600 });
    writeFileSync(at('one.img'), Buffer.alloc(8192, 7));
    const footer = ['--image', at('one.img'), '--partition_name', 'boot', '--salt', '00'];
    const sized = ['--partition_size', '131072', '--key', at('one.pem')];
    const algorithm = ['--algorithm', 'SHA256_RSA2048'];
    await succeed('avb', 'add_hash_footer', ...footer, ...sized, ...algorithm);
    await succeed('sign', 'image', at('one.img'), '--key', at('two.pem'), '-o', at('two.img'));
  });

  test('the vbmeta is taken out, and put onto the same image, signed by others before', async () => {
    expect(await succeed('sign', 'extract', at('two.img'), '-o', at('two.vbmeta'))).toContain(
      'SHA256_RSA4096',
    );
    await succeed('sign', 'replace', at('one.img'), at('two.vbmeta'), '-o', at('again.img'));
    expect(bytes('again.img').equals(bytes('two.img'))).toBe(true);
    await succeed('sign', 'replace', at('two.img'), at('one.img'), '-o', at('back.img'));
    expect(bytes('back.img').equals(bytes('one.img'))).toBe(true);
  });

  test('a vbmeta image takes the vbmeta of another key, padded as it was', async () => {
    await succeed('sign', 'extract', at('one.img'), '-o', at('one.vbmeta'));
    await succeed('sign', 'extract', at('two.img'), '-o', at('two.vbmeta'));
    const padded = Buffer.concat([bytes('one.vbmeta'), Buffer.alloc(4096)]);
    writeFileSync(at('padded.vbmeta'), padded);
    await succeed('sign', 'replace', at('padded.vbmeta'), at('two.vbmeta'), '-o', at('out'));
    expect(bytes('out').length).toBe(padded.length);
    expect(bytes('out').subarray(0, bytes('two.vbmeta').length)).toEqual(bytes('two.vbmeta'));
  });

  test('images that say or hold something else are told from it', async () => {
    const same = await succeed('sign', 'compare', at('one.img'), at('two.img'), '--json');
    expect(JSON.parse(same)).toMatchObject({
      sameContent: true,
      sameSignature: false,
      signatureDifferences: [
        { path: 'algorithm', what: 'SHA256_RSA2048 in one, SHA256_RSA4096 in the other' },
        { path: 'publicKey' },
        { path: 'signature' },
      ],
    });
    const resign = ['sign', 'image', at('two.img'), '--key', at('two.pem'), '-o', at('next.img')];
    await succeed(...resign, '--rollback-index', '9', '--prop', 'a:b');
    const other = await microbuild('sign', 'compare', at('two.img'), at('next.img'));
    expect(other.status).toBe(1);
    expect(other.stdout).toContain('rollbackIndex: 0 in one, 9 in the other');
    expect(other.stdout).toContain('property a: it was added');
    const replaced = ['sign', 'replace', at('two.img'), at('next.img'), '-o', at('out')];
    expect((await microbuild(...replaced)).status).toBe(3);
    const changed = bytes('two.img');
    changed[5000] = 1;
    writeFileSync(at('changed.img'), changed);
    const data = await microbuild('sign', 'compare', at('two.img'), at('changed.img'));
    expect(data.stdout).toContain('its bytes differ from offset 5000 on');
    expect(existsSync(at('out'))).toBe(false);
  });

  test('a vbmeta whose signature is broken is neither taken out nor put in', async () => {
    await succeed('sign', 'extract', at('two.img'), '-o', at('two.vbmeta'));
    const broken = bytes('two.vbmeta');
    broken[300] = (broken[300] ?? 0) ^ 1;
    writeFileSync(at('broken.vbmeta'), broken);
    const replace = ['sign', 'replace', at('two.img'), at('broken.vbmeta'), '-o', at('out')];
    expect((await microbuild(...replace)).status).toBe(3);
    const extract = ['sign', 'extract', at('broken.vbmeta'), '-o', at('out')];
    expect((await microbuild(...extract)).status).toBe(3);
    expect(existsSync(at('out'))).toBe(false);
  });
});

test('what is neither is refused, with what is known', async () => {
  writeFileSync(at('a'), 'neither');
  writeFileSync(at('empty'), '');
  for (const name of ['a', 'empty']) {
    const run = await microbuild('sign', 'extract', at(name), '-o', at('out'));
    expect([run.status, run.stderr]).toEqual([2, expect.stringContaining('Known are APKs')]);
  }
  writeFileSync(at('app.apk'), await testApk());
  writeFileSync(at('vbmeta.img'), `AVB0${'\0'.repeat(300)}`);
  const mixed = await microbuild('sign', 'compare', at('app.apk'), at('vbmeta.img'));
  expect(mixed.stderr).toContain('different kinds');
});
