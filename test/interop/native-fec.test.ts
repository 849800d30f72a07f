/** Parity made by the native library against cryptsetup's veritysetup. */

import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createNativeFecEncoder } from '../../src/native/fec-encoder.ts';
import { loadNativeLibrary } from '../../src/native/library.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const library = await loadNativeLibrary();
if (library === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

describe.skipIf(library === undefined)('veritysetup', () => {
  test.each([
    { roots: 2, blocks: 1100 },
    { roots: 2, blocks: 1 },
    { roots: 3, blocks: 700 },
    { roots: 24, blocks: 500 },
  ])('$roots roots over $blocks blocks and their tree: the same parity', async (shape) => {
    const { roots, blocks } = shape;
    const dir = tmpDir();
    const [data, tree, fec] = ['data', 'tree', 'fec'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(data, randomBytes(blocks * 4096));
    const format = runTool('veritysetup', [
      'format',
      '--no-superblock',
      '--salt=-',
      `--fec-device=${fec}`,
      `--fec-roots=${roots}`,
      data,
      tree,
    ]);
    expect(format).toMatchObject({ status: 0 });

    const ranges = [data, tree].map((path) => ({
      fd: openSync(path, 'r'),
      offset: 0,
      length: readFileSync(path).length,
    }));
    const length = ranges.reduce((sum, range) => sum + range.length, 0);
    const rowSize = Math.ceil(length / 4096 / (255 - roots)) * 4096;
    const parity = new Uint8Array(rowSize * roots);
    const encoder = createNativeFecEncoder(library as NonNullable<typeof library>);
    await encoder.encodeFiles?.(roots, ranges, rowSize, 0, rowSize, parity);
    for (const { fd } of ranges) closeSync(fd);
    expect(readFileSync(fec).equals(parity)).toBe(true);
  });
});
