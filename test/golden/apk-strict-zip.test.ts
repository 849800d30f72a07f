/** The strict ZIP profile against archives that were made to deceive readers: every file of the corpus. */

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkStrictApk } from '../../src/formats/apk/strict.ts';
import { FormatError } from '../../src/core/errors.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface Attack {
  readonly expect: string;
  readonly class: string;
  readonly size: number;
  readonly v2_signature_valid?: boolean;
}

const path = (name: string): string => corpusPath('sig-zip-attacks', name);
const attacks = Object.entries(
  (corpus
    ? (JSON.parse(readFileSync(path('manifest.json'), 'utf8')) as { readonly files: object }).files
    : {}) as Readonly<Record<string, Attack>>,
).filter(([name]) => existsSync(path(name)));

interface Verdict {
  readonly code: string;
  readonly reads: number;
  readonly bytesRead: number;
}

/** The verdict, and how much was read for it. */
async function judge(name: string): Promise<Verdict> {
  const file = await openFileSource(path(name));
  let [reads, bytesRead] = [0, 0];
  const source = {
    ...file,
    read(offset: number, length: number) {
      reads += 1;
      bytesRead += length;
      return file.read(offset, length);
    },
  };
  let code = 'accepted';
  try {
    await checkStrictApk(source);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    ({ code } = error);
  } finally {
    await file.close();
  }
  return { code, reads, bytesRead };
}

/** Refused for what the signature says, which is not the profile's business. */
const FOR_THE_SIGNATURE = /^made\/v1-|^made\/v2-|zero-signers|poc3b|fake\.ota|badcert/;

/** What the profile is to say: undefined where either will do, as long as it is soon said. */
function wanted([name, attack]: readonly [string, Attack]): 'refused' | 'accepted' | undefined {
  if (attack.expect === 'reject') {
    return FOR_THE_SIGNATURE.test(name) && attack.v2_signature_valid !== true
      ? undefined
      : 'refused';
  }
  // What is expected of readers of any archive is no promise for APKs.
  const isApk = name.endsWith('.apk') && attack.class !== 'signing-block';
  return attack.expect.startsWith('accept') && isApk ? 'accepted' : undefined;
}

describe.skipIf(corpus === undefined)('checkStrictApk', () => {
  const isDeceptive = (attack: Attack): boolean =>
    attack.expect === 'reject' && attack.v2_signature_valid === true;

  test.for(attacks.filter(([, attack]) => isDeceptive(attack)))(
    'refuses %s although its signature is valid',
    async ([name]) => {
      expect((await judge(name)).code).not.toBe('accepted');
    },
  );
  test.for(attacks.filter((each) => wanted(each) === 'refused' && !isDeceptive(each[1])))(
    'refuses %s',
    async ([name]) => {
      expect((await judge(name)).code).not.toBe('accepted');
    },
  );
  test.for(attacks.filter((each) => wanted(each) === 'accepted'))('accepts %s', async ([name]) => {
    expect((await judge(name)).code).toBe('accepted');
  });

  test('judges every archive after reading little more than all of it, in few steps', async () => {
    expect(attacks.length).toBeGreaterThan(100);
    const excessive: string[] = [];
    for (const [name, { size }] of attacks) {
      const { reads, bytesRead } = await judge(name);
      // Each entry may take a read of its headers and one of its data; windows may overlap.
      const isBounded = bytesRead < 4 * size + (256 << 10) && reads < 20 + size / 200;
      if (!isBounded) excessive.push(`${name}: ${reads} reads of ${bytesRead} bytes`);
    }
    expect(excessive).toEqual([]);
  });
});
