/** Bundles as folders and as archives: what is opened, what is refused, and what is never replaced. */

import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { openBundleFiles } from '../../../src/bundle/files.ts';
import { formatManifest, type Manifest } from '../../../src/bundle/manifest.ts';
import { materializeInterfaces } from '../../../src/bundle/materialize.ts';
import { openBundle } from '../../../src/bundle/open.ts';
import { vmConfig } from '../../../src/bundle/vm-config.ts';
import { writeBundle } from '../../../src/bundle/write.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

let folder: string;
const at = (name: string): string => join(folder, name);
beforeEach(() => {
  folder = tmpDir();
});

const FILES = ['kernel', 'initrd.img', 'os.img', 'payload.img', 'interfaces/IHello.aidl'];
const digest = 'ab'.repeat(32);
const manifest = {
  schemaVersion: 1,
  name: 'hello',
  arch: 'x86_64',
  release: 'release',
  keys: {
    image: { sha256: digest, development: false },
    payload: { sha256: digest, development: false },
  },
  payload: { rpcPort: null, interfaces: ['interfaces/IHello.aidl'] },
  files: [...FILES, 'vm.json'].map((path) => ({ path, size: 1, sha256: digest })),
} as unknown as Manifest;

/** Writes a bundle that opens, though nothing in it is signed. */
const write = (name: string, more: Readonly<Record<string, string>> = {}): Promise<void> =>
  writeBundle(at(name), (to) => {
    mkdirSync(join(to, 'interfaces'));
    for (const file of FILES) writeFileSync(join(to, file), file);
    const vm = { name: 'hello', memoryMib: 128, cpus: 1, debuggable: false };
    writeFileSync(join(to, 'vm.json'), JSON.stringify(vmConfig(vm)));
    writeFileSync(join(to, 'manifest.json'), formatManifest(manifest));
    for (const [file, content] of Object.entries(more)) writeFileSync(join(to, file), content);
    return Promise.resolve();
  });

test('attestations in the folder of a bundle are no part of it', async () => {
  await write('folder');
  mkdirSync(at('folder/attestations'));
  writeFileSync(at('folder/attestations/sbom.json'), '{}');
  const files = await openBundleFiles(at('folder'));
  expect(files.names).toEqual([...FILES, 'manifest.json', 'vm.json'].sort());
  await files.close();
});

describe.each(['folder', 'file.mbundle'])('a bundle as %s', (name) => {
  test('has its files by name, and their places on disk', async () => {
    await write(name);
    const files = await openBundleFiles(at(name));
    expect(files.names).toEqual([...FILES, 'manifest.json', 'vm.json'].sort());
    for (const file of FILES) {
      const source = await files.open(file);
      expect(Buffer.from(await source.read(0, source.size)).toString()).toBe(file);
      const { path, offset, size } = await files.place(file);
      expect(readFileSync(path).toString('latin1', offset, offset + size)).toBe(file);
      expect(offset % 4096).toBe(0);
    }
    await expect(files.open('nothing')).rejects.toMatchObject({ code: 'input' });
    await expect(files.place('nothing')).rejects.toMatchObject({ code: 'input' });
    await files.close();
  });

  test('gives its interfaces as files', async () => {
    await write(name);
    const bundle = await openBundle(at(name));
    const made = await materializeInterfaces(bundle, () => {
      mkdirSync(at('scratch'));
      return Promise.resolve(at('scratch'));
    });
    await bundle.close();
    expect(readdirSync(made)).toEqual(['IHello.aidl']);
    expect(existsSync(at('scratch'))).toBe(bundle.isArchive);
    if (bundle.isArchive) expect(readdirSync(at('scratch'))).toEqual(['interfaces']);
  });

  test('is written whole or not at all, and replaces nothing but a bundle', async () => {
    const failing = writeBundle(at(name), (to) => {
      writeFileSync(join(to, 'kernel'), 'half');
      return Promise.reject(new Error('no'));
    });
    await expect(failing).rejects.toThrow('no');
    expect(readdirSync(folder)).toEqual([]);
    await write(name);
    await write(name);
    expect(readdirSync(folder)).toEqual([name]);
  });

  test('is written where a link leads, which stays', async () => {
    mkdirSync(at('links'));
    const link = `links/${name}`;
    symlinkSync(`../${name}`, at(link));
    for (let count = 0; count < 2; count += 1) {
      await write(link);
      await (await openBundle(at(name))).close();
      expect(lstatSync(at(link)).isSymbolicLink()).toBe(true);
      expect(readdirSync(folder).toSorted()).toEqual([name, 'links'].toSorted());
    }
  });
});

describe('what is no bundle', () => {
  test('is not replaced by one', async () => {
    mkdirSync(at('precious'));
    writeFileSync(at('precious/thesis'), 'x');
    // As a web application has one.
    writeFileSync(at('precious/manifest.json'), '{"name":"precious"}');
    writeFileSync(at('thesis.mbundle'), 'x'.repeat(20_000));
    writeFileSync(at('thesis'), 'x');
    mkdirSync(at('folder.mbundle'));
    symlinkSync('nothing.mbundle', at('link'));
    symlinkSync('nothing', at('link.mbundle'));
    const links = ['link', 'link.mbundle'];
    for (const name of ['precious', 'thesis.mbundle', 'thesis', 'folder.mbundle', ...links]) {
      await expect(write(name)).rejects.toMatchObject({ code: 'output' });
    }
    expect(readFileSync(at('precious/thesis'), 'latin1')).toBe('x');
    // It could be told from others only when all was made: nothing takes its place.
    await expect(writeBundle('/proc', () => Promise.resolve())).rejects.toThrow('a mount point');
    mkdirSync(at('empty'));
    await write('empty');
    expect(readdirSync(at('empty'))).toContain('kernel');
  });

  test('is told from one that is not there', async () => {
    writeFileSync(at('other'), 'x'.repeat(20_000));
    await expect(openBundle(at('other'))).rejects.toMatchObject({
      format: 'mbundle',
      hint: expect.stringContaining('tar') as string,
    });
    await expect(openBundle(at('nothing'))).rejects.toMatchObject({ code: 'input' });
    mkdirSync(at('empty'));
    await expect(openBundle(at('empty'))).rejects.toThrow(/it has no vm.json/);
  });
});

test('an archive holds nothing that its manifest does not list', async () => {
  await write('more.mbundle', { 'manifest.dsse.json': '{}' });
  await (await openBundle(at('more.mbundle'))).close();
  await write('strange.mbundle', { extra: 'x' });
  await expect(openBundle(at('strange.mbundle'))).rejects.toMatchObject({ field: 'extra' });
});

test('folders of a bundle can be read by who can read the bundle, whatever the umask is', async () => {
  const before = process.umask(0o077);
  onTestFinished(() => void process.umask(before));
  await write('private');
  expect(statSync(at('private/interfaces')).mode & 0o777).toBe(0o755);
  process.umask(0);
  await write('private');
  expect(statSync(at('private/interfaces')).mode & 0o777).toBe(0o755);
});

test('links in a folder do not get into an archive', async () => {
  await writeBundle(at('linked.mbundle'), (to) => {
    writeFileSync(join(to, 'kernel'), 'k');
    symlinkSync('/etc/passwd', join(to, 'initrd.img'));
    return Promise.resolve();
  });
  const files = await openBundleFiles(at('linked.mbundle'));
  expect(files.names).toEqual(['kernel']);
  await files.close();
});
