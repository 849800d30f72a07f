import { createHash } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { bytesSource, type ByteSource } from '../../../../src/io/byte-source.ts';
import { bytesContent, type FileContent } from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { openEntry, readLocalHeader } from '../../../../src/formats/zip/entry.ts';
import { alignedExtra, declaredAlignment, decodeExtra } from '../../../../src/formats/zip/extra.ts';
import { nameProblem, nameSet } from '../../../../src/formats/zip/names.ts';
import { readZip } from '../../../../src/formats/zip/read.ts';
import { checkStrictZip } from '../../../../src/formats/zip/strict.ts';
import {
  writeZip,
  type ZipInput,
  type WriteZipOptions,
} from '../../../../src/formats/zip/write.ts';

const text = (value: string): FileContent => bytesContent(new TextEncoder().encode(value));

async function zipOf(
  entries: readonly ZipInput[],
  options: WriteZipOptions = {},
): Promise<Uint8Array> {
  const sink = new MemorySink();
  await writeZip(entries, sink, options);
  return sink.bytes();
}

async function contentOf(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  const source = bytesSource(bytes);
  const entry = (await readZip(source)).entries.find((candidate) => candidate.name === name);
  if (entry === undefined) throw new Error(`No entry ${name}`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await openEntry(source, entry)).stream()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const entries: readonly ZipInput[] = [
  { name: 'lib/x86_64/libb.so', content: bytesContent(new Uint8Array(5000).fill(7)) },
  { name: 'assets/é.txt', content: text('é') },
  { name: 'assets/a.txt', content: text('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'), compress: true },
  { name: 'lib/x86_64/liba.so', content: bytesContent(new Uint8Array(1)) },
  { name: 'AndroidManifest.xml', content: text('manifest') },
];

describe('writeZip', () => {
  test('puts the manifest first and orders the rest by the bytes of the names', async () => {
    const { entries: read } = await readZip(bytesSource(await zipOf(entries)));
    expect(read.map(({ name }) => name)).toEqual([
      'AndroidManifest.xml',
      'assets/a.txt',
      'assets/é.txt',
      'lib/x86_64/liba.so',
      'lib/x86_64/libb.so',
    ]);
  });

  test('gives the same bytes whatever the order of the entries', async () => {
    const forward = await zipOf(entries);
    expect(Buffer.from(await zipOf(entries.toReversed()))).toEqual(Buffer.from(forward));
  });

  test('gives these bytes for stored entries, on every machine', async () => {
    const stored = await zipOf(entries.filter(({ compress }) => compress !== true));
    expect(createHash('sha256').update(stored).digest('hex')).toMatchInlineSnapshot(
      `"b0635db096462bac0025cab943811f5df0cafeea47d13e051861127fa2251128"`,
    );
  });

  test.each([4096, 16384] as const)('aligns libraries to %d and other data to 4', async (page) => {
    const source = bytesSource(await zipOf(entries, { libraryAlignment: page }));
    for (const entry of (await readZip(source)).entries) {
      const { dataOffset, extra } = await readLocalHeader(source, entry);
      if (entry.name.endsWith('.so')) {
        expect(dataOffset % page).toBe(0);
        expect(declaredAlignment(extra)).toBe(page);
      } else if (entry.method === 0) {
        expect(dataOffset % 4).toBe(0);
      }
    }
  });

  test('marks names as UTF-8 only when they are not ASCII, and fixes the time', async () => {
    const { entries: read } = await readZip(bytesSource(await zipOf(entries)));
    for (const { name, flags, time, date } of read) {
      expect(flags).toBe(name.includes('é') ? 0x800 : 0);
      // 1981-01-01 01:01:02
      expect([date, time]).toEqual([0x0221, 0x0821]);
    }
  });

  test('deflates what it is asked to', async () => {
    const bytes = await zipOf(entries);
    const source = bytesSource(bytes);
    const entry = (await readZip(source)).entries.find(({ name }) => name === 'assets/a.txt');
    if (entry === undefined) throw new Error('The entry is missing');
    const { dataOffset } = await readLocalHeader(source, entry);
    const raw = bytes.subarray(dataOffset, dataOffset + entry.compressedSize);
    expect(entry.method).toBe(8);
    expect(inflateRawSync(raw).toString()).toBe('a'.repeat(32));
  });

  test('reads back as it was written, and passes the strict profile', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(
          fc.record({
            name: fc.stringMatching(/^[a-z]{1,8}(\/[a-z]{1,8}\.[a-z]{2}){0,1}$/),
            data: fc.uint8Array({ maxLength: 300 }),
            compress: fc.boolean(),
          }),
          { selector: ({ name }) => name.split('/')[0] },
        ),
        async (inputs) => {
          const bytes = await zipOf(
            inputs.map(({ name, data, compress }) => ({
              name,
              content: bytesContent(data),
              compress,
            })),
          );
          const source = bytesSource(bytes);
          await checkStrictZip(source, await readZip(source));
          for (const { name, data } of inputs) {
            expect(Buffer.from(await contentOf(bytes, name))).toEqual(Buffer.from(data));
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  test('survives producers that reuse their chunk', async () => {
    const content: FileContent = {
      size: 400_000,
      // oxlint-disable-next-line typescript/require-await -- an async generator by contract
      async *stream() {
        const chunk = new Uint8Array(100_000);
        for (let round = 0; round < 4; round++) yield chunk.fill(round);
      },
    };
    const bytes = await zipOf([{ name: 'a', content, compress: true }]);
    const data = await contentOf(bytes, 'a');
    expect([0, 1, 2, 3].map((round) => data[round * 100_000 + 50_000])).toEqual([0, 1, 2, 3]);
  });

  test('passes on the error of a producer', async () => {
    const content: FileContent = {
      size: 1,
      // oxlint-disable-next-line require-yield, typescript/require-await -- fails before its first chunk
      async *stream() {
        throw new Error('the disk is on fire');
      },
    };
    for (const compress of [false, true]) {
      await expect(zipOf([{ name: 'a', content, compress }])).rejects.toThrow('on fire');
    }
  });

  /** Content of any size that costs one chunk. */
  const zeros = (size: number): FileContent => ({
    size,
    // oxlint-disable-next-line typescript/require-await -- an async generator by contract
    async *stream() {
      const chunk = new Uint8Array(1 << 20);
      for (let at = 0; at < size; at += chunk.length) yield chunk.subarray(0, size - at);
    },
  });

  /** Keeps what is not zero, and sees that large data comes chunk by chunk. */
  function keepingHeaders() {
    const nothing = new Uint8Array(1 << 20);
    const kept: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
    let [size, writing, mostAtOnce, total] = [0, 0, 0, 0];
    return {
      async write(offset: number, chunk: Uint8Array) {
        writing += chunk.length;
        total += chunk.length;
        mostAtOnce = Math.max(mostAtOnce, writing);
        if (Buffer.compare(chunk, nothing.subarray(0, chunk.length)) !== 0) {
          kept.push({ offset, bytes: chunk.slice() });
        }
        await Promise.resolve();
        writing -= chunk.length;
      },
      truncate(to: number) {
        size = to;
        return Promise.resolve();
      },
      facts: () => ({ total, mostAtOnce }),
      source: (): ByteSource => ({
        name: 'sparse',
        size,
        read(offset, length) {
          const out = new Uint8Array(length);
          for (const { offset: at, bytes } of kept) {
            const from = Math.max(offset, at);
            const to = Math.min(offset + length, at + bytes.length);
            if (from < to) out.set(bytes.subarray(from - at, to - at), from - offset);
          }
          return Promise.resolve(out);
        },
        close: () => Promise.resolve(),
      }),
    };
  }

  test('streams 2.2 GiB through one chunk', { timeout: 60_000 }, async () => {
    const sink = keepingHeaders();
    const large = 2_362_232_012;
    await writeZip(
      [
        { name: 'assets/large', content: zeros(large) },
        { name: 'lib/x86_64/libz.so', content: text('behind it') },
      ],
      sink,
    );
    expect(sink.facts().mostAtOnce).toBeLessThanOrEqual(1 << 20);
    const source = sink.source();
    const zip = await readZip(source);
    await checkStrictZip(source, zip, { contents: false, maxTotalSize: 2 ** 32 });
    expect(zip.entries.map(({ size }) => size)).toEqual([large, 9]);
    expect(zip.entries[1]?.localHeaderOffset).toBeGreaterThan(large);
  });

  test('refuses what would pass 4 GiB before it writes anything', async () => {
    const sink = keepingHeaders();
    const large = ['a', 'b', 'c'].map((name) => ({ name, content: zeros(1_500_000_000) }));
    await expect(writeZip(large, sink)).rejects.toThrow('4 GiB with "c" (1500000000 bytes)');
    expect(sink.facts().total).toBe(0);
  });

  test('refuses content of another size than announced', async () => {
    const content = { ...text('abc'), size: 4 };
    await expect(zipOf([{ name: 'a', content }])).rejects.toThrow(RangeError);
  });

  test.each([
    ['../a'],
    ['/a'],
    ['a//b'],
    ['a\\b'],
    ['C:a'],
    ['a\u0000'],
    ['./a'],
    [''],
    ['x'.repeat(1025)],
  ])('refuses the name %j', async (name) => {
    await expect(zipOf([{ name, content: text('') }])).rejects.toThrow(RangeError);
  });

  test.each([
    ['a', 'A'],
    ['a', 'a'],
    ['a', 'a/b'],
    ['a/b', 'a'],
    ['\u00e9', 'e\u0301'],
    ['straße', 'STRASSE'],
  ])('refuses %j beside %j', async (first, second) => {
    const both = [first, second].map((name) => ({ name, content: text('') }));
    await expect(zipOf(both)).rejects.toThrow(RangeError);
  });
});

describe('extra data', () => {
  test('alignedExtra makes the data start where it should and keeps other fields', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 100_000 }),
        fc.constantFrom(1, 4, 4096, 16384),
        fc.uint8Array({ maxLength: 20 }),
        (offset, alignment, data) => {
          const field = Uint8Array.of(0xca, 0xfe, data.length, 0, ...data);
          const legacy = new Uint8Array(3);
          const extra = alignedExtra(Uint8Array.of(...field, ...legacy), offset, alignment);
          expect((offset + extra.length) % alignment).toBe(0);
          expect(decodeExtra(extra).fields.map(({ id }) => id)).toEqual([0xfeca, 0xd935]);
          expect(declaredAlignment(extra)).toBe(alignment);
          expect(alignedExtra(extra, offset, alignment)).toEqual(extra);
        },
      ),
    );
  });
});

describe('names', () => {
  test('nameProblem takes ordinary names', () => {
    for (const name of [
      'a',
      'META-INF/',
      'lib/x86_64/lib+x.so',
      'é/日本',
      'a b',
      '...',
      '.hidden',
    ]) {
      expect(nameProblem(name)).toBeUndefined();
    }
  });

  test('a directory may be listed beside what it holds', () => {
    const names = nameSet();
    expect(['a/b', 'a/', 'a/c'].map((name) => names.add(name))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(names.add('a')).toBeDefined();
  });
});

describe('readers and hostile bytes', () => {
  /** What the readers threw, if anything. */
  const refusalOf = async (bytes: Uint8Array): Promise<unknown> => {
    const source = bytesSource(bytes);
    try {
      await checkStrictZip(source, await readZip(source));
      return undefined;
    } catch (error) {
      return error;
    }
  };
  const isVerdict = (refusal: unknown): boolean =>
    refusal === undefined || refusal instanceof FormatError;

  test('any bytes are read or refused with FormatError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        expect(await refusalOf(bytes)).toSatisfy(isVerdict);
      }),
    );
  });

  test('any change of one byte is read or refused with FormatError', async () => {
    const bytes = await zipOf(entries);
    for (let at = 0; at < bytes.length; at += at < 4096 || at > bytes.length - 700 ? 1 : 97) {
      const changed = Uint8Array.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0xff;
      expect(await refusalOf(changed)).toSatisfy(isVerdict);
    }
  });

  test('an entry that inflates to more than it says is cut off', async () => {
    const bytes = await zipOf([
      { name: 'a', content: bytesContent(new Uint8Array(1 << 20)), compress: true },
    ]);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const source = bytesSource(bytes);
    const [entry] = (await readZip(source)).entries;
    if (entry === undefined) throw new Error('The entry is missing');
    view.setUint32(22, 100, true);
    view.setUint32(entry.recordOffset + 24, 100, true);
    await expect(contentOf(bytes, 'a')).rejects.toMatchObject({ name: 'FormatError' });
    const limited = { maxTotalSize: 99 };
    await expect(checkStrictZip(source, await readZip(source), limited)).rejects.toMatchObject({
      code: 'too-large',
    });
  });

  test('deflated data that ends early is refused', async () => {
    const bytes = await zipOf([{ name: 'a', content: text('a'.repeat(5000)), compress: true }]);
    const source = bytesSource(bytes);
    const [entry] = (await readZip(source)).entries;
    if (entry === undefined) throw new Error('The entry is missing');
    const { dataOffset } = await readLocalHeader(source, entry);
    // A final, empty, stored block: the rest belongs to no stream.
    bytes.set([0x01, 0x00, 0x00, 0xff, 0xff], dataOffset);
    await expect(contentOf(bytes, 'a')).rejects.toMatchObject({ code: 'trailing-data' });
  });
});
