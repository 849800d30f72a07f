import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { cpioArchive, readCpio, S_IFDIR, S_IFREG } from '../../../../src/formats/cpio/newc.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { bytesContent, type FileContent } from '../../../../src/io/file-tree.ts';

async function collect(content: FileContent): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of content.stream()) chunks.push(chunk.slice());
  return new Uint8Array(Buffer.concat(chunks));
}

const member = fc.record({
  name: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }).filter((name) => {
    return !name.includes('\0') && name !== 'TRAILER!!!';
  }),
  mode: fc.nat(0o177777),
  data: fc.uint8Array({ maxLength: 50 }),
});

describe('cpioArchive', () => {
  test('is read back member by member, and its size is the announced one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 8 }), fc.nat(2 ** 31), async (list, mtime) => {
        const archive = cpioArchive(
          list.map(({ name, mode, data }) => ({ name, mode, content: bytesContent(data) })),
          mtime,
        );
        const data = await collect(archive);
        expect(data.length).toBe(archive.size);
        const { entries, end } = await readCpio(bytesSource(data));
        expect(end).toBe(data.length);
        expect(
          entries.map((entry) => ({
            name: entry.name,
            mode: entry.mode,
            data: data.slice(entry.dataOffset, entry.dataOffset + entry.dataSize),
          })),
        ).toEqual(list);
        expect(entries.every((entry) => entry.mtime === mtime)).toBe(true);
      }),
    );
  });

  test('gives every member an inode of its own, so that none is taken for a hard link', async () => {
    const data = await collect(
      cpioArchive(
        [
          { name: 'dev', mode: S_IFDIR | 0o755 },
          { name: 'a', mode: S_IFREG | 0o644 },
          { name: 'b', mode: S_IFREG | 0o644 },
        ],
        0,
      ),
    );
    const { entries } = await readCpio(bytesSource(data));
    expect(entries.map(({ ino, nlink }) => [ino, nlink])).toEqual([
      [1, 2],
      [2, 1],
      [3, 1],
    ]);
  });

  test('fails when a content is not as long as it said', async () => {
    const lying: FileContent = { ...bytesContent(new Uint8Array(5)), size: 6 };
    const archive = cpioArchive([{ name: 'a', mode: S_IFREG, content: lying }], 0);
    await expect(collect(archive)).rejects.toThrow(RangeError);
  });
});

describe('readCpio', () => {
  test.each([
    ['a foreign magic', 0, '070702'],
    ['a number that is not hexadecimal', 54, '0000 001'],
    ['a signed number', 54, '-0000001'],
    ['a name of no bytes', 94, '00000000'],
    ['a name longer than PATH_MAX', 94, '00001001'],
    ['data behind the end', 54, 'FFFFFFFF'],
  ])('refuses %s', async (_, at, text) => {
    const data = await collect(cpioArchive([{ name: 'abc', mode: S_IFREG }], 0));
    data.set(Buffer.from(text), at);
    await expect(readCpio(bytesSource(data))).rejects.toThrow(FormatError);
  });

  test('refuses an archive without trailer, and one with too many members', async () => {
    const list = [1, 2, 3].map((n) => ({ name: `f${n}`, mode: S_IFREG }));
    const data = await collect(cpioArchive(list, 0));
    await expect(readCpio(bytesSource(data.subarray(0, data.length - 124)))).rejects.toThrow(
      FormatError,
    );
    await expect(readCpio(bytesSource(data), 0, 2)).rejects.toMatchObject({ code: 'too-large' });
  });

  test('any bytes are read or give a FormatError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 120, maxLength: 400 }), async (data) => {
        data.set(Buffer.from('070701'));
        for (let at = 6; at < 110; at++) data[at] = 0x30 + ((data[at] ?? 0) % 10);
        const outcome = await readCpio(bytesSource(data)).then(
          () => 'read',
          (error: unknown) => (error instanceof FormatError ? 'refused' : error),
        );
        expect(outcome).toMatch(/^(read|refused)$/);
      }),
    );
  });
});
