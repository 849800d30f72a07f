/** Compressed images are as small as those that mkfs.erofs makes of the same tree at the same level. */

import { cpSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createLz4Compressor } from '../../src/compression/lz4/compressor.ts';
import { writeCompressedErofs } from '../../src/formats/erofs/compressed-writer.ts';
import { readDiskTree } from '../../src/io/disk-tree.ts';
import { createFileSink } from '../../src/io/image-sink.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';
import { expectReadsBack } from './judge-erofs.ts';

/** Some 20 MB of code that every development tree has. */
const tree = mkdtempSync(join(tmpdir(), 'mb-size-'));
afterAll(() => rmSync(tree, { recursive: true }));
for (const name of ['zod', 'knip', 'vite', 'vitest', 'typescript', 'oxlint']) {
  cpSync(join('node_modules', name), join(tree, name), { recursive: true });
}
const MTIME = 7;

async function ourImage(clusterSize: number, tails: 'inline' | 'blocks'): Promise<string> {
  const image = join(tmpDir(), 'ours.erofs');
  const sink = await createFileSink(image);
  const compressor = createLz4Compressor({ level: 9 });
  const root = await readDiskTree(tree, MTIME);
  const uuid = new Uint8Array(16);
  const options = { buildTime: MTIME, uuid, compressor, clusterSize, tails };
  await writeCompressedErofs(root, options, sink);
  await sink.close();
  return image;
}

describe('LZ4 HC of level 9', () => {
  test.each([
    [4096, 'blocks', []],
    [4096, 'inline', ['-Eztailpacking']],
    [65536, 'blocks', []],
    [65536, 'inline', ['-Eztailpacking']],
  ] as const)(
    'in clusters of %i with tails in %s takes at most 1 %% more',
    async (clusterSize, tails, more) => {
      const ours = await ourImage(clusterSize, tails);
      const theirs = join(tmpDir(), 'theirs.erofs');
      const settings = ['--all-root', `-T${MTIME}`, '-zlz4hc,9', `-C${clusterSize}`, ...more];
      expect(runTool('mkfs.erofs', [...settings, theirs, tree]).status).toBe(0);
      expect(statSync(ours).size / statSync(theirs).size).toBeLessThan(1.01);
      await expectReadsBack(ours, await readDiskTree(tree, MTIME));
    },
  );
});
