import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/core/errors.ts';
import { readDiskTree, readExactTree, type DiskScanner } from '../../../src/io/disk-tree.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { createNativeScanner } from '../../../src/native/scan-tree.ts';
import { tmpDir } from '../../support/tmp-dir.ts';
import { runTool } from '../../support/tools.ts';
import { describeTree } from '../formats/erofs/trees.ts';

const built = await loadNativeLibrary();
if (built === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

/** A folder with every kind of entry that needs no rights. */
function sampleFolder(): string {
  const root = tmpDir();
  mkdirSync(join(root, 'deep/er/and deeper'), { recursive: true });
  mkdirSync(join(root, 'empty'), { mode: 0o700 });
  mkdirSync(join(root, 'many'));
  for (let i = 0; i < 1000; i += 1) writeFileSync(join(root, 'many', `${i}`), `${i}`);
  writeFileSync(join(root, 'deep/script'), '#!/bin/sh\n');
  chmodSync(join(root, 'deep/script'), 0o4755);
  writeFileSync(join(root, 'ä 😀 \ufffd'), 'text');
  linkSync(join(root, 'deep/script'), join(root, 'linked'));
  symlinkSync('nowhere/ä', join(root, 'deep/er/link'));
  utimesSync(join(root, 'linked'), -5.5, -5.5);
  utimesSync(join(root, 'many'), 5_000_000_000, 5_000_000_000.25);
  lutimesSync(join(root, 'deep/er/link'), 1, 1.125);
  runTool('mkfifo', [join(root, 'fifo')]);
  return root;
}

describe.skipIf(built === undefined)('createNativeScanner()', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });

  it('finds what the twin finds, with any number of threads', async () => {
    const folder = sampleFolder();
    const twin = await readExactTree(folder);
    const expected = await describeTree(twin);
    expect(Object.keys(expected).length).toBeGreaterThan(1005);
    for (const threads of [1, 2, 7]) {
      const scan = createNativeScanner(library, threads);
      const tree = await readExactTree(folder, { scan });
      expect(await describeTree(tree)).toEqual(expected);
      expect([...tree.children.keys()]).toEqual([...twin.children.keys()]);
    }
  });

  it('makes the same plain tree', async () => {
    const folder = join(sampleFolder(), 'deep');
    const native = await readDiskTree(folder, 7, createNativeScanner(library));
    expect(await describeTree(native)).toEqual(await describeTree(await readDiskTree(folder, 7)));
  });

  it('finds random trees as the twin does', async () => {
    const name = fc.stringMatching(/^[a-zA-Z0-9 !.-]{1,20}$/).filter((text) => !/^\.+$/.test(text));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(name, { minLength: 1, maxLength: 4 }), { maxLength: 30 }),
        async (paths) => {
          const folder = tmpDir();
          for (const path of paths) mkdirSync(join(folder, ...path), { recursive: true });
          const [native, twin] = await Promise.all([
            readExactTree(folder, { scan: createNativeScanner(library) }),
            readExactTree(folder),
          ]);
          expect(await describeTree(native)).toEqual(await describeTree(twin));
        },
      ),
      { numRuns: 20 },
    );
  });

  const scanners: [string, () => DiskScanner | undefined][] = [
    ['the library', () => createNativeScanner(library)],
    ['the twin', () => undefined],
  ];
  it.each(scanners)('refuses a name that is not UTF-8 by its place: %s', async (_, scanner) => {
    const folder = tmpDir();
    mkdirSync(join(folder, 'sub'));
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/sub/`), Buffer.from([0x61, 0xff])]), '');
    const scan = scanner();
    await expect(readExactTree(folder, { scan })).rejects.toThrow(UsageError);
    await expect(readExactTree(folder, { scan })).rejects.toThrow(/sub\/a.*not UTF-8/);
    const tree = await readExactTree(folder, { scan, exclude: (path) => path === '/sub' });
    expect(tree.children.size).toBe(0);
  });

  it.each(scanners)('refuses a target that is not UTF-8: %s', async (_, scanner) => {
    const folder = tmpDir();
    symlinkSync(Buffer.from([0x61, 0xff]), join(folder, 'link'));
    await expect(readExactTree(folder, { scan: scanner() })).rejects.toThrow(/link.*not UTF-8/);
  });

  it.each(scanners)('says what is not there, and what is no folder: %s', async (_, scanner) => {
    const file = join(tmpDir(), 'file');
    writeFileSync(file, '');
    const scan = scanner();
    await expect(readExactTree('/nowhere/at all', { scan })).rejects.toMatchObject({
      code: 'ENOENT',
    });
    await expect(readExactTree(file, { scan })).rejects.toThrow(/is not a folder/);
  });

  it('reads extended attributes, which the twin says it cannot', async () => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'file'), '');
    const set = runTool('setfattr', ['-n', 'user.test', '-v', 'value ä', join(folder, 'file')]);
    expect(set.stderr).toBe('');
    const large = 'v'.repeat(3000);
    runTool('setfattr', ['-n', 'user.large', '-v', large, folder]);
    const tree = await readExactTree(folder, { xattrs: true, scan: createNativeScanner(library) });
    expect(tree.children.get('file')?.xattrs).toEqual(
      new Map([['user.test', new Uint8Array(Buffer.from('value ä'))]]),
    );
    expect(tree.xattrs.get('user.large')).toEqual(new Uint8Array(Buffer.from(large)));
    await expect(readExactTree(folder, { xattrs: true })).rejects.toMatchObject({ code: 'usage' });
  });
});
