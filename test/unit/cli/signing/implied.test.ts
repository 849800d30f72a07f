/** What `microbuild sign TARGET` takes a target for. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { UsageError } from '../../../../src/core/errors.ts';
import { loadSignGroup } from '../../../../src/cli/commands/sign/group.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const signCommands = await loadSignGroup();

let folder: string;
const at = (name: string): string => join(folder, name);
beforeEach(() => {
  folder = tmpDir();
});

const complete = async (...words: string[]): Promise<readonly string[] | undefined> =>
  (await signCommands.implied?.complete(words))?.argv;

function file(name: string, ...parts: [offset: number, text: string][]): string {
  const bytes = Buffer.alloc(4096);
  for (const [offset, text] of parts) bytes.write(text, offset, 'latin1');
  writeFileSync(at(name), bytes);
  return at(name);
}

describe('sign TARGET', () => {
  test('means the command of what the bytes say', async () => {
    const apk = file('a', [0, 'PK\x03\x04']);
    expect(await complete(apk, '--key', 'k')).toEqual(['sign', 'apk', apk, '--key', 'k']);
    const vbmeta = file('b', [0, 'AVB0']);
    expect(await complete(vbmeta)).toEqual(['sign', 'image', vbmeta]);
    const footer = file('c', [4096 - 64, 'AVBf']);
    expect(await complete(footer)).toEqual(['sign', 'image', footer]);
    // What the image holds may be anything.
    const zip = file('d', [0, 'PK\x03\x04'], [4096 - 64, 'AVBf']);
    expect(await complete(zip)).toEqual(['sign', 'image', zip]);
    const sparse = file('s', [0, '\x3a\xff\x26\xed']);
    expect(await complete(sparse)).toEqual(['sign', 'image', sparse]);
    const archive = file('e', [257, 'ustar']);
    expect(await complete(archive)).toEqual(['sign', 'bundle', archive]);
    writeFileSync(at('manifest.json'), '{}');
    expect(await complete(folder)).toEqual(['sign', 'bundle', folder]);
  });

  test('finds the target behind options', async () => {
    const image = file('image', [0, 'AVB0']);
    const words = ['--key', 'release.pem', '--json', '--cert=c.pem', '-o', 'out', image];
    expect(await complete(...words)).toEqual(['sign', 'image', ...words]);
  });

  test('leaves alone what names its command', async () => {
    expect(await complete('image', 'file')).toBeUndefined();
    expect(await complete('--json', 'image', 'file')).toBeUndefined();
    expect(await complete()).toBeUndefined();
    expect(await complete('--json')).toBeUndefined();
  });

  test('says what can be signed, when this cannot', async () => {
    mkdirSync(at('empty'));
    writeFileSync(at('nothing'), '');
    writeFileSync(at('short'), 'PK');
    for (const target of [at('empty'), at('nothing'), at('short'), at('absent'), '/dev/null']) {
      const error = await complete(target).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(UsageError);
    }
    const error = await complete(at('short')).catch((caught: unknown) => caught as UsageError);
    expect(error).toMatchObject({
      hint: expect.stringMatching(/an APK.*a bundle.* sign apk\|.*\|fsverity \.\.\./) as string,
    });
  });
});
