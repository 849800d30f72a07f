import { describe, expect, test } from 'vitest';
import {
  describeOffset,
  locateErofsBlocks,
  type ErofsOwner,
} from '../../../../src/formats/erofs/locate.ts';
import { planErofs } from '../../../../src/formats/erofs/plan.ts';
import { writeErofs } from '../../../../src/formats/erofs/writer.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { bytesContent, directory, regularFile, symlink } from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { testBytes } from './trees.ts';

const now = { mtime: 1 };
const marker = Buffer.from('here it is: 1f0c9');

function marked(size: number, at: number): Uint8Array {
  const bytes = testBytes(size);
  bytes.set(marker, at);
  return bytes;
}

async function makeImage(): Promise<Uint8Array> {
  const root = directory(now);
  const lib = directory(now);
  root.children.set('lib', lib);
  lib.children.set('large', regularFile(bytesContent(marked(50_000, 20_000)), now));
  lib.children.set('small', regularFile(bytesContent(Buffer.from('a small file')), now));
  lib.children.set('link', symlink('where/it/points', now));
  for (let i = 0; i < 400; i += 1) {
    lib.children.set(`name-${i}`, regularFile(bytesContent(new Uint8Array(0)), now));
  }
  lib.xattrs.set('user.attribute', Buffer.from('its value'));
  const sink = new MemorySink();
  await writeErofs(planErofs(root, { buildTime: 1, uuid: new Uint8Array(16) }), sink);
  return sink.bytes();
}
const image = await makeImage();
const offsetOf = (bytes: Uint8Array | string): number => {
  const at = Buffer.from(image).indexOf(Buffer.from(bytes));
  if (at < 0) throw new Error('The image does not hold it');
  return at;
};

describe('locateErofsBlocks', () => {
  test.each([
    ['data', marker, 'data of /lib/large, bytes 20000..20000'],
    ['inline data', 'a small file', 'data of /lib/small, bytes 0..0'],
    ['a name', 'name-399', 'names in /lib'],
    ['a target', 'where/it/points', 'the target of /lib/link'],
    ['an attribute', 'its value', 'xattrs of /lib'],
  ])('%s is told by its file', async (_, bytes, text) => {
    expect(await describeOffset(bytesSource(image), offsetOf(bytes))).toBe(text);
  });

  test('the superblock and what nobody uses have names', async () => {
    expect(await describeOffset(bytesSource(image), 1030)).toBe('the superblock');
    expect(await describeOffset(bytesSource(image), 0)).toBe('unused space');
    expect(await describeOffset(bytesSource(image), image.length)).toBe(
      'nothing of the file system',
    );
  });

  test('a block of data is told with the bytes of the file that it holds', async () => {
    const offset = offsetOf(marker) - (offsetOf(marker) % 4096);
    const [owner] = await locateErofsBlocks(bytesSource(image), [{ offset, length: 4096 }]);
    expect(owner).toMatchObject({ offset, length: 4096, kind: 'data', path: '/lib/large' });
    const { start, length } = owner?.file ?? { start: 0, length: 0 };
    expect(length).toBe(4096);
    expect(image.subarray(offset, offset + 4096)).toEqual(
      marked(50_000, 20_000).subarray(start, start + length),
    );
  });

  test('every byte has an owner, and bytes without use are zero', async () => {
    const owners = await locateErofsBlocks(bytesSource(image), [
      { offset: 0, length: image.length },
    ]);
    const owned = new Uint8Array(image.length);
    for (const { kind, offset, length } of owners) {
      for (let at = offset; at < offset + length; at += 1) owned[at]! += 1;
      if (kind !== 'unused') continue;
      expect(image.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
    }
    expect(owned.every((count) => count === 1)).toBe(true);
    expect(owners.map(({ offset }) => offset)).toEqual(
      owners.map(({ offset }) => offset).toSorted((a, b) => a - b),
    );
  });

  test('ranges in any order, overlapping and outside, are answered once', async () => {
    const whole = await locateErofsBlocks(bytesSource(image), [{ offset: 0, length: 1e9 }]);
    const parts = await locateErofsBlocks(bytesSource(image), [
      { offset: 4096, length: 1e9 },
      { offset: -100, length: 5000 },
      { offset: 2000, length: 100 },
      { offset: 1e9, length: 5 },
    ]);
    expect(parts).toEqual(whole);
  });

  test('two ranges next to each other keep what lies between them apart', async () => {
    const at = offsetOf(marker);
    const owners = await locateErofsBlocks(bytesSource(image), [
      { offset: at, length: 1 },
      { offset: at + 2, length: 1 },
      { offset: 0, length: 1 },
      { offset: 5, length: 1 },
    ]);
    expect(owners.map(({ offset, length }) => [offset, length])).toEqual([
      [0, 1],
      [5, 1],
      [at, 1],
      [at + 2, 1],
    ]);
  });

  test('in a damaged image the rest is still told, and what is lost is not called unused', async () => {
    const damaged = image.slice();
    const names = offsetOf('name-100') & ~4095;
    damaged.fill(0xff, names, names + 4096);
    damaged[3000]! ^= 1;
    const find = async (at: number): Promise<ErofsOwner | undefined> =>
      (await locateErofsBlocks(bytesSource(damaged), [{ offset: at, length: 1 }]))[0];
    expect(await find(names)).toMatchObject({ kind: 'directory', path: '/lib' });
    expect(await find(0)).toMatchObject({ kind: 'unknown' });
    expect(await find(offsetOf('its value'))).toMatchObject({ kind: 'xattrs', path: '/lib' });
  });
});
