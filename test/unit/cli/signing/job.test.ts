import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  describeCommandLine,
  requireSameJob,
  withoutPin,
} from '../../../../src/cli/signing/job.ts';

describe('the description of a command line', () => {
  test('leaves out what is said anew with each run', () => {
    const words = '--json sign thing a.bin --prepare dir -o out -q --audit-log=log --verbose';
    expect(describeCommandLine(words.split(' '))).toEqual({
      command: ['sign', 'thing'],
      arguments: ['a.bin', '-o', 'out'],
    });
  });

  test('leaves out pass phrases in the wrong place, not where they are', () => {
    const secrets = [
      '--key-pass',
      'CANARY',
      '--ks-pass=CANARY',
      '--pin',
      'CANARY',
      '--key-pass=pass:CANARY',
    ];
    const places = ['--key-pass', 'env:NAME', '--key-pass=file:pin.txt', '--key-pass', 'prompt'];
    expect(describeCommandLine(['sign', 'thing', 'a', ...secrets, ...places])).toEqual({
      command: ['sign', 'thing'],
      arguments: 'a --key-pass env:NAME --key-pass file:pin.txt --key-pass prompt'.split(' '),
    });
  });

  test('leaves the PIN out of a URI wherever it stands', () => {
    for (const [uri, without] of [
      ['pkcs11:object=o?pin-value=CANARY', 'pkcs11:object=o?'],
      ['pkcs11:object=o?pin-value=CANARY&module-name=m', 'pkcs11:object=o?module-name=m'],
      ['pkcs11:object=o?module-name=m&pin-value=CANARY', 'pkcs11:object=o?module-name=m'],
      ['pkcs11:pin-value=CANARY;object=o', 'pkcs11:object=o'],
      ['pkcs11:token=t;pin-value=CANARY;object=o', 'pkcs11:token=t;object=o'],
    ] as const) {
      expect(withoutPin(uri)).toBe(without);
      expect(withoutPin(without)).toBe(without);
    }
  });

  test('describes a described line as itself', () => {
    const word = fc.constantFrom(
      'a',
      '-o',
      '--key',
      '--prepare',
      '--json',
      '--key-pass',
      'x=1',
      '--p=1',
    );
    fc.assert(
      fc.property(fc.array(word), (words) => {
        const once = describeCommandLine(['sign', 'thing', ...words]);
        const twice = describeCommandLine([...once.command, ...once.arguments]);
        // A line whose last word wants a value is no line.
        fc.pre(!['--prepare', '--key-pass'].includes(words.at(-1) ?? ''));
        expect(twice).toEqual(once);
      }),
    );
  });
});

test('an input that came, went or changed makes another job', () => {
  const input = (path: string, sha256 = '0') => ({ path, size: 1, sha256 });
  const job = (...inputs: ReturnType<typeof input>[]) => ({
    command: ['sign', 'thing'],
    arguments: [],
    directory: '/',
    inputs,
  });
  const both = job(input('a'), input('b'));
  expect(() => requireSameJob(both, { ...both, directory: '/elsewhere' })).not.toThrow();
  expect(() => requireSameJob(both, job(input('a'), input('b', '1')))).toThrow('b was changed');
  expect(() => requireSameJob(both, job(input('a')))).toThrow('b is not there any more');
  expect(() => requireSameJob(job(input('a')), both)).toThrow('b was not there');
});
