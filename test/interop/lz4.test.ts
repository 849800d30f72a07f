/** lz4 decodes what we compress; mkfs.erofs is who we are measured against. */

import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { ClusterCompressor } from '../../src/compression/cluster-compressor.ts';
import { createLz4Compressor } from '../../src/compression/lz4/compressor.ts';
import { createNativeClusterCompressor } from '../../src/native/clusters.ts';
import { loadNativeLibrary } from '../../src/native/library.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const library = await loadNativeLibrary();
const compressorAt = (level: number | undefined): ClusterCompressor =>
  library === undefined
    ? createLz4Compressor({ level })
    : createNativeClusterCompressor(library, level === undefined ? 'lz4' : 'lz4hc', level ?? 0);

function head(path: string, size: number): Uint8Array {
  const file = openSync(path, 'r');
  const bytes = new Uint8Array(size);
  const length = readSync(file, bytes);
  closeSync(file);
  return bytes.subarray(0, length);
}

function sources(): Uint8Array {
  const folder = fileURLToPath(new URL('../../src', import.meta.url));
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  const files = names.filter((name) => name.endsWith('.ts'));
  return new Uint8Array(Buffer.concat(files.map((name) => readFileSync(join(folder, name)))));
}

/** Machine code and source code: what images hold. */
const inputs = {
  program: head(process.execPath, 6_000_000),
  source: sources(),
};

const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
};

test.each([undefined, 1, 9, 12])('lz4 decodes each cluster, at level %s', async (level) => {
  const options = { blockSize: 4096, clusterSize: 16384 };
  const all = await compressorAt(level).compress(Object.values(inputs), options);
  for (const [index, { extents, bytes }] of all.entries()) {
    const parts: Uint8Array[] = [u32(0x184c2102)];
    const expected: Uint8Array[] = [];
    const input = Object.values(inputs)[index] as Uint8Array;
    let at = 0;
    let from = 0;
    for (const { isPlain, length, storedLength } of extents) {
      const stored = bytes.subarray(at, at + storedLength);
      if (!isPlain) {
        // A block of a legacy stream is a block and nothing else.
        parts.push(u32(storedLength), stored);
        expected.push(input.subarray(from, from + length));
      }
      at += storedLength;
      from += length;
    }
    const folder = tmpDir();
    writeFileSync(join(folder, 'in'), Buffer.concat(parts));
    const { status, stderr } = runTool('lz4', ['-d', '-f', '-q', 'in', 'out'], { cwd: folder });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(expected.length).toBeGreaterThan(20);
    expect(Buffer.compare(readFileSync(join(folder, 'out')), Buffer.concat(expected))).toBe(0);
  }
});

describe.each([4096, 65536])('in clusters of %d bytes', (clusterSize) => {
  test.each([undefined, 3, 9, 12])(
    'files take at most a hundredth more than mkfs.erofs makes of them, at level %s',
    async (level) => {
      const folder = tmpDir();
      mkdirSync(join(folder, 'tree'));
      for (const [name, bytes] of Object.entries(inputs)) {
        writeFileSync(join(folder, 'tree', name), bytes);
      }
      const algorithm = level === undefined ? '-zlz4' : `-zlz4hc,${level}`;
      const args = ['-T0', algorithm, `-C${clusterSize}`, 'image', 'tree'];
      expect(runTool('mkfs.erofs', args, { cwd: folder }).status).toBe(0);
      let theirs = 0;
      for (const name of Object.keys(inputs)) {
        const { stdout } = runTool('dump.erofs', [`--path=/${name}`, 'image'], { cwd: folder });
        const [, size] = /On-disk size: (\d+)/.exec(stdout) ?? [];
        expect(size).toBeDefined();
        theirs += Number(size);
      }
      let ours = 0;
      const options = { blockSize: 4096, clusterSize };
      for (const { extents } of await compressorAt(level).compress(
        Object.values(inputs),
        options,
      )) {
        for (const { storedLength } of extents) ours += Math.ceil(storedLength / 4096) * 4096;
      }
      expect(ours).toBeLessThanOrEqual(theirs * 1.01);
    },
  );
});
