import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { plainFileReader } from '../../../src/io/file-signatures.ts';
import { createNativeFileReader } from '../../../src/native/hash-files.ts';
import { loadNativeLibrary } from '../../../src/native/library.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const built = await loadNativeLibrary();
if (built === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

/** One of everything, and what is not there. */
function samples(): string[] {
  const root = tmpDir();
  const at = (name: string): string => join(root, name);
  mkdirSync(at('folder'));
  for (const size of [0, 1, 55, 56, 63, 64, 65, 4096, 262_143, 262_144, 262_145, 1_000_000]) {
    writeFileSync(at(`size-${size}`), Buffer.alloc(size, size));
  }
  writeFileSync(at('ünïcode \u{1f980}'), 'name');
  writeFileSync(at('early'), 'before 1970');
  utimesSync(at('early'), -12.5, -12.5);
  writeFileSync(at('late'), 'after 2038');
  utimesSync(at('late'), 2 ** 33, 2 ** 33);
  writeFileSync(at('mode'), '');
  chmodSync(at('mode'), 0o4711);
  symlinkSync('mode', at('link'));
  symlinkSync('nowhere', at('broken'));
  symlinkSync('loop', at('loop'));
  execFileSync('mkfifo', [at('pipe')]);
  const names = execFileSync('ls', [root], { encoding: 'utf8' }).trim().split('\n');
  return [...names, 'missing', 'mode/below', 'x'.repeat(300)].map(at);
}

describe.skipIf(built === undefined)('createNativeFileReader()', () => {
  const reader = built && createNativeFileReader(built, 2);

  it('tells of files what its twin tells', async () => {
    const paths = samples();
    for (const follow of [false, true]) {
      const found = await reader?.signatures(paths, { follow });
      expect(found).toEqual(await plainFileReader.signatures(paths, { follow }));
    }
  });

  it('makes the digests that its twin makes, and has the same errors', async () => {
    const paths = samples();
    expect(await reader?.digests(paths)).toEqual(await plainFileReader.digests(paths));
    expect(await reader?.digests([])).toEqual(await plainFileReader.digests([]));
  });

  it('digests files of any size as its twin', async () => {
    const root = tmpDir();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 3000 }), { minLength: 1, maxLength: 40 }),
        async (contents) => {
          const paths = contents.map((content, index) => {
            writeFileSync(join(root, String(index)), content);
            return join(root, String(index));
          });
          const found = await reader?.digests(paths);
          expect(found).toEqual(await plainFileReader.digests(paths));
        },
      ),
      { numRuns: 30 },
    );
  });

  it('refuses a path that holds a NUL', async () => {
    const paths = Array.from({ length: 10 }, () => '/tmp/a\0b');
    await expect(reader?.signatures(paths, { follow: false })).rejects.toThrow(RangeError);
    await expect(reader?.digests(paths)).rejects.toThrow(RangeError);
  });
});
