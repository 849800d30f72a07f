import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FileFollower } from '../../../src/runner/file-follower.ts';
import { RotatingLog, olderLog, readOlderLog } from '../../../src/runner/rotating-log.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

async function readAll(path: string): Promise<string> {
  let text = '';
  await readOlderLog(path, (chunk) => {
    text += Buffer.from(chunk).toString();
  });
  return text + readFileSync(path, 'utf8');
}

test('a log keeps the end of what is written, in two files of at most its limit', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.string({ unit: 'grapheme-ascii', maxLength: 100 }), { maxLength: 20 }),
      async (limit, texts) => {
        const path = join(tmpDir(), 'log');
        const log = await RotatingLog.open(path, limit);
        for (const text of texts) await log.write(Buffer.from(text));
        await log.close();
        const all = texts.join('');
        const kept = await readAll(path);
        expect(all.endsWith(kept)).toBe(true);
        expect(kept.length).toBeGreaterThanOrEqual(Math.min(all.length, limit));
        for (const name of readdirSync(join(path, '..'))) {
          expect(statSync(join(path, '..', name)).size).toBeLessThanOrEqual(limit);
        }
      },
    ),
    { numRuns: 40 },
  );
});

test('a log is private, and one that is there is not written over', async () => {
  const path = join(tmpDir(), 'log');
  const log = await RotatingLog.open(path, 10);
  await log.write(Buffer.from('more than ten bytes'));
  for (const each of [path, olderLog(path)]) expect(statSync(each).mode & 0o777).toBe(0o600);
  await log.close();
  await expect(RotatingLog.open(path)).rejects.toMatchObject({ code: 'EEXIST' });
});

test('a disk that is full loses chunks, and does not end what writes', async () => {
  const log = await RotatingLog.open(join(tmpDir(), 'log'));
  await log.close();
  await log.write(Buffer.from('nobody takes this'));
  expect(log.failed).toBe(true);
});

test('a follower sees every byte of a log that is rotated meanwhile', async () => {
  const path = join(tmpDir(), 'log');
  let seen = '';
  // Slow, so that it falls behind by less than one rotation.
  const follower = new FileFollower(path, (chunk) => {
    seen += Buffer.from(chunk).toString();
  });
  const log = await RotatingLog.open(path, 1000);
  let written = '';
  for (let i = 0; i < 60; i++) {
    const line = `line ${i} ${'x'.repeat(90)}\n`;
    written += line;
    await log.write(Buffer.from(line));
    if (i % 9 === 8) await expect.poll(() => seen.length).toBe(written.length);
  }
  await log.close();
  await follower.stop();
  expect(seen).toBe(written);
});

test('a follower of what is not there sees nothing', async () => {
  const chunks: Uint8Array[] = [];
  const follower = new FileFollower(join(tmpDir(), 'absent'), (chunk) => void chunks.push(chunk));
  await follower.stop();
  expect(chunks).toEqual([]);
});
