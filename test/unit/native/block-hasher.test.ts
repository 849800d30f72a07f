import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { FormatError } from '../../../src/core/errors.ts';
import { measureSha256 } from '../../../src/native/bench.ts';
import { createNativeBlockHasher } from '../../../src/native/block-hasher.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { bestSha256Engine, type Sha256Engine } from '../../../src/native/sha256-engine.ts';
import {
  nodeBlockHasher,
  type BlockHasher,
  type BlockHashParameters,
  type TreeAlgorithm,
} from '../../../src/verity/block-hasher.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const built = await loadNativeLibrary();
if (built === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

/** Those of this processor. */
const engines = (['portable', 'avx2', 'sha-ni', 'sha-ni-without-avx', 'armv8'] as const).filter(
  (engine) => {
    try {
      return built !== undefined && createNativeBlockHasher(built, 1, engine);
    } catch {
      return false;
    }
  },
);
if (built !== undefined && engines.length < 4) {
  process.stderr.write(`native: this processor can try only ${engines.join(', ')}\n`);
}

async function hashedBy(
  hasher: BlockHasher,
  parameters: BlockHashParameters,
  data: Uint8Array,
): Promise<Buffer> {
  const digests = Buffer.alloc((data.length / parameters.blockSize) * 64 + 1, 0xaa);
  await hasher.hashBlocks(parameters, data, digests);
  return digests;
}

describe.skipIf(built === undefined)('createNativeBlockHasher()', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });

  it('chooses instructions that the processor has', () => {
    expect(engines).toContain('portable');
    expect(engines).toContain(bestSha256Engine(library));
    const foreign: Sha256Engine = process.arch === 'x64' ? 'armv8' : 'avx2';
    expect(() => createNativeBlockHasher(library, 1, foreign)).toThrow(RangeError);
  });

  it.each(['best', ...engines] as const)(
    'hashes blocks to the digests of node:crypto (%s)',
    async (engine) => {
      await fc.assert(
        fc.asyncProperty(
          fc.record({
            algorithm: fc.constantFrom<TreeAlgorithm>('sha1', 'sha256', 'sha256', 'sha512'),
            blockSize: fc.integer({ min: 1, max: 5000 }),
            salt: fc.uint8Array({ maxLength: 256 }),
          }),
          fc.integer({ min: 0, max: 19 }),
          fc.integer({ min: 0, max: 255 }),
          fc.array(fc.nat({ max: 18 }), { maxLength: 6 }),
          async (parameters, blocks, seed, zeros) => {
            const { blockSize } = parameters;
            const data = new Uint8Array(blocks * blockSize).map((_, i) => i * seed + seed);
            for (const zero of zeros) data.fill(0, zero * blockSize, (zero + 1) * blockSize);
            const hasher = createNativeBlockHasher(library, 2, engine);
            const ours = await hashedBy(hasher, parameters, data);
            const twin = await hashedBy(nodeBlockHasher, parameters, data);
            expect(ours.equals(twin)).toBe(true);
          },
        ),
        { numRuns: 120 },
      );
    },
  );

  it('hashes large data to the same digests on any number of threads', async () => {
    const parameters = { algorithm: 'sha256', blockSize: 4096, salt: randomBytes(32) } as const;
    const data = randomBytes(4096 * 517);
    const twin = await hashedBy(nodeBlockHasher, parameters, data);
    for (const threads of [1, 2, 3, 4, 16]) {
      const hasher = createNativeBlockHasher(library, threads);
      expect((await hashedBy(hasher, parameters, data)).equals(twin)).toBe(true);
    }
  });

  it('refuses sizes that do not fit before it calls the library', async () => {
    const hash = (
      data: number,
      blockSize: number,
      salt: number,
      digests: number,
    ): void | Promise<void> =>
      createNativeBlockHasher(library, 2).hashBlocks(
        { algorithm: 'sha256', blockSize, salt: new Uint8Array(salt) },
        new Uint8Array(data),
        new Uint8Array(digests),
      );
    expect(() => hash(100, 64, 0, 64)).toThrow(RangeError);
    expect(() => hash(128, 0, 0, 64)).toThrow(RangeError);
    expect(() => hash(128, 0.5, 0, 64)).toThrow(RangeError);
    expect(() => hash(128, 64, 257, 64)).toThrow(RangeError);
    expect(() => hash(128, 64, 0, 63)).toThrow(RangeError);
    const large = 4096 * 512; // on several threads
    await expect(hash(large, 4096, 0, 9)).rejects.toThrow(RangeError);
  });

  it('measures a rate that hashing cannot do without', async () => {
    expect(await measureSha256(library, 1, 5, 'portable')).toBeGreaterThan(10e6);
  });
});

/** A file of patches of data in holes, and what it holds. */
function makeFile(
  size: number,
  patches: readonly { at: number; length: number; zeros: boolean }[],
): { fd: number; bytes: Uint8Array } {
  const fd = openSync(join(tmpDir(), 'file'), 'w+');
  ftruncateSync(fd, size);
  for (const [index, { at, length, zeros }] of patches.entries()) {
    const patch = Buffer.alloc(Math.max(0, Math.min(length, size - at)));
    if (!zeros) for (let i = 0; i < patch.length; i += 1) patch[i] = (i * 7 + index + 1) & 0xff;
    writeSync(fd, patch, 0, patch.length, at);
  }
  const bytes = Buffer.alloc(size);
  readSync(fd, bytes, 0, size, 0);
  return { fd, bytes };
}

describe.skipIf(built === undefined)('createNativeBlockHasher().hashFile()', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });
  const parameters = { algorithm: 'sha256', blockSize: 4096, salt: randomBytes(32) } as const;

  it('hashes a range of a file, holes or not, as the twin hashes its bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          size: fc.integer({ min: 1, max: 5 << 20 }),
          patches: fc.array(
            fc.record({
              at: fc.nat({ max: 5 << 20 }),
              length: fc.oneof(fc.nat({ max: 9000 }), fc.nat({ max: 2 << 20 })),
              zeros: fc.boolean(),
            }),
            { maxLength: 12 },
          ),
          from: fc.oneof(fc.constant(0), fc.nat({ max: 9000 })),
          cut: fc.oneof(fc.constant(0), fc.nat({ max: 200_000 })),
          blockSize: fc.constantFrom(512, 1000, 4096, 16384, 65536),
          salt: fc.uint8Array({ maxLength: 256 }),
          threads: fc.integer({ min: 1, max: 5 }),
          engine: fc.constantFrom('best', ...engines),
        }),
        async ({ size, patches, from, cut, blockSize, salt, threads, engine }) => {
          const { fd, bytes } = makeFile(size, patches);
          const offset = Math.min(from, size);
          const length = Math.max(0, size - offset - cut);
          const blocks = Math.ceil(length / blockSize);
          const padded = new Uint8Array(blocks * blockSize);
          padded.set(bytes.subarray(offset, offset + length));
          const twin = Buffer.alloc(blocks * 32 + 8, 0x55);
          await nodeBlockHasher.hashBlocks({ algorithm: 'sha256', blockSize, salt }, padded, twin);
          const ours = Buffer.alloc(blocks * 32 + 8, 0x55);
          const hasher = createNativeBlockHasher(library, threads, engine);
          const range = { fd, offset, length };
          await hasher.hashFile?.({ algorithm: 'sha256', blockSize, salt }, range, ours);
          closeSync(fd);
          expect(ours.equals(twin)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);

  it('hashes a file of crumbs of data between holes', async () => {
    const crumbs = Array.from({ length: 40 }, (_, i) => ({
      at: i * 70_000,
      length: 100,
      zeros: i % 3 === 0,
    }));
    const { fd, bytes } = makeFile(40 * 70_000, crumbs);
    const blocks = Math.ceil(bytes.length / 4096);
    const padded = Buffer.concat([bytes, Buffer.alloc(blocks * 4096 - bytes.length)]);
    const twin = Buffer.alloc(blocks * 32);
    await nodeBlockHasher.hashBlocks(parameters, padded, twin);
    const ours = Buffer.alloc(blocks * 32);
    const range = { fd, offset: 0, length: bytes.length };
    await createNativeBlockHasher(library).hashFile?.(parameters, range, ours);
    closeSync(fd);
    expect(ours.equals(twin)).toBe(true);
  });

  it('does next to nothing for holes', async () => {
    const fd = openSync(join(tmpDir(), 'holes'), 'w+');
    const length = 64 * 2 ** 30; // two minutes' work, and a tree of 512 MiB, were it data
    ftruncateSync(fd, length);
    const blockSize = 65536;
    const ours = Buffer.alloc((length / blockSize) * 32);
    await createNativeBlockHasher(library).hashFile?.(
      { ...parameters, blockSize },
      { fd, offset: 0, length },
      ours,
    );
    closeSync(fd);
    const zero = Buffer.alloc(32);
    await nodeBlockHasher.hashBlocks({ ...parameters, blockSize }, Buffer.alloc(blockSize), zero);
    for (const at of [0, ours.length / 2, ours.length - 32]) {
      expect(ours.subarray(at, at + 32).equals(zero)).toBe(true);
    }
  });

  it("leaves the file's position where it was", async () => {
    const { fd, bytes } = makeFile(3 << 20, [{ at: 1 << 20, length: 5000, zeros: false }]);
    readSync(fd, Buffer.alloc(1 << 20), 0, 1 << 20, null);
    const range = { fd, offset: 0, length: 3 << 20 };
    await createNativeBlockHasher(library).hashFile?.(parameters, range, Buffer.alloc(768 * 32));
    const next = Buffer.alloc(16);
    readSync(fd, next, 0, 16, null);
    closeSync(fd);
    expect(next.equals(bytes.subarray(1 << 20, (1 << 20) + 16))).toBe(true);
  });

  it('leaves other algorithms and larger blocks to others', () => {
    const range = { fd: 0, offset: 0, length: 4096 };
    const hasher = createNativeBlockHasher(library);
    for (const other of [{ algorithm: 'sha512' }, { algorithm: 'sha1' }, { blockSize: 131072 }]) {
      const asked = { ...parameters, ...(other as object) };
      expect(hasher.hashFile?.(asked, range, new Uint8Array(64))).toBeUndefined();
    }
  });

  it('says when the file ends early, where it has holes and where it has none', async () => {
    for (const patches of [[], [{ at: 0, length: 10_000, zeros: false }]]) {
      const { fd } = makeFile(10_000, patches);
      const hashing = createNativeBlockHasher(library).hashFile?.(
        parameters,
        { fd, offset: 4096, length: 10_000 },
        new Uint8Array(3 * 32),
      );
      await expect(hashing).rejects.toThrow(FormatError);
      await expect(hashing).rejects.toMatchObject({ code: 'truncated', offset: 4096 });
      closeSync(fd);
    }
    const device = openSync('/dev/null', 'r');
    const hashing = createNativeBlockHasher(library).hashFile?.(
      parameters,
      { fd: device, offset: 0, length: 1 },
      new Uint8Array(32),
    );
    await expect(hashing).rejects.toMatchObject({ code: 'truncated' });
    closeSync(device);
  });

  it("throws the system's error when it cannot read", async () => {
    const read = (fd: number): Promise<void> | undefined =>
      createNativeBlockHasher(library).hashFile?.(
        parameters,
        { fd, offset: 0, length: 0 },
        new Uint8Array(0),
      );
    const fd = openSync(join(tmpDir(), 'file'), 'w');
    writeSync(fd, Buffer.alloc(5000, 1));
    const range = { fd, offset: 0, length: 5000 };
    const hashing = createNativeBlockHasher(library).hashFile?.(
      parameters,
      range,
      new Uint8Array(64),
    );
    await expect(hashing).rejects.toMatchObject({ code: 'EBADF', errno: -9, syscall: 'read' });
    closeSync(fd);
    const folder = openSync(tmpDir(), 'r');
    const hashingFolder = createNativeBlockHasher(library).hashFile?.(
      parameters,
      { ...range, fd: folder, length: 1 },
      new Uint8Array(32),
    );
    await expect(hashingFolder).rejects.toMatchObject({ code: 'EISDIR' });
    closeSync(folder);
    await read(0);
  });

  it('refuses ranges and sizes that cannot be before it calls the library', async () => {
    const hash = async (
      range: { fd?: number; offset?: number; length?: number },
      { digests = 32, ...changed }: Partial<BlockHashParameters> & { digests?: number } = {},
    ): Promise<void> => {
      await createNativeBlockHasher(library).hashFile?.(
        { ...parameters, ...changed },
        { fd: 0, offset: 0, length: 4096, ...range },
        new Uint8Array(digests),
      );
    };
    for (const range of [
      { fd: -1 },
      { fd: 2 ** 31 },
      { offset: -1 },
      { offset: 0.5 },
      { length: -1 },
      { length: 2 ** 60 },
    ]) {
      await expect(hash(range)).rejects.toThrow(RangeError);
    }
    await expect(hash({}, { digests: 31 })).rejects.toThrow(RangeError);
    await expect(hash({}, { blockSize: 0 })).rejects.toThrow(RangeError);
    await expect(hash({}, { blockSize: 0.5 })).rejects.toThrow(RangeError);
    await expect(hash({}, { salt: new Uint8Array(257) })).rejects.toThrow(RangeError);
  });
});
