import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/core/errors.ts';
import { replaceFiles } from '../../../src/io/replace-files.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

describe('replaceFiles()', () => {
  it('puts all files in place at the end, and leaves nothing else', async () => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'a'), 'old');
    const result = await replaceFiles([join(folder, 'a'), join(folder, 'b')], async (paths) => {
      for (const [index, path] of paths.entries()) writeFileSync(path, `new ${index}`);
      expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('old');
      return Promise.resolve('result');
    });
    expect(result).toBe('result');
    expect(readdirSync(folder).toSorted()).toEqual(['a', 'b']);
    expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('new 0');
    expect(readFileSync(join(folder, 'b'), 'utf8')).toBe('new 1');
  });

  it('leaves everything as it was when filling fails', async () => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'a'), 'old');
    const failure = new Error('full');
    const filling = replaceFiles([join(folder, 'a'), join(folder, 'b')], ([path = '']) => {
      writeFileSync(path, 'half');
      return Promise.reject(failure);
    });
    await expect(filling).rejects.toBe(failure);
    expect(readdirSync(folder)).toEqual(['a']);
    expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('old');
  });

  it('refuses to replace what is not a file', async () => {
    const folder = tmpDir();
    mkdirSync(join(folder, 'a'));
    const filling = replaceFiles([join(folder, 'a')], () => Promise.resolve());
    await expect(filling).rejects.toThrow(UsageError);
  });
});
