import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import type { ContentDigestAlgorithm } from '../../../../src/formats/apk/algorithms.ts';
import type { SectionPiece } from '../../../../src/formats/apk/section-hasher.ts';
import { bytesSource, fileRange, openFileSource } from '../../../../src/io/byte-source.ts';
import { createFileSink, MemorySink, offsetSink } from '../../../../src/io/image-sink.ts';
import { createNativeApkHasher } from '../../../../src/native/apk-hasher.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../../src/native/library.ts';
import type { Sha256Engine } from '../../../../src/native/sha256-engine.ts';
import { digestContent, type ApkHasher } from '../../../../src/signing/apk/content-digests.ts';
import { runEntriesPass } from '../../../../src/signing/apk/entries-pass.ts';
import { createMerkleTree } from '../../../../src/signing/apk/merkle-tree.ts';
import { computeHashTree } from '../../../../src/verity/hash-tree.ts';
import { pattern } from './fixtures.ts';

const ALL = ['chunked-sha256', 'chunked-sha512', 'verity-sha256'] as const;
const MIB = 1 << 20;
const INPUT = pattern(5 * MIB + 4321, 3);
const CENTRAL_DIRECTORY = pattern(3000, 5);
/** An EOCD whose central directory offset is wrong, which does not matter. */
const END = pattern(22, 6);

/** By the definition, a message at a time. */
function chunked(hash: 'sha256' | 'sha512', sections: readonly Uint8Array[]): string {
  const prefix = (tag: number, value: number): Buffer => {
    const out = Buffer.from([tag, 0, 0, 0, 0]);
    out.writeUInt32LE(value, 1);
    return out;
  };
  const digests = sections.flatMap((section) => {
    const chunks: Buffer[] = [];
    for (let at = 0; at < section.length; at += MIB) {
      const chunk = section.subarray(at, at + MIB);
      chunks.push(createHash(hash).update(prefix(0xa5, chunk.length)).update(chunk).digest());
    }
    return chunks;
  });
  return createHash(hash)
    .update(prefix(0x5a, digests.length))
    .update(Buffer.concat(digests))
    .digest('hex');
}

function oneBlock(bytes: Uint8Array): string {
  const digest = (data: Uint8Array): Buffer => {
    const block = Buffer.alloc(4096);
    block.set(data);
    return createHash('sha256').update(new Uint8Array(8)).update(block).digest();
  };
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([digest(digest(bytes)), size]).toString('hex');
}

async function verity(sections: readonly Uint8Array[]): Promise<string> {
  const bytes = Buffer.concat(sections);
  // Where fs-verity has no tree over one block, apksig has one of one digest.
  if (bytes.length <= 4096) return oneBlock(bytes);
  const { rootDigest } = await computeHashTree(bytesSource(bytes), {
    algorithm: 'sha256',
    salt: new Uint8Array(8),
  });
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([rootDigest, size]).toString('hex');
}

const built = await loadNativeLibrary();
if (built === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

interface Made {
  readonly file: Uint8Array;
  readonly digests: Readonly<Record<string, string>>;
  readonly tree: { readonly rootDigest: Uint8Array; readonly tree: Uint8Array } | undefined;
}

/** All read `INPUT`. */
interface Job {
  readonly pieces: readonly SectionPiece[];
  readonly entriesSize: number;
  readonly digests: readonly ContentDigestAlgorithm[];
  readonly tree: boolean;
}

const TAIL = [pattern(4096 + 100, 7), CENTRAL_DIRECTORY, END];

const inMemory = async (job: Job): Promise<Made> => {
  const output = new MemorySink();
  const pass = await runEntriesPass({ ...job, input: bytesSource(INPUT), output });
  return made(pass, () => output.bytes());
};

async function made(
  pass: Awaited<ReturnType<typeof runEntriesPass>>,
  read: () => Uint8Array,
): Promise<Made> {
  const digests = await pass.contentDigests(CENTRAL_DIRECTORY, END);
  const { size, tree } = await pass.finish(TAIL);
  const file = read();
  expect(file.length).toBe(size);
  return {
    file,
    tree,
    digests: Object.fromEntries([...digests].map(([k, v]) => [k, Buffer.from(v).toString('hex')])),
  };
}

/** What is expected of a job, put together without streams. */
async function expected(job: Job): Promise<Made> {
  const entries = new Uint8Array(job.entriesSize);
  entries.set(
    Buffer.concat(
      job.pieces.map((piece) =>
        piece.kind === 'bytes'
          ? piece.bytes
          : INPUT.subarray(piece.offset, piece.offset + piece.size),
      ),
    ),
  );
  const end = Buffer.from(END);
  end.writeUInt32LE(job.entriesSize, 16);
  const sections = [entries, CENTRAL_DIRECTORY, end];
  const by = {
    'chunked-sha256': () => chunked('sha256', sections),
    'chunked-sha512': () => chunked('sha512', sections),
    'verity-sha256': () => verity(sections),
  };
  const digests: Record<string, string> = {};
  for (const algorithm of job.digests) digests[algorithm] = await by[algorithm]();
  const file = Buffer.concat([entries, ...TAIL]);
  return {
    file,
    digests,
    tree: job.tree ? await computeHashTree(bytesSource(file), { algorithm: 'sha256' }) : undefined,
  };
}

function expectSame(ours: Made, theirs: Made): void {
  expect(Buffer.compare(ours.file, theirs.file)).toBe(0);
  expect(ours.digests).toEqual(theirs.digests);
  expect(ours.tree === undefined).toBe(theirs.tree === undefined);
  if (ours.tree && theirs.tree) {
    expect(Buffer.from(ours.tree.rootDigest)).toEqual(Buffer.from(theirs.tree.rootDigest));
    expect(Buffer.compare(ours.tree.tree, theirs.tree.tree)).toBe(0);
  }
}

const piece = fc.oneof(
  fc
    .tuple(fc.nat({ max: 3 * MIB }), fc.nat({ max: 2 * MIB }))
    .map(([offset, size]): SectionPiece => ({ kind: 'input', offset, size })),
  fc
    .nat({ max: 200 })
    .map((size): SectionPiece => ({ kind: 'bytes', bytes: pattern(size, size + 1) })),
);
const job = fc
  .record({
    pieces: fc.array(piece, { maxLength: 6 }),
    padding: fc.nat({ max: 9000 }),
    aligned: fc.boolean(),
    digests: fc.subarray([...ALL]),
    tree: fc.boolean(),
  })
  .map(({ pieces, padding, aligned, digests, tree }): Job => {
    const size = pieces.reduce((sum, p) => sum + (p.kind === 'input' ? p.size : p.bytes.length), 0);
    const padded = size + padding;
    const entriesSize = aligned ? Math.ceil(padded / 4096) * 4096 : padded;
    return { pieces, entriesSize, digests, tree };
  });

describe('runEntriesPass()', () => {
  it('copies the pieces and makes every digest as it is defined', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(job, async (any) => {
        const wanted = await expected(any);
        const got = await inMemory(any);
        expect(got.digests).toEqual(wanted.digests);
        expectSame(got, wanted);
      }),
      { numRuns: 25 },
    );
  });

  it('grows a tree whose end comes later than expected', async () => {
    const tree = createMerkleTree({ expectedSize: 100 });
    const data = pattern(9 * MIB + 5, 8);
    for (let at = 0; at < data.length; at += 700_001) {
      await tree.update(data.subarray(at, at + 700_001));
    }
    const whole = await computeHashTree(bytesSource(data), { algorithm: 'sha256' });
    const grown = await tree.finish();
    expect(Buffer.compare(grown.tree, whole.tree)).toBe(0);
    expect(grown.rootDigest).toEqual(whole.rootDigest);
    expect(() => createMerkleTree({ expectedSize: 0 }).leaves(100)).toThrow(RangeError);
  });

  it('refuses pieces that do not fit into the section', async () => {
    const pieces = [{ kind: 'bytes', bytes: new Uint8Array(10) }] as const;
    const pass = inMemory({ pieces, entriesSize: 9, digests: [], tree: false });
    await expect(pass).rejects.toThrow(RangeError);
  });

  it('gives a tree of one digest to a content of one block, as apksig does', async () => {
    const one: Job = { pieces: [], entriesSize: 0, digests: ['verity-sha256'], tree: false };
    const wanted = await expected(one);
    expect((await inMemory(one)).digests).toEqual(wanted.digests);
  });
});

describe.skipIf(built === undefined)('createNativeApkHasher()', () => {
  const dir = mkdtempSync(join(tmpdir(), 'microbuild-test-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
    writeFileSync(join(dir, 'input'), INPUT);
  });
  const engines: readonly Sha256Engine[] = ['best', 'portable', 'avx2', 'sha-ni', 'armv8'];
  const hashers = (): ApkHasher[] =>
    engines.flatMap((engine, index) => {
      try {
        return [createNativeApkHasher(library, (index % 3) + 1, engine)];
      } catch {
        return []; // not on this processor
      }
    });
  let count = 0;
  const inFiles = async (any: Job, hasher: ApkHasher): Promise<Made> => {
    const path = join(dir, `output-${count++}`);
    const input = await openFileSource(join(dir, 'input'));
    const output = await createFileSink(path);
    try {
      const pass = await runEntriesPass({ ...any, input, output, hasher });
      return await made(pass, () => readFileSync(path));
    } finally {
      await Promise.all([input.close(), output.close()]);
    }
  };

  it('signs entries where they stand, with and without the library', async () => {
    const start = 8192;
    const size = 3 * MIB + 4000;
    const any: Job = {
      pieces: [{ kind: 'input', offset: 0, size }],
      entriesSize: 3 * MIB + 4096,
      digests: ALL,
      tree: true,
    };
    const wanted = await expected(any);
    for (const hasher of [undefined, ...hashers()]) {
      const path = join(dir, `output-${count++}`);
      const sink = await createFileSink(path);
      try {
        // What stands behind the entries is written over.
        await sink.write(start, INPUT.subarray(0, size + 50));
        const input = fileRange({ fd: sink.file.fd, offset: start }, size + 50, 'built');
        const output = offsetSink(sink, start);
        const pass = await runEntriesPass({ ...any, input, output, hasher });
        expectSame(await made(pass, () => readFileSync(path).subarray(start)), wanted);
        const moved = { ...any, pieces: [{ kind: 'input', offset: 1, size: 9 }] } as const;
        await expect(runEntriesPass({ ...moved, input, output })).rejects.toThrow(RangeError);
        const beside = offsetSink(sink, start + 4096);
        await expect(runEntriesPass({ ...any, input, output: beside })).rejects.toThrow(RangeError);
      } finally {
        await sink.close();
      }
    }
  });

  it('copies and hashes what streams do, with any instructions', { timeout: 60_000 }, async () => {
    let index = 0;
    const all = hashers();
    expect(all.length).toBeGreaterThan(1);
    await fc.assert(
      fc.asyncProperty(job, async (any) => {
        const hasher = all[index++ % all.length] as ApkHasher;
        const [got, wanted] = [await inFiles(any, hasher), await inMemory(any)];
        expect(got.digests).toEqual(wanted.digests);
        expectSame(got, wanted);
      }),
      { numRuns: 40 },
    );
  });

  it('hashes without copying, for those who verify', async () => {
    const [entriesEnd, directory] = [4 * MIB + 4096, 5000];
    const source = await openFileSource(join(dir, 'input'));
    const endOffset = INPUT.length - 22;
    const sections = {
      entriesEnd,
      hasSigningBlock: true,
      centralDirectoryOffset: endOffset - directory,
      centralDirectorySize: directory,
      endOffset,
      endBytes: INPUT.subarray(endOffset),
      size: INPUT.length,
    };
    const options = { digests: ALL, tree: true } as const;
    const slow = await digestContent(bytesSource(INPUT), sections, options);
    for (const hasher of hashers()) {
      expect(await digestContent(source, sections, { ...options, hasher })).toEqual(slow);
    }
    await source.close();
    const { rootDigest } = await computeHashTree(bytesSource(INPUT), { algorithm: 'sha256' });
    expect(slow.tree?.rootDigest).toEqual(rootDigest);
  });

  it('tells an input that ends early, and what the system says to reading and writing', async () => {
    const hasher = createNativeApkHasher(library);
    const input = await openFileSource(join(dir, 'input'));
    const { fd } = input.file as { fd: number };
    const at = { fd, offset: 0 };
    const pieces = [{ kind: 'input', offset: MIB, size: 5 * MIB }] as const;
    const size = 5 * MIB;
    await expect(hasher.hashSection({ input: at, pieces, size })).rejects.toThrow(FormatError);
    const one = { pieces: [{ kind: 'input', offset: 0, size: 100 }], size: 100 } as const;
    const readOnly = hasher.hashSection({ ...one, input: at, output: at });
    await expect(readOnly).rejects.toMatchObject({ code: 'EBADF', syscall: 'write' });
    const closed = hasher.hashSection({ ...one, input: { fd: 4095, offset: 0 } });
    await expect(closed).rejects.toMatchObject({ code: 'EBADF', syscall: 'read' });
    await input.close();
  });

  it('refuses sizes that do not fit before it calls the library', async () => {
    const hasher = createNativeApkHasher(library);
    const input = { fd: 0, offset: 0 };
    const base = { input, pieces: [], size: 2 * MIB };
    for (const wrong of [
      { ...base, sha256: new Uint8Array(63) },
      { ...base, sha512: new Uint8Array(129) },
      { ...base, leaves: new Uint8Array(32) },
      { ...base, saltedLeaves: new Uint8Array(0) },
      { ...base, size: -1 },
      { ...base, input: { fd: -1, offset: 0 } },
      { ...base, output: { fd: 1, offset: 2 ** 53 } },
      { ...base, pieces: [{ kind: 'input', offset: -1, size: 3 }] as const },
      { ...base, size: 5, pieces: [{ kind: 'input', offset: 0, size: 6 }] as const },
    ]) {
      await expect(hasher.hashSection(wrong)).rejects.toThrow(RangeError);
    }
  });
});
