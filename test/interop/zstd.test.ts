import { describe, expect, it } from 'vitest';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createZstdCompressor } from '../../src/compression/zstd/compressor.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

describe('our Zstandard frames and zstd', () => {
  it.each([
    ['text', 'package-lock.json', 65536],
    ['text in small clusters', 'package-lock.json', 4096],
    ['a program', process.execPath, 65536],
  ])('decodes %s', async (_name, path, clusterSize) => {
    const input = readFileSync(path).subarray(0, 1 << 20);
    const [result] = await createZstdCompressor(9).compress([input], {
      blockSize: 4096,
      clusterSize,
    });
    const dir = tmpDir();
    // Frames may follow one another, and plain extents are put between by hand.
    const parts: Buffer[] = [];
    let at = 0;
    let frames: Uint8Array[] = [];
    const decodeFrames = (): void => {
      if (frames.length === 0) return;
      writeFileSync(join(dir, 'frames.zst'), Buffer.concat(frames));
      const args = ['-q', '-f', '-d', 'frames.zst', '-o', 'out'];
      expect(runTool('zstd', args, { cwd: dir })).toMatchObject({ status: 0, stderr: '' });
      parts.push(readFileSync(join(dir, 'out')));
      frames = [];
    };
    for (const { isPlain, storedLength } of result?.extents ?? []) {
      const stored = result?.bytes.subarray(at, at + storedLength) ?? new Uint8Array(0);
      at += storedLength;
      if (isPlain) {
        decodeFrames();
        parts.push(Buffer.from(stored));
      } else frames.push(stored);
    }
    decodeFrames();
    expect(Buffer.compare(Buffer.concat(parts), input)).toBe(0);
  });
});
