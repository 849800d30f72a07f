import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestFile } from '../../../src/cache/store.ts';
import { createNativeFileDigester } from '../../../src/native/file-digest.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { tmpDir } from '../../support/tmp-dir.ts';
import { testBytes } from '../formats/erofs/trees.ts';

const library = await loadNativeLibrary();

describe.skipIf(library === undefined)('createNativeFileDigester()', () => {
  const digester = () => createNativeFileDigester(library as NativeLibrary);

  it.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 262_143, 262_144, 262_145, 1_000_000])(
    'gives the digest of a file of %i bytes that node:crypto gives',
    async (size) => {
      const path = join(tmpDir(), 'file');
      writeFileSync(path, testBytes(size));
      expect(await digester()(path)).toEqual(await digestFile(path));
    },
  );

  it('reads holes as zeros', async () => {
    const path = join(tmpDir(), 'file');
    writeFileSync(path, 'begin');
    truncateSync(path, 3_000_001);
    expect(await digester()(path)).toEqual(await digestFile(path));
  });

  it('throws the error of the system when there is no such file', async () => {
    await expect(digester()(join(tmpDir(), 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(digester()(tmpDir())).rejects.toMatchObject({ code: 'EISDIR' });
  });
});
