/** Images made to deceive: what must be refused is, with the field named; nothing takes long. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../src/core/errors.ts';
import { checkErofs } from '../../src/formats/erofs/check.ts';
import { openErofs } from '../../src/formats/erofs/reader.ts';
import { readTree } from '../../src/formats/erofs/read-tree.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { walk, type FileContent } from '../../src/io/file-tree.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface Manifest {
  readonly files: Record<string, { readonly expect: string }>;
}
const files =
  corpus === undefined
    ? {}
    : (JSON.parse(readFileSync(corpusPath('sig-erofs', 'manifest.json'), 'utf8')) as Manifest)
        .files;
const names = (...verdicts: readonly string[]): string[] =>
  Object.entries(files)
    .filter(([, file]) => verdicts.includes(file.expect))
    .map(([name]) => name);

/** Reads all there is. @returns the error that ended it. */
async function readAll(name: string): Promise<FormatError | undefined> {
  const source = await openFileSource(corpusPath('sig-erofs', name));
  try {
    const contents: FileContent[] = [];
    walk(await readTree(await openErofs(source)), (_, inode) => {
      if (inode.kind === 'file') contents.push(inode.content);
    });
    for (const content of contents) {
      let size = 0;
      for await (const chunk of content.stream()) size += chunk.length;
      expect(size).toBe(content.size);
    }
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return error as FormatError;
  } finally {
    await source.close();
  }
}

async function errorsOf(name: string): Promise<string[]> {
  const source = await openFileSource(corpusPath('sig-erofs', name));
  try {
    const { problems } = await checkErofs(source);
    return problems.filter(({ severity }) => severity === 'error').map(({ message }) => message);
  } finally {
    await source.close();
  }
}

/** What is open to policy, and ours. */
const policies: Readonly<Record<string, { readonly refused: string | undefined; why: string }>> = {
  'sb-blocks-huge.erofs': { refused: 'blocks', why: 'an image that is not whole cannot be judged' },
  'truncated-1byte.erofs': {
    refused: 'blocks',
    why: 'the same; what is missing may have been data',
  },
  'ino-mode-sock-vs-dirent.erofs': { refused: 'i_format', why: 'a socket has no inline data' },
  'ino-nlink-0.erofs': { refused: 'i_nlink', why: 'what has a name has a link' },
  'ino-dir-as-file.erofs': {
    refused: 'file_type',
    why: 'readers that trust the entry and those that trust the inode would see two trees',
  },
  'inox-uid-max.erofs': {
    refused: undefined,
    why: 'it is "nobody in particular" to chown, but a value that images can hold',
  },
  'de-type-bad.erofs': { refused: 'file_type', why: 'as with a wrong type' },
  'de-type-mismatch.erofs': { refused: 'file_type', why: 'as with a directory that is a file' },
  'de-name-nul.erofs': { refused: 'name', why: 'the kernel would see a shorter name' },
  'de-name-ctrl.erofs': {
    refused: 'name',
    why: 'control characters are allowed, but the name breaks the order of its directory',
  },
};

describe.skipIf(corpus === undefined)('the EROFS corpus', () => {
  test.each(names('accept'))('%s is read, without problems', async (name) => {
    expect(await readAll(name)).toBeUndefined();
    expect(await errorsOf(name)).toEqual([]);
  });

  test.each(names('reject'))('%s is refused by field, and the check tells', async (name) => {
    const error = await readAll(name);
    expect(error).toMatchObject({ format: 'erofs' });
    expect(error?.field).toBeDefined();
    expect(error?.offset).toBeDefined();
    expect(await errorsOf(name)).not.toEqual([]);
  });

  test.each(names('policy', 'no-crash'))('%s is read or refused, in bounded time', async (name) => {
    const started = performance.now();
    const error = await readAll(name);
    const errors = await errorsOf(name);
    expect(performance.now() - started).toBeLessThan(2000);
    // What a reader refuses the check reports.
    expect(errors.length > 0 || error === undefined).toBe(true);
  });

  test.each(names('policy').filter((name) => name in policies))('%s: our policy', async (name) => {
    expect((await readAll(name))?.field).toBe(policies[name]?.refused);
  });
});
