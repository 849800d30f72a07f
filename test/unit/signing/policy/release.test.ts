import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { reviewRelease, type ReviewSubject } from '../../../../src/signing/policy/release.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const codes = (subject: ReviewSubject, last: [string, bigint][] = []): string[] =>
  reviewRelease(subject, new Map(last)).map(({ code }) => code);

const vbmeta = {
  kind: 'vbmeta',
  name: 'boot',
  algorithm: 'SHA256_RSA4096',
  rollbackIndex: 5n,
} as const;

describe('a release', () => {
  test('may be signed with a key that nobody knows, and not with one for development', () => {
    const key = { kind: 'key', name: 'k', publicKey } as const;
    expect(codes({ ...key, development: false })).toEqual([]);
    expect(codes({ ...key, development: true })).toEqual(['development-key']);
  });

  test('may hold no debuggable APK', () => {
    expect(codes({ kind: 'apk', name: 'a.apk', debuggable: false })).toEqual([]);
    expect(codes({ kind: 'apk', name: 'a.apk', debuggable: true })).toEqual(['debuggable']);
  });

  test('must be signed, and verified', () => {
    expect(codes(vbmeta)).toEqual([]);
    expect(codes({ ...vbmeta, algorithm: 'NONE' })).toEqual(['unsigned']);
    for (const flags of [1, 2, 3]) {
      expect(codes({ ...vbmeta, flags })).toEqual(['verification-disabled']);
    }
  });

  test('may repeat the rollback index of the last, not go below it', () => {
    expect(codes(vbmeta, [['boot', 5n]])).toEqual([]);
    expect(codes(vbmeta, [['boot', 4n]])).toEqual([]);
    expect(codes(vbmeta, [['boot', 6n]])).toEqual(['rollback']);
    expect(codes(vbmeta, [['other', 6n]])).toEqual([]);
    expect(codes(vbmeta, [['boot#1', 6n]])).toEqual([]);
    expect(codes({ ...vbmeta, rollbackIndexLocation: 1 }, [['boot#1', 6n]])).toEqual(['rollback']);
  });

  test('may take only what is pinned', () => {
    const inputs = { kind: 'inputs', name: 'hello', pinWith: 'microbuild lock .' } as const;
    expect(codes({ ...inputs, unpinned: [] })).toEqual([]);
    expect(codes({ ...inputs, unpinned: ['linux', 'musl'] })).toEqual(['unpinned-input']);
  });

  test('is told what to do about each reason', () => {
    for (const subject of [
      { ...vbmeta, algorithm: 'NONE', flags: 3 },
      { kind: 'apk', name: 'a.apk', debuggable: true },
      { kind: 'key', name: 'k', publicKey, development: true },
    ] satisfies ReviewSubject[]) {
      for (const { message, hint } of reviewRelease(subject, new Map([['boot', 9n]]))) {
        expect(message.startsWith(subject.name)).toBe(true);
        expect(hint).not.toBe('');
      }
    }
  });
});

describe.skipIf(corpus === undefined)('published keys', () => {
  const keysOf = (folder: string, ending: string) =>
    readdirSync(corpusPath(folder, 'keys'))
      .filter((name) => name.endsWith(ending))
      .map((name) => [name, readFileSync(corpusPath(folder, 'keys', name))] as const);

  test('of AOSP are refused, whichever file they come from', () => {
    const certificates = keysOf('sig-apksig', '.x509.pem').map(
      ([name, pem]) => [name, new X509Certificate(pem).publicKey] as const,
    );
    const avb = keysOf('sig-avb', '.pem').map(
      ([name, pem]) => [name, createPublicKey(pem)] as const,
    );
    expect([certificates.length, avb.length].every((count) => count > 5)).toBe(true);
    for (const [name, key] of [...certificates, ...avb]) {
      const subject = { kind: 'key', name, publicKey: key, development: false } as const;
      expect([name, codes(subject)]).toEqual([name, ['published-key']]);
    }
  });
});
