/** The strict ZIP profile against archives that were made to deceive readers. */

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkStrictApk } from '../../src/formats/apk/strict.ts';
import { FormatError } from '../../src/core/errors.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface Attack {
  readonly expect: string;
  readonly class: string;
  readonly v2_signature_valid?: boolean;
}

const path = (name: string): string => corpusPath('sig-zip-attacks', name);
const attacks = Object.entries(
  (corpus
    ? (JSON.parse(readFileSync(path('manifest.json'), 'utf8')) as { readonly files: object }).files
    : {}) as Readonly<Record<string, Attack>>,
).filter(([name]) => existsSync(path(name)));

async function codeOf(name: string): Promise<string> {
  try {
    await checkStrictApk(bytesSource(readFileSync(path(name)), name));
    return 'accepted';
  } catch (error) {
    if (error instanceof FormatError) return error.code;
    throw error;
  }
}

/**
 * Refused for what the signature says, which is not the profile's business; and one whose odd local
 * extra field any reader skips.
 */
const NOT_THE_PROFILES =
  /^made\/v1-|^made\/v2-|zero-signers|poc3b|fake\.ota|badcert|incons-ef-local-id\.zip/;

describe.skipIf(corpus === undefined)('checkStrictApk', () => {
  const deceptive = attacks.filter(([, { v2_signature_valid, ...attack }]) => {
    return v2_signature_valid === true && attack.expect === 'reject';
  });
  test.for(deceptive)('refuses %s although its signature is valid', async ([name]) => {
    expect(await codeOf(name)).not.toBe('accepted');
  });

  const others = attacks.filter(
    ([name, attack]) =>
      attack.expect === 'reject' &&
      attack.v2_signature_valid !== true &&
      !NOT_THE_PROFILES.test(name),
  );
  test.for(others)('refuses %s', async ([name]) => {
    expect(await codeOf(name)).not.toBe('accepted');
  });

  const good = attacks.filter(
    ([name, attack]) =>
      attack.expect.startsWith('accept') &&
      name.endsWith('.apk') &&
      attack.class !== 'signing-block',
  );
  test.for(good)('accepts %s', async ([name]) => {
    expect(await codeOf(name)).toBe('accepted');
  });

  const bounded = attacks.filter(([, attack]) => /bounded|policy/.test(attack.expect));
  test('gives every other archive a verdict of our own, soon', { timeout: 20_000 }, async () => {
    for (const [name] of bounded) await codeOf(name);
    expect(bounded.length).toBeGreaterThan(0);
  });
});
