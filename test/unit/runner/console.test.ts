import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type ConsoleFact,
  ConsoleLog,
  parseConsoleLine,
  sanitize,
} from '../../../src/runner/console.ts';

test.each<[string, ConsoleFact | undefined]>([
  ['microbuild: phase init +842', { kind: 'phase', phase: 'init', milliseconds: 842 }],
  ['[    1.234567] microbuild: phase apk +9', { kind: 'phase', phase: 'apk', milliseconds: 9 }],
  [
    'microbuild: refused MICROBUILD_OS_VERIFICATION_FAILED vbmeta: digest differs: a, b',
    {
      kind: 'refused',
      reason: 'MICROBUILD_OS_VERIFICATION_FAILED',
      link: 'vbmeta',
      message: 'digest differs: a, b',
    },
  ],
  [
    '[   1.5] device-mapper: verity: 254:0: metadata block 8207 is corrupted',
    { kind: 'corruption', device: '254:0', block: 8207, tree: true },
  ],
  [
    '[    1.5][    T7] device-mapper: verity: 254:1: data block 3 is corrupted',
    { kind: 'corruption', device: '254:1', block: 3, tree: false },
  ],
  [
    'microbuild: verity 254:18 microdroid-apk',
    { kind: 'verity', device: '254:18', label: 'microdroid-apk' },
  ],
  ['[ 2.0] Kernel panic - not syncing: No init', { kind: 'panic', message: 'No init' }],
  ['echo microbuild: phase init +842', undefined],
  ['microbuild: phase init', undefined],
  ['microbuild: refused lower vbmeta: x', undefined],
  ['', undefined],
])('%j is understood', (line, fact) => {
  expect(parseConsoleLine(line)).toEqual(fact);
});

test('any chunking gives the same facts and lines', () => {
  const text = Buffer.from('microbuild: phase init +1\r\nhé\nmicrobuild: phase apk +2\npartial');
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: text.length })), (cuts) => {
      const facts: ConsoleFact[] = [];
      const log = new ConsoleLog((fact) => facts.push(fact));
      const ends = [...cuts, text.length].toSorted((a, b) => a - b);
      ends.reduce((at, end) => (log.push(text.subarray(at, end)), end), 0);
      log.end();
      expect(facts.map((fact) => fact.kind)).toEqual(['phase', 'phase']);
      expect(log.phase).toBe('apk');
      expect(log.tail()).toEqual([
        'microbuild: phase init +1',
        'hé',
        'microbuild: phase apk +2',
        'partial',
      ]);
    }),
  );
});

test('the first refusal, corruption and panic count, and no stack trace follows a panic', () => {
  const log = new ConsoleLog();
  log.push(
    Buffer.from(
      'microbuild: refused A system: one\nmicrobuild: refused B system: two\n' +
        'Kernel panic - not syncing: first\nCall Trace:\nKernel panic - not syncing: second\n',
    ),
  );
  expect(log.refusal?.reason).toBe('A');
  expect(log.panic).toBe('first');
  expect(log.tail().filter((line) => line.includes('Call Trace'))).toEqual([]);
});

test('memory stays bounded however much a guest prints', () => {
  const log = new ConsoleLog();
  for (let i = 0; i < 50; i++) log.push(Buffer.alloc(100_000, 'x'));
  for (let i = 0; i < 1000; i++) log.push(Buffer.from(`\nline ${i}`));
  log.end();
  expect(log.tail(10_000)).toHaveLength(200);
  expect(Math.max(...log.tail(10_000).map((line) => line.length))).toBeLessThanOrEqual(1000);
});

test('a guest cannot send control characters to the terminal', () => {
  expect(sanitize('a\u001b[2Jb\u009b\tc\u0000')).toBe('a\ufffd[2Jb\ufffd c\ufffd');
  const log = new ConsoleLog();
  log.push(Buffer.from('\u001b]0;title\u0007\n'));
  expect(log.tail()).toEqual(['\ufffd]0;title\ufffd']);
});
