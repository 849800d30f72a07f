import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSparse, sparseSource } from '../../src/formats/sparse/reader.ts';
import { writeSparse } from '../../src/formats/sparse/writer.ts';
import { bytesSource, openFileSource } from '../../src/io/byte-source.ts';
import { createFileSink } from '../../src/io/image-sink.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

/** 3 MiB: noise, zeros, a repeating word, noise. */
function sample(): Uint8Array {
  const bytes = new Uint8Array(3 << 20);
  for (let at = 0; at < 1 << 20; at += 1) bytes[at] = (at * 2654435761) >>> 24;
  bytes.fill(0x5a, 2 << 20, (2 << 20) + (1 << 19));
  bytes.set(bytes.subarray(0, 1 << 18), bytes.length - (1 << 18));
  return bytes;
}

async function expand(path: string): Promise<Uint8Array> {
  const file = await openFileSource(path);
  try {
    const image = sparseSource(file, await readSparse(file));
    return await image.read(0, image.size);
  } finally {
    await file.close();
  }
}

describe('sparse images and libsparse', () => {
  it('expands what img2simg made, with any block size', async () => {
    const dir = tmpDir();
    const bytes = sample();
    await writeFile(join(dir, 'raw'), bytes);
    for (const blockSize of ['4096', '1024', '65536']) {
      const made = runTool('img2simg', ['raw', `s${blockSize}`, blockSize], { cwd: dir });
      expect(made).toMatchObject({ status: 0 });
      const path = join(dir, `s${blockSize}`);
      expect(Buffer.compare(await expand(path), bytes)).toBe(0);
    }
  });

  it('writes what simg2img expands to the same bytes', async () => {
    const dir = tmpDir();
    const bytes = sample();
    const sink = await createFileSink(join(dir, 'ours'));
    await writeSparse(bytesSource(bytes), sink);
    await sink.close();
    expect(runTool('simg2img', ['ours', 'raw'], { cwd: dir })).toMatchObject({ status: 0 });
    expect(Buffer.compare(await readFile(join(dir, 'raw')), bytes)).toBe(0);
    const { size } = await stat(join(dir, 'ours'));
    expect(size).toBeLessThan((1 << 20) + (1 << 18) + 4096);
  });

  it.skipIf(corpus === undefined)("expands AOSP's sample to its twin", async () => {
    const sparse = await expand(corpusPath('avb', 'test_file.bin.sparse'));
    const raw = await readFile(corpusPath('avb', 'test_file.bin'));
    expect(Buffer.compare(sparse, raw)).toBe(0);
  });
});
