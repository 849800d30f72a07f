import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openUndoableFile } from '../../../../src/signing/avb/undoable-file.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

type Change =
  | { readonly kind: 'write'; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: 'truncate'; readonly size: number };

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    offset: fc.nat(3000),
    data: fc.uint8Array({ minLength: 1, maxLength: 900 }),
  }),
  fc.record({ kind: fc.constant('truncate' as const), size: fc.nat(3000) }),
);

/** What a file holds after the changes. */
function changed(original: Uint8Array, changes: readonly Change[]): Uint8Array {
  let model = original;
  const resize = (size: number): void => {
    const next = new Uint8Array(size);
    next.set(model.subarray(0, size));
    model = next;
  };
  for (const each of changes) {
    if (each.kind === 'truncate') {
      resize(each.size);
    } else {
      resize(Math.max(model.length, each.offset + each.data.length));
      model.set(each.data, each.offset);
    }
  }
  return model;
}

test('brings back every byte, or keeps every change, and leaves no file behind', async () => {
  const folder = tmpDir();
  const path = join(folder, 'image');
  // Zeros in the original, too: they are remembered without being copied.
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }),
    fc.nat(2000).map((size) => new Uint8Array(size)),
  );
  await fc.assert(
    fc.asyncProperty(
      content,
      fc.array(change, { maxLength: 6 }),
      fc.boolean(),
      async (original, changes, keep) => {
        writeFileSync(path, original);
        const file = await openUndoableFile(path);
        for (const each of changes) {
          if (each.kind === 'write') await file.write(each.offset, each.data);
          else await file.truncate(each.size);
        }
        if (keep) await file.commit();
        else await file.rollback();
        const expected = keep ? changed(original, changes) : original;
        expect(Buffer.compare(readFileSync(path), expected)).toBe(0);
        expect(readdirSync(folder)).toEqual(['image']);
      },
    ),
    { numRuns: 150 },
  );
});

test('changes regular files only', async () => {
  const folder = join(tmpDir(), 'folder');
  mkdirSync(folder);
  await expect(openUndoableFile('/dev/null')).rejects.toThrow(/not a regular file/);
  await expect(openUndoableFile(folder)).rejects.toMatchObject({ code: 'EISDIR' });
});

test('a footer behind a large hole costs no room while it is written', async () => {
  const path = join(tmpDir(), 'image');
  writeFileSync(path, 'data');
  const file = await openUndoableFile(path);
  await file.truncate(1 << 30);
  await file.write((1 << 30) - 4, new Uint8Array([1, 2, 3, 4]));
  await file.commit();
  const { size, blocks } = statSync(path);
  expect(size).toBe(1 << 30);
  expect(blocks * 512).toBeLessThan(1 << 20);
});
