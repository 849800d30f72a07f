import fc from 'fast-check';
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkAuditLog, openAuditLog, type AuditLog } from '../../../src/signing/audit.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const open = (path: string): AuditLog =>
  openAuditLog(path, {
    identity: { user: 'somebody', host: 'somewhere' },
    command: 'sign thing',
    profile: 'release',
    mode: 'direct',
    now: () => new Date(0),
  });

async function writeLog(count: number): Promise<{ path: string; lines: string[] }> {
  const path = join(tmpDir(), 'log');
  for (let at = 0; at < count; at += 1) {
    await open(path).append({ verdict: 'signed', artefact: `thing ${at}` });
  }
  return { path, lines: readFileSync(path, 'utf8').trimEnd().split('\n') };
}

const check = (lines: readonly string[]) =>
  checkAuditLog(Buffer.from(lines.map((line) => `${line}\n`).join('')));

describe('an audit log', () => {
  test('holds when nobody touched it, and tells its verdicts and its last line', async () => {
    const { path, lines } = await writeLog(3);
    await open(path).append({ verdict: 'refused', reason: 'because', artefact: 'thing' });
    const report = checkAuditLog(readFileSync(path));
    expect(report).toMatchObject({ lines: 4, verdicts: { signed: 3, refused: 1 }, problems: [] });
    expect(report.last).not.toBe(check(lines).last);
    expect(checkAuditLog(new Uint8Array(0))).toMatchObject({ lines: 0, last: null, problems: [] });
  });

  test('tells where a line was taken away, changed, moved or put in', async () => {
    const { lines } = await writeLog(5);
    const [one = '', two = '', three = '', four = '', five = ''] = lines;
    const problems = (...changed: string[]): number[] =>
      check(changed).problems.map(({ line }) => line);
    expect(problems(one, two, four, five)).toEqual([3]);
    expect(problems(two, three, four, five)).toEqual([1]);
    expect(problems(one, two.replace('thing 1', 'thing 9'), three, four, five)).toEqual([3]);
    expect(problems(one, three, two, four, five)).toEqual([2]);
    expect(problems(one, two, '{}', three, four, five)).toEqual([3]);
    expect(problems(one, 'no JSON', two)).toEqual([2]);
    const forged = JSON.stringify({ verdict: 'signed', previous: null });
    expect(problems(one, two, forged)).toEqual([3]);
  });

  test('holds when sessions write at the same time', async () => {
    const path = join(tmpDir(), 'log');
    const session = async (): Promise<void> => {
      const log = open(path);
      for (let at = 0; at < 10; at += 1) await log.append({ verdict: 'signed', artefact: `${at}` });
    };
    await Promise.all(Array.from({ length: 4 }, session));
    expect(readdirSync(dirname(path))).toEqual(['log']);
    expect(checkAuditLog(readFileSync(path))).toMatchObject({ lines: 40, problems: [] });
  });

  test('goes on behind a line that was cut off, which is told', async () => {
    const { path } = await writeLog(2);
    appendFileSync(path, '{"verdict":"sig');
    expect(checkAuditLog(readFileSync(path)).problems).toEqual([
      { line: 3, problem: 'it is cut off' },
    ]);
    await open(path).append({ verdict: 'signed', artefact: 'next' });
    const { lines, problems } = checkAuditLog(readFileSync(path));
    expect([lines, problems]).toEqual([4, [{ line: 3, problem: 'it is no JSON' }]]);
  });

  test('finds the last line of a long log', async () => {
    const { path } = await writeLog(1);
    const filler = `${JSON.stringify({ verdict: 'signed', previous: null, x: 'x'.repeat(900) })}\n`;
    writeFileSync(path, filler.repeat(100));
    await open(path).append({ verdict: 'signed', artefact: 'next' });
    const { problems } = checkAuditLog(readFileSync(path));
    expect(problems.map(({ line }) => line)).toEqual(Array.from({ length: 99 }, (_, at) => at + 2));
  });

  test('of any bytes is checked', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.string().map((text) => Buffer.from(text)),
        ),
        (log) => {
          const { lines, problems } = checkAuditLog(log);
          expect(problems.length).toBeLessThanOrEqual(lines);
        },
      ),
    );
  });
});
