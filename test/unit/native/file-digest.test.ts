import { createHash } from 'node:crypto';
import { truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestFile } from '../../../src/cache/store.ts';
import {
  createNativeFileDigester,
  createNativeRangeDigester,
} from '../../../src/native/file-digest.ts';
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

describe.skipIf(library === undefined)('createNativeRangeDigester()', () => {
  const SIZE = 600_000;
  const bytes = testBytes(SIZE);
  const withFile = async <T>(use: (fd: number) => Promise<T>): Promise<T> => {
    const path = join(tmpDir(), 'file');
    writeFileSync(path, bytes);
    const file = await open(path);
    try {
      return await use(file.fd);
    } finally {
      await file.close();
    }
  };
  const digester = () => createNativeRangeDigester(library as NativeLibrary);

  it('gives the digest of each range, wherever it begins and whatever else has its bytes', async () => {
    const place = fc.oneof(fc.nat({ max: SIZE }), fc.constantFrom(0, 64, 4096, 262_144, SIZE));
    await withFile((fd) =>
      fc.assert(
        fc.asyncProperty(fc.array(fc.tuple(place, place), { maxLength: 12 }), async (places) => {
          const ranges = places.map(([a, b]) => ({
            offset: Math.min(a, b),
            size: Math.abs(a - b),
          }));
          const expected = ranges.map(({ offset, size }) =>
            createHash('sha256')
              .update(bytes.subarray(offset, offset + size))
              .digest('hex'),
          );
          expect(await digester()(fd, ranges)).toEqual(expected);
        }),
        { numRuns: 40 },
      ),
    );
  });

  it('takes more ranges than the library does at once', async () => {
    const ranges = Array.from({ length: 1500 }, (_, index) => ({ offset: index * 64, size: 1 }));
    const digests = await withFile((fd) => digester()(fd, ranges));
    const of = (index: number): string =>
      createHash('sha256')
        .update(bytes.subarray(index * 64, index * 64 + 1))
        .digest('hex');
    expect([digests.length, digests[0], digests[1499]]).toEqual([1500, of(0), of(1499)]);
  });

  it('refuses a range that is not in the file', async () => {
    const refused = withFile((fd) => digester()(fd, [{ offset: 1, size: SIZE }]));
    await expect(refused).rejects.toMatchObject({ format: 'file', code: 'truncated' });
  });
});
