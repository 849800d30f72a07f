/** Verdicts on hostile and odd archives that other projects have met. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { decompress } from '../../../../src/formats/tar/decompress.ts';
import { indexTar } from '../../../../src/formats/tar/tree.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { entryTree } from '../../../../src/io/entry-tree.ts';
import { bytesContent } from '../../../../src/io/file-tree.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

interface Verdict {
  readonly expect: 'accept' | 'reject' | 'policy' | 'bounded';
  readonly why?: string;
}

/** Where the collection leaves the choice, what was chosen here, by the reason for it. */
const POLICY: Readonly<Record<string, 'accept' | 'reject'>> = {
  'made/double-gzip.tar.gz.gz': 'reject', // compressed once, not twice
  'made/dup-name.tar': 'reject', // which of two files is meant must not depend on the reader
  'made/gnu-pax-both.tar': 'reject', // two names for one entry
  'made/magic-bad.tar': 'reject', // a magic that nobody writes
  'made/mode-0000-dir.tar': 'accept', // nothing is unpacked, so modes do not hinder
  'made/no-eoa.tar': 'reject', // cannot be told from one that was cut off
  'made/path-backslash.tar': 'accept', // a letter like others on Linux
  'made/path-drive.tar': 'accept', // likewise
  'made/path-trailing-slash-file.tar': 'reject', // a directory with data
  'made/pax-size-override.tar': 'accept', // the extended header governs
  'made/pax-xattr-caps.tar': 'accept', // kept, and a build names each program that it makes privileged
  'made/trailing-garbage.tar': 'reject',
  'made/type-contig.tar': 'reject',
  'made/type-unknown.tar': 'reject',
};

const verdicts =
  corpus === undefined
    ? {}
    : (
        JSON.parse(readFileSync(corpusPath('sig-tar-attacks/manifest.json'), 'utf8')) as {
          files: Record<string, Verdict>;
        }
      ).files;

/** What a source of a recipe does with an archive, in memory. */
async function outcomeOf(name: string): Promise<{ verdict: 'accept' | 'reject'; code?: string }> {
  const data = new Uint8Array(readFileSync(corpusPath('sig-tar-attacks', name)));
  try {
    const bytes = decompress(bytesSource(data, name), 64 << 20);
    const tree = entryTree({ format: 'tar', archive: name });
    for (const entry of await indexTar(bytes, name)) tree.add(entry, () => nothing);
    return { verdict: 'accept' };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    expect(error.message).toContain(name);
    return { verdict: 'reject', code: error.code };
  }
}

const nothing = bytesContent(new Uint8Array(0));

const named = (wanted: readonly string[]): string[] =>
  Object.entries(verdicts).flatMap(([name, { expect: verdict }]) =>
    wanted.includes(verdict) ? [name] : [],
  );

describe.skipIf(corpus === undefined)('archives of strangers', () => {
  test.each(named(['reject']))('%s is refused, naming the archive', async (name) => {
    expect(await outcomeOf(name)).toMatchObject({ verdict: 'reject' });
  });

  test.each(named(['accept']))('%s is read', async (name) => {
    expect(await outcomeOf(name)).toMatchObject({ verdict: 'accept' });
  });

  test.each(named(['policy', 'bounded']))(
    '%s: our own choice, or at least a verdict',
    async (name) => {
      const { verdict } = await outcomeOf(name);
      expect(verdict).toBe(POLICY[name] ?? verdict);
    },
  );
});
