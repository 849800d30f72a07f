/** Aligned archives: one form, read by everybody, and refused by us in any other form. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  isAligned,
  layoutAligned,
  readAligned,
  type AlignedMember,
} from '../../../../src/formats/tar/aligned.ts';
import { headerChecksum } from '../../../../src/formats/tar/layout.ts';
import { readTar } from '../../../../src/formats/tar/read.ts';
import { bytesSource, streamOf } from '../../../../src/io/byte-source.ts';

const content = (name: string, size: number): Uint8Array =>
  new Uint8Array(size).fill(name.length + 1);

/** An archive in memory, of members filled with a byte of their own. */
function archive(members: readonly AlignedMember[]): Uint8Array {
  const { heads, members: placed, size } = layoutAligned(members);
  const bytes = new Uint8Array(size);
  for (const { offset, bytes: head } of heads) bytes.set(head, offset);
  for (const { offset, name, size: length } of placed) bytes.set(content(name, length), offset);
  return bytes;
}

async function refusal(bytes: Uint8Array): Promise<string> {
  try {
    await readAligned(bytesSource(bytes));
  } catch (error) {
    if (error instanceof FormatError) return error.code;
    throw error;
  }
  return 'accepted';
}

const segment = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,60}$/);
const someMembers = fc
  .uniqueArray(
    fc.record({
      name: fc
        .array(segment, { minLength: 1, maxLength: 4 })
        .map((parts) => `${parts.length}/${parts.join('/')}`),
      size: fc.oneof(fc.constantFrom(0, 1, 511, 512, 513, 4096), fc.nat(9000)),
    }),
    { selector: ({ name }) => name.split('/').slice(0, 2).join('/'), maxLength: 8 },
  )
  .filter((members) => members.every(({ name }) => name.length <= 255));

describe('an aligned archive', () => {
  test('is read as it was laid out, every member at a multiple of 4096', async () => {
    await fc.assert(
      fc.asyncProperty(someMembers, async (members) => {
        const bytes = archive(members);
        const { members: placed } = layoutAligned(members);
        expect(await readAligned(bytesSource(bytes))).toEqual(placed);
        expect(placed.filter(({ offset }) => offset % 4096 !== 0)).toEqual([]);
        expect(bytes.length % 4096).toBe(0);
      }),
    );
  });

  test('does not depend on the order in which its members were given', () => {
    fc.assert(
      fc.property(someMembers, (members) => {
        expect(archive(members.toReversed())).toEqual(archive(members));
      }),
      { numRuns: 20 },
    );
  });

  test('is a tar archive for another reader', async () => {
    await fc.assert(
      fc.asyncProperty(someMembers, async (members) => {
        const found: Record<string, unknown> = {};
        for await (const { entry, data } of readTar(streamOf(bytesSource(archive(members))), 'a')) {
          if (entry.kind !== 'file') throw new Error(entry.kind);
          const chunks: Uint8Array[] = [];
          for await (const chunk of data) chunks.push(chunk);
          const { mode, uid, gid, mtime } = entry;
          found[entry.path] = [new Uint8Array(Buffer.concat(chunks)), mode, uid, gid, mtime];
        }
        const expected = members.map(({ name, size }) => [
          `/${name}`,
          [content(name, size), 0o644, 0, 0, 1611926769],
        ]);
        expect(found).toEqual(Object.fromEntries(expected));
      }),
      { numRuns: 40 },
    );
  });

  test('holds files beyond what the old header can say', async () => {
    const size = 0o77777777777 + 1;
    const {
      heads,
      members,
      size: total,
    } = layoutAligned([
      { name: 'a', size },
      { name: 'b', size: 1 },
    ]);
    const source = {
      ...bytesSource(new Uint8Array(0), 'large'),
      size: total,
      read(offset: number, length: number): Promise<Uint8Array> {
        const bytes = new Uint8Array(length);
        for (const head of heads) {
          const from = Math.max(offset, head.offset);
          const to = Math.min(offset + length, head.offset + head.bytes.length);
          if (from < to) {
            bytes.set(head.bytes.subarray(from - head.offset, to - head.offset), from - offset);
          }
        }
        return Promise.resolve(bytes);
      },
    };
    expect(await readAligned(source)).toEqual(members);
  });

  test.each([
    ['/etc/passwd'],
    ['../x'],
    ['a/../b'],
    ['a//b'],
    ['./a'],
    ['a/'],
    [''],
    ['.hidden'],
    ['ä'],
    ['a\nb'],
    ['x'.repeat(256)],
  ])('cannot hold a file called %j', (name) => {
    expect(() => layoutAligned([{ name, size: 1 }])).toThrow(RangeError);
  });

  test('cannot hold a file twice, or below a file', () => {
    const file = (name: string): AlignedMember => ({ name, size: 1 });
    expect(() => layoutAligned([file('a'), file('a')])).toThrow(/twice/);
    expect(() => layoutAligned([file('a/b/c'), file('a')])).toThrow(/below a file/);
    expect(() => layoutAligned([file('a/b'), file('a-b'), file('a.b')])).not.toThrow();
  });
});

/** Changes a header and makes its checksum right again. */
function forge(bytes: Uint8Array, at: number, offset: number, text: string): Uint8Array {
  const forged = bytes.slice();
  forged.set(Buffer.from(text, 'latin1'), at + offset);
  const sum = headerChecksum(forged.subarray(at, at + 512));
  forged.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), at + 148);
  return forged;
}

describe('a hostile archive', () => {
  const members = [
    { name: 'first', size: 700 },
    { name: 'second', size: 100 },
  ];
  const good = archive(members);
  const headerOf = (index: number): number =>
    (layoutAligned(members).members[index]?.offset ?? 0) - 512;

  test.each([
    ['a name that leads out', 0, '../rst\0', 'bad-value'],
    ['an absolute name', 0, '/first\0', 'bad-value'],
    ['a file called as another', 0, 'first\0\0', 'duplicate'],
    ['names out of order', 0, 'a\0\0\0\0\0\0', 'bad-value'],
    ['a symbolic link', 156, '2first\0', 'bad-value'],
    ['a hard link', 156, '1first\0', 'bad-value'],
    ['a directory', 156, '5', 'bad-value'],
    ['a device', 156, '3', 'bad-value'],
    ['another owner', 108, '0000001', 'bad-value'],
    ['another mode', 100, '0004755', 'bad-value'],
    ['another time', 136, '00000000001', 'bad-value'],
    ['a size beyond the end', 124, '00000100000', 'truncated'],
    ['a size that no file has', 124, '77777777777', 'truncated'],
    ['a size in base 256', 124, '\x80\0\0\0\0\0\0\0\0\0\0\x64', 'bad-value'],
    ['a negative size', 124, '-0000000144', 'bad-value'],
    ['a prefix', 345, 'other', 'bad-value'],
    ['bytes behind the name', 50, 'x', 'bad-value'],
    ['the magic of GNU tar', 257, 'ustar  \0', 'bad-value'],
  ])('with %s is refused', async (_what, offset, text, code) => {
    expect(await refusal(good)).toBe('accepted');
    expect(await refusal(forge(good, headerOf(1), offset, text))).toBe(code);
  });

  test('whose gap says something is refused', async () => {
    const at = Buffer.from(good).indexOf(' comment=');
    const said = good.slice();
    said.set(Buffer.from(' path=x\n'), at);
    expect(await refusal(said)).toBe('bad-value');
  });

  test('that is cut off or goes on is refused', async () => {
    expect(await refusal(good.subarray(0, good.length - 4096))).toBe('truncated');
    expect(await refusal(good.subarray(0, good.length - 512))).toBe('truncated');
    expect(await refusal(new Uint8Array(Buffer.concat([good, new Uint8Array(4096)])))).toBe(
      'trailing-data',
    );
    expect(await refusal(new Uint8Array(0))).toBe('truncated');
  });

  test('with one changed byte outside of its data is refused', async () => {
    const placed = layoutAligned(members).members;
    const isData = (at: number): boolean =>
      placed.some(({ offset, size }) => at >= offset && at < offset + size);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(good.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, by) => {
          const changed = good.slice();
          changed[at] = (changed[at] ?? 0) ^ by;
          expect((await refusal(changed)) === 'accepted').toBe(isData(at));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('of any other bytes is a FormatError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), async (junk) => {
        expect(await refusal(junk)).not.toBe('accepted');
        expect(typeof (await isAligned(bytesSource(junk)))).toBe('boolean');
      }),
    );
  });
});
