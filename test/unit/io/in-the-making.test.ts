import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cleanUpAbruptly } from '../../../src/io/abrupt-end.ts';
import { collectLeftovers, inTheMaking } from '../../../src/io/in-the-making.ts';
import { processMark } from '../../../src/io/process-mark.ts';
import { undoChanges } from '../../../src/io/undo-journal.ts';
import { openUndoableFile } from '../../../src/signing/avb/undoable-file.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const HEX = '0123456789ab';
const ofThis = await processMark();
/** A process with the number of this one that started at another time: it is gone. */
const ofDead = ofThis.replace(/\d+$/, '1');
const ofOther = `ffffffffffff.77.123`;

describe('what other processes left', () => {
  test('is removed when they are gone, and only then', async () => {
    const folder = tmpDir();
    for (const mark of [ofThis, ofDead, ofOther]) {
      writeFileSync(join(folder, `.a.img.new-${mark}-${HEX}`), 'half');
      mkdirSync(join(folder, `.b.new-${mark}-${HEX}.files`));
    }
    writeFileSync(join(folder, '.a.img.new-elsewhere'), 'of the user');
    await collectLeftovers(folder);
    const left = [ofThis, ofOther].flatMap((mark) => [
      `.a.img.new-${mark}-${HEX}`,
      `.b.new-${mark}-${HEX}.files`,
    ]);
    expect(readdirSync(folder).toSorted()).toEqual(['.a.img.new-elsewhere', ...left].toSorted());
  });

  test('is removed after a day when nobody can be asked', async () => {
    const folder = tmpDir();
    const path = join(folder, `.a.img.new-${ofOther}-${HEX}`);
    writeFileSync(path, 'half');
    const yesterday = Date.now() / 1000 - 25 * 3600;
    utimesSync(path, yesterday, yesterday);
    await collectLeftovers(folder);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('gets its place again when it was moved away and nothing came', async () => {
    const folder = tmpDir();
    mkdirSync(join(folder, `.out.old-${ofDead}-${HEX}`));
    mkdirSync(join(folder, `.other.old-${ofDead}-${HEX}`));
    mkdirSync(join(folder, 'other'));
    await collectLeftovers(folder);
    expect(readdirSync(folder).toSorted()).toEqual(['other', 'out']);
  });
});

test('at an abrupt end everything in the making goes, and what was moved away comes back', async () => {
  const folder = tmpDir();
  writeFileSync(join(folder, 'old'), 'old');
  const [made, finished, away] = [
    await inTheMaking(join(folder, 'new')),
    await inTheMaking(join(folder, 'finished')),
    await inTheMaking(join(folder, 'old'), 'old'),
  ];
  mkdirSync(made.path);
  writeFileSync(finished.path, 'whole');
  renameSync(finished.path, join(folder, 'finished'));
  finished.release();
  renameSync(join(folder, 'old'), away.path);
  cleanUpAbruptly();
  expect(readdirSync(folder).toSorted()).toEqual(['finished', 'old']);
});

/** What a process leaves at `path` that was killed while it changed the file there. */
async function killedAt(path: string): Promise<string> {
  const folder = dirname(path);
  const file = await openUndoableFile(path);
  await file.write(0, Buffer.from('changed!'));
  const [journal = ''] = readdirSync(folder).filter((name) => name.includes('.undo-'));
  const bytes = readFileSync(join(folder, journal));
  const { mtimeMs } = statSync(join(folder, journal));
  await file.commit();
  const left = join(folder, journal.replace(ofThis, ofDead));
  writeFileSync(left, bytes, { mode: 0o600 });
  utimesSync(left, mtimeMs / 1000, mtimeMs / 1000);
  return left;
}

describe('a file that was being changed where it is', () => {
  const change = fc.record({
    offset: fc.nat(3000),
    data: fc.uint8Array({ minLength: 1, maxLength: 900 }),
    truncate: fc.option(fc.nat(3000)),
  });

  test('is brought back when who changed it was killed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 2000 }),
        fc.array(change, { minLength: 1, maxLength: 5 }),
        // What was being written to the journal when the power went.
        fc.uint8Array({ maxLength: 100 }),
        async (original, changes, torn) => {
          const folder = tmpDir();
          const path = join(folder, 'image');
          writeFileSync(path, original);
          const file = await openUndoableFile(path);
          for (const { offset, data, truncate } of changes) {
            await file.write(offset, data);
            if (truncate !== null) await file.truncate(truncate);
          }
          const [journal = ''] = readdirSync(folder).filter((name) => name.includes('.undo-'));
          const left = join(folder, journal.replace(ofThis, ofDead));
          writeFileSync(left, Buffer.concat([readFileSync(join(folder, journal)), torn]));
          const changed = readFileSync(path);
          await collectLeftovers(folder);
          expect(readFileSync(path)).toEqual(Buffer.from(original));
          expect(existsSync(left)).toBe(false);
          // Whoever lives keeps what he changed.
          writeFileSync(path, changed);
          await file.commit();
          expect(readFileSync(path)).toEqual(changed);
          expect(readdirSync(folder)).toEqual(['image']);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('stays as it is, whatever bytes are in a journal', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, hasMagic) => {
        const folder = tmpDir();
        const journal = join(folder, `.image.undo-${ofDead}-${HEX}`);
        writeFileSync(join(folder, 'image'), 'content');
        writeFileSync(
          journal,
          Buffer.concat([Buffer.from(hasMagic ? 'microbuild undo1' : ''), bytes]),
        );
        expect(undoChanges(journal)).toBe(false);
        expect(readFileSync(join(folder, 'image'), 'utf8')).toBe('content');
      }),
      { numRuns: 60 },
    );
  });

  test('is left alone when somebody made it anew since, and the journal stays', async () => {
    const folder = tmpDir();
    const path = join(folder, 'image');
    writeFileSync(path, 'original');
    const left = await killedAt(path);
    // The same inode, as `cp` and most programs leave it.
    writeFileSync(path, 'made anew');
    const later = Date.now() / 1000 + 5;
    utimesSync(path, later, later);
    await collectLeftovers(folder);
    expect(readFileSync(path, 'utf8')).toBe('made anew');
    expect(existsSync(left)).toBe(true);
  });

  test('is brought back through a link to it', async () => {
    const folder = tmpDir();
    const path = join(folder, 'image');
    writeFileSync(path, 'original');
    const link = join(tmpDir(), 'link');
    symlinkSync(path, link);
    const file = await openUndoableFile(link);
    await file.write(0, Buffer.from('changed!'));
    expect(readdirSync(dirname(link))).toEqual(['link']);
    await file.rollback();
    expect(readFileSync(path, 'utf8')).toBe('original');
    expect(readdirSync(folder)).toEqual(['image']);
  });

  test('is not another one, where a link has its name by now', async () => {
    const folder = tmpDir();
    const path = join(folder, 'image');
    writeFileSync(path, 'original');
    const left = await killedAt(path);
    const other = join(tmpDir(), 'moved');
    renameSync(path, other);
    symlinkSync(other, path);
    await collectLeftovers(folder);
    expect(readFileSync(other, 'utf8')).toBe('changed!');
    expect(existsSync(left)).toBe(true);
  });

  test.skipIf(process.geteuid?.() !== 0)(
    'is not touched for the journal of another user',
    async () => {
      const folder = tmpDir();
      const path = join(folder, 'image');
      writeFileSync(path, 'original');
      const left = await killedAt(path);
      chownSync(left, 12345, 12345);
      await collectLeftovers(folder);
      expect(readFileSync(path, 'utf8')).toBe('changed!');
      expect(existsSync(left)).toBe(true);
    },
  );

  test('does not wait for a pipe where a journal could be', async () => {
    const folder = tmpDir();
    const pipe = join(folder, `.image.undo-${ofDead}-${HEX}`);
    execFileSync('mkfifo', [pipe]);
    await collectLeftovers(folder);
    expect(readdirSync(folder)).toEqual([`.image.undo-${ofDead}-${HEX}`]);
  });

  test('is left alone when another file has its name by now, and the journal stays', async () => {
    const folder = tmpDir();
    const path = join(folder, 'image');
    writeFileSync(path, 'original');
    const file = await openUndoableFile(path);
    await file.write(0, Buffer.from('changed!'));
    const [journal = ''] = readdirSync(folder).filter((name) => name.includes('.undo-'));
    writeFileSync(join(folder, 'next'), 'next');
    renameSync(path, join(folder, 'moved'));
    renameSync(join(folder, 'next'), path);
    expect(undoChanges(join(folder, journal))).toBe(false);
    expect(readFileSync(path, 'utf8')).toBe('next');
    renameSync(join(folder, 'moved'), path);
    truncateSync(path, 3);
    expect(undoChanges(join(folder, journal))).toBe(true);
    expect(readFileSync(path, 'utf8')).toBe('original');
    await file.commit();
  });
});
