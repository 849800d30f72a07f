import { closeSync, ftruncateSync, openSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  digestStride,
  nodeBlockHasher,
  type BlockHashParameters,
} from '../../../src/verity/block-hasher.ts';
import {
  createWorkerBlockHasher,
  type WorkerBlockHasher,
} from '../../../src/verity/worker-hasher.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** Workers run compiled: the tests of the command line need that too. */
const script = pathToFileURL('dist/verity/hash-worker.js');
const parameters = { algorithm: 'sha256', blockSize: 4096, salt: new Uint8Array([1, 2]) } as const;

function openHasher(threads = 3, from = script): WorkerBlockHasher {
  const hasher = createWorkerBlockHasher(threads, from);
  onTestFinished(() => hasher.close());
  return hasher;
}

/** A file of 40 MiB and a bit, with holes. */
function openFile(): { fd: number; path: string; size: number } {
  const path = join(tmpDir(), 'file');
  const fd = openSync(path, 'w+');
  onTestFinished(() => closeSync(fd));
  const size = (40 << 20) + 1234;
  ftruncateSync(fd, size);
  const chunk = Buffer.alloc(1 << 20);
  for (let at = 0; at < size - chunk.length; at += 5 << 20) {
    for (let i = 0; i < chunk.length; i += 4) chunk.writeInt32LE(Math.imul(at + i, 2654435761), i);
    writeSync(fd, chunk, 0, chunk.length, at);
  }
  return { fd, path, size };
}

describe('createWorkerBlockHasher', () => {
  test.each<BlockHashParameters>([
    parameters,
    { algorithm: 'sha512', blockSize: 65536, salt: new Uint8Array(0) },
    { algorithm: 'sha1', blockSize: 512, salt: new Uint8Array(256).fill(3) },
  ])('gives the digests of one thread: $algorithm, blocks of $blockSize', async (each) => {
    const { fd, size } = openFile();
    const { readSync } = await import('node:fs');
    const offset = 4096;
    const length = size - offset;
    const padded = new Uint8Array(Math.ceil(length / each.blockSize) * each.blockSize);
    readSync(fd, padded, 0, length, offset);
    const bytes = (padded.length / each.blockSize) * digestStride(each.algorithm);
    const expected = new Uint8Array(bytes);
    void nodeBlockHasher.hashBlocks(each, padded, expected);

    const hasher = openHasher();
    // Twice at once: one comes after the other.
    const found = [new Uint8Array(bytes), new Uint8Array(bytes)];
    await Promise.all(
      found.map(async (digests) => hasher.hashFile?.(each, { fd, offset, length }, digests)),
    );
    for (const digests of found) expect(Buffer.compare(digests, expected)).toBe(0);
  });

  test('small ranges, odd blocks and a single thread are left to the caller', () => {
    const range = { fd: -1, offset: 0, length: 1 << 20 };
    const large = { ...range, length: 1 << 30 };
    const digests = new Uint8Array(0);
    expect(openHasher().hashFile?.(parameters, range, digests)).toBeUndefined();
    const odd = { ...parameters, blockSize: 3000 };
    expect(openHasher().hashFile?.(odd, large, digests)).toBeUndefined();
    expect(openHasher(1).hashFile?.(parameters, large, digests)).toBeUndefined();
  });

  test('a file that ends early is named as such, one that cannot be read by the system’s error', async () => {
    const { fd, path, size } = openFile();
    const digests = new Uint8Array(Math.ceil(size / 4096) * 32);
    truncateSync(path, 30 << 20);
    const range = { fd, offset: 0, length: size };
    await expect(openHasher().hashFile?.(parameters, range, digests)).rejects.toMatchObject({
      name: 'FormatError',
      code: 'truncated',
    });
    const closed = { ...range, fd: 1 << 20 };
    await expect(openHasher().hashFile?.(parameters, closed, digests)).rejects.toMatchObject({
      code: 'EBADF',
    });
  });

  test('without a worker that starts this thread does all', async () => {
    const { fd, size } = openFile();
    const digests = new Uint8Array(Math.ceil(size / 4096) * 32);
    const hasher = openHasher(2, pathToFileURL('dist/no-such-worker.js'));
    await hasher.hashFile?.(parameters, { fd, offset: 0, length: size }, digests);
    expect(digests.subarray(-32).some((byte) => byte !== 0)).toBe(true);
  });
});
