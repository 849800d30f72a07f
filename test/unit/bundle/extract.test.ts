/** Extracting archives: what is hostile is refused, and nothing is left behind. */

import { existsSync, lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Entry, EntryList } from '../../../src/bundle/entries/entry.ts';
import { extractEntries } from '../../../src/bundle/entries/extract.ts';
import { FormatError } from '../../../src/core/errors.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mb-extract-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const listOf = (
  entries: readonly (Partial<Entry> & { name: string; text?: string })[],
): EntryList => ({
  // oxlint-disable-next-line typescript/require-await -- an async generator by contract
  async *entries() {
    for (const { text = '', ...entry } of entries) {
      const bytes = Buffer.from(text);
      yield {
        entry: { kind: 'file', size: bytes.length, storage: {}, ...entry },
        // oxlint-disable-next-line typescript/require-await -- an async generator by contract
        data: (async function* data() {
          yield bytes;
        })(),
      };
    }
  },
});

describe('extractEntries()', () => {
  test('writes files, folders and links, without set-id bits', async () => {
    const out = join(folder, 'out');
    const report = await extractEntries(
      listOf([
        { name: 'd', kind: 'directory', mode: 0o755 },
        { name: 'd/f', text: 'data', mode: 0o4755, mtime: 5 },
        { name: 'l', kind: 'symlink', target: '/etc/passwd' },
        { name: 'h', kind: 'hardlink', target: 'd/f' },
        { name: 'p', kind: 'fifo' },
      ]),
      out,
    );
    expect(report).toMatchObject({ files: 1, directories: 1, symlinks: 1, links: 1, written: 4 });
    expect(report.skipped).toEqual([{ path: 'p', what: 'fifo' }]);
    expect(readFileSync(join(out, 'h'), 'utf8')).toBe('data');
    expect(lstatSync(join(out, 'd/f')).mode & 0o7777).toBe(0o755);
    expect(readlinkSync(join(out, 'l'))).toBe('/etc/passwd');
  });

  test.each([
    ['a name that climbs', [{ name: '../x', text: 'x' }]],
    ['a name that climbs inside', [{ name: 'a/../../x', text: 'x' }]],
    ['a name with a control character', [{ name: 'a\u0000b', text: 'x' }]],
    [
      'two files of one name',
      [
        { name: 'a', text: '1' },
        { name: 'a', text: '2' },
      ],
    ],
    [
      'a file below a file',
      [
        { name: 'a', text: '1' },
        { name: 'a/b', text: '2' },
      ],
    ],
  ])('refuses %s, and leaves nothing', async (_title, entries) => {
    const out = join(folder, 'out');
    await expect(extractEntries(listOf(entries), out)).rejects.toThrow(FormatError);
    expect(existsSync(out)).toBe(false);
    expect(existsSync(join(folder, 'x'))).toBe(false);
  });

  test('a link is not followed by a file that comes through it', async () => {
    const out = join(folder, 'out');
    await expect(
      extractEntries(
        listOf([
          { name: 'l', kind: 'symlink', target: folder },
          { name: 'l/x', text: 'through' },
        ]),
        out,
      ),
    ).rejects.toThrow(FormatError);
    expect(existsSync(join(folder, 'x'))).toBe(false);
  });

  test('no more is written than was allowed', async () => {
    const out = join(folder, 'out');
    const list = listOf([{ name: 'a', text: 'x'.repeat(100) }]);
    await expect(extractEntries(list, out, { maxBytes: 99 })).rejects.toThrow(/too much/);
    expect(existsSync(out)).toBe(false);
  });
});
