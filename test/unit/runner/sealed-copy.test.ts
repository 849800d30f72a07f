import {
  closeSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { openFileSource } from '../../../src/io/byte-source.ts';
import * as memory from '../../../src/native/sealed-memory.ts';
import { sealedCopy } from '../../../src/runner/sealed-copy.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const CONTENT = Buffer.alloc(3_000_001, 'kernel ');

describe.each([
  ['in memory', true],
  ['in a file without a name', false],
])('a sealed copy %s', (_where, inMemory) => {
  test('has the bytes that were verified, whatever becomes of the file', async () => {
    if (!inMemory) vi.spyOn(memory, 'openSealableMemory').mockResolvedValue(undefined);
    const folder = tmpDir();
    const path = join(folder, 'kernel');
    writeFileSync(path, CONTENT);
    const source = await openFileSource(path);
    const copy = await sealedCopy(source, folder);
    writeFileSync(path, 'something else');
    const where = readlinkSync(`/proc/self/fd/${copy.descriptor}`);
    expect(where).toMatch(inMemory ? /^\/memfd:/ : /\.sealed-.* \(deleted\)$/);
    expect(copy.source.size).toBe(CONTENT.length);
    expect(Buffer.from(await copy.source.read(0, CONTENT.length)).equals(CONTENT)).toBe(true);
    expect(readFileSync(`/proc/self/fd/${copy.descriptor}`).equals(CONTENT)).toBe(true);
    expect(() => writeSync(copy.descriptor, 'x')).toThrow(/EBADF|EPERM/);
    if (inMemory) {
      // Not even by opening it anew.
      const again = openSync(`/proc/self/fd/${copy.descriptor}`, 'r+');
      expect(() => writeSync(again, 'x')).toThrow(/EPERM/);
      closeSync(again);
    }
    expect(readdirSync(folder)).toEqual(['kernel']);
    await copy.close();
    await source.close();
  });
});
